"""read_threads against real processes that wait in known places."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sockui.collector import threads
from sockui.collector.threads import parse_call, read_threads
from sockui.model import Call, Threads

ROOT = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: becomes another user")
needs_numbers = pytest.mark.skipif(
    os.uname().machine not in ("x86_64", "aarch64"), reason="no system call numbers of this architecture"
)

ACCEPT = """
import socket
server = socket.create_server(("127.0.0.1", 0))
print(server.fileno(), flush=True)
server.accept()
"""
EPOLL = """
import select
print(0, flush=True)
select.epoll().poll()
"""
POOL = """
import socket, threading
ours, theirs = socket.socketpair()
for _ in range(2):
    threading.Thread(target=ours.recv, args=(1,), daemon=True).start()
print(ours.fileno(), flush=True)
threading.Event().wait()
"""
CONNECT_AND_SEND = """
import socket, threading
def fill():
    while True:
        ours.send(bytes(65536))
ours, theirs = socket.socketpair()
threading.Thread(target=fill, daemon=True).start()
print(ours.fileno(), flush=True)
threading.Event().wait()
"""
SLEEPERS = """
import threading
for _ in range(5):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
print(0, flush=True)
threading.Event().wait()
"""
BUSY = """
print(0, flush=True)
while True:
    pass
"""
RENAMED = """
import ctypes, time
ctypes.CDLL(None).prctl(15, b"a) R 1 1 1\\n", 0, 0, 0)
print(0, flush=True)
time.sleep(60)
"""
SPAWN = """
import os, sys
print(0, flush=True)
os.posix_spawn("/bin/true", ["true"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, sys.argv[1], os.O_RDONLY, 0)])
"""


@contextlib.contextmanager
def child(script: str, *arguments: str) -> Iterator[tuple[int, int]]:
    """A Python process and the number that it printed before it began to wait."""
    command = [sys.executable, "-c", script, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.pid, int(process.stdout.readline())
        finally:
            process.kill()


def until(pid: int, true: Callable[[Threads], bool]) -> Threads:
    """The first reading of which something is true."""
    deadline = time.monotonic() + 10
    while True:
        told = read_threads(pid)
        assert told is not None
        if true(told):
            return told
        assert time.monotonic() < deadline, told


def asleep(count: int) -> Callable[[Threads], bool]:
    """All of them are, long enough for the kernel to say where."""
    return lambda told: told.states == {"S": count} and sum(told.calls.values()) == count and "" not in told.wchans


@needs_numbers
def test_a_thread_in_accept_names_its_descriptor() -> None:
    with child(ACCEPT) as (pid, fd):
        told = until(pid, asleep(1))
    assert told.calls == {Call("accept4", fd): 1}
    assert told.wchans == {"inet_csk_accept": 1}
    assert (told.total, told.read, told.wchans_known, told.calls_known) == (1, 1, True, True)
    assert (told.stopped, told.uninterruptible) == (False, 0)


@needs_numbers
def test_an_event_loop_waits_in_epoll() -> None:
    with child(EPOLL) as (pid, _):
        told = until(pid, asleep(1))
    assert told.calls == {Call("epoll_wait" if os.uname().machine == "x86_64" else "epoll_pwait", None): 1}
    assert told.wchans.keys() & {"do_epoll_wait", "ep_poll"}


@needs_numbers
def test_threads_of_a_pool_are_counted_by_call_and_descriptor() -> None:
    with child(POOL) as (pid, fd):
        told = until(pid, asleep(3))
    assert told.calls == {Call("recvfrom", fd): 2, Call("futex", None): 1}
    assert sum(told.wchans.values()) == told.total == 3


@needs_numbers
def test_a_thread_that_cannot_send_names_its_descriptor() -> None:
    with child(CONNECT_AND_SEND) as (pid, fd):
        told = until(pid, asleep(2))
    assert told.calls == {Call("sendto", fd): 1, Call("futex", None): 1}


def test_a_stopped_process_is_stopped_until_it_is_continued() -> None:
    with child(SLEEPERS) as (pid, _):
        assert not until(pid, asleep(6)).stopped
        os.kill(pid, signal.SIGSTOP)
        assert until(pid, lambda told: told.stopped).states == {"T": 6}
        os.kill(pid, signal.SIGCONT)
        until(pid, lambda told: told.states == {"S": 6} and not told.stopped)


def test_a_thread_that_no_signal_reaches(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with child(SPAWN, str(fifo)) as (pid, _):  # its child opens the fifo before exec, and it waits for that as in vfork
        told = until(pid, lambda told: told.uninterruptible == 1)
        assert (told.states, told.stopped) == ({"D": 1}, False)
        with open(fifo, "w"):  # lets both go on
            pass


def test_a_thread_that_runs_waits_in_nothing() -> None:
    with child(BUSY) as (pid, _):
        told = until(pid, lambda told: "R" in told.states)
    assert (told.states, told.wchans, told.calls) == ({"R": 1}, {}, {})
    assert (told.wchans_known, told.calls_known) == (True, True)


def test_of_many_threads_the_first_are_read_and_all_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "MOST", 4)
    with child(SLEEPERS) as (pid, _):
        told = until(pid, lambda told: told.total == 6 and told.states == {"S": 4})
    assert (told.read, sum(told.states.values()), sum(told.wchans.values())) == (4, 4, 4)


def test_a_name_that_looks_like_the_fields_after_it_changes_nothing() -> None:
    with child(RENAMED) as (pid, _):
        assert until(pid, asleep(1)).states == {"S": 1}
        assert Path(f"/proc/{pid}/comm").read_bytes() == b"a) R 1 1 1\n\n"


def test_a_process_that_ended() -> None:
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        told = read_threads(process.pid)
        assert told is not None
        assert (told.states, told.stopped, told.calls) == ({"Z": 1}, False, {})
    assert read_threads(process.pid) is None


LOOK = """
import os, runpy, subprocess, sys
tests = runpy.run_path("tests/collector/test_threads.py")
os.setgroups([]), os.setresgid(65534, 65534, 65534), os.setresuid(65534, 65534, 65534)
told = tests["read_threads"](int(sys.argv[1]))
print([told.states, told.wchans, told.calls, told.wchans_known, told.calls_known, told.stopped])
with subprocess.Popen(["sleep", "60"]) as own:
    told = tests["until"](own.pid, tests["asleep"](1))
    print([told.states, list(told.wchans), [tuple(call) for call in told.calls], told.wchans_known, told.calls_known])
    own.kill()
"""


@needs_root
@needs_numbers
def test_without_root_the_states_of_others_are_told_and_what_they_wait_in_is_not() -> None:
    with child(SLEEPERS) as (pid, _):
        until(pid, asleep(6))
        command = [sys.executable, "-c", LOOK, str(pid)]
        result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
        theirs, own = map(ast.literal_eval, result.stdout.splitlines())
        assert theirs == [{"S": 6}, {"": 6}, {}, False, False, False]
        assert own == [{"S": 1}, ["hrtimer_nanosleep"], [("clock_nanosleep", None)], True, True]

        os.kill(pid, signal.SIGSTOP)
        until(pid, lambda told: told.stopped)
        result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
        assert ast.literal_eval(result.stdout.splitlines()[0]) == [{"T": 6}, {"": 6}, {}, False, False, True]


@pytest.mark.parametrize(
    ("states", "stopped"),
    [
        ({"T": 3}, True),
        ({"t": 1}, True),
        ({"T": 2, "D": 1}, True),  # it stops when it wakes
        ({"Z": 1, "T": 2}, True),  # the first thread left before
        ({"t": 1, "S": 4}, False),  # a debugger holds one thread
        ({"T": 5, "R": 1}, False),
        ({"Z": 1}, False),
        ({"D": 1}, False),
    ],
)
def test_stopped_is_what_cannot_run_until_it_is_continued(states: dict[str, int], *, stopped: bool) -> None:
    count = sum(states.values())
    assert Threads(count, count, states, {}, {}, wchans_known=True, calls_known=True).stopped is stopped


@pytest.mark.parametrize(
    ("machine", "text", "call"),
    [
        ("x86_64", "running", None),
        ("x86_64", "", None),
        ("x86_64", "-1 0x7ffd5c1a 0x7f12", Call("", None)),
        ("x86_64", "45 0xc 0x7f1 0x1 0x0 0x0 0x0 0x7ffd5c1a0000 0x7f12a0000000", Call("recvfrom", 12)),
        ("x86_64", "45 0xdead0000000c 0x7f1 0x1 0x0 0x0 0x0 0x7ffd5c1a0000 0x7f12a0000000", Call("recvfrom", 12)),
        ("x86_64", "232 0x4 0x7f1 0x1 0x0 0x0 0x0 0xc000012000 0x47ab10", Call("epoll_wait", None)),
        ("x86_64", "7 0x7f1 0x1 0xffffffff 0x0 0x0 0x0 0x7ffd5c1a0000 0x7f12a0000000", Call("poll", None)),
        ("x86_64", "9999 0xc 0x0 0x0 0x0 0x0 0x0 0x7ffd5c1a0000 0x7f12a0000000", Call("", None)),
        ("x86_64", "3 0xc 0x0 0x0 0x0 0x0 0x0 0xffbb5c10 0xf7f12a00", Call("", None)),  # a 32-bit program: read
        ("aarch64", "207 0xc 0x7f1 0x1 0x0 0x0 0x0 0xffffd5c1a000 0xffff12a00000", Call("recvfrom", 12)),
        ("aarch64", "45 0xc 0x7f1 0x1 0x0 0x0 0x0 0xffffd5c1a000 0xffff12a00000", Call("", None)),
        ("riscv64", "207 0xc 0x7f1 0x1 0x0 0x0 0x0 0x3fffd5c1a000 0x3fff12a00000", Call("", None)),
    ],
)
def test_the_text_of_syscall(machine: str, text: str, call: Call | None) -> None:
    assert parse_call(text, machine) == call


@pytest.mark.parametrize(
    ("machine", "header"), [("x86_64", "x86_64-linux-gnu/asm/unistd_64.h"), ("aarch64", "asm-generic/unistd.h")]
)
def test_numbers_are_those_of_the_kernel_headers(machine: str, header: str) -> None:
    path = Path("/usr/include", header)
    if not path.exists():
        pytest.skip(f"{path} is not installed")
    defined = re.findall(r"^#define __NR(?:3264)?_(\w+) (\d+)$", path.read_text(), re.MULTILINE)
    told = {(name, str(number)) for number, name in threads._names(machine).items()}
    assert len(told) > 35
    assert told <= set(defined)


@needs_numbers
def test_a_connect_that_waits(tmp_path: Path) -> None:
    path = str(tmp_path / "full")
    script = """
import socket, sys
ours = [socket.socket(socket.AF_UNIX) for _ in range(3)]
print(ours[-1].fileno(), flush=True)
for end in ours:
    end.connect(sys.argv[1])
"""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(1)  # two wait in its queue, the third connect() for room there
        with child(script, path) as (pid, fd):
            assert until(pid, asleep(1)).calls == {Call("connect", fd): 1}
