"""Mutated texts of socket tools: the fixtures, and what this host's own tools print.

Owns the choice of texts. What is right: a TextError, or a result in which every line is accounted for.
"""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path
from random import Random

from sockui.collector.text import FORMS, read_text
from sockui.collector.text.lines import read_lines
from sockui.errors import TextError
from tests.trust.mutated.damage import ODD, damaged

FIXTURES = Path(__file__).parents[2] / "fixtures/text"
COMMANDS = (
    "ss -tanpieOm",
    "ss -tanpiem",
    "ss -tunap",
    "ss -uanpe",
    "netstat -tunapeo",
    "netstat -an",
    "lsof -nPi",
    "cat /proc/net/tcp /proc/net/tcp6",
)
LINES = 25
"""Lines of a text at most: enough for every kind of line, and a case stays short."""


@functools.cache
def texts() -> list[bytes]:
    """Fixtures and what is printed here now; a tool that is not installed prints nothing."""
    found = [path.read_bytes() for path in sorted(FIXTURES.glob("*.*"))]
    for command in COMMANDS:
        try:
            found.append(subprocess.run(command.split(), capture_output=True, timeout=20, check=False).stdout)
        except FileNotFoundError:
            continue
    return [text for text in found if text]


class Texts:
    """Reading a pasted text."""

    what = "fuzz: pasted texts of ss, netstat, lsof, /proc/net"
    unit = "mutated texts"

    def __init__(self, scratch: Path) -> None:
        self._texts = [text.splitlines(keepends=True) for text in texts()]
        self._odd = [
            *ODD,
            b'users:(("',
            b'",pid=',
            b"timer:(on,",
            b"skmem:(",
            b"cwnd:1 ",
            b" ",
            b" \t",
            b"tcp",
            b"1 " * 50,
        ]

    def case(self, random: Random) -> None:
        lines = random.choice(self._texts)
        begin = random.choice((0, 0, random.randrange(len(lines))))
        text = b"".join([*lines[: random.randint(0, 3)], *lines[begin : begin + random.randint(1, LINES)]])
        if random.random() < 0.1:
            text += b"".join(random.choice(self._texts)[:LINES])
        text = damaged(text, random, self._odd)
        if random.random() < 0.05:
            text = text.replace(b"\n", random.choice((b"\r\n", b"\r", b"\n\n", b" ")))
        try:
            told = read_text(text, "x", random.choice(("auto", "auto", "auto", *FORMS)))
        except TextError:
            return
        rows = told.snapshot.sockets
        assert told.lines == sum(1 for _ in read_lines(text)), "every line was looked at"
        assert len(rows) + told.other + told.cut + told.not_understood <= told.lines
        assert len(told.sample) == min(100, told.cut + told.not_understood)
        assert told.snapshot.coverage.sockets == len(rows)
