"""What the words about options, calls and errors claim, shown by real sockets in network namespaces of their own."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sockui.model import SocketArray, State
from sockui.model.sockets import Timer
from tests.actions.scenes import Network, holder, network, until
from tests.kernel.ending_scenes import Scene, deafen, ending_scene, readable, reset

pytestmark = pytest.mark.kernel

LOOPBACK = "127.0.0.1"
HOLE = "10.77.0.8"  # a neighbour whose hardware address nobody has


@pytest.fixture
def scene() -> Iterator[Scene]:
    with ending_scene() as made:
        yield made


def outcome(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call returns, or the name of its error."""
    try:
        return call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def pending(sock: socket.socket) -> str:
    """SO_ERROR by name; reading it clears it."""
    return errno.errorcode.get(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "")


def state(sock: socket.socket) -> int:
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


def queue(listener: socket.socket) -> tuple[int, ...]:
    """How many wait in the accept queue, and the backlog (tcpi_unacked, tcpi_sacked)."""
    return struct.unpack("II", listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)[24:])


def rows(scene: Scene, sock: tuple[str, int] | socket.socket) -> SocketArray:
    """The rows of one end of a connection, told by its local port."""
    port = (sock.getsockname() if isinstance(sock, socket.socket) else sock)[1]
    every = scene.dump()
    found: SocketArray = every[(every["local_port"] == port) & (every["state"] != State.LISTEN)]
    return found


def linger(sock: socket.socket, seconds: int) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, seconds))


def fill(sock: socket.socket) -> int:
    """Send until nothing more goes in; how much did."""
    sock.setblocking(False)
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sent += sock.send(bytes(65536))
    return sent


def drain(sock: socket.socket) -> tuple[int, str]:
    """Receive to the end; how much, and the error if it was no end."""
    got = 0
    sock.settimeout(10)
    try:
        while data := sock.recv(1 << 20):
            got += len(data)
    except OSError as error:
        return got, errno.errorcode[error.errno or 0]
    return got, ""


def set_sysctl(net: Network, name: str, value: str) -> None:
    net(Path("/proc/sys", name).write_text, value)


def counter(net: Network, name: str) -> int:
    shown = net(subprocess.run, ["nstat", "-asz", name], capture_output=True, text=True, check=True)
    return int(shown.stdout.split(name)[1].split()[0])


def ip(net: Network, arguments: str) -> None:
    net(subprocess.run, ["ip", *arguments.split()], check=True)


def keepalive(sock: socket.socket, idle: int, interval: int, count: int) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {socket.TCP_KEEPIDLE: idle, socket.TCP_KEEPINTVL: interval, socket.TCP_KEEPCNT: count}
    for option, value in options.items():
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


def user_timeout(sock: socket.socket, milliseconds: int) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def background(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Call in a thread; where its result will be."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(outcome(call)), daemon=True)
    thread.start()
    return thread, results


def blocked(thread: threading.Thread, where: str) -> None:
    """Wait until a thread sleeps in the kernel."""
    until(lambda: where in Path(f"/proc/self/task/{thread.native_id}/wchan").read_text())


def veth(net: Network) -> None:
    """An Ethernet where nobody answers, and a neighbour that swallows everything."""
    ip(net, "link add va type veth peer name vb")
    ip(net, "addr add 10.77.0.1/24 dev va")
    ip(net, "link set vb up")
    ip(net, "link set va up")
    ip(net, f"neigh add {HOLE} lladdr 02:00:00:00:de:ad dev va")
    quick_arp(net)


def quick_arp(net: Network) -> None:
    """One question, and 100 ms for its answer."""
    for name, value in (("retrans_time_ms", "100"), ("mcast_solicit", "1"), ("ucast_solicit", "1")):
        set_sysctl(net, f"net/ipv4/neigh/va/{name}", value)


def python(sock: socket.socket, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in which ``sock`` is this socket."""
    start = f"import resource, select, signal, socket\nsock = socket.socket(fileno={sock.fileno()})\n"
    command = [sys.executable, "-ISc", start + program]
    return subprocess.run(command, pass_fds=[sock.fileno()], capture_output=True, text=True, check=False)


def reusing(scene: Scene, on: int = 1, option: int = socket.SO_REUSEADDR) -> socket.socket:
    made = scene.socket()
    made.setsockopt(socket.SOL_SOCKET, option, on)
    return made


class TestLinger:
    def test_zero_sends_a_reset_loses_what_is_queued_and_leaves_nothing(self, scene: Scene) -> None:
        peer, sock = scene.pair()
        name, sent = sock.getsockname(), fill(sock)
        linger(sock, 0)
        sock.close()
        assert not len(rows(scene, name))
        got, error = drain(peer)
        assert 0 < got < sent  # what had arrived is still readable on Linux
        assert error == "ECONNRESET"
        assert counter(scene.net, "TcpExtTCPAbortOnData") == 1

    def test_seconds_let_close_wait_for_the_acknowledgement_even_without_blocking(self, scene: Scene) -> None:
        peer, sock = scene.pair()
        sent = fill(sock)  # and it is non-blocking from now on
        linger(sock, 60)
        name = sock.getsockname()
        thread, results = background(sock.close)
        until(lambda: rows(scene, name)["state"].tolist() == [State.FIN_WAIT1])
        assert thread.is_alive()
        assert drain(peer) == (sent, "")
        thread.join(10)
        assert results == [None]

    def test_after_the_seconds_close_says_nothing_and_the_kernel_goes_on_sending(self, scene: Scene) -> None:
        peer, sock = scene.pair()
        sent = fill(sock)
        linger(sock, 1)
        assert outcome(sock.close) is None
        assert drain(peer) == (sent, "")

    def test_shutdown_and_exit_do_not_wait(self, scene: Scene) -> None:
        peer, sock = scene.pair()
        sent = fill(sock)
        linger(sock, 60)
        thread, results = background(lambda: sock.shutdown(socket.SHUT_WR))
        thread.join(10)
        assert results == [None]
        with holder("lingers", [sock]) as held:
            held.close()
        assert drain(peer) == (sent, "")

    def test_zero_resets_at_the_last_close_and_at_the_end_of_a_process(self, scene: Scene) -> None:
        peer, sock = scene.pair()
        linger(sock, 0)
        with holder("aborts", [sock.dup()]) as held:
            sock.close()
            assert held.send(held.descriptors[0]) == 4
            assert peer.recv(100) == b"ping"
        assert drain(peer) == (0, "ECONNRESET")


class TestShutdownAndClose:
    def test_close_by_one_of_two_holders_sends_nothing(self, scene: Scene) -> None:
        peer, sock = scene.pair()
        peer.settimeout(10)
        copy = sock.dup()
        with holder("other", [copy]) as held:
            sock.close()
            assert held.send(held.descriptors[0]) == 4
            assert peer.recv(100) == b"ping"  # a FIN would have been first
            assert state(peer) == State.ESTABLISHED
        assert peer.recv(100) == b""

    def test_shutdown_by_one_of_two_holders_ends_the_stream_of_both_and_the_other_way_goes_on(
        self, scene: Scene
    ) -> None:
        peer, sock = scene.pair()
        copy = sock.dup()
        with holder("other", [copy]) as held:
            sock.shutdown(socket.SHUT_WR)
            assert held.send(held.descriptors[0]) == "EPIPE"
            assert peer.recv(100) == b""
            peer.send(b"answer")
            assert held.recv(held.descriptors[0]) == b"answer"

    def test_shut_rd_sends_nothing_and_what_comes_is_still_taken(self, scene: Scene) -> None:
        peer, sock = scene.pair()
        before = counter(scene.net, "TcpOutSegs")
        sock.shutdown(socket.SHUT_RD)
        assert counter(scene.net, "TcpOutSegs") == before
        assert sock.recv(100) == b""
        peer.send(b"late")
        until(lambda: rows(scene, sock)["recv_queue"].tolist() == [4])
        assert sock.recv(100) == b"late"

    def test_close_under_a_blocked_recv_sends_no_fin_until_that_returns(self, scene: Scene) -> None:
        peer, sock = scene.pair()
        sock.setblocking(True)
        name = sock.getsockname()
        thread, results = background(lambda: sock.recv(1))
        blocked(thread, "wait_woken")
        os.close(descriptor := sock.fileno())
        (row,) = rows(scene, name)
        assert (row["state"], bool(row["inode"])) == (State.ESTABLISHED, True)
        peer.send(b"x")
        thread.join(10)
        assert results == [b"x"]
        assert peer.recv(1) == b""
        assert sock.detach() == descriptor

    @pytest.mark.parametrize("how", [socket.SHUT_RD, socket.SHUT_RDWR])
    def test_shutdown_wakes_a_blocked_recv_with_the_end(self, scene: Scene, how: int) -> None:
        _peer, sock = scene.pair()
        sock.setblocking(True)
        thread, results = background(lambda: sock.recv(1))
        blocked(thread, "wait_woken")
        sock.shutdown(how)
        thread.join(10)
        assert results == [b""]

    def test_shutdown_of_a_listener_ends_it_for_every_holder(self, scene: Scene) -> None:
        listener = scene.socket(listen=True)
        client = scene.net(socket.create_connection, listener.getsockname())
        copy = scene.net.own(listener.dup())
        listener.shutdown(socket.SHUT_RD)
        assert outcome(copy.accept) == "EINVAL"
        assert outcome(client.recv, 1) == "ECONNRESET"
        assert outcome(scene.socket().connect, listener.getsockname()) == "ECONNREFUSED"
        copy.listen(5)
        assert queue(listener) == (0, 5)

    def test_shutdown_after_a_reset(self, scene: Scene) -> None:
        peer, sock = scene.pair()
        reset(peer)
        assert outcome(sock.shutdown, socket.SHUT_WR) == "ENOTCONN"

    def test_close_with_unread_data_sends_a_reset_after_what_was_sent(self, scene: Scene) -> None:
        peer, sock = scene.pair()
        peer.send(b"request")
        readable(sock)
        sock.send(b"answer")
        sock.close()
        assert outcome(peer.recv, 100) == b"answer"
        assert outcome(peer.recv, 100) == "ECONNRESET"
        assert counter(scene.net, "TcpExtTCPAbortOnClose") == 1

    def test_shutdown_with_unread_data_sends_a_fin(self, scene: Scene) -> None:
        peer, sock = scene.pair()
        peer.send(b"request")
        readable(sock)
        sock.shutdown(socket.SHUT_WR)
        assert peer.recv(1) == b""


class TestResetAndPipe:
    def test_the_first_call_after_a_reset_gets_it_once(self, scene: Scene) -> None:
        for call, then in ((lambda sock: sock.send(b"x"), b""), (lambda sock: sock.recv(1), b"")):
            peer, sock = scene.pair()
            reset(peer)
            readable(sock)
            assert outcome(call, sock) == "ECONNRESET"
            assert outcome(sock.send, b"x") == "EPIPE"
            assert outcome(sock.recv, 1) == then

    def test_so_error_takes_the_error_away(self, scene: Scene) -> None:
        peer, sock = scene.pair()
        reset(peer)
        readable(sock)
        assert (pending(sock), pending(sock)) == ("ECONNRESET", "")
        assert outcome(sock.recv, 1) == b""

    def test_writing_to_who_has_closed_works_once_and_then_is_epipe(self, scene: Scene) -> None:
        peer, sock = scene.pair()
        peer.close()
        assert sock.recv(1) == b""
        assert sock.send(b"lost") == 4
        until(lambda: state(sock) == State.CLOSE)
        assert outcome(sock.send, b"x") == "EPIPE"
        assert outcome(sock.recv, 1) == b""

    def test_writing_after_our_own_shutdown_and_without_a_connection(self, scene: Scene) -> None:
        _peer, sock = scene.pair()
        sock.shutdown(socket.SHUT_WR)
        fresh = scene.socket()
        assert [outcome(each.send, b"x") for each in (sock, fresh)] == ["EPIPE", "EPIPE"]
        assert outcome(fresh.recv, 1) == "ENOTCONN"

    @pytest.mark.parametrize(("flags", "said", "ends"), [("0", "104", -13), ("socket.MSG_NOSIGNAL", "104 32", 0)])
    def test_epipe_comes_with_a_signal_and_econnreset_does_not(
        self, scene: Scene, flags: str, said: str, ends: int
    ) -> None:
        peer, sock = scene.pair()
        reset(peer)
        readable(sock)
        done = python(
            sock,
            f"""
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
for _ in range(2):
    try: sock.send(b"x", {flags})
    except OSError as error: print(error.errno, flush=True)
""",
        )
        assert (done.stdout.split(), done.returncode) == (said.split(), ends)


class TestTimeouts:
    def test_user_timeout_ends_unacknowledged_data_without_telling_the_peer(self, scene: Scene) -> None:
        peer, sock = scene.pair()
        user_timeout(sock, 300)
        assert [row["timer"] for row in rows(scene, sock)] == [Timer.OFF]  # idle: nothing would ever end it
        deafen(peer)
        sock.send(b"x")
        readable(sock)
        assert (outcome(sock.recv, 1), outcome(sock.recv, 1)) == ("ETIMEDOUT", b"")
        assert (counter(scene.net, "TcpOutRsts"), state(peer)) == (0, State.ESTABLISHED)

    def test_user_timeout_goes_on_after_close(self, scene: Scene) -> None:
        peer, sock = scene.pair()
        name = sock.getsockname()
        user_timeout(sock, 300)
        deafen(peer)
        sock.close()
        assert rows(scene, name)["state"].tolist() == [State.FIN_WAIT1]
        until(lambda: not len(rows(scene, name)))

    def test_user_timeout_ends_a_zero_window_that_the_peer_confirms(self, scene: Scene) -> None:
        _peer, sock = scene.pair()
        user_timeout(sock, 700)
        fill(sock)
        until(lambda: rows(scene, sock)["timer"].tolist() == [Timer.PERSIST])
        until(lambda: state(sock) == State.CLOSE)
        assert pending(sock) == "ETIMEDOUT"

    def test_keepalive_with_user_timeout_and_with_unacknowledged_data(self, scene: Scene) -> None:
        """A probe after 1 s and then every second: the count alone would end three of four after 2 s."""
        pairs = [scene.pair() for _ in range(4)]
        by_count, sooner, later, sending = (sock for _, sock in pairs)
        for (peer, sock), count, timeout in zip(pairs, (1, 60, 1, 1), (0, 1500, 2500, 0), strict=True):
            deafen(peer)
            user_timeout(sock, timeout)
            keepalive(sock, 1, 1, count)
        sending.send(b"x")
        until(lambda: (rows(scene, later)["probes"] >= 2).all())
        assert state(later) == State.ESTABLISHED
        for sock in (by_count, sooner, later):
            readable(sock)
            assert outcome(sock.recv, 1) == "ETIMEDOUT"
        assert counter(scene.net, "TcpOutRsts") == 3
        (row,) = rows(scene, sending)
        assert (row["state"], row["timer"], row["probes"], pending(sending)) == (State.ESTABLISHED, Timer.ON, 0, "")
        assert row["retransmits"] >= 3

    def test_a_lower_sysctl_does_not_shorten_a_keepalive_timer_that_runs(self, scene: Scene) -> None:
        _peer, sock = scene.pair()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        set_sysctl(scene.net, "net/ipv4/tcp_keepalive_time", "5")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 5
        assert [row["timer_ms"] > 7_000_000 for row in rows(scene, sock)] == [True]
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 100)
        assert [row["timer_ms"] <= 100_000 for row in rows(scene, sock)] == [True]

    def test_an_accepted_socket_has_the_options_that_its_listener_had_at_the_handshake(self, scene: Scene) -> None:
        listener = scene.socket()
        options = {
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
            (socket.SOL_SOCKET, socket.SO_REUSEADDR): 1,
            (socket.SOL_SOCKET, socket.SO_REUSEPORT): 1,
            (socket.IPPROTO_TCP, socket.TCP_NODELAY): 1,
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT): 4321,
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): 33,
            (socket.IPPROTO_TCP, socket.TCP_LINGER2): 7,
        }
        for option, value in options.items():
            listener.setsockopt(*option, value)
        linger(listener, 5)
        listener.bind((LOOPBACK, 0))
        listener.listen()
        client = scene.net(socket.create_connection, listener.getsockname())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)
        accepted = scene.net.own(listener.accept()[0])
        assert {option: accepted.getsockopt(*option) for option in options} == options
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == struct.pack("ii", 1, 5)
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0

    def test_linger2_is_the_life_of_an_orphan_in_fin_wait2(self, scene: Scene) -> None:
        _peer, sock = scene.pair()
        for value, read in ((1000, 120), (0, 60), (3, 3)):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_LINGER2, value)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_LINGER2) == read
        name = sock.getsockname()
        sock.close()
        until(lambda: rows(scene, name)["state"].tolist() == [State.FIN_WAIT2])
        (row,) = rows(scene, name)
        assert (row["timer"], row["timer_ms"] <= 3000) == (Timer.TIMEWAIT, True)

    def test_negative_linger2_resets_after_the_fin_was_acknowledged(self, scene: Scene) -> None:
        peer, sock = scene.pair()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_LINGER2, -1)
        name = sock.getsockname()
        sock.send(b"answer")
        sock.close()
        assert drain(peer) == (6, "")
        until(lambda: state(peer) == State.CLOSE)
        assert (len(rows(scene, name)), pending(peer)) == (0, "EPIPE")
        assert counter(scene.net, "TcpExtTCPAbortOnData") == 1


class TestConnect:
    def test_who_answers_what(self, scene: Scene) -> None:
        net = scene.net
        veth(net)
        ip(net, "route add unreachable 198.51.100.0/25")
        ip(net, "route add prohibit 198.51.100.128/25")
        for address, error in (
            (LOOPBACK, "ECONNREFUSED"),
            ("10.77.0.9", "EHOSTUNREACH"),  # nobody answers ARP
            ("192.0.2.1", "ENETUNREACH"),  # no route
            ("198.51.100.1", "EHOSTUNREACH"),
            ("198.51.100.129", "EACCES"),
        ):
            assert outcome(scene.socket().connect, (address, 9)) == error, address
        assert outcome(scene.socket().bind, ("203.0.113.5", 0)) == "EADDRNOTAVAIL"
        slow, limited = scene.socket(), scene.socket()
        user_timeout(slow, 500)
        assert outcome(slow.connect, (HOLE, 9)) == "ETIMEDOUT"
        limited.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 100_000))
        assert outcome(limited.connect, (HOLE, 9)) == "EINPROGRESS"

    def test_what_icmp_says_becomes_the_error_of_connect(self, scene: Scene) -> None:
        veth(scene.net)
        wire = scene.net(socket.socket, socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        wire.bind(("va", 3))
        codes = {0: "ENETUNREACH", 1: "EHOSTUNREACH", 3: "ECONNREFUSED", 10: "EHOSTUNREACH", 13: "EHOSTUNREACH"}
        for code, error in codes.items():
            sock = scene.socket()
            sock.setblocking(False)
            assert sock.connect_ex((HOLE, 9)) == errno.EINPROGRESS
            syn = wire.recv(100)
            while syn[20:22] != struct.pack("!H", sock.getsockname()[1]):
                syn = wire.recv(100)
            words = struct.unpack("!14H", syn[:28])
            total = (3 << 8 | code) + sum(words)
            check = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
            raw = scene.net(socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
            raw.sendto(struct.pack("!BBHI", 3, code, check, 0) + syn[:28], ("10.77.0.1", 0))
            readable(sock)
            assert pending(sock) == error, code

    def test_an_established_connection_that_times_out_says_what_was_last_heard(self, scene: Scene) -> None:
        net = scene.net
        with network() as other:
            ip(net, f"link add va type veth peer name vb netns {other(threading.get_native_id)}")
            for side, device, address in ((net, "va", "10.77.0.1"), (other, "vb", "10.77.0.2")):
                ip(side, f"addr add {address}/24 dev {device}")
                ip(side, f"link set {device} up")
            listener = other(socket.create_server, ("10.77.0.2", 80))
            sock = net(socket.create_connection, ("10.77.0.2", 80), 10)
            other.own(listener.accept()[0])
            quick_arp(net)
            ip(other, "addr del 10.77.0.2/24 dev vb")
            ip(net, "neigh flush dev va")
            user_timeout(sock, 1000)
            sock.send(b"x")
            readable(sock)
            assert pending(sock) == "EHOSTUNREACH"

    def test_connect_again_after_the_error_was_taken(self, scene: Scene) -> None:
        sock = scene.socket()
        sock.setblocking(False)
        assert sock.connect_ex((LOOPBACK, 9)) == errno.EINPROGRESS
        readable(sock)
        assert pending(sock) == "ECONNREFUSED"
        assert outcome(sock.connect, (LOOPBACK, 9)) == "ECONNABORTED"


class TestAddresses:
    @pytest.mark.parametrize("no_port", [0, 1])
    def test_ports_for_one_destination_run_out(self, scene: Scene, no_port: int) -> None:
        set_sysctl(scene.net, "net/ipv4/ip_local_port_range", "40000 40003")
        listeners = [scene.net(socket.create_server, (LOOPBACK, port)) for port in (5000, 5001)]
        clients = [scene.socket() for _ in range(4)]
        assert [outcome(each.connect, (LOOPBACK, 5000)) for each in clients] == [None] * 4
        assert outcome(scene.socket().connect, (LOOPBACK, 5000)) == "EADDRNOTAVAIL"
        assert outcome(scene.socket().connect, (LOOPBACK, 5001)) is None
        bound = scene.socket()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, no_port)
        assert outcome(bound.bind, (LOOPBACK, 0)) == (None if no_port else "EADDRINUSE")
        if no_port:
            assert bound.getsockname() == (LOOPBACK, 0)
            assert outcome(bound.connect, listeners[1].getsockname()) is None

    def test_a_4_tuple_that_exists_and_a_second_listener(self, scene: Scene) -> None:
        target = scene.socket(listen=True).getsockname()
        first, second = reusing(scene), reusing(scene)
        assert [outcome(each.bind, (LOOPBACK, 4100)) for each in (first, second)] == [None, None]
        assert [outcome(each.connect, target) for each in (first, second)] == [None, "EADDRNOTAVAIL"]
        first, second = reusing(scene), reusing(scene)
        assert [outcome(each.bind, (LOOPBACK, 4200)) for each in (first, second)] == [None, None]
        assert [outcome(each.listen) for each in (first, second)] == [None, "EADDRINUSE"]

    @pytest.mark.parametrize(("old", "then"), [(0, "EADDRINUSE"), (1, None)])
    @pytest.mark.parametrize("left", [State.TIME_WAIT, State.FIN_WAIT2, State.ESTABLISHED])
    def test_a_port_with_leftovers_needs_reuseaddr_on_both(
        self, scene: Scene, old: int, then: str | None, left: State
    ) -> None:
        listener = reusing(scene, old)
        listener.bind((LOOPBACK, 0))
        listener.listen()
        address = listener.getsockname()
        client = scene.net(socket.create_connection, address)
        accepted = scene.net.own(listener.accept()[0])
        listener.close()
        if left != State.ESTABLISHED:
            accepted.close()
        if left == State.TIME_WAIT:
            client.close()
        until(lambda: rows(scene, address)["state"].tolist() == [left])
        assert outcome(reusing(scene, 0).bind, address) == "EADDRINUSE"
        assert outcome(reusing(scene).bind, address) == then

    def test_a_listener_stays_the_only_one_and_lives_in_a_child(self, scene: Scene) -> None:
        wildcard = reusing(scene)
        wildcard.bind(("0.0.0.0", 0))
        wildcard.listen()
        address = (LOOPBACK, wildcard.getsockname()[1])
        with holder("child", [wildcard]):
            assert outcome(reusing(scene).bind, address) == "EADDRINUSE"
            assert outcome(scene.socket().connect, address) is None
        assert outcome(reusing(scene).bind, address) is None

    def test_reuseport_needs_both_and_one_user_and_close_resets_what_waits(self, scene: Scene) -> None:
        first, second, alone, foreign = (reusing(scene, each, socket.SO_REUSEPORT) for each in (1, 1, 0, 1))
        first.bind((LOOPBACK, 0))
        first.listen(5)
        address = first.getsockname()
        os.fchown(foreign.fileno(), 65534, 65534)
        assert [outcome(each.bind, address) for each in (second, alone, foreign)] == [None, "EADDRINUSE", "EADDRINUSE"]
        second.listen(200)
        clients = [scene.socket() for _ in range(100)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(address)
        assert queue(first) == (6, 5)  # a hash deals them out, and does not look at who has room
        assert [state(each) for each in clients].count(State.SYN_SENT) == 100 - 6 - queue(second)[0] > 0
        first.close()
        assert [pending(each) for each in clients].count("ECONNRESET") == 6


class TestAccept:
    def test_the_backlog_is_fixed_by_listen_and_one_more_fits(self, scene: Scene) -> None:
        listener = scene.socket(listen=True)
        listener.listen(2)
        clients = [scene.net(socket.create_connection, listener.getsockname()) for _ in range(3)]
        late = scene.socket()
        late.setblocking(False)
        assert late.connect_ex(listener.getsockname()) == errno.EINPROGRESS
        assert (queue(listener), state(late), len(clients)) == ((3, 2), State.SYN_SENT, 3)
        assert counter(scene.net, "TcpExtListenOverflows") == 1
        set_sysctl(scene.net, "net/core/somaxconn", "7")
        assert queue(listener) == (3, 2)
        listener.listen(100)
        assert queue(listener) == (3, 7)
        set_sysctl(scene.net, "net/core/somaxconn", "5")
        assert queue(listener) == (3, 7)

    def test_emfile_leaves_the_queue_as_it_is_and_the_listener_readable(self, scene: Scene) -> None:
        listener = scene.socket(listen=True)
        scene.net(socket.create_connection, listener.getsockname())
        done = python(
            listener,
            """
resource.setrlimit(resource.RLIMIT_NOFILE, (sock.fileno() + 1, sock.fileno() + 1))
opened = []
for call in (lambda: opened.append(open("/dev/null")),) * 999 + (sock.accept, sock.accept):
    try: call()
    except OSError as error: last = error.errno
print(last, len(select.select([sock], [], [], 0)[0]))
""",
        )
        assert (done.stdout.split(), queue(listener)[0]) == ([str(errno.EMFILE), "1"], 1)

    def test_a_client_that_reset_is_accepted_and_the_error_comes_later(self, scene: Scene) -> None:
        listener = scene.socket(listen=True)
        reset(scene.net(socket.create_connection, listener.getsockname()))
        accepted = scene.net.own(listener.accept()[0])
        assert (outcome(accepted.getpeername), outcome(accepted.recv, 1)) == ("ENOTCONN", "ECONNRESET")

    def test_a_destroyed_socket_says_aborted_and_its_peer_reset(self, scene: Scene) -> None:
        peer, sock = scene.pair()
        (row,) = rows(scene, sock)
        scene.net(scene.net.destroyer.destroy, row)
        assert (outcome(sock.recv, 1), outcome(sock.send, b"x"), outcome(peer.recv, 1)) == (
            *("ECONNABORTED", "EPIPE"),
            "ECONNRESET",
        )

    def test_defer_accept_waits_in_syn_recv_for_data_or_the_end(self, scene: Scene) -> None:
        listener = scene.socket(listen=True)
        for value, read in ((2, 3), (10, 15), (30, 31)):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, value)
            assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT) == read
        clients = [scene.net(socket.create_connection, listener.getsockname()) for _ in range(3)]
        found = scene.dump()
        assert (found["state"] == State.SYN_RECV).sum() == 3
        assert ([state(each) for each in clients], queue(listener)[0]) == ([State.ESTABLISHED] * 3, 0)
        clients[0].send(b"request")
        clients[1].shutdown(socket.SHUT_WR)
        until(lambda: queue(listener)[0] == 2)

    def test_defer_accept_ends(self, scene: Scene) -> None:
        listener = scene.socket(listen=True)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)
        scene.net(socket.create_connection, listener.getsockname())
        readable(listener)
