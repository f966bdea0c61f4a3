"""SOCK_DESTROY: the bytes of a request, what the kernel does with it, and every answer it can give."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from sockui.collector import destroy, inet_diag
from sockui.collector.destroy import Destroyer, Refusal, Verdict, may_destroy, refusals
from sockui.collector.linux import DUMPS
from sockui.errors import NetlinkError
from sockui.model import Known, Protocol, SocketArray, State, empty_sockets
from tests.actions.scenes import HOSTS, Network, network, until


@pytest.fixture
def net() -> Iterator[Network]:
    with network() as made:
        yield made


def listed(net: Network) -> SocketArray:
    decoder = inet_diag.Decoder()
    for family, protocol in DUMPS:
        net.destroyer.dump(family, protocol, decoder, inet_diag.ALL_STATES)
    return decoder.rows()


def row_of(net: Network, sock: socket.socket, peer: socket.socket | None = None) -> Any:
    """The row of a socket, by its inode; or of one that nobody holds any more, by its ports."""
    rows = listed(net)
    if peer is None:
        (row,) = rows[rows["inode"] == os.fstat(sock.fileno()).st_ino]
    else:
        ports = (rows["local_port"] == sock.getsockname()[1]) & (rows["remote_port"] == peer.getsockname()[1])
        (row,) = rows[ports]
    return row


def established(**fields: int) -> SocketArray:
    rows = empty_sockets(1)
    rows["protocol"], rows["family"], rows["state"], rows["cookie"] = Protocol.TCP, 4, State.ESTABLISHED, 7
    rows["known"] = int(Known.COOKIE)
    for name, value in fields.items():
        rows[name] = value
    return rows


class TestRequest:
    """struct inet_diag_req_v2 after struct nlmsghdr, as include/uapi/linux/inet_diag.h has them."""

    def test_ipv4(self) -> None:
        (row,) = established(
            local_low=0xFFFF0A000001, remote_low=0xFFFF0A000102, local_port=8080, remote_port=50000, interface=3,
            cookie=0x1122334455667788,
        )  # fmt: skip
        wanted = "48000000 1500 0500 2a000000 00000000"  # 72 bytes, SOCK_DESTROY, REQUEST|ACK, sequence 42
        wanted += "02 06 00 00 ffffffff 1f90 c350"
        wanted += "0a000001" + "00" * 12 + "0a000102" + "00" * 12
        wanted += "03000000 8877665544332211"
        assert destroy.request(row, 42) == bytes.fromhex(wanted)

    def test_ipv6(self) -> None:
        (row,) = established(
            family=6, local_high=0xFE80 << 48, local_low=1, remote_high=0x20010DB8 << 32, remote_low=2,
            local_port=443, remote_port=1,
        )  # fmt: skip
        wanted = "48000000 1500 0500 01000000 00000000 0a 06 00 00 ffffffff 01bb 0001"
        wanted += "fe80" + "00" * 13 + "01" + "20010db8" + "00" * 11 + "02" + "00000000 0700000000000000"
        assert destroy.request(row, 1) == bytes.fromhex(wanted)

    def test_v4_mapped_is_asked_for_as_it_was_listed(self) -> None:
        (row,) = established(family=6, local_low=0xFFFF7F000001, remote_low=0xFFFF7F000001)
        sent = destroy.request(row, 1)
        assert sent[16] == inet_diag.AF_INET6
        assert sent[28:44] == sent[44:60] == bytes.fromhex("00" * 10 + "ffff7f000001")


class TestRefusals:
    """What is never asked for."""

    @pytest.mark.parametrize(
        ("fields", "refusal"),
        [
            ({}, Refusal.NONE),
            ({"state": State.CLOSE_WAIT}, Refusal.NONE),
            ({"state": State.FIN_WAIT2}, Refusal.NONE),
            ({"state": State.FIN_WAIT2, "known": Known.COOKIE | Known.MINI}, Refusal.FIN_WAIT2_MINI),
            ({"state": State.TIME_WAIT, "known": Known.COOKIE | Known.MINI}, Refusal.TIME_WAIT),
            ({"state": State.SYN_RECV, "known": Known.COOKIE | Known.MINI}, Refusal.SYN_RECV),
            ({"state": State.LISTEN}, Refusal.LISTEN),
            ({"state": State.CLOSE}, Refusal.CLOSE),
            ({"protocol": Protocol.UDP}, Refusal.UDP),
            ({"known": Known.INODE}, Refusal.NO_COOKIE),
            ({"cookie": 2**64 - 1}, Refusal.NO_COOKIE),
            ({"state": State.LISTEN, "known": 0}, Refusal.NO_COOKIE),
        ],
    )
    def test_each(self, fields: dict[str, int], refusal: Refusal) -> None:
        rows = established(**{name: int(value) for name, value in fields.items()})
        assert refusals(rows).tolist() == [refusal]
        if refusal != Refusal.NONE:
            with contextlib.closing(Destroyer()) as destroyer, pytest.raises(ValueError, match=refusal.name):
                destroyer.destroy(rows[0])


class Kernel:
    """Stands where the netlink socket is and answers with an errno, after what an older dump left behind."""

    def __init__(self, code: int | None) -> None:
        self.code = code
        self.answers: list[bytes] = []

    def send(self, data: bytes) -> int:
        (sequence,) = struct.unpack_from("=I", data, 8)
        stale = struct.pack("=IHHIIi", 36, inet_diag.NLMSG_ERROR, 0, sequence - 1, 0, 0) + bytes(16)
        self.answers = [stale]
        if self.code is not None:
            self.answers.append(
                struct.pack("=IHHIIi", 36, inet_diag.NLMSG_ERROR, 0, sequence, 0, -self.code) + data[:16]
            )
        return len(data)

    def recv_into(self, view: memoryview, size: int, flags: int) -> int:
        if not self.answers:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        answer = self.answers.pop(0)
        view[: len(answer)] = answer
        return len(answer)

    def close(self) -> None:
        pass


class TestAnswers:
    """The kernel's words, played back."""

    @pytest.mark.parametrize(
        ("code", "verdict", "name"),
        [
            (0, Verdict.CLOSED, "destroyed"),
            (errno.ENOENT, Verdict.GONE, "ENOENT"),
            (errno.EPERM, Verdict.NOT_PERMITTED, "EPERM"),
            (errno.EOPNOTSUPP, Verdict.NOT_SUPPORTED, "EOPNOTSUPP"),
            (errno.EINVAL, Verdict.FAILED, "EINVAL"),
            (4095, Verdict.FAILED, "4095"),
        ],
    )
    def test_each_errno_has_a_meaning(self, code: int, verdict: Verdict, name: str) -> None:
        destroyer = Destroyer()
        destroyer.close()
        destroyer._socket = Kernel(code)  # type: ignore[assignment]
        answer = destroyer.destroy(established()[0])
        assert (answer.verdict, answer.name) == (verdict, name)

    def test_a_kernel_that_does_not_answer_is_named(self) -> None:
        destroyer = Destroyer()
        destroyer.close()
        destroyer._socket = Kernel(None)  # type: ignore[assignment]
        with pytest.raises(NetlinkError, match="did not answer"):
            destroyer.destroy(established()[0])


@pytest.mark.kernel
@pytest.mark.parametrize("kind", HOSTS)
class TestOneSocket:
    """The one that is named, and no other."""

    def test_the_named_one_of_three_alike_is_closed(self, net: Network, kind: str) -> None:
        (first, other), (server, client), (last, another) = net.connect(kind, 3)
        row = row_of(net, server)
        assert row["family"] == (4 if kind == "v4" else 6)
        assert net(net.destroyer.destroy, row).verdict == Verdict.CLOSED
        with pytest.raises(ConnectionAbortedError):
            server.recv(1)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        for one, two in ((first, other), (last, another)):
            one.sendall(b"still here")
            assert two.recv(100) == b"still here"

    def test_another_cookie_closes_nothing(self, net: Network, kind: str) -> None:
        ((server, client),) = net.connect(kind)
        row = row_of(net, server)
        right = int(row["cookie"])
        for wrong in (0, 1, right + 1, right ^ 1 << 32, 2**64 - 2):
            row["cookie"] = wrong
            assert net(net.destroyer.destroy, row).verdict == Verdict.GONE
        client.sendall(b"still here")
        assert server.recv(100) == b"still here"

    def test_other_endpoints_close_nothing(self, net: Network, kind: str) -> None:
        (server, client), (other, another) = net.connect(kind, 2)
        row = row_of(net, server)
        row["remote_port"] = another.getsockname()[1]
        assert net(net.destroyer.destroy, row).verdict == Verdict.GONE
        for one, two in ((server, client), (other, another)):
            one.sendall(b"still here")
            assert two.recv(100) == b"still here"

    def test_once_it_is_gone_the_listener_of_its_port_is_not_hit(self, net: Network, kind: str) -> None:
        connections = net.connect(kind, 2)
        server, client = next(connections)
        row = row_of(net, server)
        assert net(net.destroyer.destroy, row).verdict == Verdict.CLOSED
        assert net(net.destroyer.destroy, row).verdict == Verdict.GONE
        server, client = next(connections)  # by the same listener
        client.sendall(b"next")
        assert server.recv(100) == b"next"


@pytest.mark.kernel
class TestStates:
    """What the module's docstring says of each state."""

    @pytest.mark.parametrize("unread", [b"", b"data"])
    def test_close_wait_keeps_what_had_arrived_and_reads_end_of_file(self, net: Network, unread: bytes) -> None:
        ((server, client),) = net.connect()
        client.sendall(unread)
        client.shutdown(socket.SHUT_WR)
        row = row_of(net, server)
        assert row["state"] == State.CLOSE_WAIT
        assert net(net.destroyer.destroy, row).verdict == Verdict.CLOSED
        assert (server.recv(100), server.recv(100)) == ((unread, b"") if unread else (b"", b""))
        with pytest.raises(ConnectionAbortedError):
            server.send(b"x")
        with pytest.raises(ConnectionResetError):
            client.recv(1)

    def test_established_keeps_what_had_arrived(self, net: Network) -> None:
        ((server, client),) = net.connect()
        client.sendall(b"data")
        assert net(net.destroyer.destroy, row_of(net, server)).verdict == Verdict.CLOSED
        assert server.recv(100) == b"data"
        with pytest.raises(ConnectionAbortedError):
            server.recv(100)

    def test_fin_wait2(self, net: Network) -> None:
        ((_server, client),) = net.connect()
        client.shutdown(socket.SHUT_WR)
        until(lambda: row_of(net, client)["state"] == State.FIN_WAIT2)
        row = row_of(net, client)
        assert net(net.destroyer.destroy, row).verdict == Verdict.CLOSED
        with pytest.raises(ConnectionAbortedError):
            client.recv(1)

    def test_an_explicitly_bound_port_stays_taken_until_close(self, net: Network) -> None:
        listener = net(socket.create_server, ("127.0.0.1", 0))
        client = net(socket.create_connection, listener.getsockname(), source_address=("127.0.0.1", 5999))
        row = row_of(net, client)
        assert net(net.destroyer.destroy, row).verdict == Verdict.CLOSED
        after = row_of(net, client)
        assert (after["state"], after["cookie"]) == (State.CLOSE, row["cookie"])
        client.close()
        assert not (listed(net)["local_port"] == 5999).any()

    def test_a_connection_that_is_not_accepted_is_still_returned_by_accept(self, net: Network) -> None:
        listener = net(socket.create_server, ("127.0.0.1", 0))
        client = net(socket.create_connection, listener.getsockname())
        rows = listed(net)
        (row,) = rows[(rows["local_port"] == listener.getsockname()[1]) & (rows["state"] == State.ESTABLISHED)]
        assert net(net.destroyer.destroy, row).verdict == Verdict.CLOSED
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        server = net.own(listener.accept()[0])
        with pytest.raises(ConnectionAbortedError):
            server.recv(1)

    def test_refused_states_are_recognised_as_the_kernel_lists_them(self, net: Network) -> None:
        bound = net(socket.socket)
        bound.bind(("127.0.0.1", 0))
        datagrams = net(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind(("127.0.0.1", 0))
        deferred = net(socket.create_server, ("127.0.0.1", 0))
        deferred.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
        net(socket.create_connection, deferred.getsockname())
        (_waiting, closed), (server, client) = net.connect(count=2)
        client.close()
        orphan_port = closed.getsockname()[1]
        closed.close()
        server.close()
        until(lambda: orphan_port in listed(net)["local_port"][listed(net)["state"] == State.FIN_WAIT2])
        rows = listed(net)
        refused = refusals(rows)
        assert {Refusal(code): sorted(rows["state"][refused == code].tolist()) for code in set(refused.tolist())} == {
            Refusal.NONE: [State.ESTABLISHED, State.CLOSE_WAIT],  # the client that waits, the orphan's peer
            Refusal.LISTEN: [State.LISTEN, State.LISTEN],
            Refusal.CLOSE: [State.CLOSE],
            Refusal.UDP: [State.CLOSE],
            Refusal.SYN_RECV: [State.SYN_RECV],
            Refusal.TIME_WAIT: [State.TIME_WAIT],
            Refusal.FIN_WAIT2_MINI: [State.FIN_WAIT2],
        }


@pytest.mark.kernel
def test_without_the_capability_the_kernel_refuses(net: Network) -> None:
    ((server, client),) = net.connect()
    row = row_of(net, server)

    def as_nobody() -> int:
        child = os.fork()
        if child == 0:
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            refused = net.destroyer.destroy(row).verdict == Verdict.NOT_PERMITTED
            os._exit(0 if refused and not may_destroy() else 1)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert net(as_nobody) == 0
    assert net(may_destroy)
    client.sendall(b"still here")
    assert server.recv(100) == b"still here"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to lose one capability alone")
def test_root_without_the_capability_is_told_apart() -> None:
    program = "from sockui.collector.destroy import may_destroy; print(may_destroy())"
    command = ["setpriv", "--inh-caps=-net_admin", "--bounding-set=-net_admin", sys.executable, "-c", program]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
