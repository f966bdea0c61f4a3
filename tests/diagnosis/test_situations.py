"""Which situation a socket is in: rows as a kernel gave them, and the kernel's own sockets."""

from __future__ import annotations

import ipaddress
import os
import threading
import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sockui.ages import AGE
from sockui.diagnosis.situations import STUCK, Situation, classify, of
from sockui.model import Known, Protocol, Shutdown, SocketArray, State, Timer, empty_sockets
from sockui.tracker import Life
from sockui.view.facts import Facts
from sockui.view.summary import summary
from tests.diagnosis.conftest import Ward

S, X = State, Situation
FULL = int(Known.QUEUES | Known.TIMER | Known.UID | Known.INODE | Known.COOKIE | Known.MEMORY | Known.INFO) | int(
    Known.WINDOWS | Known.RTO_TOTALS | Known.COUNTERS | Known.CGROUP
)
MINI = int(Known.QUEUES | Known.TIMER | Known.INODE | Known.COOKIE | Known.MINI)
PSUTIL = 0


def rows(*given: dict[str, Any]) -> SocketArray:
    """Socket rows; a full TCP socket with a holder, an open window and quiet queues unless said otherwise."""
    sockets = empty_sockets(len(given))
    usual = {"known": FULL, "protocol": Protocol.TCP, "family": 4, "inode": 77, "snd_wnd": 65_536, "rcv_wnd": 65_536}
    usual |= {"snd_mss": 1448, "last_data_sent": 900, "last_data_recv": 900, "last_ack_recv": 900, "local_port": 80}
    for row, fields in zip(sockets, given, strict=True):
        values = usual | fields
        for side in ("local", "remote"):
            if side in values:
                number = int(ipaddress.ip_address(values.pop(side)))
                number |= 0xFFFF << 32 if number >> 32 == 0 and number > 1 else 0
                values[f"{side}_high"], values[f"{side}_low"] = number >> 64, number & (2**64 - 1)
        for name, value in values.items():
            row[name] = value
    return sockets


def none_ended(sockets: SocketArray) -> NDArray[np.bool_]:
    return np.zeros(len(sockets), np.bool_)


def situation(*given: dict[str, Any], age: int = 10_000) -> Situation:
    """The situation of the first row."""
    sockets = rows(*given)
    ages = np.zeros(len(sockets), AGE)
    ages["min_ms"], ages["max_ms"] = age, -1
    return Situation(int(classify(sockets, ages, none_ended(sockets))[0]))


WRAPPED = {"state": S.ESTABLISHED, "send_queue": 500, "timer": Timer.ON, "retransmits": 2, "backoff": 4}
CASES: list[tuple[Situation, dict[str, Any]]] = [
    (X.CLOSE_WAIT_UNREAD, {"state": S.CLOSE_WAIT, "recv_queue": 1, "shutdown": Shutdown.RECEIVE}),
    (X.CLOSE_WAIT_READ, {"state": S.CLOSE_WAIT, "shutdown": Shutdown.RECEIVE}),
    (X.CLOSE_WAIT_READ, {"state": S.CLOSE_WAIT, "timer": Timer.KEEPALIVE, "timer_ms": 7_000_000}),
    (X.CLOSE_WAIT_UNACCEPTED, {"state": S.CLOSE_WAIT, "recv_queue": 1, "inode": 0}),
    (X.CLOSE_WAIT_SENDING, {"state": S.CLOSE_WAIT, "recv_queue": 1, "send_queue": 500, "timer": Timer.ON}),
    (X.CLOSE_WAIT, {"state": S.CLOSE_WAIT, "known": PSUTIL, "recv_queue": 1}),
    (X.FIN_WAIT2_HELD, {"state": S.FIN_WAIT2, "shutdown": Shutdown.SEND}),
    (X.FIN_WAIT2_ORPHAN, {"state": S.FIN_WAIT2, "known": MINI, "inode": 0, "timer": Timer.TIMEWAIT}),
    (X.FIN_WAIT2_ORPHAN, {"state": S.FIN_WAIT2, "inode": 0, "timer": Timer.KEEPALIVE}),  # tcp_fin_timeout above 60
    (X.FIN_WAIT2, {"state": S.FIN_WAIT2, "known": PSUTIL}),
    (X.FIN_WAIT1, {"state": S.FIN_WAIT1, "send_queue": 1, "timer": Timer.ON, "inode": 0}),
    (X.FIN_WAIT1, {"state": S.FIN_WAIT1, "known": PSUTIL, "send_queue": 1, "retransmits": 6}),
    (X.FIN_WAIT1_UNANSWERED, {"state": S.FIN_WAIT1, "send_queue": 1, "timer": Timer.ON, "retransmits": 6, "inode": 0}),
    (X.FIN_WAIT1_ZERO_WINDOW, {"state": S.FIN_WAIT1, "send_queue": 63_713, "timer": Timer.PERSIST, "snd_wnd": 0}),
    (X.FIN_WAIT1_ZERO_WINDOW, {"state": S.FIN_WAIT1, "send_queue": 63_713, "timer": Timer.ON, "snd_wnd": 0}),
    (X.FIN_WAIT1_NO_TIMER, {"state": S.FIN_WAIT1, "send_queue": 1, "inode": 0}),
    (X.FIN_WAIT1_NO_TIMER, {"state": S.LAST_ACK, "send_queue": 1, "inode": 0}),
    (X.FIN_WAIT1, {"state": S.FIN_WAIT1, "send_queue": 1}),  # held: it may be between two timers
    (X.LAST_ACK, {"state": S.LAST_ACK, "send_queue": 1, "timer": Timer.ON, "retransmits": 6, "inode": 0}),
    (X.LAST_ACK_ZERO_WINDOW, {"state": S.LAST_ACK, "send_queue": 900, "timer": Timer.PERSIST, "snd_wnd": 0}),
    (X.CLOSING, {"state": S.CLOSING, "recv_queue": 1, "send_queue": 1, "timer": Timer.ON, "inode": 0}),
    (X.TIME_WAIT, {"state": S.TIME_WAIT, "known": MINI, "inode": 0, "timer": Timer.TIMEWAIT}),
    (X.SYN_SENT, {"state": S.SYN_SENT, "send_queue": 1, "timer": Timer.ON, "retransmits": 8}),
    (X.SYN_RECV, {"state": S.SYN_RECV, "known": MINI, "inode": 0, "timer_ms": 5_248, "retransmits": 4}),
    (X.SYN_RECV, {"state": S.SYN_RECV, "known": MINI, "inode": 0, "timer_ms": 1_000}),
    (X.SYN_RECV_DEFER_ACCEPT, {"state": S.SYN_RECV, "known": MINI, "inode": 0, "timer_ms": 7_336}),
    (X.SYN_RECV, {"state": S.SYN_RECV, "known": PSUTIL, "timer_ms": 7_336}),
    (X.LISTEN, {"state": S.LISTEN, "recv_queue": 2, "send_queue": 2}),  # backlog + 1 fit
    (X.LISTEN_QUEUE_FULL, {"state": S.LISTEN, "recv_queue": 3, "send_queue": 2}),
    (X.LISTEN, {"state": S.LISTEN, "known": PSUTIL, "recv_queue": 3}),
    (X.ACCEPT_QUEUE, {"state": S.ESTABLISHED, "inode": 0}),
    (X.ACCEPT_QUEUE, {"state": S.ESTABLISHED, "inode": 0, "recv_queue": 90, "last_data_recv": 90_000}),
    (X.ESTABLISHED, {"state": S.ESTABLISHED}),
    (X.ESTABLISHED, {"state": S.ESTABLISHED, "known": PSUTIL}),
    (X.ESTABLISHED, {"state": S.ESTABLISHED, "recv_queue": 10, "last_data_recv": 400}),
    (X.ESTABLISHED, {"state": S.ESTABLISHED, "send_queue": 10, "timer": Timer.ON}),
    (X.ESTABLISHED, {"state": S.ESTABLISHED, "snd_wnd": 0}),  # nothing to send: nobody waits
    (X.ESTABLISHED_IDLE, {"state": S.ESTABLISHED, "last_data_sent": 60_000, "last_data_recv": 61_000}),
    (X.ESTABLISHED, {"state": S.ESTABLISHED, "last_data_sent": 100, "last_data_recv": 61_000}),
    (
        X.ESTABLISHED_RETRANSMITTING,
        {"state": S.ESTABLISHED, "send_queue": 500, "timer": Timer.ON, "retransmits": 6, "backoff": 6},
    ),
    (
        X.ESTABLISHED_UNREACHABLE,
        {"state": S.ESTABLISHED, "send_queue": 500, "timer": Timer.ON, "retransmits": 122, "backoff": 4},
    ),
    (  # retransmits is 8 bits wide: 258 reads 2
        X.ESTABLISHED_UNREACHABLE,
        {
            "state": S.ESTABLISHED,
            "send_queue": 500,
            "timer": Timer.ON,
            "retransmits": 2,
            "backoff": 4,
            "total_rto": 258,
            "total_rto_recoveries": 1,
        },
    ),
    (X.PEER_NOT_READING, {"state": S.ESTABLISHED, "send_queue": 33_624, "timer": Timer.PERSIST, "snd_wnd": 0}),
    (X.PEER_NOT_READING, {"state": S.ESTABLISHED, "send_queue": 33_624, "timer": Timer.PERSIST, "snd_wnd": 512}),
    (X.ESTABLISHED, {"state": S.ESTABLISHED, "send_queue": 33_624, "timer": Timer.PERSIST, "snd_wnd": 65_000}),
    (X.PEER_NOT_READING, {"state": S.ESTABLISHED, "send_queue": 33_624, "timer": Timer.ON, "snd_wnd": 0}),
    (X.NOT_READING, {"state": S.ESTABLISHED, "recv_queue": 127_480, "last_data_recv": 5_000, "rcv_wnd": 0}),
    (
        X.PEER_NOT_READING,
        {"state": S.ESTABLISHED, "recv_queue": 9, "last_data_recv": 5_000, "send_queue": 9, "snd_wnd": 0},
    ),
    (X.BOUND_INACTIVE, {"state": S.CLOSE}),
    (X.UDP_UNCONNECTED, {"state": S.CLOSE, "protocol": Protocol.UDP}),
    (X.UDP_CONNECTED, {"state": S.ESTABLISHED, "protocol": Protocol.UDP, "inode": 0, "last_data_sent": 99_999}),
    (X.UDP_DROPS, {"state": S.CLOSE, "protocol": Protocol.UDP, "drops": 1}),
    (X.UDP_UNCONNECTED, {"state": S.CLOSE, "protocol": Protocol.UDP, "drops": 1, "known": PSUTIL}),
]


@pytest.mark.parametrize(("expected", "fields"), CASES, ids=[f"{case.name}-{n}" for n, (case, _) in enumerate(CASES)])
def test_a_row_alone(expected: Situation, fields: dict[str, Any]) -> None:
    assert situation(fields) == expected


def test_the_table_covers_every_situation() -> None:
    with_listeners = {X.SYN_SENT_LOCAL_QUEUE_FULL, X.SYN_RECV_QUEUE_FULL}
    assert {case for case, _ in CASES} | with_listeners == set(Situation)


def test_a_fin_without_timer_must_have_been_so_for_a_while() -> None:
    fields = {"state": S.FIN_WAIT1, "send_queue": 1, "inode": 0}
    assert situation(fields, age=1_999) == X.FIN_WAIT1
    assert situation(fields, age=2_000) == X.FIN_WAIT1_NO_TIMER


def test_some_rows_are_classified_as_among_all() -> None:
    sockets = rows(*(fields for _, fields in CASES))
    ages = np.zeros(len(sockets), AGE)
    every = classify(sockets, ages, none_ended(sockets))
    some = np.arange(len(sockets))[::-3]
    assert (classify(sockets, ages, none_ended(sockets), some) == every[some]).all()


def listener(local: str, waiting: int = 3, port: int = 80, **fields: Any) -> dict[str, Any]:
    return {"state": S.LISTEN, "local": local, "local_port": port, "recv_queue": waiting, "send_queue": 2, **fields}


def asking(remote: str, local: str = "10.0.0.9", port: int = 80) -> dict[str, Any]:
    ends = {"local": local, "remote": remote, "local_port": 40_000, "remote_port": port}
    return {"state": S.SYN_SENT, "send_queue": 1, "timer": Timer.ON, "retransmits": 2, **ends}


@pytest.mark.parametrize(
    ("ask", "listeners", "full"),
    [
        (asking("127.0.0.1"), [listener("127.0.0.1")], True),
        (asking("127.0.0.1"), [listener("127.0.0.1", waiting=2)], False),
        (asking("127.0.0.1"), [listener("0.0.0.0", local_low=0xFFFF << 32)], True),
        (asking("127.0.0.1"), [listener("::")], True),  # dual stack
        (asking("::1", local="::1"), [listener("::", family=6)], True),
        (asking("10.0.0.9"), [listener("0.0.0.0", local_low=0xFFFF << 32)], True),  # to our own address
        (asking("10.0.0.7"), [listener("10.0.0.7")], True),  # a listener here has that address
        (asking("10.0.0.7"), [listener("0.0.0.0", local_low=0xFFFF << 32)], False),  # another host's, most likely
        (asking("127.0.0.1", port=81), [listener("127.0.0.1")], False),
        # the more specific listener gets the SYN
        (asking("127.0.0.1"), [listener("127.0.0.1", waiting=0), listener("0.0.0.0", local_low=0xFFFF << 32)], False),
        (asking("127.0.0.1"), [listener("127.0.0.1"), listener("0.0.0.0", 0, local_low=0xFFFF << 32)], True),
        (asking("127.0.0.1"), [listener("127.0.0.1", known=PSUTIL)], False),
        (asking("127.0.0.1"), [], False),
    ],
)
def test_a_syn_to_a_full_listener_of_this_host(
    ask: dict[str, Any], listeners: list[dict[str, Any]], full: bool
) -> None:
    expected = X.SYN_SENT_LOCAL_QUEUE_FULL if full else X.SYN_SENT
    assert situation(ask, *listeners) == expected


@pytest.mark.parametrize(
    ("fields", "waiting", "expected"),
    [
        ({"retransmits": 3, "timer_ms": 1_508}, 3, X.SYN_RECV_QUEUE_FULL),
        ({"retransmits": 3, "timer_ms": 1_508}, 2, X.SYN_RECV),
        ({"retransmits": 0, "timer_ms": 700}, 3, X.SYN_RECV_QUEUE_FULL),
        ({"retransmits": 0, "timer_ms": 3_000}, 3, X.SYN_RECV_DEFER_ACCEPT),
    ],
)
def test_a_handshake_at_a_listener(fields: dict[str, Any], waiting: int, expected: Situation) -> None:
    half_open = {"state": S.SYN_RECV, "known": MINI, "inode": 0, "local": "10.0.0.9", **fields}
    assert situation(half_open, listener("10.0.0.9", waiting)) == expected


def test_a_full_listener_that_ended_holds_nothing_up(ward: Ward) -> None:
    full, fresh = ({**listener("0.0.0.0", waiting), "remote_port": 0, "cookie": 7 + waiting} for waiting in (3, 0))
    half_open = {"state": S.SYN_RECV, "known": MINI, "local_port": 80, "retransmits": 1, "timer_ms": 700, "cookie": 1}
    here = asking("10.0.0.1", local="10.0.0.1") | {"cookie": 2, "pid": 812}
    elsewhere = asking("10.0.0.99", local="10.0.0.1") | {"cookie": 3, "pid": 812}
    waiting = [half_open | {"timer": Timer.ON}, here, elsewhere]
    assert [item.rule for item in ward.poll(full, *waiting).items] == ["R16"]
    for _ in range(2):  # in the first of them the old one may only have been missed
        findings = ward.poll(fresh, *waiting)
    update = findings.update
    assert np.flatnonzero(update.life == Life.ENDED).tolist() == [4]
    assert (update.sockets["state"][4], update.sockets["recv_queue"][4]) == (S.LISTEN, 3)
    assert of(update).tolist() == [X.LISTEN, X.SYN_RECV, X.SYN_SENT, X.SYN_SENT, 0]
    assert findings.items == ()
    assert [Facts(update, index).situation for index in (1, 2)] == [X.SYN_RECV, X.SYN_SENT]
    assert "2 `SYN_SENT` of `nginx 812`" in summary(update, [1, 2, 3]), "one group"


def test_nothing_at_all() -> None:
    assert len(classify(empty_sockets(), np.zeros(0, AGE), np.zeros(0, np.bool_))) == 0


def test_healthy_situations_are_not_stuck() -> None:
    assert STUCK.isdisjoint({X.ESTABLISHED, X.ESTABLISHED_IDLE, X.LISTEN, X.TIME_WAIT, X.UDP_UNCONNECTED, X.SYN_RECV})
    assert {X.CLOSE_WAIT_READ, X.LISTEN_QUEUE_FULL, X.ACCEPT_QUEUE} <= STUCK


# What the kernel says of sockets that really are in these situations.

MADE = {
    "listen-full": X.LISTEN_QUEUE_FULL,
    "accept-queue": X.ACCEPT_QUEUE,
    "close-wait-unread": X.CLOSE_WAIT_UNREAD,
    "close-wait-read": X.CLOSE_WAIT_READ,
    "close-wait-unaccepted": X.CLOSE_WAIT_UNACCEPTED,
    "fin-wait2-held": X.FIN_WAIT2_HELD,
    "fin-wait2-orphan": X.FIN_WAIT2_ORPHAN,
    "time-wait": X.TIME_WAIT,
    "fin-wait1": X.FIN_WAIT1_UNANSWERED,
    "fin-wait1-zero-window": X.FIN_WAIT1_ZERO_WINDOW,
    "last-ack": X.LAST_ACK,
    "closing": X.CLOSING,
    "retransmitting": X.ESTABLISHED_RETRANSMITTING,
    "defer-accept": X.SYN_RECV_DEFER_ACCEPT,
    "bound-inactive": X.BOUND_INACTIVE,
    "udp-drops": X.UDP_DROPS,
}


@pytest.fixture(scope="module")
def seen() -> dict[str, set[Situation]]:
    """Recipe -> the situations of its sockets, once the slowest of them (5 s without reading) has come to be."""
    if os.geteuid() != 0:
        pytest.skip("making network namespaces needs root")
    from sockui.collector.linux import NetlinkCollector
    from sockui.collector.namespace import enter_namespace
    from sockui.lab.run import Lab
    from sockui.tracker import Tracker

    found: dict[str, set[Situation]] = {}

    def look(lab: Lab) -> None:
        enter_namespace(str(lab.namespace))  # this thread's alone
        collector, tracker = NetlinkCollector(), Tracker()
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline and any(MADE[name] not in found.get(name, ()) for name in MADE):
            update = tracker.update(collector.collect())
            kinds = of(update)
            found.clear()
            for made in lab.made:
                ports = update.sockets["local_port"] == made.local[1]
                ports &= (update.sockets["remote_port"] == made.remote[1]) & (update.sockets["state"] == made.state)
                found.setdefault(made.name, set()).update(Situation(int(kind)) for kind in kinds[ports])
            time.sleep(0.2)
        collector.close()

    with Lab(tuple(MADE), namespace=f"situations-{os.getpid()}") as lab:
        thread = threading.Thread(target=look, args=(lab,))
        thread.start()
        thread.join()
    return found


@pytest.mark.kernel
@pytest.mark.parametrize("recipe", MADE)
def test_sockets_of_the_kernel(seen: dict[str, set[Situation]], recipe: str) -> None:
    assert MADE[recipe] in seen.get(recipe, set())
