"""The line to the terminal: it drops, stops, misbehaves; and what is then left of the program.

Owns dropping a line and finding what is left behind. Must not know what the screen shows.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.screen import DEADLINE, SOCKUI, Terminal
from tests.trust.table import Row
from tests.trust.tried import tried

DROPS = 50
ENDS_WITHIN = 1.0  # s
IN_ANOTHER_SESSION = ("setsid", "-w", *SOCKUI)
"""The terminal is not its controlling one: no SIGHUP will come."""
SIGHUP_IGNORED = ("sh", "-c", 'trap "" HUP; exec "$@"', "sh", *SOCKUI)


class Line(Terminal):
    """A terminal whose line can be dropped, and whose programs are known by a mark in their environment."""

    def __init__(
        self,
        arguments: Sequence[str] = (),
        size: tuple[int, int] = (120, 36),
        environ: Mapping[str, str | None] | None = None,
        command: Sequence[str] = SOCKUI,
    ) -> None:
        self.mark = f"TRUST_LINE={uuid.uuid4().hex}"
        name, _, value = self.mark.partition("=")
        super().__init__(arguments, size, {**(environ or {}), name: value}, command)

    def left(self) -> list[int]:
        """The processes that run of all that was started on this terminal."""
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if f"{self.mark}\0".encode() in path.read_bytes():
                    found.append(int(path.parent.name))
            except OSError:  # ended meanwhile
                continue
        return found

    def drop(self) -> None:
        """Close the other end of the pty, as sshd does."""
        with Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), self.child.fileno())  # pexpect may close what is its own

    def emptied(self) -> float:
        """Wait until nothing runs any more of what was started; seconds.

        Until then nothing may take more CPU time than ``ENDS_WITHIN``, however long it has to wait for a CPU.
        """
        begun = time.monotonic()
        before = {pid: _cpu(pid) for pid in self.left()}
        while left := self.left():
            late = time.monotonic() > begun + DEADLINE
            if spinning := [pid for pid in left if late or _cpu(pid) - before.get(pid, 0.0) > ENDS_WITHIN]:
                raise AssertionError("; ".join(map(_about, spinning)))
            time.sleep(0.02)
        return time.monotonic() - begun

    def close(self) -> None:
        """End what is left; for after a failure."""
        for pid in self.left():
            os.kill(pid, 9)
        self.child.close(force=True)


def _about(pid: int) -> str:
    before = _cpu(pid)
    time.sleep(1)
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return f"left: {pid}, which ended only now"
    return f"left: {pid} {command}, which takes {(_cpu(pid) - before):.0%} of a CPU"


def _cpu(pid: int) -> float:
    """Seconds; 0 if it ended."""
    try:
        numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")


def measure(seconds: float) -> Iterator[Row]:
    """Drop lines, and let the tests beside this do everything else."""
    times = []
    for number in range(DROPS):
        line = Line(command=IN_ANOTHER_SESSION if number % 2 else SOCKUI)
        try:
            line.wait("every")
            line.drop()
            times.append(line.emptied())
        finally:
            line.close()
    late = sum(each > ENDS_WITHIN for each in times)
    note = f"all gone after at most {max(times):.2f} s; {ENDS_WITHIN:g} s is the limit"
    yield Row("line: dropped, with SIGHUP and without", DROPS, "times", late, note)
    for what, file in (
        ("dropped in the midst of work, stopped, resumed, crashed", "test_line.py"),
        ("terminals, sizes, environments, files, clipboard tools, keys", "test_terminals.py"),
    ):
        yield tried(f"line: {what}", f"tests/trust/{file}", seconds=seconds)
