"""Crowds of real sockets, each in a network namespace of its own.

Owns the holders (``holder``) and the namespace they live in. Must not measure anything.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

from sockui.collector.namespace import enter_namespace

SOCKETS_PER_PROCESS = 16_000
_SPARE = 64  # descriptors that a holder, or the host, needs besides
_HOLDER = str(Path(__file__).with_name("holder.py"))
_NEW_NAMESPACE = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "holder"]
NAME = "holder-"
"""What the names of all processes that hold sockets begin with."""


def per_process() -> int:
    """How many sockets one process may hold."""
    return min(SOCKETS_PER_PROCESS, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - _SPARE)


def possible(wanted: int) -> int:
    """``wanted``, or as many sockets as fs.file-max leaves room for."""
    used, _, most = map(int, Path("/proc/sys/fs/file-nr").read_text().split())
    return min(wanted, most - used - 1000 * _SPARE)


class Crowd:
    """``sockets`` TCP sockets in a new network namespace, from construction to :meth:`close`."""

    def __init__(self, sockets: int) -> None:
        self.sockets = sockets
        self._holders: list[subprocess.Popen[str]] = []
        left = sockets
        while left > 0:
            number = len(self._holders)
            share = min(left, per_process())
            arguments = [sys.executable, _HOLDER, f"{NAME}{number:02}", f"127.0.0.{number + 1}", str(share)]
            command = arguments if self._holders else [*_NEW_NAMESPACE, *arguments]
            holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self._holders.append(holder)
            if number == 0:
                self._answer(holder)
                self.enter()
            left -= share
        for holder in self._holders[1:]:
            self._answer(holder)
        self._made_at = time.monotonic()

    @property
    def age(self) -> float:
        """Seconds since the last socket was made."""
        return time.monotonic() - self._made_at

    def enter(self) -> None:
        """Move this thread, and what it starts from now on, into the crowd's network namespace."""
        enter_namespace(str(self._holders[0].pid))

    def churn(self, sockets: int) -> None:
        """Replace as many of the first holder's sockets by new ones."""
        self._tell(f"churn {sockets}")

    def poke(self, sockets: int) -> None:
        """Let a byte arrive at the first holder's accepted sockets with the highest remote ports."""
        self._tell(f"poke {sockets}")

    def close(self) -> None:
        """End the holders; the namespace goes with the last of them."""
        for holder in self._holders:
            holder.kill()
        for holder in self._holders:
            holder.communicate()

    def _tell(self, line: str) -> None:
        holder = self._holders[0]
        assert holder.stdin is not None
        holder.stdin.write(line + "\n")
        holder.stdin.flush()
        self._answer(holder)

    def _answer(self, holder: subprocess.Popen[str]) -> None:
        assert holder.stdout is not None
        if holder.stdout.readline() != "ready\n":
            self.close()
            raise SystemExit("a process that should hold sockets ended; its message stands above")
