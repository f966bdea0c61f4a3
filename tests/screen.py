"""The real program on a pseudo terminal, and the screen that it has painted there.

Owns the pty and what a person would see. Must not know what the program should show.
"""

from __future__ import annotations

import base64
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import pexpect
import pyte

SOCKUI = (sys.executable, "-m", "sockui")
DEADLINE = 20.0
"""Seconds, generous: what is tested is what happens, not how fast."""

UNKNOWN = re.compile(rb"\x1b\[[<>=?][0-9;]*[a-zA-Z$][a-z]?|\x1bP.*?\x1b\\|\x1b\].*?\x07", re.DOTALL)
"""What pyte does not know: the kitty keyboard protocol, private reports, device control and system commands."""


class Terminal:
    """A program on a pty, and the screen that it has painted."""

    def __init__(
        self,
        arguments: Sequence[str],
        size: tuple[int, int] = (120, 36),
        environ: Mapping[str, str | None] | None = None,
        command: Sequence[str] = SOCKUI,
    ) -> None:
        """``environ`` is what differs from this process's environment, None for what is not there."""
        columns, lines = size
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.unread = b""
        base = {name: value for name, value in os.environ.items() if name not in ("TMUX", "STY", "NO_COLOR", "DISPLAY")}
        whole = {**base, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(environ or {})}
        self.child = pexpect.spawn(
            command[0],
            [*command[1:], *arguments],
            dimensions=(lines, columns),
            env={name: value for name, value in whole.items() if value is not None},
        )

    def read(self) -> None:
        """Take what has come, wait a little for more."""
        try:
            data = self.child.read_nonblocking(65536, timeout=0.1)
        except (pexpect.TIMEOUT, pexpect.EOF):
            self.stream.feed(UNKNOWN.sub(b"", self.unread))
            self.unread = b""
            return
        self.raw += data
        self.unread += data
        whole, begun, _ = self.unread.rpartition(b"\x1b")  # a sequence may be cut in two
        if begun and not re.search(rb"\x1bP(?!.*\x1b\\)", self.unread, re.DOTALL):
            self.stream.feed(UNKNOWN.sub(b"", whole))
            self.unread = self.unread[len(whole) :]

    @property
    def text(self) -> str:
        """What the cells hold; pyte's own ``display`` fails where the half of a wide character was overwritten."""
        lines, columns = range(self.screen.lines), range(self.screen.columns)
        return "\n".join("".join(self.screen.buffer[y][x].data for x in columns) for y in lines)

    def wait(self, what: str | Callable[[str], object]) -> str:
        """Read until the screen shows a text or fulfils a condition."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            if what in self.text if isinstance(what, str) else what(self.text):
                return self.text
            self.read()
        raise AssertionError(f"{what} did not appear; the screen shows:\n{self.text}")

    def send(self, keys: str) -> None:
        self.child.send(keys)

    def sent_to_clipboard(self, pattern: bytes = rb"\x1b\]52;c;([A-Za-z0-9+/=]+)\x07") -> str:
        """The text of the newest OSC 52 sequence."""
        end = time.monotonic() + DEADLINE
        while not (found := re.findall(pattern, self.raw)):
            assert time.monotonic() < end, "nothing was sent"
            self.read()
        return base64.b64decode(found[-1]).decode()

    def ended(self) -> int:
        """Wait for the end; the exit code."""
        end = time.monotonic() + DEADLINE
        while self.child.isalive() and time.monotonic() < end:
            self.read()
        self.read()
        assert not self.child.isalive(), self.text
        return int(self.child.exitstatus if self.child.exitstatus is not None else -self.child.signalstatus)
