"""Fewer hostile processes, in every view and output; and that what finds them finds them."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trust.attack import tour
from tests.trust.attack.commands import pairs
from tests.trust.attack.names import ALPHABET, LONG_WORDS, SEQUENCES, UNSEEN, names
from tests.trust.attack.scene import Scene, scene
from tests.trust.attack.shell import Paste
from tests.trust.attack.written import foreign
from tests.trust.hostile import on_a_terminal, pasted, printed

pytestmark = [pytest.mark.kernel, pytest.mark.pty]
EVERY = 6
"""Every sixth of the names; ``make trust`` takes all."""


@pytest.fixture(scope="module")
def made() -> Iterator[Scene]:
    if os.geteuid() != 0:
        pytest.skip("making network namespaces needs root")
    with scene(EVERY) as made:
        yield made


def test_every_piece_of_the_alphabet_is_in_some_name() -> None:
    together = b"".join(names())
    assert all(piece in together for piece in ALPHABET)


def test_no_byte_of_a_name_reaches_the_terminal_as_it_is(made: Scene, tmp_path: Path) -> None:
    number = 0
    for seen, problems in on_a_terminal(made, tmp_path, time.monotonic(), most=1):
        assert problems == []
        number += seen
    assert number >= len(tour.ABOUT_ALL) + len(tour.ABOUT_EACH)


def test_what_is_printed_is_harmless_where_it_is_read(made: Scene, tmp_path: Path) -> None:
    for _, problems in printed(made, tmp_path):
        assert problems == []


def test_commands_run_as_meant_whatever_they_are_about(made: Scene, tmp_path: Path) -> None:
    commands = list(pairs(made.look()))
    number = 0
    for some, problems in pasted(random.sample(commands, 100), tmp_path, time.monotonic() + 60):
        assert problems == []
        number += some
    assert number >= 200


@pytest.mark.parametrize("data", [*UNSEEN, *SEQUENCES, LONG_WORDS[-1].encode(), b"\x1b]52;c;4oCu\x07"])
def test_what_is_foreign_in_what_was_written_is_found(data: bytes) -> None:
    ours = b"\x1b[?1049h\x1b[1;1H\x1b[38;2;1;2;3;1mtext\x1b[0m\r\n"
    assert not list(foreign(ours))
    assert list(foreign(ours + b"name" + data + ours))


def test_a_word_that_is_not_quoted_is_noticed(tmp_path: Path) -> None:
    paste = Paste(tmp_path)
    assert paste.run("bash", "systemctl restart -- $(>canary).service")[0] == [
        [b"systemctl", b"restart", b"--", b".service"]
    ]
    assert paste.made() == ["canary"]
    assert paste.paste(["ss -t", "ps 'a b'"])[0] == [[b"ps", b"a b"], [b"ss", b"-t"]]
