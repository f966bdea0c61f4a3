"""System calls that the kernel refuses to a program: what a sandbox, a container's profile or an old kernel does.

Owns the filter (seccomp(2), classic BPF). Must not run anything.
"""

from __future__ import annotations

import ctypes
import platform
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_NUMBERS: Mapping[str, Mapping[str, int]] = {
    "x86_64": {"socket": 41, "sendto": 44, "recvfrom": 45, "bind": 49, "setsockopt": 54, "openat": 257},
    "aarch64": {"socket": 198, "sendto": 206, "recvfrom": 207, "bind": 200, "setsockopt": 208, "openat": 56},
}
KNOWN = platform.machine() in _NUMBERS
"""Whether the numbers of this machine's system calls are here."""

_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000  # SECCOMP_RET_*
_SET_NO_NEW_PRIVS, _SET_SECCOMP, _MODE_FILTER = 38, 22, 2  # prctl(2)


@dataclass(frozen=True, slots=True)
class Refused:
    """A system call, the errno that it gives, and by position which low halves of its arguments are meant."""

    call: str
    errno: int
    arguments: Mapping[int, int] = field(default_factory=dict)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def refusing(*calls: Refused) -> Callable[[], None]:
    """For ``preexec_fn``: from then on, and in what is executed, these calls are refused."""
    numbers = _NUMBERS[platform.machine()]
    code = b""
    for each in calls:
        tests = [(0, numbers[each.call]), *((16 + 8 * at, value) for at, value in each.arguments.items())]
        for left, (offset, value) in zip(range(2 * len(tests), 0, -2), tests, strict=True):
            code += struct.pack("=HBBI", _LOAD, 0, 0, offset)  # struct seccomp_data, little-endian
            code += struct.pack("=HBBI", _EQUAL, 0, left - 1, value)
        code += struct.pack("=HBBI", _RETURN, 0, 0, _ERRNO | each.errno)
    code += struct.pack("=HBBI", _RETURN, 0, 0, _ALLOW)
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)

    def enter() -> None:
        unused = [ctypes.c_ulong(0)] * 3
        for arguments in (
            (_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), *unused),
            (_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), ctypes.byref(program), *unused[1:]),
        ):
            if libc.prctl(*arguments):
                raise OSError(ctypes.get_errno(), "prctl")

    return enter
