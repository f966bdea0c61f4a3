"""What the threads of one process do at one moment: run states, kernel functions, system calls.

Owns the types only; ``collector.threads`` fills them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Call(NamedTuple):
    """The system call that a thread waits in."""

    name: str  # "recvfrom"; "" one without a name here, or none (a page fault)
    fd: int | None  # its first argument where that is the descriptor that is read, written, accepted from, ...


@dataclass(frozen=True, slots=True)
class Threads:
    """The threads of a process, counted; each was read at its own moment, within some milliseconds of the others."""

    total: int  # threads of the process
    read: int  # of those the ones in the counts below: the first ones, and not those that ended meanwhile
    states: Mapping[str, int]  # letter of field 3 of /proc/PID/stat -> threads, proc_pid_stat(5)
    wchans: Mapping[str, int]  # kernel function -> threads that sleep in it, those in R and Z left out; "" not told
    calls: Mapping[Call, int]  # system call -> threads that sleep in it
    wchans_known: bool  # False: no sleeping thread told, as without permission (PTRACE_MODE_READ, ptrace(2))
    calls_known: bool  # False: none told, as without permission (PTRACE_MODE_ATTACH) or where the kernel cannot

    @property
    def stopped(self) -> bool:
        """Whether nothing runs until it is continued: a thread is stopped (T) or traced (t), none may run (R, S).

        A thread in D stops as soon as it wakes, so it does not speak against it. A tracer (``strace``) stops
        threads for moments: only a second look tells those from a process that stands still.
        """
        return bool(self.states.keys() & {"T", "t"}) and not self.states.keys() & {"R", "S"}

    @property
    def uninterruptible(self) -> int:
        """Threads in D, that wait for the kernel (disk, NFS) and that no signal reaches, SIGKILL but in some places."""
        return self.states.get("D", 0)
