"""One finding owns each socket, leaks are one finding however many sockets, and a finding is followed over polls."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sockui.diagnosis.finding import Findings, Severity
from sockui.diagnosis.thresholds import Thresholds
from sockui.model import Owner, Protocol, State, Timer
from tests.diagnosis.conftest import MINI, SETTINGS, Ward, aged, process

LISTEN: dict[str, Any] = {"state": State.LISTEN, "remote": "0.0.0.0", "remote_port": 0, "send_queue": 128}


def rules(findings: Findings) -> list[str]:
    return [item.rule for item in findings.items]


def leak(count: int, seconds: float = 300, **fields: Any) -> list[dict[str, Any]]:
    return [aged(State.CLOSE_WAIT, seconds + n, recv_queue=0, **fields) for n in range(count)]


def test_a_healthy_host_has_no_findings(ward: Ward) -> None:
    rows = [LISTEN, *(aged(State.ESTABLISHED, 5) for _ in range(50)), {"state": State.TIME_WAIT, "known": MINI}]
    for _ in range(3):
        findings = ward.poll(*rows, counters={"TcpExt.ListenOverflows": 7}, sockstat={"TCP.tw": 1, "TCP.orphan": 3})
        assert rules(findings) == []
    assert (findings.polls, findings.watched) == (3, 4.0)


def test_a_host_without_sockets_has_no_findings(ward: Ward) -> None:
    assert rules(ward.poll()) == []
    assert rules(ward.poll()) == []


def test_three_thousand_leaked_sockets_are_one_finding(ward: Ward) -> None:
    found = ward.only(LISTEN, *leak(3000))
    assert (found.rule, found.key, found.count) == ("R02", "R02/4312/:8080", 3000)
    assert (found.pid, found.severity) == (4312, Severity.WARNING)
    assert (found.oldest_ms, found.newest_ms) == (3_298_990, 299_990), "a jiffy less: at least so long"
    assert found.rows.tolist() == list(range(3000, 0, -1)), "the oldest first"


def test_a_leak_is_parted_by_process_and_port_or_destination(ward: Ward) -> None:
    out = {"local_port": 50_000, "remote_port": 5432, "remote": "10.0.0.9"}
    findings = ward.poll(
        LISTEN,
        *leak(3),
        *leak(2, pid=812),
        aged(State.CLOSE_WAIT, 300, recv_queue=0, **out),
        aged(State.CLOSE_WAIT, 300, recv_queue=0, **(out | {"local_port": 50_001})),
        aged(State.CLOSE_WAIT, 300, recv_queue=0, **(out | {"remote": "10.0.0.10"})),
    )
    assert {
        (f.pid, f.draft.endpoint.local, f.draft.endpoint.port, f.count) for f in findings.items if f.draft.endpoint
    } == {
        (4312, True, 8080, 3),
        (812, True, 8080, 2),
        (4312, False, 5432, 2),
        (4312, False, 5432, 1),
    }


def test_a_leak_whose_listener_has_gone_is_one_finding(ward: Ward) -> None:
    rows = [
        aged(State.CLOSE_WAIT, 300, recv_queue=0, local_port=40_000, remote_port=50_000 + n, cookie=n)
        for n in range(1, 13)
    ]
    assert ward.only(*rows).count == 12


def test_very_many_destinations_of_one_process_are_one_finding_beside_its_worst_ones(ward: Ward) -> None:
    to_one: dict[str, Any] = {"local_port": 50_000, "remote_port": 5432, "remote": "10.0.0.9"}
    found = ward.poll(
        *leak(90, **to_one),
        *(leak(1, **(to_one | {"remote": f"10.1.{n >> 8}.{n & 255}"}))[0] for n in range(700)),
    ).items
    assert [(item.key, item.count, item.processes) for item in found] == [("R02/4312", 700, 1), (found[1].key, 90, 1)]
    assert found[1].draft.endpoint is not None


def test_one_fault_in_very_many_processes_is_one_finding(ward: Ward) -> None:
    found = ward.only(LISTEN, *(leak(1, pid=1000 + n, local_port=9000)[0] for n in range(700)))
    assert (found.key, found.count, found.processes) == ("R02/0/:9000", 700, 700)


def test_very_many_processes_and_destinations_are_one_finding_too(ward: Ward) -> None:
    to_one: dict[str, Any] = {"local_port": 50_000, "remote_port": 5432}
    found = ward.only(*(leak(1, pid=1000 + n, remote=f"10.1.{n >> 8}.{n & 255}", **to_one)[0] for n in range(700)))
    assert (found.key, found.count, found.processes, found.draft.endpoint) == ("R02/0", 700, 700, None)


def test_of_very_many_full_listeners_the_worst_are_told_and_the_others_counted(ward: Ward) -> None:
    full = [LISTEN | {"local_port": 2000 + n, "recv_queue": 200 + n, "local": "0.0.0.0"} for n in range(250)]
    findings = ward.poll(*full)
    assert (rules(findings), findings.left_out) == (["R16"] * 200, 50)
    assert {item.draft.values["waiting"] for item in findings.items} == set(range(250, 450))


def test_a_full_accept_queue_explains_all_that_waits_for_it(ward: Ward) -> None:
    unaccepted = {"inode": 0, "owner": Owner.LISTENER, "fd": -1, "holders": 0}
    asking = {"local": "10.0.0.1", "remote": "10.0.0.1", "local_port": 50_000, "remote_port": 8080, "send_queue": 1}
    found = ward.only(
        LISTEN | {"send_queue": 2, "recv_queue": 3, "drops": 9},
        *(aged(State.ESTABLISHED, 20 + n, **unaccepted) for n in range(2)),
        aged(State.CLOSE_WAIT, 50, **unaccepted),
        {"state": State.SYN_RECV, "known": MINI, "timer": Timer.ON, "timer_ms": 500, "retransmits": 1},
        {"state": State.SYN_SENT, "pid": 812, "timer": Timer.ON, "retransmits": 3, "total_rto": 3, **asking},
    )
    assert (found.rule, found.severity, found.count) == ("R16", Severity.CRITICAL, 3)
    assert dict(found.explains) == {"R03": 3, "R13": 1, "R15": 1}
    assert found.oldest_ms == 50_000
    assert found.draft.values["asking"] == 1


@pytest.mark.parametrize(("acked", "rules_found"), [(1, ["R16"]), (900, ["R16", "R18"])])
def test_a_client_of_this_host_that_was_never_let_in_is_explained_by_the_full_queue_it_asks(
    acked: int, rules_found: list[str], ward: Ward
) -> None:
    """Its handshake was given up on the listener's side, and what it sends is dropped without an answer."""
    asking = {"local": "10.0.0.1", "remote": "10.0.0.1", "local_port": 50_000, "remote_port": 8080, "pid": 812}
    outage = {"send_queue": 5, "timer": Timer.ON, "retransmits": 9, "backoff": 9, "rto": 90_000_000, "timer_ms": 500}
    findings = ward.poll(
        LISTEN | {"send_queue": 2, "recv_queue": 3},
        aged(State.ESTABLISHED, 90, bytes_acked=acked, total_rto=9, total_rto_time=90_000, **asking, **outage),
    )
    assert rules(findings) == rules_found


def test_an_overflow_of_the_past_fires_only_while_it_is_in_the_window(ward: Ward) -> None:
    big = LISTEN | {"send_queue": 1024}
    quiet = {"TcpExt.ListenOverflows": 5}
    assert rules(ward.poll(big | {"drops": 5}, counters=quiet)) == []
    assert rules(ward.poll(big | {"drops": 9}, counters={"TcpExt.ListenOverflows": 9})) == ["R16"]
    assert rules(ward.poll(big | {"drops": 9}, counters={"TcpExt.ListenOverflows": 9}, seconds=30)) == ["R16"]
    assert rules(ward.poll(big | {"drops": 9}, counters={"TcpExt.ListenOverflows": 9}, seconds=40)) == []


def test_the_far_end_on_this_host_is_the_same_fault(ward: Ward) -> None:
    server = {"local": "10.0.0.1", "local_port": 8080, "remote": "10.0.0.1"}
    client = {"local": "10.0.0.1", "remote": "10.0.0.1", "remote_port": 8080, "pid": 812}
    rows = [LISTEN]
    for port in (50_000, 50_001):
        rows.append(aged(State.CLOSE_WAIT, 90, remote_port=port, **server))
        rows.append(aged(State.FIN_WAIT2, 90, local_port=port, **client))
    rows.append(aged(State.FIN_WAIT2, 90, local_port=50_002, remote="10.9.9.9", remote_port=443, pid=812))
    findings = ward.poll(*rows)
    assert rules(findings) == ["R01", "R05"]
    leak, apart = findings.items
    assert (dict(leak.explains), dict(leak.others)) == ({"R05": 2}, {812: 2})
    assert (apart.count, dict(apart.others)) == (1, {}), "the one whose other end is elsewhere"


def test_nearly_no_descriptors_left_explains_the_leak() -> None:
    ward = Ward(processes=(process(4312, "java", 1020, 1024),))
    found = ward.only(LISTEN, *leak(812))
    assert (found.rule, found.severity, found.count) == ("R25", Severity.CRITICAL, 1020)
    assert dict(found.explains) == {"R02": 812}
    assert (found.draft.values["close_wait"], len(found.rows)) == (812, 812)


@pytest.mark.parametrize(("fds", "severity"), [(921, None), (922, Severity.WARNING), (1019, Severity.CRITICAL)])
def test_descriptors(fds: int, severity: Severity | None) -> None:
    findings = Ward(processes=(process(4312, "java", fds, 1024),)).poll(LISTEN)
    assert [item.severity for item in findings.items] == ([severity] if severity else [])


def test_ghosts(ward: Ward) -> None:
    assert rules(ward.poll(LISTEN, ghosts=[(9, 4312, 9)])) == [], "one may be new"
    found = ward.only(LISTEN, ghosts=[(n, 4312, n) for n in range(9, 49)])
    assert (found.rule, found.count, found.draft.conditions) == ("R25", 40, frozenset({"ghosts"}))


def test_half_of_the_descriptors_leaked_is_critical() -> None:
    ward = Ward(processes=(process(4312, "java", 600, 1000),))
    assert ward.only(LISTEN, *leak(499)).severity == Severity.WARNING
    assert ward.only(LISTEN, *leak(500)).severity == Severity.CRITICAL


def test_a_leak_that_grows_is_critical_and_foretold() -> None:
    ward = Ward(processes=(process(4312, "java", 100, 1024),))
    for poll in range(12):
        ward.processes = (process(4312, "java", 100 + poll, 1024),)
        found = ward.only(LISTEN, *leak(10 + poll), seconds=5)
    assert (found.severity, found.draft.conditions) == (Severity.CRITICAL, frozenset({"growing"}))
    assert found.trend is not None
    assert found.trend.per_minute == pytest.approx(12, rel=0.15)
    assert found.forecast is not None
    assert found.forecast.seconds == pytest.approx((1024 - 111) / 12 * 60, rel=0.15)
    assert found.worse == 1, "it was a warning when it was found"


def test_too_few_points_foretell_nothing() -> None:
    ward = Ward()
    for poll in range(4):
        ward.processes = (process(4312, "java", 100 + poll, 1024),)
        found = ward.only(LISTEN, *leak(10 + poll), seconds=5)
    assert (found.trend, found.forecast) == (None, None)


def test_a_finding_is_the_same_one_from_poll_to_poll(ward: Ward) -> None:
    first = ward.only(LISTEN, *leak(2))
    again = ward.only(LISTEN, *leak(3), seconds=60)
    assert (again.key, again.since) == (first.key, first.since)


def test_the_worst_comes_first(ward: Ward) -> None:
    dead = {"inode": 0, "timer": Timer.ON, "retransmits": 5, "backoff": 5, "rto": 6_400_000}
    findings = ward.poll(LISTEN | {"recv_queue": 200}, *leak(5), aged(State.LAST_ACK, 9, **dead))
    assert rules(findings) == ["R16", "R02", "R10"]
    assert [item.severity.name for item in findings.items] == ["CRITICAL", "WARNING", "INFO"]


def test_a_fin_without_a_timer_must_be_so_twice(ward: Ward) -> None:
    row = aged(State.FIN_WAIT1, 9, inode=0, send_queue=1, owner=Owner.KERNEL, pid=0, bytes_sent=0, busy_time=9_000_000)
    assert rules(ward.poll(row)) == []
    assert rules(ward.poll(row)) == ["R09"]


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({}, set()),
        ({"net.ipv4.tcp_abort_on_overflow": "1"}, {"tcp_abort_on_overflow"}),
        (
            {"net.ipv4.tcp_syncookies": "0", "net.ipv4.tcp_retries2": "5"},
            {"tcp_syncookies", "tcp_retries2", "breaks_early", "keeps_orphans"},
        ),
        ({"net.ipv4.tcp_retries2": "9"}, {"tcp_retries2", "keeps_orphans"}),
        ({"net.ipv4.tcp_retries2": "10"}, set()),
        ({"net.ipv4.tcp_retries2": "8", "net.ipv4.tcp_rto_max_ms": "30000"}, set()),
        ({"net.ipv4.tcp_orphan_retries": "15"}, set()),
        ({"net.ipv4.tcp_orphan_retries": "16"}, {"tcp_orphan_retries", "keeps_orphans_above"}),
        ({"net.ipv4.tcp_tw_recycle": "1"}, {"tcp_tw_recycle"}),
        ({"net.ipv4.tcp_tw_recycle": "0"}, set()),
        ({"net.ipv4.tcp_timestamps": "0", "net.ipv4.tcp_tw_reuse": "1"}, {"tcp_timestamps"}),
        ({"net.ipv4.tcp_orphan_retries": "1"}, {"tcp_orphan_retries", "loses_unsent"}),
        ({"net.ipv4.tcp_max_tw_buckets": "5000"}, {"tcp_max_tw_buckets"}),
    ],
)
def test_settings(settings: dict[str, str], wrong: set[str]) -> None:
    findings = Ward(settings=SETTINGS | settings).poll(LISTEN)
    assert [set(item.draft.conditions) for item in findings.items] == ([wrong] if wrong else [])


@pytest.mark.parametrize(
    ("timeout", "trap"), [("60", False), ("61", True), ("90", True), ("119", True), ("120", False)]
)
def test_the_trap_in_tcp_fin_timeout(timeout: str, trap: bool) -> None:
    findings = Ward(settings=SETTINGS | {"net.ipv4.tcp_fin_timeout": timeout}).poll(LISTEN)
    assert rules(findings) == (["R06"] if trap else [])


def test_orphans_in_fin_wait2(ward: Ward) -> None:
    orphan = {"state": State.FIN_WAIT2, "known": MINI, "timer": Timer.TIMEWAIT, "timer_ms": 30_000}
    assert rules(ward.poll(LISTEN, *[orphan] * 400)) == []
    assert rules(ward.poll(LISTEN, *[orphan] * 1001)) == ["R06"]


@pytest.mark.parametrize(
    ("sockstat", "counters", "found"),
    [
        ({"TCP.orphan": 16_384}, {}, []),
        ({"TCP.orphan": 16_385}, {}, ["R24"]),
        ({"TCP.mem": 150_001}, {}, ["R24"]),
        ({}, {"TcpExt.TCPAbortOnMemory": 1}, ["R24"]),
        ({}, {"TcpExt.TCPMemoryPressures": 1}, ["R24"]),
        ({"TCP.tw": 104_858}, {}, ["R23"]),
        ({"TCP.tw": 50_000}, {}, []),
        ({}, {"TcpExt.TCPTimeWaitOverflow": 4}, ["R23"]),
    ],
)
def test_what_the_host_counts(ward: Ward, sockstat: dict[str, int], counters: dict[str, int], found: list[str]) -> None:
    ward.poll(LISTEN, counters=dict.fromkeys(counters, 0))
    assert rules(ward.poll(LISTEN, sockstat=sockstat, counters=counters)) == found


def test_a_counter_that_is_old_news_is_no_finding(ward: Ward) -> None:
    counters = {"TcpExt.TCPTimeWaitOverflow": 4, "TcpExt.TCPAbortOnMemory": 9, "TcpExt.ListenOverflows": 3}
    for _ in range(2):
        assert rules(ward.poll(LISTEN, counters=counters)) == []


@pytest.mark.parametrize(
    ("used", "drop", "early_drop", "found"), [(80, 0, 0, []), (81, 0, 0, ["X2"]), (10, 3, 0, []), (10, 0, 3, ["X2"])]
)
def test_connection_tracking(used: int, drop: int, early_drop: int, found: list[str]) -> None:
    counts = {"net.netfilter.nf_conntrack_count": str(used), "net.netfilter.nf_conntrack_max": "100"}
    ward = Ward(settings=SETTINGS | counts)
    ward.poll(LISTEN, counters={"conntrack.drop": 0, "conntrack.early_drop": 0})
    counters = {"conntrack.drop": drop, "conntrack.early_drop": early_drop}
    assert rules(ward.poll(LISTEN, counters=counters)) == found


def test_a_port_that_was_listened_on_and_is_not_free(ward: Ward) -> None:
    left = {"state": State.TIME_WAIT, "known": MINI, "timer": Timer.TIMEWAIT, "timer_ms": 40_000, "cookie": 7}
    assert rules(ward.poll(LISTEN, left)) == []
    assert rules(ward.poll(left)) == [], "a restart takes a moment"
    ward.poll(left)
    found = ward.only(left)
    assert (found.rule, found.draft.values["port"], found.draft.conditions) == ("X1", 8080, frozenset({"kernel"}))


def test_udp_drops(ward: Ward) -> None:
    dns = {"protocol": Protocol.UDP, "state": State.CLOSE, "local_port": 53, "remote": "0.0.0.0", "remote_port": 0}
    assert rules(ward.poll(dns | {"drops": 500})) == [], "of the past"
    found = ward.only(dns | {"drops": 512})
    assert (found.rule, found.draft.values["drops"]) == ("X3", 12)


@pytest.mark.parametrize(
    ("name", "row", "seconds"),
    [
        ("close_wait_seconds", aged(State.CLOSE_WAIT, 100), 100),
        ("fin_wait2_seconds", aged(State.FIN_WAIT2, 100), 100),
        ("idle_seconds", aged(State.ESTABLISHED, 100), 100),
    ],
)
def test_thresholds_are_those_of_the_configuration(name: str, row: dict[str, Any], seconds: float) -> None:
    below = dataclasses.replace(Thresholds(), **{name: seconds - 1})
    above = dataclasses.replace(Thresholds(), **{name: seconds + 1})
    assert len(Ward(limits=below).poll(row).items) == 1
    assert len(Ward(limits=above).poll(row).items) == 0
