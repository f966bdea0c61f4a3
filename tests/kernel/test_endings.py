"""Every kind of ending that is claimed, made with real sockets, and judged from the kernel's last word on them."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sockui.model import Known, Protocol, SocketArray, State
from sockui.model.endings import How
from tests.actions.scenes import HOSTS, until
from tests.kernel.ending_scenes import Scene, cookie, deafen, ending_scene, readable, reset

pytestmark = pytest.mark.kernel

KINDS = tuple(HOSTS)


@pytest.fixture
def scene() -> Iterator[Scene]:
    with ending_scene() as made:
        yield made


class TestClosed:
    @pytest.mark.parametrize("kind", KINDS)
    def test_we_close_first_and_the_peer_does_not_yet(self, scene: Scene, kind: str) -> None:
        client, _server = scene.pair(kind)
        number = cookie(client)
        scene.look()
        client.close()
        ended = scene.ended(number)
        assert ended.how == (How.CLOSED, How.CLOSED)
        assert ended.fact["mini"] == State.FIN_WAIT2

    def test_both_close_and_time_wait_is_the_proof(self, scene: Scene) -> None:
        client, server = scene.pair()
        number = cookie(client)
        scene.look()
        client.close()
        readable(server)
        server.close()
        scene.until_state(number, State.TIME_WAIT)
        ended = scene.ended(number)
        assert ended.how == (How.CLOSED, How.NORMAL)
        assert ended.fact["mini"] == State.TIME_WAIT

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("who", ["connected", "accepted"])
    def test_the_peer_closes_first(self, scene: Scene, kind: str, who: str) -> None:
        ours, theirs = scene.pair(kind) if who == "connected" else reversed(scene.pair(kind))
        number = cookie(ours)
        theirs.close()
        readable(ours)
        scene.look()  # CLOSE_WAIT: the peer's FIN is there
        ours.close()
        ended = scene.ended(number)
        assert ended.how == (How.CLOSED if who == "connected" else How.UNKNOWN, How.NORMAL)
        assert ended.fact["mini"] == 0

    def test_without_the_dump_that_shows_the_peers_fin_it_is_not_claimed(self, scene: Scene) -> None:
        client, server = scene.pair()
        number = cookie(server)
        scene.look()
        client.close()
        readable(server)
        server.close()
        assert scene.ended(number).how == (How.UNKNOWN, How.CLOSED)

    def test_a_fin_that_went_out_on_the_last_data(self, scene: Scene) -> None:
        client, server = scene.pair()
        number = cookie(server)
        scene.look()
        server.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                server.send(bytes(65536))
        server.close()
        received = 0
        while data := client.recv(1 << 20):
            received += len(data)
        ended = scene.ended(number)
        assert ended.how == (How.UNKNOWN, How.CLOSED)
        assert ended.row["bytes_acked"] == received + 1

    def test_half_closed_then_the_rest_stays_unread(self, scene: Scene) -> None:
        client, server = scene.pair()
        number = cookie(client)
        client.shutdown(socket.SHUT_WR)
        server.sendall(b"12345")
        server.close()
        readable(client)
        scene.look()
        client.close()
        ended = scene.ended(number)
        assert ended.alone == How.CLOSED
        assert ended.row["recv_queue"] >= 5

    def test_a_peer_that_resets_after_it_acknowledged_our_fin(self, scene: Scene) -> None:
        client, server = scene.pair()
        number = cookie(client)
        client.shutdown(socket.SHUT_WR)
        readable(server)
        scene.until_state(number, State.FIN_WAIT2)
        scene.look()
        reset(server)
        readable(client)
        client.close()
        assert scene.ended(number).how == (How.CLOSED, How.CLOSED)


class TestReset:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("who", ["connected", "accepted"])
    def test_by_the_peer(self, scene: Scene, kind: str, who: str) -> None:
        ours, theirs = scene.pair(kind) if who == "connected" else reversed(scene.pair(kind))
        ours.sendall(b"question")
        assert theirs.recv(100) == b"question"
        number, other = cookie(ours), cookie(theirs)
        scene.look()
        reset(theirs)
        readable(ours)
        ours.close()
        ended = scene.ended(number)
        assert ended.how == (How.UNKNOWN if who == "connected" else How.RESET, How.RESET_BY_PEER)
        assert scene.ended(other).how == (How.DISCONNECTED, How.DISCONNECTED)

    def test_by_the_peer_between_two_polls(self, scene: Scene) -> None:
        scene.socket(listen=True)
        scene.look()
        client, server = scene.pair()
        number = cookie(client)
        reset(server)
        readable(client)
        client.close()
        assert scene.ended(number).how == (How.UNKNOWN, How.RESET)

    @pytest.mark.parametrize("who", ["connected", "accepted"])
    def test_here_by_close_with_unread_data(self, scene: Scene, who: str) -> None:
        ours, theirs = scene.pair() if who == "connected" else reversed(scene.pair())
        number, other = cookie(ours), cookie(theirs)
        theirs.sendall(bytes(77))
        readable(ours)
        until(lambda: scene.row(other)["send_queue"] == 0)
        scene.look()
        ours.close()
        ended = scene.ended(number)
        assert ended.how == (How.UNKNOWN if who == "connected" else How.RESET, How.RESET_HERE)
        assert ended.row["recv_queue"] == 77
        readable(theirs)
        theirs.close()
        assert scene.ended(other).settled == How.RESET_BY_PEER

    def test_here_by_sock_destroy(self, scene: Scene) -> None:
        client, _server = scene.pair()
        number = cookie(client)
        scene.look()
        scene.net.destroyer.destroy(scene.row(number))
        client.close()
        assert scene.ended(number).settled == How.RESET_HERE

    def test_by_the_peer_before_it_acknowledged_what_we_sent(self, scene: Scene) -> None:
        def sent_nothing_again() -> bool:
            client, server = scene.pair()
            number = cookie(client)
            deafen(server)
            client.sendall(b"hello?")
            scene.look()
            reset(server)
            readable(client)
            client.close()
            ended = scene.ended(number)
            assert ended.row["send_queue"] == 6
            if ended.row["retransmits"]:
                return False  # this host was slow, and the kernel took it for a loss
            assert ended.how == (How.RESET, How.RESET_BY_PEER)
            return True

        until(sent_nothing_again)

    def test_a_listener_closes_with_a_connection_in_its_queue(self, scene: Scene) -> None:
        listener = scene.socket(listen=True)
        client = scene.socket()
        client.connect(listener.getsockname())
        until(lambda: self._queued(scene, client))
        scene.look()
        (row,) = self._queued(scene, client)
        of_listener = cookie(listener)
        listener.close()
        assert scene.ended(int(row["cookie"])).alone == How.DISCONNECTED
        assert scene.ended(of_listener).alone == How.NO_CONNECTION

    @staticmethod
    def _queued(scene: Scene, client: socket.socket) -> SocketArray:
        rows = scene.dump()
        found: SocketArray = rows[rows["remote_port"] == client.getsockname()[1]]
        waiting: SocketArray = found[found["state"] == State.ESTABLISHED]
        return waiting


class TestUnanswered:
    def test_data_until_the_kernel_gives_up(self, scene: Scene) -> None:
        client, server = scene.pair()
        number = cookie(client)
        deafen(server)
        client.setsockopt(socket.IPPROTO_TCP, 18, 1500)  # TCP_USER_TIMEOUT, ms
        client.sendall(b"hello?")
        until(lambda: scene.row(number)["retransmits"] >= 1)
        scene.look()
        readable(client)
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ETIMEDOUT
        client.close()
        ended = scene.ended(number)
        assert ended.how == (How.UNANSWERED, How.TIMED_OUT)
        assert ended.row["retransmits"] >= 1
        assert ended.row["send_queue"] == 6

    def test_a_fin_of_an_orphan_until_the_kernel_gives_up(self, scene: Scene) -> None:
        scene.net(Path("/proc/sys/net/ipv4/tcp_orphan_retries").write_text, "1")
        client, server = scene.pair()
        number = cookie(client)
        deafen(server)
        client.close()
        until(lambda: scene.row(number)["retransmits"] >= 1)
        scene.look()
        ended = scene.ended(number)
        assert ended.how == (How.UNANSWERED, How.TIMED_OUT)
        assert ended.row["send_queue"] == 1

    @pytest.mark.parametrize("seen", [True, False])
    def test_a_reset_while_retransmitting_is_not_called_a_timeout(self, scene: Scene, seen: bool) -> None:
        client, server = scene.pair()
        number = cookie(client)
        deafen(server)
        client.sendall(b"hello?")
        until(lambda: scene.row(number)["retransmits"] >= 1)
        if seen:
            scene.look()
        reset(server)
        readable(client)
        client.close()
        assert scene.ended(number).how == (How.UNANSWERED, How.UNANSWERED)

    def test_keepalive(self, scene: Scene) -> None:
        client, server = scene.pair()
        number = cookie(client)
        for level, option in ((1, socket.SO_KEEPALIVE), (6, socket.TCP_KEEPIDLE), (6, 5), (6, socket.TCP_KEEPCNT)):
            client.setsockopt(level, option, 1)
        deafen(server)
        scene.look()
        readable(client)
        client.close()
        ended = scene.ended(number)
        assert ended.how == (How.UNANSWERED, How.UNANSWERED)
        assert ended.row["probes"] == 1


class TestConnect:
    def test_refused(self, scene: Scene) -> None:
        client = scene.socket()
        client.setblocking(False)
        number = cookie(client)
        client.connect_ex(("127.0.0.1", 1))
        readable(client)
        client.close()
        ended = scene.ended(number)
        assert ended.how == (How.REFUSED, How.REFUSED)
        assert (ended.row["remote_port"], ended.row["last_data_sent"]) == (1, 0)

    def test_refused_while_connect_waits(self, scene: Scene) -> None:
        client = scene.socket()
        number = cookie(client)
        with pytest.raises(ConnectionRefusedError):
            client.connect(("127.0.0.1", 1))
        client.close()
        ended = scene.ended(number)
        assert ended.how == (How.CONNECT_FAILED, How.CONNECT_FAILED)
        assert not ended.row["known"] & int(Known.INFO)

    def test_unanswered(self, scene: Scene) -> None:
        listener = scene.socket(listen=True)
        deafen(listener)
        client = scene.socket()
        client.setblocking(False)
        number = cookie(client)
        client.connect_ex(listener.getsockname())
        until(lambda: scene.row(number)["retransmits"] >= 1)
        scene.look()
        client.close()
        ended = scene.ended(number)
        assert ended.how == (How.NO_ANSWER, How.NO_ANSWER)
        assert ended.row["retransmits"] >= 1


class TestNoConnection:
    @pytest.mark.parametrize("what", ["unused", "bound", "listening"])
    def test_tcp(self, scene: Scene, what: str) -> None:
        sock = scene.socket(listen=what == "listening")
        if what == "bound":
            sock.bind(("127.0.0.1", 0))
        port, number = sock.getsockname()[1], cookie(sock)
        sock.close()
        ended = scene.ended(number)
        assert ended.how == (How.NO_CONNECTION, How.NO_CONNECTION)
        assert ended.row["local_port"] == port

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
    def test_udp_tells_what_was_not_read(self, scene: Scene, host: str) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server, client = (scene.net(socket.socket, family, socket.SOCK_DGRAM) for _ in range(2))
        server.bind((host, 0))
        client.connect(server.getsockname())
        client.send(b"unread")
        readable(server)
        of_server, of_client = cookie(server), cookie(client)
        port = server.getsockname()[1]
        server.close()
        client.close()
        closed, connected = scene.ended(of_server), scene.ended(of_client)
        assert {closed.settled, connected.settled} == {How.NO_CONNECTION}
        assert closed.row["protocol"] == Protocol.UDP
        assert (closed.row["local_port"], connected.row["remote_port"]) == (port, port)
        assert closed.row["recv_queue"] > 0
        assert connected.row["recv_queue"] == connected.row["send_queue"] == 0
