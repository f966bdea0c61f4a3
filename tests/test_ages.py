"""Bounds where a timer tells less than it seems to; the usual ones are held to real sockets in tests/kernel."""

from __future__ import annotations

import pytest

from sockui.ages import bounds
from sockui.model import Host, Known, Protocol, State, Timer, empty_sockets


def bound(state: State, known: Known, host: dict[str, str], **fields: int) -> tuple[int, int]:
    row = empty_sockets(1)
    values = {"protocol": Protocol.TCP, "state": state, "known": known, "cookie": 7, **fields}
    for name, value in values.items():
        row[name] = value
    (age,) = bounds(row, Host("web-3", "Linux", host), uptime=1000.0)
    return int(age["min_ms"]), int(age["max_ms"])


@pytest.mark.parametrize(("rto_max", "left", "least"), [("", 110_000, 137_000), ("10000", 9_000, 16_000)])
def test_the_timeout_of_a_syn_ack_grows_no_further_than_the_kernel_lets_it(rto_max: str, left: int, least: int) -> None:
    """tcp_synack_retries 7: repeats after 1, 3, 7 ... 127 s, then 120 s later."""
    host = {"net.ipv4.tcp_rto_max_ms": rto_max} if rto_max else {}
    assert bound(State.SYN_RECV, Known.MINI | Known.TIMER, host, timer=Timer.ON, timer_ms=left) == (least - 10, -1)


def test_a_connect_whose_timer_is_not_started_yet_has_no_age() -> None:
    known = Known.INFO | Known.TIMER
    assert bound(State.SYN_SENT, known, {}, timer=Timer.OFF, rto=1_000_000)[0] == 0
    assert bound(State.SYN_SENT, known, {}, timer=Timer.ON, timer_ms=400, rto=1_000_000) == (590, 710)


@pytest.mark.parametrize(("timeout", "age"), [("1", (190, -1)), ("60", (59_190, 59_210))])
def test_an_orphan_may_outlive_a_short_fin_timeout(timeout: str, age: tuple[int, int]) -> None:
    """With an RTO of 0.6 s it stays for 2.1 s, and at 0.8 s left is 1.3 s old."""
    host = {"net.ipv4.tcp_fin_timeout": timeout}
    known = Known.MINI | Known.TIMER
    assert bound(State.FIN_WAIT2, known, host, timer=Timer.TIMEWAIT, timer_ms=800) == age
