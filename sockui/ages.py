"""How long each socket has been in its present state, as an interval with a source.

Owns the bounds that the kernel's own fields give (TCP-FACTS table B.2). Must not remember anything
between polls: that is ``tracker``, which narrows these bounds with what it saw itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sockui.model import Host, Known, Protocol, SocketArray, State, Timer
from sockui.model.sockets import PIECE, Rows, by_state


class AgeSource(IntEnum):
    """What an age rests on; the lower-case name is the JSON value."""

    NONE = 0
    OBSERVED = 1  # sockui saw the change of state
    TIMER = 2  # the running timer
    LAST_ACK = 3  # time since the last segments
    BUSY = 4  # time with anything unacknowledged
    RETRANSMITS = 5  # retransmission totals
    FIRST_SEEN = 6  # nothing but how long sockui has watched


AGE = np.dtype([("min_ms", "i8"), ("max_ms", "i8"), ("source", "u1")], align=True)
"""min_ms: at least, ms (0 if nothing is known). max_ms: at most, ms (-1: nothing bounds it). source: AgeSource."""

AgeArray: TypeAlias = "NDArray[Any]"
"""A 1-d array of dtype :data:`AGE`, aligned with the sockets it belongs to."""


JIFFY_MS = 10
"""Every field is counted in jiffies, 10 ms at the coarsest (HZ=100): that much a bound may be off either way."""
TIMEWAIT_MS = 60_000
"""TCP_TIMEWAIT_LEN (include/net/tcp.h), a compile-time constant; no sysctl changes it."""
TIMER_LATE_MS = 2_500
"""A 60 s timer may fire, and its countdown rest at 0, up to this late (kernel/time/timer.c, wheel levels)."""
INITIAL_RTO_MS = 1_000
"""TCP_TIMEOUT_INIT: the first SYN or SYN-ACK is repeated after it."""
RTO_MAX_MS = 120_000
"""TCP_RTO_MAX: no timeout is longer, where tcp_rto_max_ms does not say otherwise."""
SHORT_FIN_TIMEOUT_S = 10
"""Below, an orphan may well wait longer than tcp_fin_timeout: 3.5 times its RTO (tcp.h:tcp_fin_time)."""


COUNTER_MS = 1 << 32
"""The kernel's times in ms begin again at 0 after so many: 49.7 days without sleep (jiffies_to_msecs)."""


def bounds(sockets: SocketArray, host: Host, uptime: float, dump_seconds: float = 0.0) -> AgeArray:
    """Bound each socket's time in its state by the kernel's own fields alone.

    ``sockets`` is (n,) SOCKET; the result (n,) AGE. A field that the row does not have bounds nothing.
    ``uptime`` is CLOCK_MONOTONIC in seconds when the dump was complete. ``dump_seconds`` widens the upper
    bounds: a row may have been read that long before.

    The kernel keeps no time of the last state change. Per state, what is used (kernel functions in
    TCP-FACTS B.1): TIME_WAIT and orphan FIN_WAIT2 the running timer; CLOSE_WAIT the last segment with an
    acceptable ACK (at least: the FIN came no later) and the last data (at most: none follows a FIN);
    FIN_WAIT2 the same with the last data sent; FIN_WAIT1, LAST_ACK and CLOSING the busy time, which counts
    our FIN; SYN_SENT and SYN_RECV the retransmission schedule; ESTABLISHED the longest of all.
    """
    ages = np.zeros(len(sockets), AGE)
    ages["max_ms"] = -1
    late = round(dump_seconds * 1000)
    for start in range(0, len(sockets), PIECE):
        _bound(sockets[start : start + PIECE], ages[start : start + PIECE], host, late)
    if uptime * 1000 >= COUNTER_MS:  # an older socket may look young, but for those that a timer ends
        ages["max_ms"][(ages["source"] == AgeSource.LAST_ACK) | (ages["source"] == AgeSource.BUSY)] = -1
    ages["source"][(ages["min_ms"] == 0) & (ages["max_ms"] < 0)] = AgeSource.NONE
    return ages


def _bound(sockets: SocketArray, ages: AgeArray, host: Host, late: int) -> None:
    """Fill in the ages of some sockets; ``late`` is in ms."""
    state = np.where(sockets["protocol"] == Protocol.TCP, sockets["state"], 0)
    for code, alike in by_state(state):
        parts = [(*_BOUNDS[code], alike)] if code in _BOUNDS else []
        if code == State.FIN_WAIT2:
            held = sockets["inode"][alike] != 0
            orphan = partial(_fin_wait2_orphan, seconds=host.number("net.ipv4.tcp_fin_timeout"))
            parts = [(Known.TIMER, orphan, alike[~held]), (Known.INFO, _fin_wait2_held, alike[held])]
        elif code == State.SYN_RECV:
            mini = partial(_syn_recv, rto_max=host.number("net.ipv4.tcp_rto_max_ms") or RTO_MAX_MS)
            parts = [(Known.MINI | Known.TIMER, mini, alike)]
        for groups, bound, rows in parts:
            chosen = Rows(sockets, rows)
            known = _has(chosen["known"], groups)
            if not known.all():
                rows = rows[known]
                chosen = Rows(sockets, rows)
            if len(rows):
                least, most, source = bound(chosen)
                ages["min_ms"][rows] = np.maximum(least - JIFFY_MS, 0)
                ages["max_ms"][rows] = np.where(most < 0, -1, np.maximum(most, least) + JIFFY_MS + late)
                ages["source"][rows] = source


_Bound = tuple[NDArray[np.int64], NDArray[np.int64], Any]  # at least ms, at most ms (-1 unbounded), source


def _has(known: NDArray[np.uint16], groups: Known) -> NDArray[np.bool_]:
    return np.asarray(known & int(groups) == int(groups))


def _ms(sockets: Rows, name: str) -> NDArray[np.int64]:
    """A field in ms as int64; busy_time and rto are in µs in the kernel."""
    values: NDArray[np.int64] = sockets[name].astype(np.int64)
    return values // 1000 if name in ("busy_time", "rto") else values


def _time_wait(sockets: Rows) -> _Bound:
    """Exact, unless a stray segment re-armed the timer (tcp_minisocks.c:tcp_timewait_state_process)."""
    left = _ms(sockets, "timer_ms")
    elapsed = TIMEWAIT_MS - left
    most = np.where(left == 0, TIMEWAIT_MS + TIMER_LATE_MS, elapsed)
    longer = left > TIMEWAIT_MS  # a kernel with another constant: the timer tells nothing
    return np.where(longer, 0, elapsed), np.where(longer, -1, most), AgeSource.TIMER


def _fin_wait2_orphan(sockets: Rows, seconds: int | None) -> _Bound:
    """Exact, from tcp_fin_timeout as it is now; a socket with TCP_LINGER2 or an older setting differs.

    A short one is but the least: the socket stays for 3.5 times its RTO, which a mini-socket does not tell.
    Up to 60 s the mini-socket lives that long. Above, a full socket lives N-60 s and then a mini-socket
    N-60 s more (tcp_timer.c:tcp_keepalive_timer, tcp_input.c:tcp_rcv_state_process).
    """
    if seconds is None or seconds <= 0:
        nothing = np.zeros(len(sockets), np.int64)
        return nothing, nothing - 1, AgeSource.NONE
    left = _ms(sockets, "timer_ms")
    mini = _has(sockets["known"], Known.MINI)
    if seconds * 1000 <= TIMEWAIT_MS:
        full_life = np.full(len(sockets), seconds * 1000)
        running = mini
    else:
        full_life = np.where(mini, 2, 1) * (seconds * 1000 - TIMEWAIT_MS)
        running = mini | (sockets["timer"] == Timer.KEEPALIVE)
    elapsed = full_life - left
    usable = running & (elapsed >= 0)
    most = np.where(left == 0, elapsed + TIMER_LATE_MS, elapsed)
    bounded = usable & (seconds >= SHORT_FIN_TIMEOUT_S)
    return np.where(usable, elapsed, 0), np.where(bounded, most, -1), AgeSource.TIMER


def _fin_wait2_held(sockets: Rows) -> _Bound:
    """Entered with the ACK of our FIN, which came after the last data we sent."""
    return _ms(sockets, "last_ack_recv"), _ms(sockets, "last_data_sent"), AgeSource.LAST_ACK


def _close_wait(sockets: Rows) -> _Bound:
    """Entered with the peer's FIN: it counts as an acknowledgement received, and no data can follow it."""
    return _ms(sockets, "last_ack_recv"), _ms(sockets, "last_data_recv"), AgeSource.LAST_ACK


def _closing(sockets: Rows) -> _Bound:
    """Entered with the peer's FIN (at least), after our own was queued (at most)."""
    return _ms(sockets, "last_ack_recv"), _ms(sockets, "busy_time"), AgeSource.BUSY


def _fin_unacknowledged(sockets: Rows) -> _Bound:
    """Our FIN is queued or in flight: busy time counts it, and all data before it.

    Where nothing but the FIN is left to acknowledge: exact if the connection never sent data, and at least
    the time in retransmission timeouts if this is their only episode and no data was sent again during it.
    """
    busy = _ms(sockets, "busy_time")
    fin_alone = _has(sockets["known"], Known.QUEUES) & (sockets["send_queue"] <= 1)
    silent = fin_alone & (sockets["bytes_sent"] == 0)
    outage = _ms(sockets, "total_rto_time")
    began_with_fin = (
        fin_alone
        & _has(sockets["known"], Known.RTO_TOTALS)
        & (sockets["retransmits"] > 0)
        & (sockets["total_rto_recoveries"] == 1)
        & (_ms(sockets, "last_data_sent") >= outage)
    )
    least = np.where(silent, busy, np.where(began_with_fin, np.minimum(outage, busy), 0))
    return least, busy, AgeSource.BUSY


def _syn_sent(sockets: Rows) -> _Bound:
    """Time of the first SYN, from the totals, or rebuilt from retransmissions where the kernel has none.

    The last_* fields are garbage in this state. Timers that have fired were each up to 40 ms late. Without a timer it
    has just begun: net/ipv4/tcp_output.c:tcp_connect starts it after the socket is listed.
    """
    rto, left = _ms(sockets, "rto"), _ms(sockets, "timer_ms")
    retransmits = _ms(sockets, "retransmits")
    backoff = _ms(sockets, "backoff")
    since_last = np.maximum(rto - left, 0)
    # the first tcp_syn_linear_timeouts repeats come 1 s apart and do not raise backoff; then it doubles
    scheduled = ((retransmits - backoff) + (1 << np.minimum(backoff, 30)) - 1) * INITIAL_RTO_MS + since_last
    totals = _has(sockets["known"], Known.RTO_TOTALS) & (sockets["total_rto"] > 0)
    least = np.where(totals, _ms(sockets, "total_rto_time") + INITIAL_RTO_MS, scheduled)
    least[~totals & (sockets["timer"] == Timer.OFF)] = 0
    lateness = 100 + 40 * np.minimum(retransmits, 20) + np.where(left == 0, TIMER_LATE_MS, 0)
    source = np.where(retransmits > 0, AgeSource.RETRANSMITS, AgeSource.TIMER)
    return least, least + lateness, source


def _syn_recv(sockets: Rows, rto_max: int) -> _Bound:
    """A mini-socket's SYN-ACK timer doubles from 1 s up to ``rto_max`` ms: what is left tells at least its round.

    Nothing bounds it above: the rounds that TCP_DEFER_ACCEPT waits in silence are not counted, and a repeated
    SYN of the peer begins a round again (reqsk_timer_handler, tcp_check_req). Nothing left tells nothing: the timer
    is due, or is not started yet (net/ipv4/inet_connection_sock.c:reqsk_queue_hash_req lists the socket first).
    """
    left = _ms(sockets, "timer_ms")
    round_ = np.ceil(np.log2(np.maximum(left, INITIAL_RTO_MS) / INITIAL_RTO_MS)).astype(np.int64)
    waits = np.minimum((1 << round_) * INITIAL_RTO_MS, rto_max)
    least = np.where(left == 0, 0, ((1 << round_) - 1) * INITIAL_RTO_MS + waits - left)
    return least, np.full(len(left), -1), AgeSource.TIMER


def _established(sockets: Rows) -> _Bound:
    """At least as old as anything that happened on it; exact while one direction never carried data.

    The last_data_* fields begin at the end of the handshake (tcp_input.c:tcp_finish_connect,
    tcp_minisocks.c:tcp_create_openreq_child), so an unused one is the age of the connection. The times in
    retransmission timeouts and in which something was busy may reach back into the handshake (and with TCP
    Fast Open hold data of the SYN), so they count only as far as it cannot.
    """
    sent, received = sockets["last_data_sent"], sockets["last_data_recv"]
    least = np.maximum(np.maximum(sent, received), sockets["last_ack_recv"]).astype(np.int64)
    counted = _has(sockets["known"], Known.COUNTERS)
    timeouts = np.where(_has(sockets["known"], Known.RTO_TOTALS), _ms(sockets, "total_rto_time"), 0)
    busy = np.where(counted, _ms(sockets, "busy_time"), 0)
    least = np.maximum(least, busy - timeouts - INITIAL_RTO_MS)
    never_sent = counted & (sockets["bytes_sent"] == 0)
    never_received = counted & (sockets["bytes_received"] == 0)
    most = np.where(never_sent, sent, np.where(never_received, received, np.int64(-1)))
    return least, most, AgeSource.LAST_ACK


_BOUNDS: Mapping[int, tuple[Known, Callable[[Rows], _Bound]]] = {
    State.TIME_WAIT: (Known.TIMER, _time_wait),
    State.CLOSE_WAIT: (Known.INFO, _close_wait),
    State.CLOSING: (Known.COUNTERS, _closing),
    State.FIN_WAIT1: (Known.COUNTERS, _fin_unacknowledged),
    State.LAST_ACK: (Known.COUNTERS, _fin_unacknowledged),
    State.SYN_SENT: (Known.INFO | Known.TIMER, _syn_sent),
    State.ESTABLISHED: (Known.INFO, _established),
}
"""Fields that a state's bound needs, and the bound; those of FIN_WAIT2 and SYN_RECV depend on more (``_bound``)."""
