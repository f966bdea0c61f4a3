"""Connections that do not begin: accept queues and SYNs (R03, R12 to R17)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sockui.diagnosis.census import Census, Parts, Rows
from sockui.diagnosis.finding import Draft, Endpoint, Severity, spelt
from sockui.diagnosis.situations import Situation, endpoint_key
from sockui.diagnosis.stalls import waited
from sockui.model import Known

_NONE: Rows = np.empty(0, np.intp)
_SMALL_BACKLOG = 128
_SOME_REPEATED = 0.5
"""Share of a listener's handshakes that were repeated, from which they are not only young."""
_UNACCEPTED = (Situation.ACCEPT_QUEUE, Situation.CLOSE_WAIT_UNACCEPTED)


def _of_listener(census: Census, listener: int) -> tuple[int, Endpoint, str]:
    """The process, port and name of what came to a listener's address; those that share it are one."""
    row = census.sockets[listener]
    pid, port = int(row["pid"]), int(row["local_port"])
    return pid, Endpoint(True, 0, 0, port), f"{pid}/{spelt(int(row['local_high']), int(row['local_low']), port)}"


def _of_one(census: Census, listener: int) -> tuple[int, Endpoint, str]:
    """The same of a listener alone."""
    pid, endpoint, about = _of_listener(census, listener)
    return pid, endpoint, f"{about}/{census.update.keys[listener]:x}" if listener in census.sharing else about


def _by_listener(census: Census, rows: Rows, listener_of: Rows) -> Iterator[tuple[int, Rows]]:
    """Some rows by the listener of each; those without one (-1) are left out."""
    listeners, number = np.unique(listener_of[listener_of >= 0], return_counts=True)
    parts = Parts(rows, listener_of)
    for listener in census.worst(listeners, number).tolist():
        yield listener, parts[listener]


def accept_queue_full(census: Census) -> Iterator[Draft]:
    """R16 (and R15 b): a listener drops what comes now, or did within the window; it explains all that waits for it."""
    listeners = census.listeners[census.known(census.listeners, Known.QUEUES)]
    if not len(listeners):
        return
    sockets = census.sockets
    full = sockets["recv_queue"][listeners] > sockets["send_queue"][listeners]
    deferred = census.risen("TcpExt.TCPDeferAcceptDrop")  # bare ACKs, which a listener counts as dropped too
    drops = np.maximum(census.more_drops(listeners) - deferred, 0)  # at least
    overflowed = census.risen("TcpExt.ListenOverflows") > 0
    dropping = full | ((drops > 0) & overflowed)
    if not dropping.any():
        return
    chosen = census.worst(listeners[dropping], sockets["recv_queue"][listeners[dropping]])
    waiting = census.at(*_UNACCEPTED, Situation.SYN_RECV, Situation.SYN_RECV_QUEUE_FULL)
    through = Parts(waiting, census.listener_of(waiting))
    asking = census.at(Situation.SYN_SENT, Situation.SYN_SENT_LOCAL_QUEUE_FULL)
    asked = Parts(asking, census.asked_listener(asking))
    repeating = census.at(Situation.ESTABLISHED_RETRANSMITTING)
    let_in = census.others(repeating)  # of a client that believes it is connected, the handshake that was not finished
    forgotten = repeating[(let_in < 0) & (sockets["bytes_acked"][repeating] <= 1)]  # that handshake was given up
    given_up = Parts(forgotten, census.asked_listener(forgotten))
    for listener in chosen.tolist():
        row = sockets[listener]
        own, askers = through[listener], asked[listener]
        queued = own[np.isin(census.situations[own], _UNACCEPTED)]
        waits = census.stalls(queued)["min_ms"]
        pid, endpoint, about = _of_one(census, listener)
        use = census.fd_use(pid)
        yield Draft(
            "R16",
            Severity.CRITICAL,
            np.array([listener], np.intp),
            pid,
            endpoint,
            about,
            waits=waited(np.array([waits.max() if len(waits) else 0]), np.array([-1])),
            count=int(row["recv_queue"]),
            values={
                "waiting": int(row["recv_queue"]),
                "backlog": int(row["send_queue"]),
                "drops": int(drops[listeners == listener][0]),
                "drops_total": int(row["drops"]),
                "half_accepted": int(np.count_nonzero(census.situations[own] == Situation.SYN_RECV_QUEUE_FULL)),
                "asking": len(askers),
                "fds": use[0] if use else 0,
                "fd_limit": use[1] if use else 0,
            },
            conditions=frozenset(
                name
                for name, holds in (
                    ("full_now", bool(full[listeners == listener][0])),
                    ("no_descriptors", use is not None and use[1] - use[0] <= census.limits.descriptors_left_critical),
                )
                if holds
            ),
            absorbs=np.concatenate([[listener], own, askers, repeating[np.isin(let_in, own)], given_up[listener]]),
        )


def backlog_small(census: Census) -> Iterator[Draft]:
    """R17: a listener that has dropped in the past and whose backlog is small, or cut off at somaxconn."""
    counters = census.host.counters
    if counters.get("TcpExt.ListenOverflows") == 0:
        return  # what was dropped was something else: a SYN without a route back
    deferred = counters.get("TcpExt.TCPDeferAcceptDrop", 0)
    listeners = census.listeners[census.known(census.listeners, Known.QUEUES | Known.MEMORY)]
    sockets = census.sockets
    backlog = sockets["send_queue"][listeners]
    most = census.host.number("net.core.somaxconn")  # None is equal to no backlog
    chosen = (sockets["drops"][listeners] > deferred) & ((backlog <= _SMALL_BACKLOG) | (backlog == most))
    for listener in census.worst(listeners[chosen], sockets["drops"][listeners[chosen]]).tolist():
        pid, endpoint, about = _of_one(census, listener)
        yield Draft(
            "R17",
            Severity.INFO,
            np.array([listener], np.intp),
            pid,
            endpoint,
            about,
            values={
                "backlog": int(sockets["send_queue"][listener]),
                "drops_total": int(sockets["drops"][listener]),
                "somaxconn": most or 0,
            },
            conditions=frozenset({"capped"} if sockets["send_queue"][listener] == most else ()),
        )


def waiting_for_accept(census: Census) -> Iterator[Draft]:
    """R03: connections that nobody has accepted, behind a queue that is not full."""
    limits = census.limits
    rows = census.at(*_UNACCEPTED)
    if not len(rows):
        return
    waits = census.stalls(rows)["min_ms"]
    late = rows[waits >= limits.accept_wait_seconds * 1000]
    for listener, group in _by_listener(census, late, census.listener_of(late)):
        waits = census.stalls(group)
        pid, endpoint, about = _of_listener(census, listener)
        critical = bool((waits["min_ms"] > limits.accept_wait_critical_seconds * 1000).any())
        gone = int(np.count_nonzero(census.situations[group] == Situation.CLOSE_WAIT_UNACCEPTED))
        yield Draft(
            "R03",
            Severity.CRITICAL if critical else Severity.WARNING,
            group,
            pid,
            endpoint,
            about,
            waits=waits,
            values={
                "waiting": int(census.sockets["recv_queue"][listener]),
                "backlog": int(census.sockets["send_queue"][listener]),
                "gave_up": gone,
            },
            conditions=frozenset({"gave_up"} if gone else ()),
        )


def syn_unanswered(census: Census) -> Iterator[Draft]:
    """R12: connect() gets no answer."""
    rows = census.at(Situation.SYN_SENT)
    if not len(rows):
        return
    sockets = census.sockets
    repeats = np.where(census.known(rows, Known.RTO_TOTALS), sockets["total_rto"][rows], sockets["retransmits"][rows])
    rows = rows[census.known(rows, Known.TIMER) & (repeats >= census.limits.syn_unanswered)]
    for pid, endpoint, group in census.groups(rows):
        standing = census.at(
            Situation.ESTABLISHED,
            Situation.ESTABLISHED_IDLE,
            Situation.NOT_READING,
            Situation.PEER_NOT_READING,
            Situation.ESTABLISHED_RETRANSMITTING,
        )
        of_standing, of_group = (
            endpoint_key(*(sockets[f"remote_{part}"][some] for part in ("high", "low", "port")))
            for some in (standing, group)
        )
        alike = np.isin(of_standing, of_group)
        established = 0 if endpoint and endpoint.local else int(np.count_nonzero(alike))
        yield Draft(
            "R12",
            Severity.WARNING,
            group,
            pid,
            endpoint,
            values={
                "established": established,
                "syns": int(sockets["retransmits"][group].max()) + 1,
                "fewest": int(sockets["retransmits"][group].min()),
            },
            conditions=frozenset({"others_established"} if established else ()),
        )


def syn_to_full_listener(census: Census) -> Iterator[Draft]:
    """R13: connect() to a listener of this host that is full; R16 explains it where it is seen."""
    sockets = census.sockets
    rows = census.at(Situation.SYN_SENT_LOCAL_QUEUE_FULL)
    for listener, group in _by_listener(census, rows, census.asked_listener(rows)):
        pids = np.unique(sockets["pid"][group])
        first = sockets[group[0]]
        *_, about = _of_listener(census, listener)
        yield Draft(
            "R13",
            Severity.CRITICAL,
            group,
            int(pids[0]) if len(pids) == 1 else 0,
            Endpoint(False, int(first["remote_high"]), int(first["remote_low"]), int(first["remote_port"])),
            about,
            values={
                "listener_pid": int(sockets["pid"][listener]),
                "waiting": int(sockets["recv_queue"][listener]),
                "backlog": int(sockets["send_queue"][listener]),
            },
        )


def syn_recv_many(census: Census) -> Iterator[Draft]:
    """R14: unfinished handshakes pile up at a listener."""
    rows = census.at(Situation.SYN_RECV)
    for listener, group in _by_listener(census, rows, census.listener_of(rows)):
        backlog = int(census.sockets["send_queue"][listener])
        repeated = int(np.count_nonzero(census.sockets["retransmits"][group]))
        if len(group) <= min(census.limits.syn_recv_many, max(backlog / 2, 10)):
            continue
        if repeated < _SOME_REPEATED * len(group):
            continue
        sent = census.risen("TcpExt.SyncookiesSent")
        failed = census.risen("TcpExt.SyncookiesFailed")
        sources = np.unique(census.sockets["remote_low"][group] ^ census.sockets["remote_high"][group])
        pid, endpoint, about = _of_listener(census, listener)
        yield Draft(
            "R14",
            Severity.CRITICAL if sent and failed > sent / 2 else Severity.WARNING,
            group,
            pid,
            endpoint,
            about,
            values={
                "backlog": backlog,
                "repeated": repeated,
                "sources": len(sources),
                "cookies": sent,
                "cookies_failed": failed,
                "dropped": census.risen("TcpExt.TCPReqQFullDrop"),
            },
            conditions=frozenset(
                {"many_sources" if len(sources) > len(group) / 2 else "few_sources"} | ({"cookies"} if sent else set())
            ),
        )


def half_accepted(census: Census) -> Iterator[Draft]:
    """R15: complete for the client alone: (a) the listener waits for data, (b) its queue is full."""
    sockets = census.sockets
    deferred = census.at(Situation.SYN_RECV_DEFER_ACCEPT)
    # the SYN-ACK timer of a deferred one is set anew each second: twice in a row it is no accident
    deferred = census.same_before("R15", deferred)
    for listener, group in _by_listener(census, deferred, census.listener_of(deferred)):
        pid, endpoint, about = _of_listener(census, listener)
        yield Draft("R15", Severity.INFO, group, pid, endpoint, about, conditions=frozenset({"defer"}))
    dropped = census.at(Situation.SYN_RECV_QUEUE_FULL)
    for listener, group in _by_listener(census, dropped, census.listener_of(dropped)):
        pid, endpoint, about = _of_listener(census, listener)
        yield Draft(
            "R15",
            Severity.CRITICAL,
            group,
            pid,
            endpoint,
            f"{about}/queue_full",
            values={
                "waiting": int(sockets["recv_queue"][listener]),
                "backlog": int(sockets["send_queue"][listener]),
            },
            conditions=frozenset({"queue_full"}),
        )


RULES = (
    accept_queue_full,
    backlog_small,
    waiting_for_accept,
    syn_unanswered,
    syn_to_full_listener,
    syn_recv_many,
    half_accepted,
)
