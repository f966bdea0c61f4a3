"""Whether the timer that runs is a socket's last one, and how long it has not moved as the words want it.

Owns the kernel's decision at a timeout, as far as a row tells it. Must not hold words, and never reads a field
that the row does not know.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sockui.diagnosis import stalls as diagnosis
from sockui.diagnosis.stalls import Wait, only_episode
from sockui.knowledge import lifetimes
from sockui.model import Host, Known, Protocol, State, Timer
from sockui.view import settings
from sockui.view.evidence import knows


class Stall(NamedTuple):
    """How long something has not moved."""

    kind: str  # "outage", "zero_window", "not_reading" or "accept"
    min_ms: int  # at least
    max_ms: int | None  # at most; None if nothing bounds it


def stall(row: Any) -> Stall | None:
    """How long a SOCKET record has waited for what it waits for; None if it does not, or nothing tells."""
    one = diagnosis.stalls(row.reshape(1))[0]
    if one["wait"] == Wait.NOTHING:
        return None
    most = int(one["max_ms"])
    return Stall(Wait(int(one["wait"])).name.lower(), int(one["min_ms"]), None if most < 0 else most)


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
    if bool(only_episode(row.reshape(1))[0]):
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
