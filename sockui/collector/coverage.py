"""What could not be read beside the sockets: how many have no owner and why, and what would help.

Owns the words for that. Must not read sockets or /proc.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sockui.collector import as_root
from sockui.collector.processes import ProcessTable
from sockui.model import Coverage, Gap, Host, Owner, SocketArray
from sockui.model.sockets import columns

_REASONS = {
    Owner.HIDDEN: "have no holder among the processes that may be read without root",
    Owner.UNFOUND: "are held by no process in sight: by one in another PID namespace, by the kernel, or no more",
    Owner.UNKNOWN: "are new: only the processes most likely to hold them have been read so far",
}
_REFUSED_TO_ROOT = (
    "have no holder among the processes that this root may read (CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH); in a container "
    "or a user namespace look from outside of it"
)
_ENOUGH = 1024
"""File descriptors that sockui never comes near; the soft limit that most systems begin with."""
_NO_PROC = "cannot be looked for: /proc shows no process"


def coverage(sockets: SocketArray, queued: NDArray[np.uint8], processes: ProcessTable) -> Coverage:
    """How many of the sockets have an owner, and why the others have none.

    ``queued``: for each LISTENER row without a pid, its listener's owner, because it shares that one's gap.
    """
    pid, owner = columns(sockets, "pid", "owner")
    named = pid > 0
    counts = np.bincount(owner[~named], minlength=len(Owner))
    counts += np.bincount(queued, minlength=len(Owner))
    fix = as_root() if processes.seen else None
    reasons = dict(_REASONS)
    if not fix:
        reasons[Owner.HIDDEN] = _REFUSED_TO_ROOT if processes.seen else _NO_PROC
    if processes.shortage:
        reasons[Owner.UNKNOWN] = f"could not be looked for: {os.strerror(processes.shortage)}"
    gaps = tuple(Gap(int(counts[kind]), reason) for kind, reason in reasons.items() if counts[kind])
    return Coverage(
        sockets=len(sockets),
        attributed=int(np.count_nonzero(named)),
        kernel=int(counts[Owner.KERNEL]),
        gaps=gaps,
        fix=fix if counts[Owner.HIDDEN] else None,
    )


def troubles(processes: ProcessTable, host: Host) -> Iterator[str]:
    """Sentences about what kept sockui from reading /proc, and what to do."""
    if processes.shortage:
        yield f"Owners, settings and counters may be missing or old: {shortage(processes.shortage)}."
    elif not processes.seen:
        yield "No owner, setting or counter can be read: /proc is not mounted here; as root: mount -t proc proc /proc"
    elif not host.counters:
        yield (
            "The counters of this host cannot be read (/proc/net/netstat), so drops, overflows and what else only they "
            "tell is not found."
        )


def shortage(code: int) -> str:
    """One of ``processes.SHORTAGES`` and its cure, a clause."""
    cures = {
        errno.EMFILE: _more_descriptors(),
        errno.ENFILE: "see sysctl fs.file-nr and raise fs.file-max",
        errno.ENOMEM: "free memory",
    }
    return f"{os.strerror(code)}; {cures[code]}"


def _more_descriptors() -> str:
    """The soft limit alone, which takes no root, where the hard one allows it (prlimit(2))."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if 0 <= hard < _ENOUGH:
        return f"as root: prlimit --nofile={_ENOUGH} --pid {os.getpid()}, or ulimit -n {_ENOUGH} before the start"
    return f"prlimit --nofile={_ENOUGH}: --pid {os.getpid()}, or ulimit -Sn {_ENOUGH} before the start"
