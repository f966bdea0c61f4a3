"""A program on a pseudo terminal of its own, and when it writes how much.

Owns the pty, the time stamps of output, the speed at which it is read, and what a terminal answers by itself. Must not
know what the program shows.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
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
SOCKUI = (sys.executable, "-m", "sockui")
_KEPT = 1 << 18  # bytes of output kept to be searched
_STEP = 0.02  # s between two reads of a slow line
_BITS = 10  # a byte on a serial line: a start bit, eight of data, a stop bit
_CPU_CLOCK = 2  # CPUCLOCK_SCHED of clock_getcpuclockid(3): exact, where /proc/PID/stat counts 10 ms ticks
_ASKED = re.compile(rb"\x1b\[(?:5n|6n|0?c|\?2026\$p)")
_PAINTED = b"\x1b[?2026l"  # what ends each paint, for a terminal that says that it knows synchronized output
_ANSWERS = {
    b"\x1b[5n": b"\x1b[0n",
    b"\x1b[6n": b"\x1b[1;1R",
    b"\x1b[c": b"\x1b[?62;22c",
    b"\x1b[0c": b"\x1b[?62;22c",
}
_SYNCHRONIZED = {b"\x1b[?2026$p": b"\x1b[?2026;2$y"}


def environment() -> dict[str, str]:
    """A terminal with true colours, nobody's configuration, and the sockets in view at once.

    Python keeps what it compiled, as it does of what is installed: the first of several runs pays for it.
    """
    personal = ("SOCKUI_", "TEXTUAL", "NO_COLOR", "SSH_", "LC_", "LANG", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(personal)}
    ours = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "XDG_CONFIG_HOME": "/proc/nonexistent"}
    compiled = {"PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / f"sockui-bench-{os.getuid()}")}
    return kept | ours | compiled | {"LANG": "C.UTF-8", "SOCKUI_VIEW": "sockets"}


POLL = 0.01
"""Seconds of CPU time that no poll of sockui takes less than."""
POLL_EACH = 3e-6
"""And for each socket on top of that."""


class Program:
    """``command`` on a pty, from construction to :meth:`close`. Its output is read at once unless ``rate`` is set.

    ``synchronized``: the terminal says that it knows synchronized output, so that paints can be counted.
    """

    rate: int | None = None
    """Bits per second of the line that the terminal hangs on; None: as fast as it comes."""

    def __init__(
        self, command: Sequence[str], columns: int = 120, lines: int = 36, *, synchronized: bool = False
    ) -> None:
        self._answers = _ANSWERS | (_SYNCHRONIZED if synchronized else {})
        self._terminal, inside = os.openpty()
        termios.tcsetwinsize(inside, (lines, columns))
        self._changed = threading.Condition()
        self._text = bytearray()
        self._unasked = b""  # output that may be the beginning of a question
        self._last = 0.0  # CLOCK_MONOTONIC s of the last output
        self._written = 0
        self._paints = 0
        self._ended = False
        self._begun = time.monotonic()
        self._process = subprocess.Popen(
            command, stdin=inside, stdout=inside, stderr=inside, start_new_session=True, env=environment()
        )
        os.close(inside)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def written(self) -> int:
        """Bytes that the terminal has received so far. A program that has ended ends the bench: silence is no merit."""
        self._running()
        return self._written

    @property
    def paints(self) -> int:
        """Paints that the terminal has received so far; of a ``synchronized`` one."""
        return self._paints

    def wait_for(self, pattern: bytes, timeout: float = 120.0) -> float:
        """Wait until the output matches; seconds from the start of the program to the output that made it so."""
        expression = re.compile(pattern)
        with self._changed:
            if not self._changed.wait_for(lambda: self._ended or expression.search(self._text), timeout) or self._ended:
                raise SystemExit(f"{pattern!r} did not come; the last output was {bytes(self._text[-500:])!r}")
            return self._last - self._begun

    def _running(self) -> None:
        if self._ended or not self._reader.is_alive():
            raise SystemExit(
                f"the program ended while it was measured; its last output was {bytes(self._text[-500:])!r}"
            )

    def settle(self, quiet: float = QUIET, timeout: float = 5.0) -> None:
        """Wait until nothing was written for a while."""
        deadline = time.monotonic() + timeout
        while (now := time.monotonic()) - self._last < quiet and now < deadline:
            time.sleep(0.002)

    def send(self, key: str) -> None:
        """Send a key, or what a terminal says, and wait for nothing."""
        self._running()
        os.write(self._terminal, key.encode())

    def press(self, key: str) -> float:
        """Send a key; seconds until the last byte of output before the next silence."""
        self.settle()
        sent = time.monotonic()
        self.send(key)
        while True:
            time.sleep(0.001)
            now, last = time.monotonic(), self._last
            if last > sent and now - last >= QUIET:
                return last - sent
            if last <= sent and now - sent > UNANSWERED:
                return UNANSWERED

    def descriptors(self) -> int:
        """Open descriptors of the program."""
        return len(os.listdir(f"/proc/{self._process.pid}/fd"))

    def threads(self) -> int:
        """Threads of the program."""
        return len(os.listdir(f"/proc/{self._process.pid}/task"))

    def cpu_seconds(self) -> float:
        """CPU time of the program, user and system, of all its threads."""
        self._running()
        return time.clock_gettime(~self._process.pid << 3 | _CPU_CLOCK)

    def has_polled(self, since: float, polls: float, sockets: int) -> None:
        """End the bench if the CPU time used ``since`` is too little for so many polls: standing still is no merit."""
        used = self.cpu_seconds() - since
        if used < polls * (POLL + sockets * POLL_EACH):
            raise SystemExit(f"{used:.3f} s of CPU time are less than {polls:.0f} polls take: polling stands still")

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
            size = 1 << 16
            if rate := self.rate:
                time.sleep(_STEP)  # the line is busy with what was read before
                size = max(1, int(rate / _BITS * _STEP))
            try:
                data = os.read(self._terminal, size)
            except OSError:  # EIO: nobody has the other side open any more
                data = b""
            with self._changed:
                if data:
                    self._take(data)
                self._ended = not data
                self._changed.notify_all()
            if not data:
                os.close(self._terminal)
                return

    def _take(self, data: bytes) -> None:
        self._last = time.monotonic()
        self._written += len(data)
        self._text += data
        del self._text[:-_KEPT]
        looked_at = self._unasked + data
        self._paints += looked_at.count(_PAINTED)
        end = 0
        for match in _ASKED.finditer(looked_at):
            end = match.end()
            if answer := self._answers.get(match[0]):
                os.write(self._terminal, answer)
        escape = looked_at.rfind(b"\x1b", max(end, len(looked_at) - len(_PAINTED) + 1))
        self._unasked = b"" if escape < 0 else looked_at[escape:]
