"""Who holds sockets: processes, the inode → (pid, fd) relation, and what could not be seen.

Owns the types only; ``collector.owners`` fills them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Process:
    """One process, as /proc told it (proc(5)). Text fields are raw: escape them before showing."""

    pid: int
    name: str  # comm, at most 15 bytes in the kernel
    cmdline: tuple[str, ...]  # argv; empty for kernel threads and where it cannot be read
    ppid: int
    uid: int  # effective uid
    user: str  # name of uid, or its number as text
    started_at: float  # Unix time, seconds
    started_ticks: int  # field 22 of /proc/PID/stat; with the pid the identity of a process
    fd_count: int | None  # open descriptors, st_size of /proc/PID/fd (Linux >= 6.2); None unknown
    fd_limit: int | None  # soft RLIMIT_NOFILE; None unknown or unlimited
    fd_limit_hard: int | None  # up to which it may be raised without CAP_SYS_RESOURCE; None unknown or unlimited
    cgroup: str  # cgroup2 path, "" unknown
    unit: str  # systemd unit (or slice's last component) in that path, "" none


@dataclass(frozen=True, eq=False, slots=True)
class Holders:
    """Every (inode, pid, fd) that is known, sorted by inode, then pid, then fd."""

    inode: NDArray[np.uint32]
    pid: NDArray[np.int32]
    fd: NDArray[np.int32]

    @classmethod
    def none(cls) -> Holders:
        """No holder known."""
        return cls(np.empty(0, np.uint32), np.empty(0, np.int32), np.empty(0, np.int32))

    def only(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Holders:
        """Some of the entries: a mask, or positions."""
        return Holders(self.inode[rows], self.pid[rows], self.fd[rows])

    def joined(self, other: Holders) -> Holders:
        """These, then others: not sorted any more."""
        inode = np.concatenate((self.inode, other.inode))
        return Holders(inode, np.concatenate((self.pid, other.pid)), np.concatenate((self.fd, other.fd)))

    def ordered(self) -> Holders:
        """The same, sorted."""
        return self.only(np.lexsort((self.fd, self.pid, self.inode)))

    def of(self, inode: int) -> list[tuple[int, int]]:
        """Every (pid, fd) that refers to a socket inode; inode 0 is held by nobody."""
        if inode == 0:
            return []
        first, last = np.searchsorted(self.inode, [inode, inode + 1])
        return list(zip(self.pid[first:last].tolist(), self.fd[first:last].tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class Gap:
    """Sockets without a named owner, and why."""

    sockets: int
    reason: str  # a clause: "belong to other users' processes, which only root may read"


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the picture is complete."""

    sockets: int = 0  # rows in the snapshot
    attributed: int = 0  # rows with a pid
    kernel: int = 0  # rows that no process owns, by design: TIME_WAIT, orphans, handshakes
    gaps: tuple[Gap, ...] = ()
    fix: str | None = None  # the one command that would close the gaps; None if nothing would or none is needed
    missing_fields: tuple[str, ...] = field(default=())  # JSON names this source can never fill
