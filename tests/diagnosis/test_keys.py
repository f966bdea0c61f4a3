"""A finding has a key of its own, the same one in every poll, whatever the order of the rows."""

from __future__ import annotations

from typing import Any

import pytest

from sockui.diagnosis.finding import Finding, Findings
from sockui.model import Owner, State, Timer
from sockui.tui.news import News
from tests.diagnosis.conftest import MINI, SETTINGS, Ward, aged, process

Row = dict[str, Any]


def listener(cookie: int, local: str, waiting: int, **fields: Any) -> Row:
    ends = {"local": local, "local_port": 80, "remote": "0.0.0.0", "remote_port": 0}
    return {"state": State.LISTEN, "cookie": cookie, "recv_queue": waiting, "send_queue": 100, **ends, **fields}


def connections(cookie: int, **fields: Any) -> list[Row]:
    """As many as use up all ephemeral ports to one destination."""
    there = {"state": State.ESTABLISHED, "remote": "10.9.0.1", "remote_port": 443, "known": MINI, **fields}
    return [there | {"local_port": 40_000 + n, "cookie": cookie + n} for n in range(10)]


ONE_PORT = [listener(1, "0.0.0.0", 200), listener(2, "::", 300)]
GROUP = [listener(n, "0.0.0.0", 200 + n) for n in range(1, 5)]
PATHS = [
    *connections(100, local="10.0.0.1"),
    *connections(200, local="10.0.0.3"),
    *connections(300, local="10.0.0.3", interface=2),
]


def queued(local: str, cookie: int) -> Row:
    """A connection that nobody has accepted for long."""
    unaccepted = {"inode": 0, "owner": Owner.LISTENER, "fd": -1, "holders": 0}
    return aged(State.ESTABLISHED, 20, local=local, local_port=80, cookie=cookie, **unaccepted)


def half_open(local: str, cookie: int) -> list[Row]:
    row = {"state": State.SYN_RECV, "known": MINI, "timer": Timer.ON, "timer_ms": 500, "retransmits": 2}
    return [row | {"local": local, "local_port": 80, "cookie": cookie + n} for n in range(200)]


BEHIND = [
    *(row | {"recv_queue": 1} for row in ONE_PORT),
    queued("10.0.0.1", 10),
    queued("fd00::1", 11),
    *half_open("10.0.0.1", 1000),
    *half_open("fd00::1", 2000),
]


def host() -> Ward:
    return Ward(settings=SETTINGS | {"net.ipv4.ip_local_port_range": "40000 40009"})


def subjects(findings: Findings) -> dict[str, set[int]]:
    """Key -> the cookies of its sockets."""
    cookies = findings.update.sockets["cookie"]
    found = {item.key: set(cookies[item.rows].tolist()) for item in findings.items}
    assert len(found) == len(findings.items), [item.key for item in findings.items]
    return found


@pytest.mark.parametrize(
    ("rows", "rules"),
    [
        (ONE_PORT, ["R16"] * 2),
        (GROUP, ["R16"] * 4),
        ([row | {"recv_queue": 0, "drops": 9} for row in ONE_PORT], ["R17"] * 2),
        ([row | {"recv_queue": 0, "drops": 9} for row in GROUP], ["R17"] * 4),
        (BEHIND, ["R03"] * 2 + ["R14"] * 2),
        (PATHS, ["R22"] * 3),
    ],
    ids=["full", "full group", "small", "small group", "behind", "paths"],
)
def test_findings_that_are_alike_have_keys_of_their_own_in_every_poll(rows: list[Row], rules: list[str]) -> None:
    ward = host()
    first, again = ward.poll(*rows), ward.poll(*reversed(rows))
    assert sorted(item.rule for item in first.items) == rules
    assert subjects(again) == subjects(first)


def test_one_finding_of_listeners_that_share_an_address_stays_the_same_one() -> None:
    ward = host()
    rows = [*(row | {"recv_queue": 1} for row in GROUP), queued("10.0.0.1", 10)]
    first, again = ward.only(*rows), ward.only(*reversed(rows))
    busy = ward.only(*rows[:-2], rows[-2] | {"recv_queue": 40}, rows[-1])
    assert first.key == again.key == busy.key


def test_of_equal_listeners_of_two_processes_the_same_one_stands_for_both_in_every_poll() -> None:
    ward = host()
    rows = [listener(1, "0.0.0.0", 1), listener(2, "0.0.0.0", 1, pid=812), queued("10.0.0.1", 10)]
    assert ward.only(*rows).key == ward.only(*reversed(rows)).key


def test_ports_that_run_out_are_one_finding_whichever_process_holds_most_of_them() -> None:
    ward = host()
    mine, theirs = ({"pid": pid, "owner": Owner.PROCESS} for pid in (4312, 812))
    rows = connections(100, local="10.0.0.1")
    first = ward.only(*(row | mine for row in rows[:6]), *(row | theirs for row in rows[6:]))
    again = ward.only(*(row | mine for row in rows[:4]), *(row | theirs for row in rows[4:]))
    assert (first.pid, again.pid) == (4312, 812)
    assert (first.key, first.since) == (again.key, again.since)


def test_a_port_that_cannot_be_bound_is_one_finding_whatever_the_order_of_those_who_hold_it() -> None:
    ward = Ward(processes=(process(4312, "java"), process(812, "nginx")))
    left = [aged(State.CLOSE_WAIT, 1, local_port=80, cookie=pid, pid=pid) for pid in (4312, 812)]
    ward.poll(listener(1, "0.0.0.0", 0), *left)
    for _ in range(3):
        ward.poll(*left)
    keys = {item.key for rows in (left, left[::-1]) for item in ward.poll(*rows).items if item.rule == "X1"}
    assert keys == {"X1/812/:80"}


def test_what_is_remembered_of_two_listeners_of_one_process_and_port_stays_apart() -> None:
    ward, news = host(), News()
    for poll in range(6):
        rows = [ONE_PORT[0], ONE_PORT[1] | {"recv_queue": 300 + poll}]
        findings = ward.poll(*rows[:: 1 if poll % 2 else -1])
        assert news.take(findings, watched=True) == []
        if not poll:
            news.acknowledge(_of(findings, 2))
        assert news.acknowledged(_of(findings, 2))
        assert not news.acknowledged(_of(findings, 1))
    assert _of(findings, 1).history[1].tolist() == [200.0] * 6
    assert _of(findings, 2).history[1].tolist() == [300.0 + poll for poll in range(6)]


def _of(findings: Findings, cookie: int) -> Finding:
    cookies = findings.update.sockets["cookie"]
    return next(item for item in findings.items if cookies[item.rows].tolist() == [cookie])
