"""OwnerResolver against real sockets, dumped by the real kernel, in real processes."""

from __future__ import annotations

import array
import ast
import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from sockui.collector import descriptors, inet_diag, owners
from sockui.collector.linux import DUMPS
from sockui.collector.netlink import DiagSocket
from sockui.collector.owners import Attribution, OwnerResolver
from sockui.collector.processes import TURNS, ProcessTable
from sockui.model import Known, Owner, Protocol, SocketArray, State, empty_sockets

ROOT = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: starts processes as another user")

HOLDER = "import sys; print('ready', flush=True); sys.stdin.read()"
CLOSER = """
import os, sys
print("ready", flush=True)
sys.stdin.readline()
os.close(int(sys.argv[1]))
print("closed", flush=True)
sys.stdin.read()
"""
EXCHANGER = """
import os, sys
other = os.open("/dev/null", os.O_RDONLY)
print("ready", flush=True)
sys.stdin.readline()
os.dup2(int(sys.argv[1]), other)
print(other, flush=True)
sys.stdin.read()
"""
AWAY = """
import ctypes, socket, sys
ctypes.CDLL(None).unshare(0x40000000)  # CLONE_NEWNET
print("ready", flush=True)
sys.stdin.readline()
more = [socket.socket() for _ in range(20)]
print(len(more), flush=True)
sys.stdin.read()
"""
RECEIVER = """
import array, socket, sys
channel = socket.socket(fileno=int(sys.argv[1]))
print("ready", flush=True)
_, ((_, _, data),), _, _ = channel.recvmsg(1, 64)
print(array.array("i", data)[0], flush=True)
sys.stdin.read()
"""


def dump() -> SocketArray:
    diag = DiagSocket()
    decoder = inet_diag.Decoder()
    try:
        for family, protocol in DUMPS:
            diag.dump(family, protocol, decoder, inet_diag.ALL_STATES)
    finally:
        diag.close()
    return decoder.rows()


class Poll:
    """One resolver over many dumps."""

    def __init__(self, proc: str = "/proc") -> None:
        self.table = ProcessTable(proc)
        self.resolver = OwnerResolver(self.table, proc)
        self.sockets = empty_sockets()

    def __call__(self, sockets: SocketArray | None = None) -> Attribution:
        self.sockets = dump() if sockets is None else sockets
        return self.resolver.attribute(self.sockets)

    def until(self, port: int, state: State, remote: int | None = None) -> Any:
        """The only such row of the first poll that has it."""
        deadline = time.monotonic() + 10
        while True:
            self()
            if len(self.rows(port, state, remote)):
                return self.row(port, state, remote)
            assert time.monotonic() < deadline, f"port {port} never came to {state.name}"

    def row(self, port: int, state: State = State.LISTEN, remote: int | None = None) -> Any:
        """The only TCP row with this local port and state."""
        (row,) = self.rows(port, state, remote)
        return row

    def rows(self, port: int, state: State, remote: int | None = None) -> SocketArray:
        """Every such row."""
        tcp = self.sockets[self.sockets["protocol"] == Protocol.TCP]
        rows: SocketArray = tcp[(tcp["local_port"] == port) & (tcp["state"] == state)]
        return rows if remote is None else rows[rows["remote_port"] == remote]


@pytest.fixture
def poll() -> Poll:
    return Poll()


@contextlib.contextmanager
def child(
    script: str, *arguments: str, pass_fds: tuple[int, ...] = (), **options: Any
) -> Iterator[subprocess.Popen[str]]:
    """A Python process that has said "ready"; it ends when its stdin does."""
    command = [sys.executable, "-c", script, *arguments]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, pass_fds=pass_fds, **options
    )
    with process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    stream: IO[str] | None = process.stdout
    assert stream is not None
    return stream.readline().strip()


def listener(
    address: str = "127.0.0.1", port: int = 0, family: int = socket.AF_INET, backlog: int = 8
) -> socket.socket:
    server = socket.socket(family)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    server.bind((address, port))
    server.listen(backlog)
    return server


def port_of(end: socket.socket) -> int:
    return int(end.getsockname()[1])


def inode_of(end: socket.socket) -> int:
    return os.fstat(end.fileno()).st_ino


def ss_holders(port: int) -> set[tuple[int, int]]:
    text = subprocess.run(["ss", "-tlnpH", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout
    return {(int(pid), int(fd)) for pid, fd in re.findall(r"pid=(\d+),fd=(\d+)", text)}


def walked(inodes: set[int]) -> set[tuple[int, int, int]]:
    """(inode, pid, fd) of every holder, by looking at everything."""
    found = set()
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    link = os.readlink(f"/proc/{pid}/fd/{fd}")
                    if link.startswith("socket:[") and int(link[8:-1]) in inodes:
                        found.add((int(link[8:-1]), int(pid), int(fd)))
    return found


def known_holders(attribution: Attribution, inodes: set[int]) -> set[tuple[int, int, int]]:
    holders = attribution.holders
    rows = zip(holders.inode.tolist(), holders.pid.tolist(), holders.fd.tolist(), strict=True)
    return {row for row in rows if row[0] in inodes}


def test_a_socket_names_its_process_and_its_ancestors(poll: Poll) -> None:
    with listener() as server:
        attribution = poll()
        row = poll.row(port_of(server))
        assert (row["owner"], row["pid"], row["fd"], row["holders"]) == (Owner.PROCESS, os.getpid(), server.fileno(), 1)
        assert attribution.processes[os.getpid()].ppid == os.getppid()
        assert os.getppid() in attribution.processes
    attribution = poll()
    assert os.getpid() not in attribution.holders.pid


def test_every_holder_of_a_listener_shared_by_fork_is_listed_as_ss_lists_them(poll: Poll) -> None:
    with listener() as server:
        poll()
        with child(HOLDER, pass_fds=(server.fileno(),)) as other:
            attribution = poll()
            row = poll.row(port_of(server))
            expected = {(os.getpid(), server.fileno()), (other.pid, server.fileno())}
            assert set(attribution.holders.of(inode_of(server))) == expected == ss_holders(port_of(server))
            assert (row["holders"], row["pid"]) == (2, min(os.getpid(), other.pid))
            assert other.pid in attribution.processes
        attribution = poll()
        assert attribution.holders.of(inode_of(server)) == [(os.getpid(), server.fileno())]
        assert poll.row(port_of(server))["holders"] == 1


@pytest.mark.parametrize("counts_by_stat", [True, False], ids=["st_size", "before Linux 6.2"])
def test_a_descriptor_passed_to_another_process_is_followed(poll: Poll, *, counts_by_stat: bool) -> None:
    poll.table._counts_by_stat &= counts_by_stat
    ours, theirs = socket.socketpair()
    with ours, theirs, child(RECEIVER, str(theirs.fileno()), pass_fds=(theirs.fileno(),)) as receiver:
        server = listener()
        inode, port, fd = inode_of(server), port_of(server), server.fileno()
        poll()
        assert poll.row(port)["holders"] == 1
        ours.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
        received = int(line(receiver))

        def both() -> bool:
            holders = poll().holders.of(inode)
            return set(holders) == {(os.getpid(), fd), (receiver.pid, received)} == ss_holders(port)

        if counts_by_stat:
            assert both()
        else:  # each process has its turn
            assert any(both() for _ in range(TURNS + 1))
        server.close()
        assert poll().holders.of(inode) == [(receiver.pid, received)]
        row = poll.row(port)
        assert (row["owner"], row["pid"], row["fd"], row["holders"]) == (Owner.PROCESS, receiver.pid, received, 1)


def test_a_number_reused_while_the_old_socket_lives_on_elsewhere(poll: Poll) -> None:
    old = listener()
    with child(HOLDER, pass_fds=(old.fileno(),)) as other:
        old_inode, old_port, fd = inode_of(old), port_of(old), old.fileno()
        poll()
        old.close()
        with listener() as new:
            assert new.fileno() == fd
            attribution = poll()
            assert attribution.holders.of(old_inode) == [(other.pid, fd)] == list(ss_holders(old_port))
            assert attribution.holders.of(inode_of(new)) == [(os.getpid(), fd)]
            assert poll.row(port_of(new))["pid"] == os.getpid()


def test_a_number_reused_by_a_file_is_noticed_though_the_count_and_the_inodes_stay(poll: Poll) -> None:
    old = listener()
    with child(HOLDER, pass_fds=(old.fileno(),)) as other:
        inode, fd = inode_of(old), old.fileno()
        assert len(poll().holders.of(inode)) == 2
        old.close()
        with open(os.devnull) as file:
            assert file.fileno() == fd
            assert poll().holders.of(inode) == [(other.pid, fd)]


def test_everybody_who_holds_a_socket_from_before_it_was_bound_is_found(poll: Poll) -> None:
    with socket.socket() as server, child(HOLDER, pass_fds=(server.fileno(),)) as other:
        poll()
        poll()
        server.bind(("127.0.0.1", 0))
        server.listen()
        holders = poll().holders.of(inode_of(server))
        assert holders == sorted([(os.getpid(), server.fileno()), (other.pid, server.fileno())])


def test_a_socket_made_before_and_bound_later_is_found(poll: Poll) -> None:
    with socket.socket() as server:
        poll()
        poll()  # in this one, inodes that nobody seems to hold are searched for again, so not in the next
        server.bind(("127.0.0.1", 0))
        server.listen()
        poll()  # no process changed its descriptors
        row = poll.row(port_of(server))
        assert (row["owner"], row["pid"]) == (Owner.PROCESS, os.getpid())


@pytest.mark.parametrize("seed", range(3))
def test_a_process_with_many_sockets_stays_right_through_any_change(poll: Poll, seed: int) -> None:
    choose = random.Random(seed)
    with contextlib.ExitStack() as stack:
        ends: list[socket.socket] = []
        files: list[IO[str]] = []

        def more() -> None:
            end = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            end.bind(("127.0.0.1", 0))
            ends.append(end)

        for _ in range(400):
            more()
        poll()
        for _ in range(25):
            for _ in range(choose.randrange(12)):
                match choose.randrange(5):
                    case 0 | 1:
                        more()
                    case 2:
                        ends.pop(choose.randrange(len(ends))).close()
                    case 3:
                        ends.append(stack.enter_context(choose.choice(ends).dup()))
                    case 4 if files and choose.random() < 0.5:
                        files.pop().close()
                    case _:
                        files.append(stack.enter_context(open(os.devnull)))
            inodes = {inode_of(end) for end in ends}
            poll()  # a number reused beside a duplicate of its old socket may cost one more poll
            assert known_holders(poll(), inodes) == walked(inodes)


def test_new_sockets_of_a_process_with_many_are_found_without_listing_it(
    poll: Poll, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(400):
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("127.0.0.1", 0))
        poll()
        listed: list[str] = []
        real = os.listdir

        def listdir(path: Any = ".") -> list[str]:
            if isinstance(path, int):
                listed.append(os.readlink(f"/proc/self/fd/{path}"))
            return real(path)

        monkeypatch.setattr(os, "listdir", listdir)
        server = stack.enter_context(listener())
        poll()
        assert poll.row(port_of(server))["pid"] == os.getpid()
        assert f"/proc/{os.getpid()}/fd" not in listed


def test_of_many_shared_sockets_one_closed_in_one_process_is_dropped_there(
    poll: Poll, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "_CHECKED", 0)
    with contextlib.ExitStack() as stack:
        ends = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(400)]
        for end in ends:
            end.bind(("127.0.0.1", 0))
        fd, inode = ends[200].fileno(), inode_of(ends[200])
        other = stack.enter_context(child(CLOSER, str(fd), pass_fds=tuple(end.fileno() for end in ends)))
        assert len(poll().holders.of(inode)) == 2
        assert other.stdin is not None
        other.stdin.write("close\n")
        other.stdin.flush()
        assert line(other) == "closed"
        assert poll().holders.of(inode) == [(os.getpid(), fd)]


@pytest.mark.parametrize("more", [0, 300])  # whether the process has so many sockets that it is not read whole
def test_a_descriptor_that_became_another_holder_while_as_many_stay_open_is_found_in_turn(
    poll: Poll, more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "_CHECKED", 0)
    with contextlib.ExitStack() as stack:
        ends = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(1 + more)]
        for end in ends:
            end.bind(("127.0.0.1", 0))
        fd, inode = ends[0].fileno(), inode_of(ends[0])
        other = stack.enter_context(child(EXCHANGER, str(fd), pass_fds=tuple(end.fileno() for end in ends)))
        sockets = made([inode_of(end) for end in ends])  # nothing else, and so nobody is sought
        for _ in range(TURNS + 1):  # a young process is read again some times
            assert len(poll(sockets).holders.of(inode)) == 2
        assert other.stdin is not None
        other.stdin.write("exchange\n")
        other.stdin.flush()
        third = (other.pid, int(line(other)))
        deadline = time.monotonic() + 10
        while third not in poll(sockets).holders.of(inode):
            assert time.monotonic() < deadline
        assert set(poll(sockets).holders.of(inode)) == {(os.getpid(), fd), (other.pid, fd), third}


def opened_in(call: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of which processes the descriptors are looked at during a call."""
    pids: list[int] = []
    real = os.open

    def opened(path: Any, *arguments: Any, **options: Any) -> int:
        if found := re.fullmatch(r"/proc/(\d+)/fd", str(path)):
            pids.append(int(found[1]))
        return real(path, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", opened)
        call()
    return pids


def test_after_the_turn_of_a_process_with_many_descriptors_the_next_ones_wait(
    poll: Poll, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "DESCRIPTORS_IN_TURN", 50)
    in_turn, looked_at = OwnerResolver._in_turn, list[list[int]]()

    def spied(resolver: OwnerResolver) -> set[int]:
        changed: set[int] = set()
        looked_at.append(opened_in(lambda: changed.update(in_turn(resolver)), monkeypatch))
        return changed

    monkeypatch.setattr(OwnerResolver, "_in_turn", spied)
    with contextlib.ExitStack() as stack:
        many = [stack.enter_context(open(os.devnull)).fileno() for _ in range(100)]
        other = stack.enter_context(child(HOLDER, pass_fds=tuple(many)))
        deadline = time.monotonic() + 60
        while not looked_at or other.pid not in looked_at[-1]:
            poll(made([]))
            assert time.monotonic() < deadline, "it was never its turn"
        poll(made([]))
        assert looked_at[-1] == [], "two polls' worth was read"
        poll(made([]))
        poll(made([]))
        assert looked_at[-1] + looked_at[-2], "and then it goes on"


@needs_root
def test_a_process_of_another_network_namespace_is_read_only_for_what_is_in_the_dump(
    poll: Poll, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "DESCRIPTORS_IN_TURN", 0)
    with listener() as server, child(AWAY, pass_fds=(server.fileno(),)) as away:
        sockets = made([inode_of(server)])
        for _ in range(TURNS + 1):
            assert len(poll(sockets).holders.of(inode_of(server))) == 2
        assert away.stdin is not None
        away.stdin.write("open\n")
        away.stdin.flush()
        assert line(away) == "20"
        for _ in range(3):
            assert away.pid not in opened_in(lambda: poll(sockets), monkeypatch)
        assert away.pid not in poll(sockets).unlisted.pid
        held = [int(name) for name in os.listdir(f"/proc/{away.pid}/fd") if int(name) > server.fileno()]
        inode = os.stat(f"/proc/{away.pid}/fd/{held[-1]}").st_ino
        poll(made([inode_of(server), inode]))  # of its user nobody has it
        assert poll(made([inode_of(server), inode])).holders.of(inode) == [(away.pid, held[-1])]


@pytest.mark.parametrize(
    ("address", "family", "client"),
    [
        ("127.0.0.1", socket.AF_INET, "127.0.0.1"),
        ("0.0.0.0", socket.AF_INET, "127.0.0.1"),
        ("::1", socket.AF_INET6, "::1"),
        ("::", socket.AF_INET6, "::1"),
        ("::", socket.AF_INET6, "127.0.0.1"),
    ],
)
def test_a_connection_that_waits_for_accept_belongs_to_its_listener(
    poll: Poll, address: str, family: int, client: str
) -> None:
    with listener(address, family=family) as server:
        port = port_of(server)
        first, second = socket.create_connection((client, port)), socket.create_connection((client, port))
        with first, second:
            second.shutdown(socket.SHUT_WR)
            poll.until(port, State.CLOSE_WAIT)
            expected = (Owner.LISTENER, os.getpid(), server.fileno(), 1)
            for end, state in ((first, State.ESTABLISHED), (second, State.CLOSE_WAIT)):
                row = poll.row(port, state, port_of(end))
                assert row["inode"] == 0
                assert (row["owner"], row["pid"], row["fd"], row["holders"]) == expected
            accepted, _ = server.accept()
            with accepted:
                poll()
                row = poll.row(port, State.ESTABLISHED, port_of(first))
                assert (row["owner"], row["fd"]) == (Owner.PROCESS, accepted.fileno())


def test_of_two_listeners_on_a_port_the_specific_address_has_the_connection(poll: Poll) -> None:
    with listener("0.0.0.0") as wildcard, listener("127.0.0.2", port_of(wildcard)) as specific:
        port = port_of(wildcard)
        with (
            socket.create_connection(("127.0.0.2", port)) as to_specific,
            socket.create_connection(("127.0.0.3", port)) as to_wildcard,
        ):
            for client, server in ((to_specific, specific), (to_wildcard, wildcard)):
                row = poll.until(port, State.ESTABLISHED, port_of(client))
                assert (row["owner"], row["fd"]) == (Owner.LISTENER, server.fileno())


def test_a_connection_belongs_to_a_listener_of_its_family(poll: Poll) -> None:
    with listener("0.0.0.0") as four, socket.socket(socket.AF_INET6) as six:
        port = port_of(four)
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        six.bind(("::", port))
        six.listen()
        with (
            socket.create_connection(("127.0.0.1", port)) as to_four,
            socket.create_connection(("::1", port)) as to_six,
        ):
            for client, server in ((to_four, four), (to_six, six)):
                row = poll.until(port, State.ESTABLISHED, port_of(client))
                assert (row["owner"], row["fd"]) == (Owner.LISTENER, server.fileno())


def test_in_a_reuseport_group_the_listener_with_the_longest_queue_is_taken(poll: Poll) -> None:
    with listener() as one, listener(port=port_of(one)) as other:
        port = port_of(one)
        with socket.create_connection(("127.0.0.1", port)) as client:
            row = poll.until(port, State.ESTABLISHED, port_of(client))
            queues = {int(row["fd"]): int(row["recv_queue"]) for row in poll.rows(port, State.LISTEN)}
            assert set(queues) == {one.fileno(), other.fileno()}
            assert queues[int(row["fd"])] == 1


def test_a_listener_bound_to_a_device_has_only_connections_of_that_device(poll: Poll) -> None:
    with listener() as plain, listener() as bound:
        rows = made([inode_of(plain), inode_of(bound), 0, 0])
        rows["state"][:2], rows["local_port"], rows["interface"] = State.LISTEN, 80, [0, 5, 0, 5]
        poll(rows)
        assert rows["owner"].tolist() == [Owner.PROCESS, Owner.PROCESS, Owner.LISTENER, Owner.LISTENER]
        assert rows["fd"][2:].tolist() == [plain.fileno(), bound.fileno()]


def test_sockets_that_the_application_closed_belong_to_the_kernel(poll: Poll) -> None:
    with listener() as server:
        port = port_of(server)
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        mine = port_of(client)
        client.close()
        row = poll.until(mine, State.FIN_WAIT2)
        assert (row["owner"], row["pid"], row["fd"], row["holders"]) == (Owner.KERNEL, 0, -1, 0)
        accepted.close()
        assert poll.until(mine, State.TIME_WAIT)["owner"] == Owner.KERNEL
        assert poll().coverage.kernel >= 1


def made(inodes: list[int], known: Known = Known.INODE) -> SocketArray:
    rows = empty_sockets(len(inodes))
    rows["inode"], rows["known"], rows["protocol"] = inodes, known, Protocol.TCP
    rows["state"], rows["uid"] = State.ESTABLISHED, 54321  # no process runs as that user
    return rows


def test_rows_whose_source_knows_no_inode_stay_as_they_were(poll: Poll) -> None:
    rows = made([0, 0], Known(0))
    rows["owner"], rows["pid"], rows["fd"], rows["holders"] = Owner.PROCESS, 42, 7, 3
    rows["known"][1] = Known.INODE
    poll(rows)
    assert rows[["owner", "pid", "fd", "holders"]].tolist() == [(Owner.PROCESS, 42, 7, 3), (Owner.KERNEL, 0, -1, 0)]


def test_an_inode_that_just_came_is_unknown_until_the_whole_host_was_searched(poll: Poll) -> None:
    first, second = 0xFFFFFFF0, 0xFFFFFFF1
    poll(made([first]))
    verdict = poll.sockets["owner"][0]
    assert verdict in (Owner.HIDDEN, Owner.UNFOUND)  # the first poll reads every process
    poll(made([first]))
    attribution = poll(made([first, second]))
    assert poll.sockets["owner"].tolist() == [verdict, Owner.UNKNOWN]
    assert [gap.sockets for gap in attribution.coverage.gaps] == [1, 1]
    poll(made([first, second]))
    assert poll.sockets["owner"].tolist() == [verdict, verdict]


def test_an_inode_that_nobody_holds_is_searched_for_less_and_less_often(
    poll: Poll, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "DESCRIPTORS_IN_TURN", 0)
    with child(HOLDER) as other:
        reads: list[int] = []
        real = os.open

        def opened(path: Any, *arguments: Any, **options: Any) -> int:
            if path == f"/proc/{other.pid}/fd":
                reads.append(poll.resolver._poll)
            return real(path, *arguments, **options)

        monkeypatch.setattr(os, "open", opened)
        for _ in range(70):
            poll(made([0xFFFFFFF0]))
        assert reads == [1, 2, 4, 8, 16, 32, 64]


@pytest.mark.parametrize("moment", ["seen", "opened", "listed"])
def test_a_process_that_dies_while_it_is_read_is_left_out(
    poll: Poll, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    with listener() as server, child(HOLDER, pass_fds=(server.fileno(),)) as other:
        killed: list[str] = []

        def kill(where: str, directory: int) -> None:
            if (
                where == moment
                and not killed
                and os.readlink(f"/proc/self/fd/{directory}").endswith(f"/{other.pid}/fd")
            ):
                killed.append(where)
                os.kill(other.pid, signal.SIGKILL)
                os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)

        refresh, read_links, socket_links = ProcessTable.refresh, descriptors.read_links, descriptors._socket_links

        def refreshed(table: ProcessTable) -> None:
            refresh(table)
            directory = os.open(f"/proc/{other.pid}/fd", os.O_RDONLY)
            kill("seen", directory)
            os.close(directory)

        def opened(directory: int, known: Any) -> Any:
            kill("opened", directory)
            return read_links(directory, known)

        def listed(directory: int, names: Any) -> Any:
            kill("listed", directory)
            return socket_links(directory, names)

        monkeypatch.setattr(ProcessTable, "refresh", refreshed)
        monkeypatch.setattr(owners, "read_links", opened)
        monkeypatch.setattr(descriptors, "_socket_links", listed)
        attribution = poll()
        assert killed == [moment]
        assert attribution.holders.of(inode_of(server)) == [(os.getpid(), server.fileno())]
        monkeypatch.undo()
        other.wait()
        assert poll().holders.of(inode_of(server)) == [(os.getpid(), server.fileno())]


LOOK = """
import ctypes, os, runpy, sys
tests = runpy.run_path("tests/collector/test_owners.py")
proc, port, user = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
tests["Poll"]()()  # whatever is imported late is imported now: the interpreter may be out of that user's reach
if user:
    os.setgroups([]), os.setgid(user), os.setuid(user)
    ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE: as after exec
poll = tests["Poll"](proc)
with tests["listener"]() as own:
    coverage = poll().coverage
    rows = poll.sockets
    print({
        "mine": rows[rows["local_port"] == tests["port_of"](own)][["owner", "holders"]].tolist(),
        "theirs": sorted(rows[rows["local_port"] == port][["state", "owner", "pid", "fd", "holders"]].tolist()),
        "gaps": [(gap.sockets, gap.reason) for gap in coverage.gaps],
        "sum": coverage.attributed + coverage.kernel + sum(gap.sockets for gap in coverage.gaps) - coverage.sockets,
        "fix": coverage.fix,
    })
"""
NOBODY = 65534


def looked(proc: str, port: int, user: int, *prefix: str) -> dict[str, Any]:
    """What another process of that user makes of the sockets on ``port``."""
    command = [*prefix, sys.executable, "-c", LOOK, proc, str(port), str(user)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if result.returncode and "unshare failed" in result.stderr:
        pytest.skip(f"no PID namespaces here: {result.stderr.strip()}")
    assert not result.returncode, result.stderr
    told: dict[str, Any] = ast.literal_eval(result.stdout)
    return told


@needs_root
def test_without_root_the_sockets_of_others_stay_and_the_coverage_says_why() -> None:
    with listener() as server, socket.create_connection(server.getsockname()):
        told = looked("/proc", port_of(server), NOBODY)
    assert told["mine"] == [(Owner.PROCESS, 1)]
    assert told["theirs"] == [(State.ESTABLISHED, Owner.LISTENER, 0, -1, 0), (State.LISTEN, Owner.HIDDEN, 0, -1, 0)]
    ((count, reason),) = told["gaps"]
    assert count >= 3  # the listener, the connection in its queue, the client
    assert "without root" in reason
    assert told["fix"] == f"sudo {sys.executable} -m sockui"
    assert told["sum"] == 0


@needs_root
def test_root_that_may_not_read_every_process_is_not_told_to_become_root() -> None:
    with listener() as server:  # held by this process, whose capabilities exceed those of the one that looks
        told = looked("/proc", port_of(server), 0, "setpriv", "--bounding-set=-sys_ptrace")
    assert told["theirs"] == [(State.LISTEN, Owner.HIDDEN, 0, -1, 0)]
    ((_, reason),) = told["gaps"]
    assert "CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH" in reason
    assert told["fix"] is None


@needs_root
@pytest.mark.kernel
@pytest.mark.parametrize("hidepid", [1, 2])
def test_with_hidepid_unseen_processes_count_as_hidden(mounted_proc: str) -> None:
    with listener() as server:
        told = looked(mounted_proc, port_of(server), NOBODY)
    assert told["mine"] == [(Owner.PROCESS, 1)]
    assert told["theirs"] == [(State.LISTEN, Owner.HIDDEN, 0, -1, 0)]


@needs_root
@pytest.mark.kernel
def test_a_socket_of_another_pid_namespace_is_unfound() -> None:
    with listener() as server:
        told = looked("/proc", port_of(server), 0, "unshare", "--pid", "--fork", "--mount-proc")
    assert told["mine"] == [(Owner.PROCESS, 1)]
    assert told["theirs"] == [(State.LISTEN, Owner.UNFOUND, 0, -1, 0)]
    assert told["fix"] is None
    assert "PID namespace" in told["gaps"][0][1]


def test_coverage_counts_every_row_once(poll: Poll) -> None:
    with listener() as server, socket.create_connection(server.getsockname()):
        coverage = poll().coverage
        assert coverage.sockets == len(poll.sockets)
        assert coverage.attributed == np.count_nonzero(poll.sockets["pid"])
        assert coverage.attributed + coverage.kernel + sum(gap.sockets for gap in coverage.gaps) == coverage.sockets
