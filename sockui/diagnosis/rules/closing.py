"""Connections that do not end: CLOSE_WAIT, FIN_WAIT, LAST_ACK and CLOSING (R01, R02, R04 to R11)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sockui.diagnosis.census import Census
from sockui.diagnosis.finding import Draft, Severity
from sockui.diagnosis.situations import Situation
from sockui.model import Known, State

_TRAP = range(61, 120)
"""tcp_fin_timeout in here makes an orphan FIN_WAIT2 live 2(F-60) s (tcp_input.c:tcp_rcv_state_process)."""
_FULL_SHARE = 0.5
"""Share of a process's descriptor limit from which a leak is critical."""
_TIME_WAIT_SHARE = 0.2


def close_wait(census: Census) -> Iterator[Draft]:
    """R01 and R02: the peer closed, our application has not; R01 while the FIN was not read."""
    limits = census.limits
    for rule, situations in (
        ("R01", (Situation.CLOSE_WAIT_UNREAD, Situation.CLOSE_WAIT)),
        ("R02", (Situation.CLOSE_WAIT_READ,)),
    ):
        for pid, endpoint, every in census.groups(census.aged(census.at(*situations), limits.close_wait_seconds)):
            group, dated = census.dated(every, limits.close_wait_seconds)
            use = census.fd_use(pid)
            full = use is not None and len(group) >= _FULL_SHARE * use[1]
            known = {"not_known"} if Situation.CLOSE_WAIT in census.situations[group] else set()
            yield Draft(
                rule,
                Severity.CRITICAL if full else Severity.WARNING if dated else Severity.INFO,
                group,
                pid,
                endpoint,
                states=(State.CLOSE_WAIT,),
                values={"unread": int(np.maximum(census.sockets["recv_queue"][group].astype(np.int64) - 1, 0).sum())},
                conditions=frozenset(known | (set() if dated else {"undated"})),
                filled=("descriptors", *use) if use else None,
            )


def close_wait_sending(census: Census) -> Iterator[Draft]:
    """R04: the peer closed and what we send is not taken; an ordinary half-close answer is no finding."""
    rows = census.at(Situation.CLOSE_WAIT_SENDING)
    if not len(rows):
        return
    sockets = census.sockets
    repeats = np.where(census.known(rows, Known.TIMER), sockets["retransmits"][rows], 0)
    closed = census.known(rows, Known.WINDOWS) & (sockets["snd_wnd"][rows] == 0)
    stuck = (repeats >= census.limits.fin_unanswered_retransmits) | (
        closed & (census.stalls(rows)["min_ms"] >= census.limits.zero_window_seconds * 1000)
    )
    for pid, endpoint, group in census.groups(rows[stuck]):
        yield Draft("R04", Severity.WARNING, group, pid, endpoint, states=(State.CLOSE_WAIT,))


def fin_wait2_held(census: Census) -> Iterator[Draft]:
    """R05: we shut down our direction and wait for a peer that does not close."""
    seconds = census.limits.fin_wait2_seconds
    rows = census.aged(census.at(Situation.FIN_WAIT2_HELD), seconds)
    unknown = census.at(Situation.FIN_WAIT2)  # held or not: a text and psutil leave that open
    for pid, endpoint, every in census.groups(np.union1d(rows, census.aged(unknown, seconds))):
        group, dated = census.dated(every, seconds)
        known = {"not_known"} if Situation.FIN_WAIT2 in census.situations[group] else set()
        yield Draft(
            "R05",
            Severity.WARNING if dated and not known else Severity.INFO,
            group,
            pid,
            endpoint,
            states=(State.FIN_WAIT2,),
            conditions=frozenset(known | (set() if dated else {"undated"})),
        )


def fin_wait2_orphans(census: Census) -> Iterator[Draft]:
    """R06: very many closed connections whose peers do not close, or a tcp_fin_timeout that backfires."""
    rows = census.at(Situation.FIN_WAIT2_ORPHAN)
    waiting = len(rows) + len(census.at(Situation.TIME_WAIT))
    timeout = census.host.number("net.ipv4.tcp_fin_timeout")
    trap = timeout is not None and timeout in _TRAP
    many = len(rows) > census.limits.orphan_fin_wait2_many
    share = len(rows) >= census.limits.orphan_fin_wait2_many / 2 and len(rows) > _TIME_WAIT_SHARE * waiting
    if not (trap or many or share):
        return
    yield Draft(
        "R06",
        Severity.WARNING if trap else Severity.INFO,
        rows,
        count=len(rows),
        values={"fin_timeout": timeout or 0},
        conditions=frozenset({"trap"} if trap else ()) | frozenset({"many"} if many or share else ()),
    )


def fin_unanswered(census: Census) -> Iterator[Draft]:
    """R07, R10 and R11: our FIN is sent again and again."""
    limits = census.limits
    for rule, situation in (
        ("R07", Situation.FIN_WAIT1_UNANSWERED),
        ("R10", Situation.LAST_ACK),
        ("R11", Situation.CLOSING),
    ):
        rows = census.at(situation)
        known = census.known(rows, Known.TIMER)
        rows = rows[known & (census.sockets["retransmits"][rows] >= limits.fin_unanswered_retransmits)]
        if not len(rows):
            continue
        orphans = census.sockets["inode"][rows] == 0
        most = census.host.number("net.ipv4.tcp_max_orphans")
        bad = len(rows) > limits.fin_unanswered_many or bool(
            most and np.count_nonzero(orphans) > limits.orphan_share * most
        )
        for pid, endpoint, group in census.groups(rows):
            waits = census.stalls(group)
            yield Draft(
                rule,
                Severity.WARNING if bad else Severity.INFO,
                group,
                pid,
                endpoint,
                waits=waits,
                values={
                    "retransmits": int(census.sockets["retransmits"][group].max()),
                    "fewest": int(census.sockets["retransmits"][group].min()),
                },
                conditions=frozenset({"orphan"} if not census.sockets["inode"][group].any() else ()),
            )


def fin_zero_window(census: Census) -> Iterator[Draft]:
    """R08: our FIN waits behind data that the peer does not take."""
    rows = census.at(Situation.FIN_WAIT1_ZERO_WINDOW, Situation.LAST_ACK_ZERO_WINDOW)
    if not len(rows):
        return
    rows = rows[census.stalls(rows)["min_ms"] >= census.limits.zero_window_seconds * 1000]
    bad = len(rows) > census.limits.fin_unanswered_many
    for pid, endpoint, group in census.groups(rows):
        waits = census.stalls(group)
        yield Draft(
            "R08",
            Severity.WARNING if bad else Severity.INFO,
            group,
            pid,
            endpoint,
            waits=waits,
            values={"queued": int(census.sockets["send_queue"][group].sum()) - len(group)},
            conditions=frozenset({"orphan"} if not census.sockets["inode"][group].any() else ()),
        )


def fin_without_timer(census: Census) -> Iterator[Draft]:
    """R09: our FIN is queued, nobody holds the socket and no timer will send it; in two polls, or it is a race."""
    rows = census.same_before("R09", census.at(Situation.FIN_WAIT1_NO_TIMER))
    for pid, endpoint, group in census.groups(rows):
        yield Draft("R09", Severity.WARNING, group, pid, endpoint)


RULES = (
    close_wait,
    close_wait_sending,
    fin_wait2_held,
    fin_wait2_orphans,
    fin_unanswered,
    fin_zero_window,
    fin_without_timer,
)
