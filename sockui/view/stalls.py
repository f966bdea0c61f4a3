"""How long one socket has not moved, and whether the timer that runs is its last one.

Owns the stall intervals (TCP-FACTS B.2) and the kernel's decision at a timeout, as far as a row tells it. Must
not hold words, and never reads a field that the row does not know.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sockui.diagnosis import situations
from sockui.knowledge import lifetimes
from sockui.model import Host, Known, Protocol, State, Timer
from sockui.view import settings
from sockui.view.evidence import knows, unread_bytes

_SPEAKING = (State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT1, State.FIN_WAIT2, State.CLOSING, State.LAST_ACK)


class Stall(NamedTuple):
    """How long something has not moved."""

    kind: str  # "outage", "zero_window", "not_reading" or "accept"
    min_ms: int  # at least
    max_ms: int | None  # at most; None if nothing bounds it


def stall(row: Any) -> Stall | None:
    """How long a SOCKET record has waited for what it waits for; None if it does not, or nothing tells.

    ``accept``: for accept(), exact. ``zero_window``: no data could leave. ``outage``: without the
    acknowledgement it repeats for. ``not_reading``: since the newest unread data came.
    """
    if row["protocol"] != Protocol.TCP or not knows(row, Known.INFO | Known.TIMER | Known.QUEUES):
        return None
    state, one = int(row["state"]), row.reshape(1)
    if state not in _SPEAKING:
        return None
    sent, received, heard = (int(row[name]) for name in ("last_data_sent", "last_data_recv", "last_ack_recv"))
    busy = int(row["busy_time"]) // 1000 if knows(row, Known.COUNTERS) else None
    if state in (State.ESTABLISHED, State.CLOSE_WAIT) and situations.unheld(one)[0]:
        return Stall("accept", sent, sent)
    if situations.zero_window(one)[0]:
        if row["timer"] == Timer.PERSIST:  # a window probe is not data
            return Stall("zero_window", sent, sent)
        return Stall("zero_window", min(sent, busy) if busy is not None else sent, busy)
    if situations.retransmitting(one)[0]:
        return _outage(row, heard, busy)
    if state != State.FIN_WAIT2 and unread_bytes(row):
        closed = knows(row, Known.WINDOWS) and row["rcv_wnd"] == 0
        return Stall("not_reading", received if closed else 0, received)
    return None


def _outage(row: Any, heard: int, busy: int | None) -> Stall:
    """From the back-off schedule, or the total if this is the first episode.

    Back-off that was undone (RFC 6069) makes the schedule too short, never too long. The peer's last
    acknowledgement bounds it unless it came later than the loss began: then only one direction is cut.
    """
    rto, backoff = int(row["rto"]) // 1000, int(row["backoff"])
    least = rto - (rto >> backoff) + max(rto - int(row["timer_ms"]), 0)
    if _only_episode(row):
        least = max(least, int(row["total_rto_time"]))
    bounds = [bound for bound in (heard, busy) if bound is not None and bound >= least]
    return Stall("outage", least, min(bounds, default=None))


def gives_up(row: Any, host: Host, *, orphan: bool) -> bool | None:
    """Whether the kernel ends a SOCKET record when its running timer fires.

    None: it may, and what decides cannot be seen (TCP_USER_TIMEOUT, TCP_SYNCNT, SYN-ACKs repeated because the
    peer repeated its SYN, a setting that cannot be read). net/ipv4/tcp_timer.c:tcp_write_timeout,
    tcp_probe_timer; inet_connection_sock.c:reqsk_timer_handler.
    """
    if row["protocol"] != Protocol.TCP or not knows(row, Known.TIMER):
        return False
    state, repeats = int(row["state"]), int(row["retransmits"])
    if row["timer"] == Timer.PERSIST:
        return _probes_end(row, host, orphan)
    if row["timer"] != Timer.ON:
        return False
    if state in (State.SYN_SENT, State.SYN_RECV):
        asking = state == State.SYN_SENT
        limit = host.number("net.ipv4.tcp_syn_retries" if asking else "net.ipv4.tcp_synack_retries")
        if limit is None:
            return None
        limit += (host.number("net.ipv4.tcp_syn_linear_timeouts") or 0) if asking else 0
        return False if repeats < limit else True if asking and repeats == limit else None
    return _unanswered_ends(row, host, orphan) if repeats and knows(row, Known.INFO) else False


def _unanswered_ends(row: Any, host: Host, orphan: bool) -> bool | None:
    """The time from the first repeat to the running timeout's end against what the settings allow."""
    limit = settings.unanswered_ms(host, orphan=orphan)
    if limit is None:
        return None
    rto, backoff, longest = int(row["rto"]) // 1000, int(row["backoff"]), settings.rto_max_ms(host)
    if rto < longest:
        waited = 2 * (rto - (rto >> backoff))
    else:  # how often it has been the longest is told by the number of repeats alone
        waited = lifetimes.unanswered(backoff, longest) - lifetimes.RTO_MIN
    if _only_episode(row):
        waited = max(waited, int(row["total_rto_time"]) + int(row["timer_ms"]))
    if waited < limit - limit // 100:  # timers fire late, by some per cent in all
        return False
    return True if orphan and waited >= limit else None


def _probes_end(row: Any, host: Host, orphan: bool) -> bool | None:
    """The probes without answer, and of an orphan the length of the back-off too, against the settings."""
    limit = host.number("net.ipv4.tcp_orphan_retries" if orphan else "net.ipv4.tcp_retries2")
    if not knows(row, Known.INFO):
        return False
    if limit is None:
        return None
    if orphan:
        longest = (int(row["rto"]) // 1000) << int(row["backoff"]) >= settings.rto_max_ms(host)
        if longest and row["backoff"] >= limit:
            return True
        limit = limit or lifetimes.ORPHAN_RETRIES_ZERO
    return bool(row["probes"] >= limit)


def _only_episode(row: Any) -> bool:
    """Whether the totals of timeouts count the running episode alone."""
    return knows(row, Known.RTO_TOTALS) and bool(row["total_rto_recoveries"] == 1)
