"""Crowds of real sockets, each in a network namespace of its own, and how many of them this host has room for.

Owns the holders (``holder``) and the namespace they live in. Must not measure anything.
"""

from __future__ import annotations

import math
import re
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from sockui.collector.namespace import enter_namespace
from tests.bench.figures import Line
from tests.bench.holder import WAITING

SOCKETS_PER_PROCESS = 16_000
"""8,000 connections to one address leave most of its 28,000 ephemeral ports for what churn and TIME_WAIT take."""
PROCESSES = 4  # at least
SOCKET_KIB = 4
"""Memory for one socket: the kernel's own, file, inode, descriptor, and the holder's object; 3.6 on Linux 6.18."""
READING_KIB = 2
"""What reading it takes: sockui and its peers keep about as much for each."""
NAME = "holder-"
"""What the names of all processes that hold sockets begin with."""
TIME_WAIT_GOOD = 45.0  # s; they last 60
_SPARE = 64  # descriptors that a holder, or the host, needs besides
_HOLDER = str(Path(__file__).with_name("holder.py"))
_NEW_NAMESPACE = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "holder"]


def per_process() -> int:
    """How many sockets one process may hold."""
    return min(SOCKETS_PER_PROCESS, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - _SPARE)


def room(wanted: int) -> tuple[int, str]:
    """``wanted``, or as many sockets as there is room for and what limits them."""
    used, _, most = map(int, Path("/proc/sys/fs/file-nr").read_text().split())
    match = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    available = int(match[1]) if match else 0
    processes = int(Path("/proc/sys/kernel/pid_max").read_text()) // 2
    limits = {
        f"fs.file-max is {most:,}, {used:,} files are open": most - used - 1000 * _SPARE,
        f"{available // 1024:,} MiB of memory are available, a socket takes about {SOCKET_KIB + READING_KIB} KiB": (
            available // (SOCKET_KIB + READING_KIB)
        ),
        f"a process may have {per_process():,} sockets (ulimit -Hn), and there is room for {processes:,} processes": (
            processes * per_process()
        ),
    }
    limit = min(limits, key=lambda words: limits[words])
    return (wanted, "") if limits[limit] >= wanted else (limits[limit], limit)


class Crowd:
    """``sockets`` TCP sockets in a new network namespace, from construction to :meth:`close`."""

    def __init__(self, sockets: int) -> None:
        self.sockets = sockets
        self._holders: list[subprocess.Popen[str]] = []
        processes = max(PROCESSES, math.ceil(sockets / per_process()))
        try:
            for number in range(processes):
                share = sockets // processes + (number < sockets % processes)
                address = f"127.0.{number // 250}.{number % 250 + 1}"
                arguments = [sys.executable, _HOLDER, f"{NAME}{number:02}", address, str(share)]
                self._start(arguments if self._holders else [*_NEW_NAMESPACE, *arguments])
                if number == 0:
                    self._answer(self._holders[0])
                    self.enter()
            for holder in self._holders[1:]:
                self._answer(holder)
        except BaseException:
            self.close()
            raise
        self._made_at = self._renewed_at = time.monotonic()

    @property
    def age(self) -> float:
        """Seconds since the last socket was made that is not in TIME_WAIT."""
        return time.monotonic() - self._made_at

    @property
    def pid(self) -> int:
        """A process in the crowd's network namespace."""
        return self._holders[0].pid

    def enter(self) -> None:
        """Move this thread, and what it starts from now on, into the crowd's network namespace."""
        enter_namespace(str(self.pid))

    def renew(self) -> bool:
        """Make the sockets in TIME_WAIT anew if they end soon; whether that was so."""
        if time.monotonic() - self._renewed_at < TIME_WAIT_GOOD:
            return False
        self.wait()
        return True

    def wait(self) -> int:
        """Leave a twentieth of the sockets in TIME_WAIT once more; how many that is at least."""
        for holder in self._holders:
            self._tell(holder, "wait")
        for holder in self._holders:
            self._answer(holder)
        self._renewed_at = time.monotonic()
        return self.sockets // WAITING - len(self._holders)

    def churn(self, sockets: int) -> None:
        """Replace as many of the first holder's sockets by new ones."""
        self._ask(self._holders[0], f"churn {sockets}")

    def poke(self, sockets: int) -> None:
        """Let a byte arrive at as many accepted sockets: those whose remote endpoint is the highest of all."""
        self._ask(self._holders[-1], f"poke {sockets}")

    def close(self) -> None:
        """End the holders; the namespace goes with the last of them."""
        for holder in self._holders:
            holder.kill()
        for holder in self._holders:
            holder.communicate()

    def _start(self, command: list[str]) -> None:
        holder = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )  # a session of its own: Ctrl-C is for the bench, which ends them
        self._holders.append(holder)

    def _ask(self, holder: subprocess.Popen[str], line: str) -> None:
        self._tell(holder, line)
        self._answer(holder)

    def _tell(self, holder: subprocess.Popen[str], line: str) -> None:
        assert holder.stdin is not None
        holder.stdin.write(line + "\n")
        holder.stdin.flush()

    def _answer(self, holder: subprocess.Popen[str]) -> None:
        assert holder.stdout is not None
        if holder.stdout.readline() != "ready\n":
            raise SystemExit("a process that should hold sockets ended; its message stands above")


@dataclass
class Scene:
    """What a group of lines is measured on, and how."""

    crowd: Crowd
    small: Crowd  # a hundred sockets, to be put beside
    repeats: int
    most: int  # sockets from which the budget holds: below it what a refresh costs is the beginning
    long: bool  # ten minutes of churn instead of one
    lines: list[Line] = field(default_factory=list)  # what was measured before, at other sizes

    @property
    def asked(self) -> bool:
        """Whether the budget speaks of so many sockets."""
        return self.crowd.sockets >= self.most

    def smaller(self, name: str) -> list[Line]:
        """The same line at smaller sizes, the largest last."""
        found = (line for line in self.lines if line.name == name and line.sockets < self.crowd.sockets)
        return sorted(found, key=lambda line: line.sockets)
