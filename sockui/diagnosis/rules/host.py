"""What concerns the whole host or network namespace (R23, R24, X2, X5)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sockui.ages import RTO_MAX_MS
from sockui.diagnosis.census import Census, Rows
from sockui.diagnosis.finding import Draft, Severity
from sockui.diagnosis.situations import Situation
from sockui.knowledge import lifetimes
from sockui.model import Host, Known, State

_NONE: Rows = np.empty(0, np.intp)
_RETRIES_LEAST = 8
"""With less of tcp_retries2 a connection breaks before the 100 s of RFC 1122 section 4.2.3.5."""
_PER_TIME_WAIT = 256
"""Bytes of memory of one TIME_WAIT socket (TCP-FACTS A.10)."""


def time_wait(census: Census) -> Iterator[Draft]:
    """R23: many TIME_WAIT is normal; that the kernel cuts them short is not."""
    most = census.host.number("net.ipv4.tcp_max_tw_buckets")
    overflow = census.risen("TcpExt.TCPTimeWaitOverflow")
    now = census.host.sockstat.get("TCP.tw", 0)
    near = bool(most and now > census.limits.time_wait_share * most)
    if not (overflow or near):
        return
    rows = census.at(Situation.TIME_WAIT)
    yield Draft(
        "R23",
        Severity.WARNING,
        rows,
        count=now,
        values={"time_wait": now, "most": most or 0, "overflow": overflow, "bytes": now * _PER_TIME_WAIT},
        conditions=frozenset(({"overflow"} if overflow else set()) | ({"near"} if near else set())),
    )


def memory(census: Census) -> Iterator[Draft]:
    """R24: orphans or TCP memory near what the kernel allows."""
    host, sockets = census.host, census.sockets
    orphans, most = host.sockstat.get("TCP.orphan", 0), host.number("net.ipv4.tcp_max_orphans")
    pages, pressure = host.sockstat.get("TCP.mem", 0), host.number("net.ipv4.tcp_mem", 1)
    aborted = census.risen("TcpExt.TCPAbortOnMemory")
    pressed = census.risen("TcpExt.TCPMemoryPressures")
    reasons = {
        "orphans": bool(most and orphans > census.limits.orphan_share * most),
        "memory": bool(pressure and pages > pressure),
        "aborted": aborted > 0,
        "pressed": pressed > 0,
    }
    if not any(reasons.values()):
        return
    closing = np.flatnonzero(
        np.isin(sockets["state"], (State.FIN_WAIT1, State.LAST_ACK, State.CLOSING))
        & (sockets["inode"] == 0)
        & (sockets["known"] & int(Known.INODE) != 0)
        & (census.situations != 0)
    )
    page = host.page_size
    yield Draft(
        "R24",
        Severity.CRITICAL,
        closing if reasons["orphans"] or aborted else _biggest(census),
        count=orphans if reasons["orphans"] else pages,
        values={
            "orphans": orphans,
            "max_orphans": most or 0,
            "memory_bytes": pages * page,
            "pressure_bytes": (pressure or 0) * page,
            "limit_bytes": (host.number("net.ipv4.tcp_mem", 2) or 0) * page,
            "aborted": aborted,
            "orphan_bytes": int(sockets["send_queue"][closing].sum()),
        },
        conditions=frozenset(name for name, holds in reasons.items() if holds),
    )


def _biggest(census: Census) -> Rows:
    """The sockets with most bytes queued, at most 100."""
    queued = census.sockets["recv_queue"].astype(np.int64) + census.sockets["send_queue"]
    queued[(census.sockets["state"] == State.LISTEN) | (census.situations == 0)] = 0
    most = np.argsort(queued, kind="stable")[::-1][:100]
    return np.asarray(most[queued[most] > 0])


def conntrack(census: Census) -> Iterator[Draft]:
    """X2: the table of tracked connections is nearly full, or was: only then are unanswered entries thrown out.

    Dropped packets alone prove nothing, lost races are counted among them.
    """
    used, most = (census.host.number(f"net.netfilter.nf_conntrack_{name}") for name in ("count", "max"))
    dropped, evicted = census.risen("conntrack.drop"), census.risen("conntrack.early_drop")
    near = bool(used and most and used > census.limits.conntrack_share * most)
    if not (near or evicted):
        return
    yield Draft(
        "X2",
        Severity.CRITICAL if evicted or dropped else Severity.WARNING,
        _NONE,
        count=used or 0,
        values={"used": used or 0, "most": most or 0, "dropped": dropped, "evicted": evicted},
        conditions=frozenset(
            name for name, holds in (("near", near), ("dropped", dropped > 0), ("evicted", evicted > 0)) if holds
        ),
    )


def settings(census: Census) -> Iterator[Draft]:
    """X5: settings that folk remedies leave behind; one finding that names them all."""
    reasons = harm(census.host)
    wrong = lint(census.host, reasons)
    if wrong:
        yield Draft(
            "X5",
            Severity.INFO,
            _NONE,
            count=len(wrong),
            values={name: census.host.sysctls[f"net.ipv4.{name}"] for name in sorted(wrong)},
            conditions=frozenset(wrong | reasons),
        )


def harm(host: Host) -> set[str]:
    """What tcp_retries2 and tcp_orphan_retries do that hurts: each may do one thing or another."""
    retries, closed = (host.number(f"net.ipv4.tcp_{name}") for name in ("retries2", "orphan_retries"))
    longest = host.number("net.ipv4.tcp_rto_max_ms") or RTO_MAX_MS
    reasons = set()
    if retries is not None and retries < _RETRIES_LEAST:
        reasons.add("breaks_early")
    if retries is not None and retries < lifetimes.last_back_off(lifetimes.RTO_MIN, 0, longest):
        reasons.add("keeps_orphans")
    elif retries is not None and closed is not None and closed > retries:
        reasons.add("keeps_orphans_above")
    if closed in (1, 2):
        reasons.add("loses_unsent")
    return reasons


def lint(host: Host, reasons: set[str]) -> set[str]:
    """The settings of net.ipv4 with a value that hurts, without their prefix; ``reasons`` are those of :func:`harm`."""

    def value(name: str) -> int | None:
        return host.number(f"net.ipv4.{name}")

    wrong = set()
    if value("tcp_tw_recycle"):
        wrong.add("tcp_tw_recycle")
    if value("tcp_abort_on_overflow"):
        wrong.add("tcp_abort_on_overflow")
    if (cookies := value("tcp_syncookies")) is not None and cookies != 1:
        wrong.add("tcp_syncookies")
    if reasons & {"breaks_early", "keeps_orphans"}:
        wrong.add("tcp_retries2")
    if reasons & {"loses_unsent", "keeps_orphans_above"}:
        wrong.add("tcp_orphan_retries")
    if value("tcp_timestamps") == 0 and value("tcp_tw_reuse") == 1:
        wrong.add("tcp_timestamps")
    buckets, default = value("tcp_max_tw_buckets"), host.default_max_tw_buckets
    if buckets is not None and default is not None and buckets < default:
        wrong.add("tcp_max_tw_buckets")
    return wrong


RULES = (time_wait, memory, conntrack, settings)
