"""What the threads of a process wait in: their run states, kernel functions and system calls.

Owns reading /proc/PID/task. Must not be asked for every process: it is for the few that a finding names
(three files a thread). Must not judge.
"""

from __future__ import annotations

import os
from collections import Counter
from functools import cache

from sockui.model import Call, Threads

MOST = 256  # threads that are read of one process: 10 ms
_SLEEPING = "SDTtI"
_BELOW_4G = 1 << 32

# include/uapi/asm-generic/unistd.h, arch/x86/entry/syscalls/syscall_64.tbl. Only calls that may wait long.
_NUMBERS = {
    "x86_64": """
        read 0 write 1 close 3 poll 7 pread64 17 pwrite64 18 readv 19 writev 20 select 23 pause 34 nanosleep 35
        sendfile 40 connect 42 accept 43 sendto 44 recvfrom 45 sendmsg 46 recvmsg 47 wait4 61 fcntl 72 flock 73
        fsync 74 fdatasync 75 rt_sigtimedwait 128 rt_sigsuspend 130 futex 202 io_getevents 208 restart_syscall 219
        clock_nanosleep 230 epoll_wait 232 waitid 247 pselect6 270 ppoll 271 splice 275 epoll_pwait 281 accept4 288
        recvmmsg 299 sendmmsg 307 io_uring_enter 426 epoll_pwait2 441 futex_waitv 449
    """,
    "aarch64": """
        io_getevents 4 epoll_pwait 22 fcntl 25 flock 32 close 57 read 63 write 64 readv 65 writev 66 pread64 67
        pwrite64 68 sendfile 71 pselect6 72 ppoll 73 splice 76 fsync 82 fdatasync 83 waitid 95 futex 98 nanosleep 101
        clock_nanosleep 115 restart_syscall 128 rt_sigsuspend 133 rt_sigtimedwait 137 accept 202 connect 203
        sendto 206 recvfrom 207 sendmsg 211 recvmsg 212 accept4 242 recvmmsg 243 wait4 260 sendmmsg 269
        io_uring_enter 426 epoll_pwait2 441 futex_waitv 449
    """,
}
_ON_A_DESCRIPTOR = ("accept", "close", "connect", "read", "recv", "send", "splice", "write")  # how they begin


def read_threads(pid: int, proc: str = "/proc") -> Threads | None:
    """The threads of a process as they are now; None if it ended, or /proc does not show it.

    States need no privilege. Kernel functions (/proc/PID/task/TID/wchan) need PTRACE_MODE_READ, system calls
    (/proc/PID/task/TID/syscall) PTRACE_MODE_ATTACH, which Yama's ptrace_scope refuses to the process's own user.
    From Linux 6.12 on a thread that just fell asleep may have no kernel function yet (kernel/sched/core.c:get_wchan).
    """
    tasks = f"{proc}/{pid}/task"
    try:
        names = os.listdir(tasks)
    except OSError:
        return None
    states: Counter[str] = Counter()
    wchans: Counter[str] = Counter()
    calls: Counter[Call] = Counter()
    told = 0  # threads whose call could be read
    for name in names[:MOST]:
        try:
            state = _state(_text(f"{tasks}/{name}/stat"))
            states[state] += 1
            if state not in _SLEEPING:
                continue
            wchans[_wchan(f"{tasks}/{name}/wchan")] += 1
            call = parse_call(_text(f"{tasks}/{name}/syscall"))
        except (OSError, ValueError):  # it ended; or refused, or this kernel has no such file, or one of its own
            continue
        told += 1
        if call is not None:
            calls[call] += 1
    if not states:
        return None
    return Threads(
        total=len(names),
        read=states.total(),
        states=dict(states),
        wchans=dict(wchans),
        calls=dict(calls),
        wchans_known=wchans.keys() != {""},
        calls_known=told > 0 or not wchans,
    )


def parse_call(text: str, machine: str | None = None) -> Call | None:
    """The call in the text of /proc/PID/task/TID/syscall, proc_pid_syscall(5); None if the thread runs.

    ``machine`` is what uname(2) says, that of this host if None. Numbers of an architecture that is not known
    here, and those of a 32-bit program, which has others (its stack lies below 4 GiB), are calls without a name.
    """
    words = text.split()
    if not words or words[0] == "running":
        return None
    if len(words) < 9 or int(words[7], 16) < _BELOW_4G:
        return Call("", None)
    name = _names(machine or os.uname().machine).get(int(words[0]), "")
    return Call(name, int(words[1], 16) & 0xFFFFFFFF if name.startswith(_ON_A_DESCRIPTOR) else None)


@cache
def _names(machine: str) -> dict[int, str]:
    words = _NUMBERS.get(machine, "").split()
    return {int(number): name for name, number in zip(words[::2], words[1::2], strict=True)}


def _state(stat: str) -> str:
    """Field 3. The name in parentheses may hold anything, so it is counted from its end."""
    return stat[stat.rfind(")") + 2 :][:1]


def _wchan(path: str) -> str:
    """A kernel function; "" where the kernel says 0, or was built without the file."""
    try:
        name = _text(path)
    except OSError:
        return ""
    return "" if name == "0" else name


def _text(path: str) -> str:
    with open(path, "rb", buffering=0) as file:
        return (file.read(4096) or b"").decode("ascii", "replace").strip()
