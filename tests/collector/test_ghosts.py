"""GhostFinder on real sockets: which are in no dump, and which only look like it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sockui.collector import ghosts, inet_diag
from sockui.collector.ghosts import GhostFinder
from sockui.collector.linux import DUMPS, NetlinkCollector
from sockui.collector.namespace import enter_namespace
from sockui.collector.netlink import DiagSocket
from sockui.collector.owners import OwnerResolver
from sockui.collector.processes import ProcessTable
from sockui.model import Holders, State

ROOT = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: other users, other network namespaces")
AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: close() resets the connection


class Poll:
    """One finder and one resolver over many dumps."""

    def __init__(self) -> None:
        self.resolver = OwnerResolver(ProcessTable())
        self.finder = GhostFinder()
        self.unlisted = Holders.none()

    def __call__(self) -> Holders:
        diag = DiagSocket()
        decoder = inet_diag.Decoder()
        try:
            for family, protocol in DUMPS:
                diag.dump(family, protocol, decoder, inet_diag.ALL_STATES)
        finally:
            diag.close()
        self.unlisted = self.resolver.attribute(decoder.rows()).unlisted
        return self.finder.find(self.unlisted)


@pytest.fixture
def poll() -> Poll:
    return Poll()


def of(ghosts: Holders, pid: int) -> list[tuple[int, int]]:
    """(inode, fd) of each ghost of a process."""
    mine = ghosts.only(ghosts.pid == pid)
    return list(zip(mine.inode.tolist(), mine.fd.tolist(), strict=True))


def entry(end: socket.socket) -> tuple[int, int]:
    return os.fstat(end.fileno()).st_ino, end.fileno()


def state(end: socket.socket) -> int:
    return end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


def until_closed(*ends: socket.socket) -> None:
    deadline = time.monotonic() + 10
    while any(state(end) != State.CLOSE for end in ends):
        assert time.monotonic() < deadline, [state(end) for end in ends]


@contextlib.contextmanager
def pair(family: int = socket.AF_INET) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection: the client's, the server's."""
    with socket.socket(family) as server:
        server.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        server.listen()
        with socket.create_connection(server.getsockname()[:2]) as client, server.accept()[0] as accepted:
            yield client, accepted


@contextlib.contextmanager
def reset(family: int = socket.AF_INET) -> Iterator[socket.socket]:
    """A connection that its peer reset, its descriptor still open."""
    with pair(family) as (client, accepted):
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        accepted.close()
        until_closed(client)
        yield client


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_connection_that_was_reset_is_told_from_the_second_poll_on_until_it_is_closed(
    poll: Poll, family: int
) -> None:
    assert of(poll(), os.getpid()) == []
    with reset(family) as end:
        assert [of(poll(), os.getpid()) for _ in range(3)] == [[], [entry(end)], [entry(end)]]
    assert of(poll(), os.getpid()) == []


def test_a_connection_seen_alive_before_is_told_too(poll: Poll) -> None:
    with pair() as (client, accepted):
        poll()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        accepted.close()
        until_closed(client)
        poll()
        assert of(poll(), os.getpid()) == [entry(client)]


def test_a_connection_that_ended_in_order_is_one_if_its_descriptors_stay(poll: Poll) -> None:
    with pair() as (client, accepted):
        client.shutdown(socket.SHUT_WR)  # its TIME_WAIT goes on without it
        accepted.shutdown(socket.SHUT_WR)
        until_closed(client, accepted)
        poll()
        assert of(poll(), os.getpid()) == sorted([entry(client), entry(accepted)])


def test_what_was_refused_and_what_was_never_connected_cannot_be_told_apart(poll: Poll) -> None:
    with socket.socket() as refused, socket.socket() as fresh, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            refused.connect(free.getsockname())
        poll()
        assert of(poll(), os.getpid()) == sorted([entry(refused), entry(fresh)])
        fresh.bind(("127.0.0.1", 0))
        fresh.listen()
        assert of(poll(), os.getpid()) == [entry(refused)]


@needs_root
def test_a_listed_socket_is_none_even_while_its_holder_is_not_known_yet(poll: Poll) -> None:
    with socket.socket() as fresh:
        os.fchown(fresh.fileno(), 65534, -1)  # processes of the socket's user are read first
        poll()
        assert of(poll(), os.getpid()) == [entry(fresh)]
        fresh.bind(("127.0.0.1", 0))
        fresh.listen()
        assert of(poll(), os.getpid()) == []


def test_every_descriptor_of_a_ghost_is_told_in_every_process(poll: Poll) -> None:
    script = "print(0, flush=True); input()"
    with reset() as end, end.dup() as second:
        with subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(end.fileno(),),
        ) as other:
            assert other.stdout is not None
            assert other.stdout.readline()
            poll()
            ghosts = poll()
            assert of(ghosts, os.getpid()) == sorted([entry(end), entry(second)])
            assert of(ghosts, other.pid) == [entry(end)]
            assert {pid for pid, _ in ghosts.of(entry(end)[0])} == {os.getpid(), other.pid}
            with open(os.devnull):  # this process is read again, the other is not
                assert of(poll(), other.pid) == [entry(end)]
            assert other.pid in poll.unlisted.pid
            other.kill()
        assert of(poll(), os.getpid()) == sorted([entry(end), entry(second)])
        assert other.pid not in poll.unlisted.pid


def others() -> list[tuple[int, int, int]]:
    """Families, kinds and protocols whose sockets are in no TCP or UDP dump; packet and raw ones need root."""
    kinds: list[tuple[int, int, int]] = [
        (socket.AF_UNIX, socket.SOCK_STREAM, 0),
        (socket.AF_UNIX, socket.SOCK_DGRAM, 0),
        (socket.AF_NETLINK, socket.SOCK_RAW, 0),
        (socket.AF_INET, socket.SOCK_DGRAM, 0),
        (socket.AF_INET6, socket.SOCK_DGRAM, 0),
        (socket.AF_INET, socket.SOCK_STREAM, 262),  # MPTCP
        (socket.AF_VSOCK, socket.SOCK_STREAM, 0),
        (socket.AF_ALG, socket.SOCK_SEQPACKET, 0),
    ]
    if os.geteuid() == 0:
        kinds += [
            (socket.AF_PACKET, socket.SOCK_RAW, 0),
            (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
            (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
            (socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6),
        ]
    return kinds


def test_sockets_of_other_kinds_are_none_and_are_asked_once(poll: Poll, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = os.getxattr

    def getxattr(path: Any, name: str) -> bytes:
        asked.append(path)
        return real(path, name)

    monkeypatch.setattr(os, "getxattr", getxattr)
    with contextlib.ExitStack() as stack:
        made = []
        for family, kind, protocol in others():
            with contextlib.suppress(OSError):  # this kernel has none of them
                made.append(stack.enter_context(socket.socket(family, kind, protocol)))
        assert len(made) >= 5
        paths = {f"/proc/{os.getpid()}/fd/{end.fileno()}" for end in made}
        for expected in (paths, set(), set()):
            asked.clear()
            assert of(poll(), os.getpid()) == []
            assert paths.intersection(asked) == expected


def test_where_nothing_came_nothing_is_asked_and_what_comes_then_is_told(
    poll: Poll, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mine() -> Holders:
        """What this process alone holds: others on the host come and go."""
        poll()
        return poll.unlisted.only(poll.unlisted.pid == os.getpid())

    asked: list[Any] = []
    real = os.readlink

    def readlink(path: Any, **options: Any) -> Any:
        asked.append(path)
        return real(path, **options)

    finder = GhostFinder()
    left, right = socket.socketpair()
    with left, right:
        for _ in range(2):
            finder.find(mine())
        same = mine()
        with monkeypatch.context() as patched:
            patched.setattr(os, "readlink", readlink)
            assert not len(finder.find(same).inode)
            assert asked == []
        with reset() as end:
            assert [of(finder.find(mine()), os.getpid()) for _ in range(3)] == [[], [entry(end)], [entry(end)]]
            number = end.fileno()
        assert of(finder.find(mine()), os.getpid()) == []
        os.dup2(left.fileno(), number)  # in the place of the ghost
        try:
            assert [of(finder.find(mine()), os.getpid()) for _ in range(3)] == [[], [], []]
        finally:
            os.close(number)


def test_tcp_sockets_that_live_are_none(poll: Poll) -> None:
    version = tuple(map(int, platform.release().split("-")[0].split(".")[:2]))
    with contextlib.ExitStack() as stack:
        client, accepted = stack.enter_context(pair())
        half, other = stack.enter_context(pair())
        half.shutdown(socket.SHUT_WR)  # FIN_WAIT2 and CLOSE_WAIT
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        stack.enter_context(socket.create_connection(server.getsockname()))  # waits for accept()
        if version >= (6, 8):
            stack.enter_context(socket.socket()).bind(("127.0.0.1", 0))
        for _ in range(3):
            assert of(poll(), os.getpid()) == []
        assert state(client) == state(accepted) == State.ESTABLISHED
        assert (state(half), state(other)) == (State.FIN_WAIT2, State.CLOSE_WAIT)


def test_a_number_that_is_another_socket_by_now_is_none(poll: Poll) -> None:
    with reset() as end, socket.create_server(("127.0.0.1", 0)) as server:
        poll()
        assert of(poll(), os.getpid()) == [entry(end)]
        os.dup2(server.fileno(), end.fileno())  # the count of descriptors stays
        assert of(poll(), os.getpid()) == []


def test_ghosts_are_sorted_by_inode(poll: Poll) -> None:
    with reset() as first, reset() as second:
        high = fcntl.fcntl(first, fcntl.F_DUPFD, second.fileno() + 1)
        inode = entry(first)[0]
        first.close()
        poll()
        assert of(poll(), os.getpid()) == [(inode, high), entry(second)]
        assert poll().of(inode) == [(os.getpid(), high)]
        os.close(high)


def test_a_ghost_among_hundreds_of_sockets(poll: Poll) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(400):  # from some number on a process is not listed any more, only looked at
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("127.0.0.1", 0))
        poll()
        first = stack.enter_context(reset())
        poll()
        second = stack.enter_context(reset())
        assert of(poll(), os.getpid()) == [entry(first)]
        assert of(poll(), os.getpid()) == sorted([entry(first), entry(second)])
        first.close()
        assert of(poll(), os.getpid()) == [entry(second)]


HOLDER = """
import runpy, sys
tests = runpy.run_path("tests/collector/test_ghosts.py")
with tests["reset"]() as end:
    print(end.fileno(), flush=True)
    sys.stdin.read()
"""


def test_a_process_that_holds_nothing_else_is_in_the_snapshot() -> None:
    """The listener it was connected to is closed too, as reset() leaves it before it ends."""
    script = HOLDER.replace("    print(", "    tests['os'].closerange(3, end.fileno())\n    print(")
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as holder:
        assert holder.stdout is not None
        fd = int(holder.stdout.readline())
        collector = NetlinkCollector()
        try:
            first, second = collector.collect(), collector.collect()
        finally:
            collector.close()
        holder.kill()
    assert holder.pid not in first.processes
    assert [fd] == second.ghosts.fd[second.ghosts.pid == holder.pid].tolist()
    assert second.processes[holder.pid].ppid == os.getpid()
    assert holder.pid not in second.holders.pid


LOOK = """
import ctypes, os, runpy
tests = runpy.run_path("tests/collector/test_ghosts.py")
with tests["reset"]():
    tests["Poll"]()()  # whatever is imported late is imported now: the interpreter may be out of that user's reach
os.setgroups([]), os.setgid(65534), os.setuid(65534)
ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE: as after exec
poll = tests["Poll"]()
with tests["reset"]() as end:
    poll()
    ghosts = poll()
    print(set(ghosts.pid.tolist()) == {os.getpid()}, tests["of"](ghosts, os.getpid()) == [tests["entry"](end)])
"""


@needs_root
def test_without_root_only_those_of_processes_that_may_be_read_are_told() -> None:
    with reset():
        result = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, cwd=ROOT, check=True)
    assert result.stdout.split() == ["True", "True"]


@contextlib.contextmanager
def other_namespace(script: str) -> Iterator[tuple[int, str]]:
    """A process in a network namespace of its own, and the line that it printed."""
    with subprocess.Popen(
        ["unshare", "--net", sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as other:
        assert other.stdout is not None
        line = other.stdout.readline()
        if not line:
            pytest.skip("no network namespaces here")
        try:
            yield other.pid, line.strip()
        finally:
            other.kill()


def inside(pid: int, make: Any) -> Any:
    """What a thread of ours makes in the network namespace of a process."""
    made = []

    def work() -> None:
        enter_namespace(str(pid))
        made.append(make())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return made[0]


@needs_root
@pytest.mark.kernel
def test_processes_of_another_namespace_are_left_to_it(poll: Poll) -> None:
    script = "import subprocess; subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)" + HOLDER
    with other_namespace(script) as (pid, fd):
        for _ in range(3):
            assert of(poll(), pid) == []

        def look_there() -> Holders:
            there = Poll()
            there()
            return there()

        ghosts: Holders = inside(pid, look_there)
        assert [each for _, each in of(ghosts, pid)] == [int(fd)]


@needs_root
@pytest.mark.kernel
def test_a_socket_that_another_namespace_lists_is_none(poll: Poll) -> None:
    """As a container engine holds them: it made them in its containers' namespaces."""
    with other_namespace("print(0, flush=True); input()") as (pid, _):
        server: socket.socket = inside(pid, lambda: socket.create_server(("0.0.0.0", 0)))
        with server, reset() as end:
            poll()
            for _ in range(3):
                assert of(poll(), os.getpid()) == [entry(end)]


@pytest.mark.parametrize("number", ["-5", "9" * 30, "x", ""])
def test_a_table_that_is_not_the_kernel_s_costs_no_more_than_itself(number: str, tmp_path: Path) -> None:
    for pid, inode in (("1", number), ("2", "77")):
        (tmp_path / pid / "ns").mkdir(parents=True)
        (tmp_path / pid / "ns/net").symlink_to(f"net:[{pid}]")
        (tmp_path / pid / "net").mkdir()
        (tmp_path / pid / "net/tcp").write_text(f"heading\n0: a b c d e f g h {inode}\n")
    assert ghosts._listed_elsewhere("net:[9]", str(tmp_path)).tolist() == [77]
