"""How long something has not moved, and how ages are said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sockui.ages import AgeSource
from sockui.model import Process, Protocol, State, Timer
from sockui.tracker import Update
from sockui.view import evidence
from sockui.view.explain import explain

MakeUpdate = Callable[..., Update]
MakeProcess = Callable[..., Process]


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
    assert evidence.stall(update.sockets[0]) == (kind, low, high)


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
    assert evidence.stall(make_update([row]).sockets[0]) is None


def test_age_is_said_with_its_relation(make_update: MakeUpdate) -> None:
    def line(low: int, high: int) -> str:
        return explain(make_update([{"state": State.CLOSE_WAIT, "age": (low, high)}]), 0).evidence[0]

    assert line(40_000, 40_010) == "In CLOSE_WAIT for 40 s (from its last segments)"
    assert line(12_000, -1) == "In CLOSE_WAIT ≥ 12 s (from its last segments)"
    assert line(0, 10_790_000) == "In CLOSE_WAIT ≤ 3 h (from its last segments)", "an upper bound is rounded up"
    assert line(120_000, 300_000) == "In CLOSE_WAIT for 2 min to 5 min (from its last segments)"
    assert line(0, -1) == "In CLOSE_WAIT since before sockui looked."


@pytest.mark.parametrize(
    "milliseconds", [1, 999, 1_001, 9_901, 59_001, 599_001, 600_001, 3_599_999, 86_399_999, 90_000_001]
)
def test_an_upper_bound_is_never_shown_smaller(milliseconds: int) -> None:
    units = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
    parts = evidence.at_most(milliseconds).split()
    shown = sum(float(number) * units[unit] for number, unit in zip(parts[::2], parts[1::2], strict=True))
    assert milliseconds <= shown <= milliseconds * 1.1 + 1


def test_sources_of_age_all_have_words() -> None:
    assert set(evidence._SOURCES) == set(AgeSource) - {AgeSource.NONE}
