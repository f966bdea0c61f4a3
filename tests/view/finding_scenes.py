"""Every rule and every variant of its words, found by the rules themselves in rows made by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any
from unittest import mock

import numpy as np

from sockui.collector.text import read_text
from sockui.config import Config
from sockui.diagnosis import engine
from sockui.diagnosis.engine import Diagnosis
from sockui.diagnosis.finding import Finding, Findings
from sockui.diagnosis.rules import Rule, handshakes, moving
from sockui.diagnosis.thresholds import Thresholds
from sockui.model import Call, Holders, Known, Owner, Protocol, State, Threads, Timer
from sockui.moments import judge
from sockui.tracker import Tracker
from sockui.view.findings import Said, say
from tests.diagnosis.conftest import FULL, MINI, SETTINGS, Ward, aged, process

LISTEN: dict[str, Any] = {"state": State.LISTEN, "remote": "0.0.0.0", "remote_port": 0, "send_queue": 128}
OUT: dict[str, Any] = {"local_port": 50_000, "remote": "10.0.0.5", "remote_port": 5432}
GONE: dict[str, Any] = {"inode": 0, "owner": Owner.KERNEL, "pid": 0, "fd": -1, "holders": 0}
UNACCEPTED: dict[str, Any] = {"inode": 0, "owner": Owner.LISTENER, "fd": 3, "holders": 0}
REPEATING: dict[str, Any] = {
    "timer": Timer.ON, "timer_ms": 900, "retransmits": 7, "backoff": 7, "rto": 25_600_000, "send_queue": 501,
    "unacked": 1, "busy_time": 99_000_000, "total_rto": 7, "total_rto_recoveries": 1, "total_rto_time": 26_000,
}  # fmt: skip
CLOSED_WINDOW: dict[str, Any] = {
    "timer": Timer.PERSIST, "timer_ms": 900, "backoff": 6, "send_queue": 63_713, "notsent_bytes": 63_713, "snd_wnd": 0,
}  # fmt: skip
MINI_SYN: dict[str, Any] = {
    "state": State.SYN_RECV,
    "known": MINI,
    "timer": Timer.ON,
    "timer_ms": 900,
    "retransmits": 2,
}
ORPHAN: dict[str, Any] = {"state": State.FIN_WAIT2, "known": MINI, "timer": Timer.TIMEWAIT, "timer_ms": 30_000}
TIME_WAIT: dict[str, Any] = {"state": State.TIME_WAIT, "known": MINI, "timer": Timer.TIMEWAIT, "timer_ms": 40_000}
BACKGROUND: tuple[dict[str, Any], ...] = (
    LISTEN | {"local_port": 22, "cookie": 900_001},
    aged(State.ESTABLISHED, 3, local_port=22, cookie=900_002),
    {"protocol": Protocol.UDP, "state": State.CLOSE, "local_port": 68, "remote": "0.0.0.0", "remote_port": 0,
     "cookie": 900_003},
    TIME_WAIT | {"local_port": 9_999, "cookie": 900_004},
)  # fmt: skip
"""Sockets that no finding is about; a filter must leave them out."""

STOPPED = Threads(3, 3, {"T": 3}, {"do_signal_stop": 3}, {}, True, False)
BUSY = Threads(3, 3, {"S": 3}, {"futex_wait_queue": 1}, {Call("recvfrom", 12): 2, Call("futex", None): 1}, True, True)
UNSEEN = Threads(40, 40, {"S": 40}, {"": 40}, {}, False, False)

MORE_SETTINGS = {
    "net.ipv4.tcp_synack_retries": "5",
    "net.ipv4.tcp_syn_retries": "6",
    "net.ipv4.tcp_syn_linear_timeouts": "4",
    "net.core.rmem_max": "212992",
    "net.netfilter.nf_conntrack_tcp_timeout_established": "432000",
}

Scene = Callable[[], Findings]


def watch(limits: Thresholds | None = None, fds: int = 20, limit: int = 20_000, **settings: str) -> Ward:
    """A host with so many of java's descriptors open, and settings, those of net.ipv4 without their prefix."""
    named = {name if "." in name else f"net.ipv4.{name}": value for name, value in settings.items()}
    return Ward(
        limits=limits or Thresholds(),
        processes=(process(4312, "java", fds, limit), process(812, "nginx")),
        settings=SETTINGS | MORE_SETTINGS | named,
    )


def leak(count: int, seconds: float = 300, **fields: Any) -> list[dict[str, Any]]:
    return [aged(State.CLOSE_WAIT, seconds + n * 60, **({"recv_queue": 0} | fields)) for n in range(count)]


def poll(*rows: dict[str, Any], ward: Ward | None = None, polls: int = 1, **given: Any) -> Findings:
    """Poll the same rows so many times."""
    ward = ward or watch()
    for _ in range(polls):
        found = ward.poll(LISTEN, *BACKGROUND, *rows, **({"sockstat": {"TCP.orphan": 3, "TCP.tw": 9}} | given))
    return found


def growing(**fields: Any) -> Findings:
    ward = watch()
    for number in range(14):
        ward.processes = (process(4312, "java", 800 + number, 1024), process(812, "nginx"))
        found = poll(*leak(12 + number, **fields), ward=ward, seconds=5)
    return found


def nearly_full() -> Ward:
    """A process that has no descriptor left, and a threshold that lets others than R25 say so."""
    limits = dataclasses.replace(Thresholds(), descriptors_warning=2.0)
    return watch(limits, fds=1022, limit=1024)


def unraisable(findings: Findings) -> Findings:
    """The same on a host whose kernel gives no process more than 1024 descriptors."""
    snapshot = findings.update.snapshot
    host = dataclasses.replace(snapshot.host, sysctls={**snapshot.host.sysctls, "fs.nr_open": "1024"})
    update = dataclasses.replace(findings.update, snapshot=dataclasses.replace(snapshot, host=host))
    return dataclasses.replace(findings, update=update)


def shared() -> Findings:
    """Sockets that a parent and a child hold."""
    ward = watch()
    poll(*leak(2), ward=ward)
    found = ward.diagnosis
    update = poll(*(row | {"holders": 2} for row in leak(2)), ward=ward).update
    inodes = np.sort(update.sockets["inode"][update.sockets["holders"] == 2])
    pairs = [(inode, pid, 9) for inode in inodes.tolist() for pid in (812, 4312)]
    inode, pid, fd = np.array(pairs).T
    holders = Holders(inode.astype(np.uint32), pid.astype(np.int32), fd.astype(np.int32))
    snapshot = dataclasses.replace(update.snapshot, holders=holders, monotonic=update.snapshot.monotonic + 2)
    return found.update(dataclasses.replace(update, snapshot=snapshot))


def with_threads(threads: Threads, *rows: dict[str, Any]) -> Findings:
    ward = watch()
    ward.diagnosis = Diagnosis(look=lambda _: threads)
    return poll(*rows, ward=ward, polls=2)


def hidden(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"pid": 0, "fd": -1, "holders": 0, "owner": Owner.HIDDEN, "known": FULL, "uid": 1000}


def counted(sockstat: dict[str, int], counters: dict[str, int], *rows: dict[str, Any]) -> Findings:
    ward = watch()
    poll(*rows, ward=ward, counters=dict.fromkeys(counters, 0), sockstat=sockstat)
    return poll(*rows, ward=ward, counters=counters, sockstat=sockstat)


def tracked(used: int, early_drop: int) -> Findings:
    counts = {"net.netfilter.nf_conntrack_count": str(used), "net.netfilter.nf_conntrack_max": "65536"}
    ward = watch(limits=None, fds=20, limit=20_000, **counts)
    poll(ward=ward, counters={"conntrack.drop": 0, "conntrack.early_drop": 0})
    return poll(ward=ward, counters={"conntrack.drop": early_drop, "conntrack.early_drop": early_drop})


def pasted(state: str, recv_queue: int = 0) -> Findings:
    """One netstat, which does not tell since when."""
    lines = (f"tcp {recv_queue} 0 10.0.0.5:8080 10.0.0.9:{port} {state} 4312/java" for port in (1, 2))
    head = "Proto Recv-Q Send-Q Local Address Foreign Address State PID/Program name"
    return judge(Config()).update(Tracker().update(read_text("\n".join((head, *lines)).encode()).snapshot))


def taken(held: bool) -> Findings:
    ward = watch()
    left: list[dict[str, Any]] = [TIME_WAIT | {"cookie": 7}, ORPHAN | {"cookie": 8}]
    if held:
        left.append(aged(State.FIN_WAIT2, 3, cookie=9, pid=812))
    ward.poll(LISTEN, *BACKGROUND, *left)
    for _ in range(3):
        found = ward.poll(*BACKGROUND, *left)
    return found


def ports(state: State, used: int, reuse: int = 0, **fields: Any) -> Findings:
    ward = watch(ip_local_port_range="32768 32867", tcp_tw_reuse="1" if reuse else "2")
    to = {"remote": "10.0.0.5", "remote_port": 5432}
    row = (TIME_WAIT if state == State.TIME_WAIT else {"state": state}) | to | fields
    rows = [row | {"local_port": 32_768 + n} for n in range(used)]
    rows += [TIME_WAIT | to | {"local_port": 32_768 + used + n} for n in range(reuse)]
    return poll(*rows, ward=ward)


def by_rule(rule: Rule, *rows: dict[str, Any], ward: Ward | None = None) -> Findings:
    """What one rule finds, where another one would explain it."""
    with mock.patch.object(engine, "RULES", (rule,)):
        return poll(LISTEN | {"local_port": 81, "recv_queue": 129, "cookie": 6}, *rows, ward=ward)


def cookies() -> Findings:
    ward = watch()
    names = ("TcpExt.SyncookiesSent", "TcpExt.SyncookiesFailed", "TcpExt.TCPReqQFullDrop")
    rows = [MINI_SYN | {"remote": f"10.1.{n // 200}.{n % 200}"} for n in range(400)]
    poll(*rows, ward=ward, counters=dict.fromkeys(names, 0))
    return poll(*rows, ward=ward, counters=dict(zip(names, (500, 400, 7), strict=True)))


def descriptors(used: int, *rows: dict[str, Any], ghosts: int = 0) -> Findings:
    ward = watch(fds=used, limit=1024)
    return poll(*rows, ward=ward, polls=2, ghosts=[(500 + n, 4312, 500 + n) for n in range(ghosts)])


UDP: dict[str, Any] = {
    "protocol": Protocol.UDP, "state": State.CLOSE, "local_port": 53, "remote": "0.0.0.0", "remote_port": 0,
    "cookie": 5, "rcvbuf": 212_992,
}  # fmt: skip


def drops() -> Findings:
    ward = watch()
    poll(UDP | {"drops": 500}, ward=ward)
    return poll(UDP | {"drops": 512, "recv_queue": 832}, ward=ward)


def overflowed() -> Findings:
    ward = watch()
    big = LISTEN | {"local_port": 81, "send_queue": 1024, "cookie": 6}
    poll(big | {"drops": 5}, ward=ward, counters={"TcpExt.ListenOverflows": 5})
    return poll(big | {"drops": 9}, ward=ward, counters={"TcpExt.ListenOverflows": 9})


def both_ends() -> Findings:
    server = {"local": "10.0.0.1", "local_port": 8080, "remote": "10.0.0.1", "remote_port": 50_000}
    client = {"local": "10.0.0.1", "local_port": 50_000, "remote": "10.0.0.1", "remote_port": 8080, "pid": 812}
    return poll(aged(State.CLOSE_WAIT, 90, **server), aged(State.FIN_WAIT2, 90, **client))


def other_end(state: State, seconds: float, theirs: dict[str, Any], **ours: Any) -> Findings:
    """One end that is stuck, while the other, on this host, is not in a finding of its own."""
    there = {"local": "10.0.0.1", "local_port": 8080, "remote": "10.0.0.1", "remote_port": 50_000, "pid": 812} | theirs
    here = {"local": "10.0.0.1", "local_port": 50_000, "remote": "10.0.0.1", "remote_port": 8080}
    return poll(aged(state, seconds, **here, **ours), there)


def full_listener(*rows: dict[str, Any], used: int = 20) -> Findings:
    ward = watch(fds=used, limit=1024)
    full = LISTEN | {"local_port": 81, "recv_queue": 129, "drops": 9, "cookie": 6}
    waiting = [aged(State.ESTABLISHED, 400 - n, local_port=81, **UNACCEPTED) for n in range(3)]
    return poll(full, *waiting, MINI_SYN | {"local_port": 81}, *rows, ward=ward)


ASKING: dict[str, Any] = {
    "state": State.SYN_SENT, "timer": Timer.ON, "timer_ms": 900, "retransmits": 4, "total_rto": 4, "rto": 1_000_000,
    "total_rto_time": 4_000, "total_rto_recoveries": 1, "send_queue": 1,
}  # fmt: skip
STANDING = aged(State.ESTABLISHED, 1, local_port=50_100, remote="10.0.0.5", remote_port=5432)
DEFERRED: dict[str, Any] = MINI_SYN | {"retransmits": 0, "timer_ms": 3_500}

SCENES: dict[str, tuple[str, Scene]] = {
    "unread": ("R01", lambda: poll(*(aged(State.CLOSE_WAIT, 100 + n, recv_queue=301) for n in range(3)))),
    "unread_fin": ("R01", lambda: poll(aged(State.CLOSE_WAIT, 100))),
    "unread_not_known": ("R01", lambda: poll(aged(State.CLOSE_WAIT, 100, known=int(Known.INFO | Known.INODE)))),
    "unread_stopped": ("R01", lambda: with_threads(STOPPED, aged(State.CLOSE_WAIT, 100))),
    "unread_busy": ("R01", lambda: with_threads(BUSY, aged(State.CLOSE_WAIT, 100))),
    "unread_unseen": ("R01", lambda: with_threads(UNSEEN, aged(State.CLOSE_WAIT, 100))),
    "unread_both_ends": ("R01", both_ends),
    "unread_hidden": ("R01", lambda: poll(hidden(aged(State.CLOSE_WAIT, 100)))),
    "unread_growing": ("R01", lambda: growing(recv_queue=1)),
    "unread_unraisable": ("R01", lambda: unraisable(growing(recv_queue=1))),
    "read_unraisable": ("R02", lambda: unraisable(growing())),
    "read_shared": ("R02", shared),
    "read_here": ("R02", lambda: other_end(State.CLOSE_WAIT, 90, aged(State.FIN_WAIT2, 2), recv_queue=0)),
    "not_accepted_no_descriptors": ("R03", lambda: poll(aged(State.ESTABLISHED, 9, **UNACCEPTED), ward=nearly_full())),
    "not_accepted_unraisable": ("R03", lambda: unraisable(SCENES["not_accepted_no_descriptors"][1]())),
    "sending_here": ("R04", lambda: other_end(State.CLOSE_WAIT, 90, aged(State.FIN_WAIT2, 2), **CLOSED_WINDOW)),
    "read_one": ("R02", lambda: poll(*leak(1))),
    "read": ("R02", lambda: poll(*leak(412))),
    "read_out": ("R02", lambda: poll(*leak(3, **OUT))),
    "read_v6": ("R02", lambda: poll(*leak(2, local="2001:db8::1", remote="2001:db8::5", family=6,
                                          local_port=50_000, remote_port=443))),
    "read_growing": ("R02", growing),
    "not_accepted": ("R03", lambda: poll(*(aged(State.ESTABLISHED, 9, **UNACCEPTED) for _ in range(2)))),
    "not_accepted_left": ("R03", lambda: poll(aged(State.ESTABLISHED, 50, **UNACCEPTED),
                                              aged(State.CLOSE_WAIT, 40, **UNACCEPTED))),
    "sending": ("R04", lambda: poll(aged(State.CLOSE_WAIT, 90, **REPEATING))),
    "sending_window": ("R04", lambda: poll(*(aged(State.CLOSE_WAIT, 90, **CLOSED_WINDOW) for _ in range(2)))),
    "unread_pasted": ("R01", lambda: pasted("CLOSE_WAIT", 1)),
    "read_pasted": ("R02", lambda: pasted("CLOSE_WAIT")),
    "half_closed_pasted": ("R05", lambda: pasted("FIN_WAIT2")),
    "half_closed": ("R05", lambda: poll(*(aged(State.FIN_WAIT2, 100 + n, **OUT) for n in range(2)))),
    "half_closed_here": ("R05", lambda: other_end(State.FIN_WAIT2, 90, aged(State.CLOSE_WAIT, 2))),
    "orphans": ("R06", lambda: poll(*[ORPHAN] * 1001)),
    "orphans_trap": ("R06", lambda: poll(ORPHAN, ward=watch(tcp_fin_timeout="70"))),
    "orphans_trap_alone": ("R06", lambda: poll(ward=watch(tcp_fin_timeout="70"))),
    "fin_unanswered": ("R07", lambda: poll(*(aged(State.FIN_WAIT1, 30, **REPEATING, **GONE) for _ in range(3)))),
    "fin_unanswered_held": ("R07", lambda: poll(aged(State.FIN_WAIT1, 30, **REPEATING))),
    "fin_window": ("R08", lambda: poll(*(aged(State.FIN_WAIT1, 30, **CLOSED_WINDOW, **GONE) for _ in range(2)))),
    "fin_window_for_ever": ("R08", lambda: poll(aged(State.FIN_WAIT1, 30, **CLOSED_WINDOW, **GONE),
                                               ward=watch(tcp_retries2="8"))),
    "fin_window_held": ("R08", lambda: poll(aged(State.LAST_ACK, 30, **CLOSED_WINDOW))),
    "fin_window_here": ("R08", lambda: other_end(State.FIN_WAIT1, 30, aged(State.ESTABLISHED, 2), **CLOSED_WINDOW)),
    "fin_no_timer": ("R09", lambda: poll(
        aged(State.FIN_WAIT1, 9, send_queue=1, bytes_sent=0, busy_time=9_000_000, cookie=4, **GONE), polls=2)),
    "last_ack": ("R10", lambda: poll(*(aged(State.LAST_ACK, 30, **REPEATING, **GONE) for _ in range(2)))),
    "last_ack_held": ("R10", lambda: poll(aged(State.LAST_ACK, 30, **REPEATING))),
    "closing": ("R11", lambda: poll(*(aged(State.CLOSING, 90, **REPEATING, **GONE) for _ in range(2)))),
    "closing_one_way": ("R11", lambda: poll(aged(State.CLOSING, 2, **REPEATING, **GONE))),
    "syn": ("R12", lambda: poll(*(OUT | ASKING | {"local_port": 50_000 + n} for n in range(2)))),
    "syn_others": ("R12", lambda: poll(OUT | ASKING, STANDING)),
    "syn_same_host": ("R12", lambda: poll(ASKING | {"local": "127.0.0.1", "remote": "127.0.0.1", "remote_port": 9,
                                                    "local_port": 50_000})),
    "syn_here": ("R13", lambda: by_rule(handshakes.syn_to_full_listener, ASKING | {
        "pid": 812, "local": "10.0.0.1", "remote": "10.0.0.1", "remote_port": 81, "local_port": 50_000})),
    "syn_here_no_descriptors": ("R13", lambda: by_rule(handshakes.syn_to_full_listener, ASKING | {
        "pid": 812, "local": "10.0.0.1", "remote": "10.0.0.1", "remote_port": 81, "local_port": 50_000},
        ward=nearly_full())),
    "syn_here_unraisable": ("R13", lambda: unraisable(SCENES["syn_here_no_descriptors"][1]())),
    "syn_cookies": ("R14", cookies),
    "syn_flood": ("R14", lambda: poll(
        *(MINI_SYN | {"remote": f"10.1.{n // 200}.{n % 200}"} for n in range(400)))),
    "syn_few": ("R14", lambda: poll(*(MINI_SYN | {"remote": "10.1.0.1"} for _ in range(120)))),
    "deferred": ("R15", lambda: poll(DEFERRED | {"cookie": 3}, polls=2)),
    "half_accepted": ("R15", lambda: by_rule(handshakes.half_accepted, *[MINI_SYN | {"local_port": 81}] * 2)),
    "queue_full": ("R16", full_listener),
    "queue_full_asked": ("R16", lambda: full_listener(ASKING | {
        "pid": 812, "local": "10.0.0.1", "remote": "10.0.0.1", "remote_port": 81, "local_port": 50_000})),
    "queue_full_no_descriptors": ("R16", lambda: full_listener(used=1020)),
    "queue_full_unraisable": ("R16", lambda: unraisable(full_listener(used=1020))),
    "queue_overflowed": ("R16", overflowed),
    "backlog": ("R17", lambda: poll(LISTEN | {"local_port": 81, "drops": 7, "cookie": 6})),
    "backlog_capped": ("R17", lambda: poll(LISTEN | {"local_port": 81, "drops": 7, "send_queue": 4096, "cookie": 6})),
    "silent_peer": ("R18", lambda: poll(*(aged(State.ESTABLISHED, 120, **OUT, **REPEATING) for _ in range(2)))),
    "silent_peer_heard": ("R18", lambda: poll(aged(State.ESTABLISHED, 2, **OUT, **REPEATING))),
    "silent_peer_not_let_in": ("R18", lambda: by_rule(
        moving.retransmitting,
        aged(State.ESTABLISHED, 40, local_port=50_000, remote="10.0.0.1", remote_port=81, **REPEATING),
        MINI_SYN | {"pid": 0, "fd": -1, "local_port": 81, "remote": "10.0.0.1", "remote_port": 50_000})),
    "silent_peer_soon_let_in": ("R18", lambda: other_end(
        State.ESTABLISHED, 40, MINI_SYN | {"pid": 0, "fd": -1, "local_port": 8080}, **REPEATING)),
    "silent_peer_unreachable": ("R18", lambda: poll(
        aged(State.ESTABLISHED, 90, **OUT, **(REPEATING | {"backoff": 2, "total_rto_time": 80_000})))),
    "silent_peers": ("R18", lambda: poll(
        *(aged(State.ESTABLISHED, 30, **(OUT | {"remote": f"10.0.1.{n}"}), **REPEATING) for n in range(12)))),
    "window": ("R19", lambda: poll(*(aged(State.ESTABLISHED, 90, **OUT, **CLOSED_WINDOW) for _ in range(2)))),
    "window_gone": ("R19", lambda: poll(aged(State.ESTABLISHED, 90, **OUT, **CLOSED_WINDOW, probes=3))),
    "window_here": ("R19", lambda: other_end(
        State.ESTABLISHED, 9, aged(State.ESTABLISHED, 2, recv_queue=4096), **CLOSED_WINDOW)),
    "not_reading": ("R20", lambda: poll(
        *(aged(State.ESTABLISHED, 90 + n, recv_queue=127_480, rcv_wnd=0) for n in range(2)))),
    "not_reading_full": ("R20", lambda: poll(
        aged(State.ESTABLISHED, 90, recv_queue=127_480, rmem_alloc=190_000, rcvbuf=200_000))),
    "idle": ("R21", lambda: poll(*(aged(State.ESTABLISHED, 9_000 + n, **OUT) for n in range(3)))),
    "ports_time_wait": ("R22", lambda: ports(State.TIME_WAIT, 80)),
    "ports_young": ("R22", lambda: ports(State.TIME_WAIT, 80, reuse=1, timer_ms=59_900)),
    "ports_reused": ("R22", lambda: ports(State.ESTABLISHED, 80, reuse=5)),
    "ports_leaked": ("R22", lambda: ports(State.CLOSE_WAIT, 80)),
    "ports_held": ("R22", lambda: ports(State.ESTABLISHED, 97)),
    "ports_unknown": ("R22", lambda: ports(State.ESTABLISHED, 80, **(GONE | {"owner": Owner.UNFOUND, "inode": 5}))),
    "time_wait": ("R23", lambda: counted({"TCP.tw": 120_000}, {}, TIME_WAIT)),
    "time_wait_cut": ("R23", lambda: counted({"TCP.tw": 131_072}, {"TcpExt.TCPTimeWaitOverflow": 4}, TIME_WAIT)),
    "memory_orphans": ("R24", lambda: counted({"TCP.orphan": 20_000, "TCP.mem": 90_000}, {},
                                              aged(State.FIN_WAIT1, 1, send_queue=999, **GONE))),
    "memory_pressure": ("R24", lambda: counted({"TCP.mem": 160_000}, {}, STANDING | {"send_queue": 9_000})),
    "memory_was_short": ("R24", lambda: counted({"TCP.mem": 90_000}, {"TcpExt.TCPMemoryPressures": 1},
                                                STANDING | {"send_queue": 9_000})),
    "memory_aborted": ("R24", lambda: counted({"TCP.mem": 90_000}, {"TcpExt.TCPAbortOnMemory": 3},
                                              aged(State.FIN_WAIT1, 1, send_queue=999, **GONE))),
    "descriptors_leak": ("R25", lambda: descriptors(1020, *leak(812))),
    "descriptors_unraisable": ("R25", lambda: unraisable(descriptors(1020, *leak(812)))),
    "descriptors": ("R25", lambda: descriptors(950, STANDING)),
    "descriptors_ghosts": ("R25", lambda: descriptors(99, ghosts=40)),
    "port_taken": ("X1", lambda: taken(held=False)),
    "port_taken_held": ("X1", lambda: taken(held=True)),
    "conntrack": ("X2", lambda: tracked(60_000, 0)),
    "conntrack_full": ("X2", lambda: tracked(65_000, 3)),
    "conntrack_was_full": ("X2", lambda: tracked(20_000, 3)),
    "udp": ("X3", drops),
    "settings": ("X5", lambda: poll(ward=watch(
        tcp_tw_recycle="1", tcp_abort_on_overflow="1", tcp_syncookies="2", tcp_retries2="5", tcp_orphan_retries="1",
        tcp_timestamps="0", tcp_tw_reuse="1", tcp_max_tw_buckets="5000"))),
}  # fmt: skip
"""Name -> the rule it is about, and how it comes about."""


def made(name: str) -> tuple[Findings, Finding]:
    """The findings of a scene, and the one it is about."""
    rule, scene = SCENES[name]
    findings = scene()
    found = [item for item in findings.items if item.rule == rule]
    assert found, (name, [item.key for item in findings.items])
    return findings, found[0]


def renamed(findings: Findings, name: str) -> Findings:
    """The same, every process called ``name``."""
    snapshot = findings.update.snapshot
    processes = {pid: dataclasses.replace(each, name=name) for pid, each in snapshot.processes.items()}
    update = dataclasses.replace(findings.update, snapshot=dataclasses.replace(snapshot, processes=processes))
    return dataclasses.replace(findings, update=update)


@cache
def scene(name: str) -> tuple[Findings, Finding]:
    """A scene, made once."""
    return made(name)


def told(name: str) -> Said:
    """What is said of it."""
    return say(*scene(name))


def whole(said: Said) -> str:
    """Everything that is said, as one text."""
    texts = [said.title, said.summary, said.process, said.where, said.age, said.trend, said.forecast, said.turn]
    texts += [said.ends, *(text for line in said.evidence for text in line)]
    texts += [text for cause in said.causes for text in (cause.text, cause.tell)]
    texts += [text for step in said.steps for text in (step.text, step.command or "")]
    return "\n".join([*texts, *(text for item in said.do_not for text in item)])
