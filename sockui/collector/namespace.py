"""Network namespaces: which ones have names, and moving this thread into one.

Owns ``setns`` (Python has it only from 3.12 on). Must not import anything heavy and must not make or
delete namespaces: that is ``lab``.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

from sockui.errors import NamespaceError

_NAMED = Path("/run/netns")  # ip-netns(8)
_CLONE_NEWNET = 0x40000000  # include/uapi/linux/sched.h


def list_namespaces() -> list[str]:
    """Names of the network namespaces in /run/netns, sorted; empty where none was ever named."""
    try:
        return sorted(os.listdir(_NAMED))
    except FileNotFoundError:
        return []


def enter_namespace(name_or_pid: str) -> None:
    """Move the calling thread into a network namespace, setns(2).

    A name in /run/netns comes first, then a pid whose namespace is meant. Call it before other threads
    exist: they would stay behind, and /proc/net shows the namespace of the main thread.

    Raises NamespaceError: there is no such name or process, or it may not be entered.
    """
    try:
        descriptor = os.open(_path(name_or_pid), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _refused(name_or_pid, error.errno or 0) from error
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            raise _refused(name_or_pid, ctypes.get_errno())
    finally:
        os.close(descriptor)


def _path(name_or_pid: str) -> Path:
    names = list_namespaces()
    if name_or_pid in names:
        return _NAMED / name_or_pid
    existing = f"existing names: {', '.join(names)}" if names else "no namespace has a name here (ip netns list)"
    if not (name_or_pid.isascii() and name_or_pid.isdecimal()):
        raise NamespaceError(
            f"there is no network namespace named {name_or_pid!r}; {existing}. A process id is understood too."
        )
    process = Path("/proc") / name_or_pid
    if not process.exists():
        raise NamespaceError(f"there is neither a network namespace nor a process {name_or_pid}; {existing}")
    return process / "ns/net"


def _refused(name_or_pid: str, code: int) -> NamespaceError:
    if code in (errno.EPERM, errno.EACCES):
        who = "needs root; run it with sudo" if os.geteuid() else "is refused to this root too (CAP_SYS_ADMIN)"
        return NamespaceError(f"entering the network namespace of {name_or_pid!r} {who}")
    if code == errno.EINVAL:
        return NamespaceError(
            f"{_NAMED / name_or_pid} is not a network namespace but what is left of one; "
            f"remove it: ip netns delete {name_or_pid}"
        )
    return NamespaceError(f"cannot enter the network namespace of {name_or_pid!r}: {os.strerror(code)}")
