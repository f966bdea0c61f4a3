"""A program on a pseudo terminal of its own, and when it writes how much.

Owns the pty and the time stamps of output. Must not know what the program shows.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

QUIET = 0.15
"""Seconds without output after which an answer is taken to be complete. It comes in parts: at 100,000 sockets the echo
of a typed letter is painted 50 ms before the table is, and with 0.03 here the echo would be all that is measured."""
UNANSWERED = 1.0  # s without any output: counted as that long
_KEPT = 1 << 18  # bytes of output kept to be searched
_TICKS = os.sysconf("SC_CLK_TCK")
SOCKUI = (sys.executable, "-m", "sockui")


def environment() -> dict[str, str]:
    """A terminal with true colours, and nobody's configuration."""
    personal = ("SOCKUI_", "TEXTUAL", "NO_COLOR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(personal)}
    return kept | {"TERM": "xterm-256color", "COLORTERM": "truecolor", "XDG_CONFIG_HOME": "/nonexistent"}


class Program:
    """``command`` on a pty, from construction to :meth:`close`. Its output is always read at once."""

    def __init__(self, command: Sequence[str], columns: int = 120, lines: int = 36) -> None:
        self._terminal, inside = os.openpty()
        termios.tcsetwinsize(inside, (lines, columns))
        self._changed = threading.Condition()
        self._text = bytearray()
        self._last = 0.0  # CLOCK_MONOTONIC s of the last output
        self._written = 0
        self._ended = False
        self._begun = time.monotonic()
        self._process = subprocess.Popen(
            command, stdin=inside, stdout=inside, stderr=inside, start_new_session=True, env=environment()
        )
        os.close(inside)
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def written(self) -> int:
        """Bytes written to the terminal so far."""
        return self._written

    def wait_for(self, pattern: bytes, timeout: float = 60.0) -> float:
        """Wait until the output matches; seconds from the start of the program to the output that made it so."""
        expression = re.compile(pattern)
        with self._changed:
            if not self._changed.wait_for(lambda: self._ended or expression.search(self._text), timeout) or self._ended:
                raise SystemExit(f"{pattern!r} did not come; the last output was {bytes(self._text[-500:])!r}")
            return self._last - self._begun

    def settle(self, quiet: float = QUIET, timeout: float = 5.0) -> None:
        """Wait until nothing was written for a while."""
        deadline = time.monotonic() + timeout
        while (now := time.monotonic()) - self._last < quiet and now < deadline:
            time.sleep(0.002)

    def press(self, key: str) -> float:
        """Send a key; seconds until the last byte of output before the next silence."""
        self.settle()
        sent = time.monotonic()
        os.write(self._terminal, key.encode())
        while True:
            time.sleep(0.001)
            now, last = time.monotonic(), self._last
            if last > sent and now - last >= QUIET:
                return last - sent
            if last <= sent and now - sent > UNANSWERED:
                return UNANSWERED

    def cpu_seconds(self) -> float:
        """CPU time of the program, user and system."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def rss_mib(self) -> float:
        """Resident memory, MiB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        match = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert match is not None
        return int(match[1]) / 1024

    def close(self) -> None:
        """End the program."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._terminal, 1 << 16)
            except OSError:  # EIO: nobody has the other side open any more
                data = b""
            with self._changed:
                if data:
                    self._last = time.monotonic()
                    self._written += len(data)
                    self._text += data
                    del self._text[:-_KEPT]
                self._ended = not data
                self._changed.notify_all()
            if not data:
                os.close(self._terminal)
                return
