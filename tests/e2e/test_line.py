"""What a slow line carries: the real program on a pty whose terminal answers only when the test says so."""

from __future__ import annotations

import fcntl
import os
import re
import select
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.pty

DEADLINE = 20.0  # s
DOWN = "\x1b[B"
QUESTION, ANSWER = b"\x1b[6n", "\x1b[1;1R"
PAINTED = b"\x1b[?2026l"
SOCKETS = 60
LATE = 2.1  # s
KEYS, PACE = 20, 1 / 30  # as a held key repeats


class SlowTerminal:
    """A program on a pty. Questions for the cursor stay open until :meth:`answer`."""

    def __init__(self, arguments: list[str], home: Path) -> None:
        self.terminal, self.inside = os.openpty()
        termios.tcsetwinsize(self.inside, (36, 120))
        environ = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TMUX", "STY")}
        environ |= {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "HOME": str(home), "XDG_CONFIG_HOME": str(home)}
        environ |= {"SOCKUI_VIEW": "sockets"}
        command = [sys.executable, "-m", "sockui", *arguments]
        self.child = subprocess.Popen(
            command, stdin=self.inside, stdout=self.inside, stderr=self.inside, start_new_session=True, env=environ
        )
        self.raw = b""
        self._answered = 0

    def read(self, seconds: float = 0.05) -> None:
        while select.select([self.terminal], [], [], seconds)[0]:
            self.raw += os.read(self.terminal, 65536)
            seconds = 0

    def wait(self, until: Callable[[], object]) -> None:
        end = time.monotonic() + DEADLINE
        while not until():
            assert time.monotonic() < end, self.raw[-2000:]
            self.read()

    @property
    def asked(self) -> bool:
        """Whether a question is open."""
        return self.raw.count(QUESTION) > self._answered

    def answer(self) -> None:
        self._answered += 1
        self.send(ANSWER)

    def send(self, keys: str) -> None:
        os.write(self.terminal, keys.encode())

    def close(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        os.close(self.terminal)
        os.close(self.inside)


@pytest.fixture
def line(tmp_path: Path) -> Iterator[SlowTerminal]:
    text = tmp_path / "ss.txt"
    rows = [f"ESTAB 0 0 127.0.0.1:443 127.0.0.1:{40_000 + number}" for number in range(SOCKETS)]
    text.write_text("\n".join(["State Recv-Q Send-Q Local Address:Port Peer Address:Port", *rows]) + "\n")
    opened = SlowTerminal(["--from", str(text), "--sort", "remote_port"], tmp_path)
    try:
        opened.wait(lambda: b"\x1b[?2026$p" in opened.raw)
        opened.send("\x1b[?2026;2$y")  # it knows synchronized output: paints can be counted
        opened.wait(lambda: b"40003" in opened.raw)
        while opened.asked or settling(opened):
            if opened.asked:
                opened.answer()
        yield opened
    finally:
        opened.close()


def settling(line: SlowTerminal) -> bool:
    """Whether something comes within a while."""
    before = len(line.raw)
    line.read(1.0)
    return len(line.raw) > before


def test_keys_that_come_faster_than_the_terminal_shows_become_one_paint(line: SlowTerminal) -> None:
    begun = line.raw.count(PAINTED)
    line.send(DOWN)
    line.wait(lambda: line.asked)
    first = line.raw.count(PAINTED) - begun
    assert first, "the first key is painted at once"
    for _ in range(KEYS - 1):
        line.send(DOWN)
        time.sleep(PACE)
    line.read()
    assert line.raw.count(PAINTED) - begun == first, "nothing is painted while the terminal is behind"
    while line.asked or settling(line):
        if line.asked:
            line.answer()
    assert line.raw.count(PAINTED) - begun - first <= 2, "where the keys led, and what explains it"
    assert f"127.0.0.1:{40_000 + KEYS}".encode() in line.raw.rpartition(b"40000")[2], "no key was lost"


def test_a_line_on_which_answers_come_late_is_painted_less(line: SlowTerminal) -> None:
    for _ in range(2):
        line.send(DOWN)
        line.wait(lambda: line.asked)
        time.sleep(LATE)  # the line's own delay
        while line.asked:
            line.answer()
        line.read(0.5)
    line.wait(lambda: b"Slow line" in line.raw)
    fewer = line.raw.rpartition(b"Slow line")[2]
    assert fewer
    assert b"8;2;" not in fewer, "no colour as red, green and blue"


def test_an_answer_that_comes_late_does_not_end_up_in_the_shell(line: SlowTerminal) -> None:
    line.send(DOWN)
    line.wait(lambda: line.asked)
    line.send("q")
    time.sleep(0.7)  # the line's own delay
    line.answer()
    line.wait(lambda: line.child.poll() is not None)
    tty.setraw(line.inside, termios.TCSANOW)  # as a shell reads: what is no whole line yet counts too
    left = fcntl.ioctl(line.inside, termios.FIONREAD, b"\0" * 4)
    assert int.from_bytes(left, sys.byteorder) == 0
    assert re.search(rb"\x1b\[\?1049l", line.raw)


def test_a_terminal_that_is_gone_ends_the_program_where_no_signal_tells(line: SlowTerminal) -> None:
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), line.terminal)  # the pty's only other end; it is not the controlling terminal
    assert line.child.wait(DEADLINE) == 129
