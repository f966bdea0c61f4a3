"""How long something has not moved, and what the kernel does when the running timer fires."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sockui.model import Host, Known, Owner, Protocol, State, Timer
from sockui.view import stalls
from sockui.view.explain import explain
from tests.view.scenes import DEFAULTS, LISTEN, MINI, MakeUpdate


@pytest.mark.parametrize(
    ("row", "kind", "low", "high"),
    [
        ({"inode": 0, "last_data_sent": 20_000}, "accept", 20_000, 20_000),
        ({"inode": 0, "last_data_sent": 20_000, "state": State.CLOSE_WAIT}, "accept", 20_000, 20_000),
        ({"send_queue": 9, "timer": Timer.PERSIST, "last_data_sent": 44_952}, "zero_window", 44_952, 44_952),
        (  # the window shrank below what was in flight
            {"send_queue": 9, "timer": Timer.ON, "last_data_sent": 3_000, "busy_time": 45_000_000},
            "zero_window",
            3_000,
            45_000,
        ),
        (
            {
                "send_queue": 9,
                "snd_wnd": 9,
                "timer": Timer.ON,
                "retransmits": 6,
                "backoff": 6,
                "rto": 13_056_000,
                "timer_ms": 6_500,
                "last_ack_recv": 20_000,
                "busy_time": 90_000_000,
            },
            "outage",
            13_056 - 204 + 13_056 - 6_500,
            20_000,
        ),
        (  # the total is better where back-off was undone
            {
                "send_queue": 9,
                "snd_wnd": 9,
                "timer": Timer.ON,
                "retransmits": 122,
                "backoff": 4,
                "rto": 3_300_000,
                "timer_ms": 1_000,
                "last_ack_recv": 364_300,
                "busy_time": 364_400_000,
                "total_rto_time": 363_835,
                "total_rto_recoveries": 1,
            },
            "outage",
            363_835,
            364_300,
        ),
        (  # the peer was heard after the loss began: that bounds nothing
            {
                "send_queue": 9,
                "snd_wnd": 9,
                "timer": Timer.ON,
                "retransmits": 6,
                "backoff": 6,
                "rto": 13_056_000,
                "timer_ms": 6_500,
                "last_ack_recv": 1_000,
                "busy_time": 21_000_000,
            },
            "outage",
            13_056 - 204 + 13_056 - 6_500,
            21_000,
        ),
        ({"inode": 5, "recv_queue": 9, "last_data_recv": 7_000}, "not_reading", 7_000, 7_000),
        ({"inode": 5, "recv_queue": 9, "rcv_wnd": 1, "last_data_recv": 7_000}, "not_reading", 0, 7_000),
    ],
)
def test_stall(make_update: MakeUpdate, row: dict[str, Any], kind: str, low: int, high: int) -> None:
    update = make_update([{"inode": 5} | row])
    assert stalls.stall(update.sockets[0]) == (kind, low, high)


@pytest.mark.parametrize(
    "row",
    [
        {"inode": 5},
        {"inode": 5, "known": 0, "recv_queue": 9},
        {"inode": 5, "state": State.CLOSE_WAIT, "recv_queue": 1},  # the FIN alone is no data
        {"state": State.LISTEN, "recv_queue": 3, "inode": 5},
        {"state": State.SYN_SENT, "send_queue": 1, "timer": Timer.ON, "retransmits": 3, "inode": 5},
        {"protocol": Protocol.UDP, "recv_queue": 9},
    ],
)
def test_nothing_stalls(make_update: MakeUpdate, row: dict[str, Any]) -> None:
    assert stalls.stall(make_update([row]).sockets[0]) is None


# Rows near their end, as a kernel with default settings gave them (HZ=250: a 200 ms RTO is 204 ms).
SYN_SENT: dict[str, Any] = {
    "state": State.SYN_SENT,
    "pid": 9,
    "send_queue": 1,
    "timer": Timer.ON,
    "timer_ms": 46_000,
    "retransmits": 10,
    "backoff": 6,
    "rto": 64_000_000,
    "age": (86_900, 87_300),
}
ORPHAN: dict[str, Any] = {
    "state": State.FIN_WAIT1,
    "inode": 0,
    "owner": Owner.KERNEL,
    "send_queue": 1,
    "timer": Timer.ON,
    "timer_ms": 46_000,
    "snd_wnd": 65_536,
    "retransmits": 8,
    "backoff": 8,
    "rto": 52_224_000,
    "busy_time": 58_400_000,
    "last_ack_recv": 58_400,
    "total_rto": 8,
    "total_rto_recoveries": 1,
    "total_rto_time": 58_100,
}
HELD = ORPHAN | {"inode": 5, "owner": Owner.PROCESS, "pid": 9, "fd": 3}
SYN_RECV: dict[str, Any] = {
    "state": State.SYN_RECV,
    "known": MINI,
    "inode": 0,
    "owner": Owner.KERNEL,
    "timer": Timer.ON,
    "timer_ms": 20_000,
}
PROBING: dict[str, Any] = ORPHAN | {
    "timer": Timer.PERSIST,
    "send_queue": 63_713,
    "snd_wnd": 0,
    "retransmits": 0,
    "rto": 204_000,
    "backoff": 9,
}
LONG_AGO = {"retransmits": 15, "backoff": 15, "rto": 120_000_000, "total_rto": 15, "total_rto_time": 890_000}


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (SYN_SENT, "Gives up in 46 s"),
        (SYN_SENT | {"timer_ms": 0}, "Gives up now: its timer is due"),
        (SYN_SENT | {"retransmits": 9, "backoff": 5}, "Next SYN in 46 s"),
        (SYN_SENT | {"retransmits": 11}, "Its timer fires in 46 s"),  # TCP_SYNCNT allows more
        (ORPHAN, "Gives up in 46 s"),
        (ORPHAN | {"state": State.LAST_ACK}, "Gives up in 46 s"),
        (ORPHAN | {"state": State.CLOSING, "recv_queue": 1}, "Gives up in 46 s"),
        (ORPHAN | {"total_rto_recoveries": 2}, "Gives up in 46 s"),  # by the schedule
        (
            ORPHAN | {"retransmits": 7, "backoff": 7, "rto": 26_112_000, "timer_ms": 9_000, "total_rto_time": 42_000},
            "Next retransmission in 9 s",
        ),
        # an RTO of 0.5 s: seven repeats take as long
        (ORPHAN | {"retransmits": 7, "backoff": 7, "rto": 64_000_000, "total_rto_time": 81_000}, "Gives up in 46 s"),
        (HELD, "Next retransmission in 46 s"),
        (HELD | LONG_AGO, "Its timer fires in 46 s"),  # TCP_USER_TIMEOUT may allow more
        (HELD | LONG_AGO | {"total_rto_recoveries": 2}, "Its timer fires in 46 s"),
        (HELD | LONG_AGO | {"backoff": 13, "total_rto_time": 640_000}, "Next retransmission in 46 s"),
        (SYN_RECV | {"retransmits": 4}, "Next SYN-ACK in 20 s"),
        (SYN_RECV | {"retransmits": 5}, "Its timer fires in 20 s"),
        (SYN_RECV | {"retransmits": 5, "timer_ms": 0}, "Its timer is due"),
        (PROBING, "Next window probe in 46 s"),
        (PROBING | {"backoff": 10}, "Gives up in 46 s"),  # its back-off has reached 120 s
        (PROBING | {"probes": 8}, "Gives up in 46 s"),
        (PROBING | {"inode": 5, "pid": 9, "backoff": 11}, "Next window probe in 46 s"),
        (PROBING | {"inode": 5, "pid": 9, "probes": 15}, "Gives up in 46 s"),
    ],
)
def test_a_last_timer_is_said_to_be_the_last(make_update: MakeUpdate, row: dict[str, Any], line: str) -> None:
    evidence = explain(make_update([row], host=DEFAULTS), 0).evidence
    assert line in evidence
    assert sum(text.startswith(("Next ", "Gives up", "Its timer")) for text in evidence) == 1


@pytest.mark.parametrize(
    ("state", "changed", "row", "said"),
    [
        (
            State.FIN_WAIT1,
            {},
            {},
            "5 min 28 s after the window closed or some seconds later, if that is over at the next probe, while the ",
        ),
        (State.LAST_ACK, {"orphan_retries": "12"}, {}, "9 min 28 s after the window closed"),
        (
            State.LAST_ACK,
            {"retries2": "8"},
            {"backoff": 8},
            "Never while the peer answers window probes: that takes a back-off of 10 (RTO 204 ms), above tcp_retries2",
        ),
        (State.FIN_WAIT1, {"retries2": "8"}, {"backoff": 8, "rto": 500_000}, "4 min 7 s after the window closed"),
        (State.FIN_WAIT1, {"retries2": "8"}, {"backoff": 10}, "5 min 28 s after"),  # it was lowered too late
        (State.FIN_WAIT1, {"retries2": "8"}, {"inode": 5, "pid": 9}, "While a process holds it and the peer answers"),
        (
            State.FIN_WAIT1,
            {},
            {"timer": Timer.ON, "retransmits": 3, "backoff": 3, "rto": 1_632_000},
            "At the first timeout after 1 min 42 s (tcp_orphan_retries=0, which means 8; about 107 s in all): the",
        ),
        (State.CLOSING, {"retries2": "9"}, {}, "Never while the peer answers window probes without reading"),
    ],
)
def test_a_closed_socket_behind_a_window_ends_as_the_settings_say(
    make_update: MakeUpdate, state: State, changed: dict[str, str], row: dict[str, Any], said: str
) -> None:
    settings = dict(DEFAULTS.sysctls) | {f"net.ipv4.tcp_{name}": value for name, value in changed.items()}
    host = dataclasses.replace(DEFAULTS, sysctls=settings)
    ends = explain(make_update([PROBING | {"state": state} | row], host=host), 0).ends
    assert ends.startswith(said)


def test_a_text_without_settings_has_the_default_and_says_so(make_update: MakeUpdate) -> None:
    ends = explain(make_update([PROBING], host=Host("h", "Linux")), 0).ends
    assert ends.startswith("5 min 28 s (default) after the window closed")


def test_settings_that_cannot_be_read_leave_it_open(make_update: MakeUpdate) -> None:
    row = make_update([ORPHAN]).sockets[0]
    assert stalls.gives_up(row, Host("h", "Linux"), orphan=True) is None
    assert stalls.gives_up(row, DEFAULTS, orphan=True) is True
    row["known"] = int(row["known"]) & ~int(Known.TIMER)
    assert stalls.gives_up(row, DEFAULTS, orphan=True) is False


def test_no_next_syn_is_promised_after_the_last(make_update: MakeUpdate) -> None:
    ends = {"local": ("127.0.0.1", 40_000), "remote": ("127.0.0.1", 80)}
    update = make_update([SYN_SENT | ends, LISTEN | {"local": ("127.0.0.1", 80), "recv_queue": 3}], host=DEFAULTS)
    assert explain(update, 0).ends == (
        "No further SYN is sent: connect() fails with ETIMEDOUT when the timer ends, in 46 s."
    )


@pytest.mark.parametrize(
    ("row", "verb"),
    [
        (ORPHAN | {"timer_ms": 0, "total_rto_time": 104_000}, "ends it"),
        (HELD | LONG_AGO | {"timer_ms": 0, "total_rto_time": 1_000_000}, "may end it"),
    ],
)
def test_a_timer_that_is_due_is_said_to_end_it_only_if_it_must(
    make_update: MakeUpdate, row: dict[str, Any], verb: str
) -> None:
    ends = explain(make_update([row], host=DEFAULTS), 0).ends
    assert ends.endswith(f"That time is over; the next timeout {verb}.")


@pytest.mark.parametrize("row", [SYN_SENT, ORPHAN, HELD | LONG_AGO])
def test_what_ends_it_names_the_time_of_the_last_timer(make_update: MakeUpdate, row: dict[str, Any]) -> None:
    assert explain(make_update([row], host=DEFAULTS), 0).ends.endswith("About 46 s until then.")
