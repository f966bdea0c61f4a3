"""Commands as a shell reads them, asked of a real one."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sockui.view.format import cells, escape
from sockui.view.shell import lines, parts, quote

WORDS = st.lists(st.text(st.sampled_from("ab \t'\"$|;&日*"), max_size=30), min_size=1, max_size=12)


@pytest.mark.parametrize(
    "text", ["a b", "it's\n$(rm x)`", "[/x]\x1b[31m\u202e.service", "x\udcff", "a`b", "-rf", "$'\\x41'"]
)
def test_a_quoted_word_is_that_word_to_bash_and_holds_no_control_character(text: str) -> None:
    quoted = quote(text)
    assert escape(quoted) == quoted
    assert "`" not in quoted, "it stays whole in a code span"
    printed = subprocess.run(["bash", "-c", f"printf %s {quoted}"], capture_output=True, check=True).stdout
    assert printed == text.encode("utf-8", "surrogateescape")


def printed(command: str) -> list[str]:
    run = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    return run.stdout.split("\0")[:-1]


@settings(max_examples=150, deadline=None)
@given(WORDS, st.integers(12, 40))
def test_lines_fit_and_are_the_command(words: list[str], room: int) -> None:
    command = shlex.join(["printf", "%s\\0", *words])
    broken = lines(command, room)
    assert all(cells(line) <= room for line in broken)
    continued = [line.endswith(" \\") for line in broken[:-1]]
    assert "".join(line[:-1] if on else line for line, on in zip(broken, [*continued, False], strict=True)) == command
    if all(continued):
        assert printed("\n      ".join(broken)) == words, "as a terminal gives it, indented"


def test_a_line_ends_outside_of_quotes_if_it_can() -> None:
    command = "ss -tK 'src = 10.0.0.1 and dport = :443' and more"
    assert lines(command, 43) == ["ss -tK 'src = 10.0.0.1 and dport = :443' \\", "and more"]
    assert lines(command, 24) == ["ss -tK 'src = 10.0.0.1 ", "and dport = :443' and \\", "more"]
    assert lines(command, 40) == ["ss -tK \\", "'src = 10.0.0.1 and dport = :443' and \\", "more"]
    assert lines("a" * 10, 8) == ["a" * 8, "a" * 2]
    assert lines("ss -tan", 8) == ["ss -tan"]


@pytest.mark.parametrize(
    ("command", "apart"),
    [
        ("ss -tan", [("", "ss -tan")]),
        (
            "a 'x | y; z' | b && c || d; e",
            [("", "a 'x | y; z'"), (" | ", "b"), (" && ", "c"), (" || ", "d"), ("; ", "e")],
        ),
        ('a "it\'s | \\" | b" | c', [("", 'a "it\'s | \\" | b"'), (" | ", "c")]),
    ],
)
def test_the_commands_of_a_line(command: str, apart: list[tuple[str, str]]) -> None:
    assert parts(command) == apart
    assert "".join(lead + part for lead, part in parts(command)) == command
