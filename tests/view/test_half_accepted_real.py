"""A client that a full accept queue did not let in: who has to act, and what ends it, with real sockets."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sockui.collector.linux import NetlinkCollector
from sockui.diagnosis.engine import Diagnosis
from sockui.diagnosis.situations import Situation
from sockui.diagnosis.thresholds import Thresholds
from sockui.model import State, Timer
from sockui.tracker import Tracker, Update
from sockui.view.explain import Explanation, explain
from sockui.view.findings import Said, say
from tests.actions.scenes import Network, network, until

pytestmark = pytest.mark.kernel

BACKLOG = 2
AT_ONCE = Thresholds(retransmitting_seconds=0.1)


class Door:
    """A listener whose queue is full, and clients that are ESTABLISHED while their other ends are SYN_RECV."""

    def __init__(self, net: Network) -> None:
        self.net = net
        self.listener = net(socket.socket)
        self.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 300)  # holds them back at the door
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(BACKLOG)
        self.talker, self.waiter = self.client(), self.client()
        self.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 0)
        for _ in range(BACKLOG + 1):
            self.client()
        self.talker.send(b"hello")

    def client(self) -> socket.socket:
        made = self.net(socket.socket)
        made.connect(self.listener.getsockname())
        return made

    def accept_all(self) -> None:
        self.listener.settimeout(5)
        for _ in range(BACKLOG + 1):
            self.net.own(self.listener.accept()[0])

    def row(self, update: Update, client: socket.socket, *, ours: bool = True) -> int:
        """The row of a client's own end or of the other one, -1 if there is none."""
        end = "local_port" if ours else "remote_port"
        rows = np.flatnonzero(update.sockets[end] == client.getsockname()[1])
        return int(rows[0]) if len(rows) else -1

    def until_repeated(self, least: int) -> None:
        def repeated() -> bool:
            update = self.net.update()
            return bool(update.sockets["retransmits"][self.row(update, self.talker)] >= least)

        until(repeated)

    def told(self) -> tuple[Explanation, dict[str, Said], Update]:
        """What is said of the talker, and of each rule that finds something."""
        collector = self.net(NetlinkCollector)
        try:
            update = Tracker().update(self.net(collector.collect))
        finally:
            collector.close()
        found = Diagnosis(AT_ONCE).update(update)
        told = {item.rule: say(found, item) for item in found.items}
        return explain(update, self.row(update, self.talker)), told, update


@pytest.fixture
def door() -> Iterator[Door]:
    with network() as net:
        yield Door(net)


def test_while_the_queue_is_full_the_listener_must_accept(door: Door) -> None:
    door.until_repeated(2)
    known, found, update = door.told()
    assert [*found] == ["R16"], "which explains the clients"
    assert known.situation is Situation.ESTABLISHED_RETRANSMITTING
    assert known.turn.startswith("The peer's application: ")
    assert known.turn.endswith(" must accept().")
    assert known.ends.endswith(
        "about 1 min 3 s after its first SYN-ACK, and the repeat after that gets an RST: ECONNRESET."
    )
    assert known.causes[0].supported
    assert not any("packet filter" in cause.text for cause in known.causes)
    there = explain(update, door.row(update, door.talker, ours=False))
    assert there.situation is Situation.SYN_RECV_QUEUE_FULL
    assert "its next repeat then gets an RST (ECONNRESET)" in there.ends


def test_with_room_again_nobody_is_blamed_and_the_next_repeat_completes_it() -> None:
    def looked_in_time() -> bool:
        with network() as net:
            door = Door(net)
            door.until_repeated(3)  # 1.6 s until the next
            door.accept_all()
            known, found, update = door.told()
            if update.sockets["state"][door.row(update, door.talker, ours=False)] != State.SYN_RECV:
                return False  # this host was slow, and the repeat came first
            assert known.turn.startswith("Our kernel: our next repeat (")
            assert known.turn.endswith(") completes it, unless a packet filter drops it.")
            assert any("packet filter" in cause.text for cause in known.causes)
            assert "its accept queue has room now" in found["R18"].summary
            assert "First: wait for the next repeat (" in found["R18"].summary
            assert "must accept()" not in found["R18"].turn
            net.own(door.listener.accept()[0])  # let in by the repeat
            return True

    until(looked_in_time)


def test_a_client_that_the_listener_forgot_gets_a_reset_if_it_sends_and_nothing_if_it_waits(door: Door) -> None:
    for client in (door.talker, door.waiter):
        update = door.net.update()
        assert update.sockets["state"][door.row(update, client, ours=False)] == State.SYN_RECV
    door.net(Path("/proc/sys/net/ipv4/tcp_synack_retries").write_text, "1")
    until(lambda: door.row(door.net.update(), door.waiter, ours=False) < 0)
    until(lambda: door.talker.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET)
    door.accept_all()
    update = door.net.update()
    left = update.sockets[door.row(update, door.waiter)]
    assert (left["state"], left["timer"]) == (State.ESTABLISHED, Timer.OFF)
    assert door.row(update, door.waiter, ours=False) < 0
