"""Everything about one finding that the words need: conditions that hold, values to fill in, ages, trends.

Owns what is looked up for one finding, and the names of placeholders that the files in ``knowledge/findings`` may
use beside those of ``facts``. Must not choose words. A look-up costs a few column scans, whatever the number of
sockets.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sockui.diagnosis.finding import Endpoint, Finding, Findings, Severity
from sockui.model import Host, Owner, Process, State
from sockui.model.sockets import mixed
from sockui.tracker import Update
from sockui.view import evidence, settings
from sockui.view.evidence import number
from sockui.view.facts import Facts
from sockui.view.format import address, count, elapsed, endpoint, escape, long_duration
from sockui.view.remedy import commands, fd_limits

_BYTES = frozenset(
    {"unread", "queued", "rcvbuf", "bytes", "memory_bytes", "pressure_bytes", "limit_bytes", "orphan_bytes"}
)
"""Values of rules that count bytes."""
_PARTS = frozenset({"source_high", "source_low", "started"})
"""Values of rules that are not shown as they are."""
_PHRASES = {
    "addresses": ("sources", "address", "addresses"),
    "others_stand": ("established", "other connection there stands", "other connections there stand"),
    "datagrams": ("drops", "datagram", "datagrams"),
    "drops_named": ("drops", "SYN or ACK", "SYNs and ACKs"),
    "drops_total_named": ("drops_total", "SYN or ACK", "SYNs and ACKs"),
}
"""Values of rules with what they count: the value, one, many."""
_OF_PROCESS = frozenset({"init", "unit", "fd_pressure", "fds_fine", "fds_used_up", "fds_at_most"})
"""Conditions of a socket that are about its process alone."""
_RAISED = (
    "net.core.somaxconn",
    "net.core.rmem_max",
    "net.ipv4.tcp_max_orphans",
    "net.netfilter.nf_conntrack_max",
)
"""Settings of which a step doubles the present value: ``{twice.net.core.somaxconn}``."""
_WIDEST = 10_240, 65_535
"""Ephemeral ports that a step asks for; below, services listen."""
_NAMED = 3
"""Processes that are named one by one."""


def where(end: Endpoint | None) -> str:
    """``:8080``, ``10.0.0.5:5432``; "" if the sockets of a finding share no endpoint."""
    if end is None or not end.port:
        return ""
    if end.local or not (end.high or end.low):
        return f":{end.port}"
    return endpoint(address(end.high, end.low, 6), end.port)


def conditions(finding: Finding) -> frozenset[str]:
    """What holds by the finding alone: what its rule says, its values that are not 0, and how it develops."""
    threads = finding.threads
    own = {
        "sockets": len(finding.rows) > 0,
        "several": len(finding.rows) > 1,
        "critical": finding.severity == Severity.CRITICAL,
        "process": finding.pid > 0,
        "growing": finding.trend is not None and finding.trend.growing,
        "runs_out": finding.forecast is not None,
        "local_peers": bool(finding.others),
        "threads": threads is not None,
        "stopped": finding.stopped and threads is not None and "T" in threads.states,
        "traced": finding.stopped and threads is not None and "T" not in threads.states,
        "uninterruptible": threads is not None and threads.uninterruptible > 0,
    }
    ghosts, leaked = (finding.draft.values.get(name, 0) for name in ("ghosts", "close_wait"))
    own["mostly_gone"] = int(ghosts) > int(leaked)
    values = {name for name, value in finding.draft.values.items() if value and name not in _PARTS}
    return finding.draft.conditions | values | {name for name, holds in own.items() if holds}


def values_of(finding: Finding, mark: Callable[[str], str] = str) -> dict[str, str]:
    """The numbers of the rule as texts; a text from outside is made harmless and marked."""
    found = {}
    for name, value in finding.draft.values.items():
        if name in _PARTS:
            continue
        if isinstance(value, str):
            found[name] = mark(escape(value.strip()))
        elif name in _BYTES:
            found[name] = amount(int(value))
        else:
            found[name] = str(value) if name == "port" else count(value) if isinstance(value, int) else rate(value)
    for name, (value_name, one, many) in _PHRASES.items():
        if value_name in finding.draft.values:
            found[name] = number(int(finding.draft.values[value_name]), one, many)
    return found


def amount(size: int) -> str:
    """``1,300 bytes``, ``12 KiB``, ``3.4 MiB``: exact while it is small."""
    if size < 10_000:
        return number(size, "byte")
    power = 1 if size < 1024**2 else 2 if size < 1024**3 else 3
    return f"{rate(size / 1024**power)} {('KiB', 'MiB', 'GiB')[power - 1]}"


def trend_text(finding: Finding, *, exact: bool = False) -> str:
    """``+12/min for 9 min``, ``steady for 9 min``; "" too early to say, or no direction is certain."""
    slope = finding.trend
    if slope is None:
        return ""
    time = elapsed(slope.seconds * 1000)
    if not slope.certain:
        return f"steady for {time}" if slope.first == slope.last and not slope.per_minute else ""
    unit, factor = ("min", 1.0) if abs(slope.per_minute) >= 1 else ("h", 60.0)
    low, high = sorted((slope.low * factor, slope.high * factor), key=abs)
    interval = f" ({rate(abs(low))} to {rate(abs(high))})" if exact and rate(abs(low)) != rate(abs(high)) else ""
    return f"{'+' if slope.growing else '-'}{rate(abs(slope.per_minute) * factor)}/{unit}{interval} for {time}"


def rate(per: float) -> str:
    """A rate in at most three digits or so: ``1.5``, ``12``, ``1,200``."""
    return f"{per:.1f}".removesuffix(".0") if per < 10 else f"{per:,.0f}"


def forecast_text(finding: Finding, *, exact: bool = False) -> str:
    """``out of file descriptors (812 of 1,024) in about 14 min``; "" none."""
    ahead, filled = finding.forecast, finding.draft.filled
    if ahead is None or filled is None:
        return ""
    what = {"descriptors": "file descriptors"}.get(filled[0], filled[0])
    text = f"out of {what} ({count(int(ahead.used))} of {count(int(ahead.limit))}) in about {long(ahead.seconds)}"
    if not exact:
        return text
    soonest = long(ahead.low_seconds)
    return (
        f"{text} ({soonest} to {long(ahead.high_seconds)})" if ahead.high_seconds else f"{text} (not before {soonest})"
    )


def long(seconds: float) -> str:
    """A time ahead, to the minute where that is enough."""
    return elapsed(seconds * 1000) if seconds < 3600 else long_duration(seconds * 1000)


@dataclass(frozen=True, eq=False)
class FindingFacts:
    """One finding, looked at from all sides; every part is worked out when first asked for."""

    findings: Findings
    finding: Finding
    mark: Callable[[str], str] = str  # put around every name from outside: a code span for Markdown

    @property
    def update(self) -> Update:
        """The update it was found in."""
        return self.findings.update

    @property
    def host(self) -> Host:
        """Settings and counters."""
        return self.update.snapshot.host

    @cached_property
    def oldest(self) -> Facts | None:
        """Its oldest socket; None without sockets."""
        rows = self.finding.rows
        return Facts(self.update, int(rows[0]), self.mark) if len(rows) else None

    @cached_property
    def process(self) -> Process | None:
        """The process that it is about."""
        return self.update.snapshot.processes.get(self.finding.pid)

    @cached_property
    def of_process(self) -> Facts | None:
        """A socket of the process that it is about: the oldest one, if that is."""
        if self.oldest is not None and self.oldest.pid == self.finding.pid:
            return self.oldest
        rows = np.flatnonzero(self.update.sockets["pid"] == self.finding.pid)
        return Facts(self.update, int(rows[0]), self.mark) if self.finding.pid and len(rows) else None

    @cached_property
    def conditions(self) -> frozenset[str]:
        """What its words may name: its own, those of its oldest socket, those of its process.

        What the rule's numbers say counts, where a socket's condition has the same name.
        """
        of_oldest = self.oldest.conditions if self.oldest is not None else frozenset[str]()
        of_process = self.of_process.conditions & _OF_PROCESS if self.of_process is not None else frozenset[str]()
        found = (of_oldest | of_process) - set(self.finding.draft.values)
        return found | conditions(self.finding) | ({"shared"} if self.holders else frozenset())

    @cached_property
    def values(self) -> settings.Values:
        """What its own texts may be filled with: those of its oldest socket, then its own."""
        finding = self.finding
        own = dict(self.oldest.values) if self.oldest is not None else dict(settings.times(self.host))
        own |= values_of(finding, self.mark)
        sockets = len(finding.rows)
        place = where(finding.draft.endpoint)
        own |= {
            "who": self.who,
            "at": self._at(place),
            "place": self.mark(place) if place else "this endpoint",
            "since": self.since,
            "count": count(finding.count),
            "sockets": number(sockets, "socket"),
            "connections": number(sockets, "connection"),
            "connections_wait": number(sockets, "connection waits", "connections wait"),
            "closes": rate(finding.count / 60),
            "others": self.others,
        }
        for name, counted in (("orphans_now", "TCP.orphan"), ("time_waits_now", "TCP.tw")):
            if counted in self.host.sockstat:
                own[name] = count(self.host.sockstat[counted])
        if by_state := self._by_state():
            own["by_state"] = by_state
        parts = finding.draft.values
        if "source_high" in parts:
            own["source"] = address(int(parts["source_high"]), int(parts["source_low"]), 6)
        if self.process is not None and self.process.fd_limit and self.process.fd_count is not None:
            own["descriptors"] = f"{count(self.process.fd_count)} of {count(self.process.fd_limit)}"
        return settings.Values(self.host, own)

    def _at(self, place: str) -> str:
        """`` on :8080``, `` to 10.0.0.5:5432``, `` to 812 addresses`` where very many small groups are one finding."""
        if place or not len(self.finding.rows):
            return f" {'on' if place.startswith(':') else 'to'} {self.mark(place)}" if place else ""
        high, low = (self.update.sockets[name][self.finding.rows] for name in ("remote_high", "remote_low"))
        return f" to {number(len(np.unique(mixed((high, low)))), 'address', 'addresses')}"

    @cached_property
    def known(self) -> dict[str, str]:
        """What its own commands may be filled with, quoted for the shell; only what is known."""
        known = commands(self.oldest) if self.oldest is not None else {}
        finding, end = self.finding, self.finding.draft.endpoint
        for name in ("pid", "unit", "fd_limits"):
            known.pop(name, None)
        if self.of_process is not None:
            of_process = commands(self.of_process)
            known |= {name: of_process[name] for name in ("unit",) if name in of_process}
        if finding.pid:
            known["pid"] = str(finding.pid)
        if self.process is not None and (limits := fd_limits(self.process, self.host)):
            known["fd_limits"] = limits
        if end is not None and (end.high or end.low):
            host = address(end.high, end.low, 6)
            known["remote_host"] = shlex.quote(host)
            bracketed = endpoint(host, 1).rpartition(":")[0]
            known["group_filter"] = shlex.quote(f"( dst = {bracketed} and dport = :{end.port} )")
            known["group_capture"] = shlex.quote(f"host {host} and port {end.port}")
        elif end is not None and end.port:
            known["group_filter"] = shlex.quote(f"( sport = :{end.port} )")
            known["group_capture"] = shlex.quote(f"port {end.port}")
        for name in _RAISED:
            if value := self.host.number(name):
                known[f"twice.{name}"] = str(value * 2)
        low, high = (self.host.number("net.ipv4.ip_local_port_range", index) for index in (0, 1))
        if low and high and (low > _WIDEST[0] or high < _WIDEST[1]):
            known["wider_range"] = f"'{min(low, _WIDEST[0])} {max(high, _WIDEST[1])}'"
        buckets, default = self.host.number("net.ipv4.tcp_max_tw_buckets"), self.host.default_max_tw_buckets
        if default:
            known["tw_default"] = str(default)
        if buckets:
            known["tw_more"] = str(max(buckets * 2, default or 0))  # not below the default, if somebody lowered it
        return known

    @cached_property
    def who(self) -> str:
        """The process it is about, or whose it is as far as that is known."""
        if self.finding.pid:
            return self.name(self.finding.pid)
        if self.finding.processes > 1:
            return f"{count(self.finding.processes)} processes"
        oldest = self.oldest
        if oldest is None:
            return "this host"
        owners = np.unique(self.update.sockets["owner"][self.finding.rows]).tolist()
        if owners == [Owner.KERNEL]:
            return "no process"
        if Owner.HIDDEN in owners:
            uids = np.unique(self.update.sockets["uid"][self.finding.rows])
            return f"processes of {oldest.user}" if len(uids) == 1 else f"processes of {len(uids)} users"
        return oldest.values["listener"] if oldest.unaccepted else "an unknown process"

    def name(self, pid: int) -> str:
        """``java 4312``, harmless to show and marked."""
        process = self.update.snapshot.processes.get(pid)
        return self.mark(f"{escape(process.name)} {pid}") if process and process.name else f"process {pid}"

    # --- time -------------------------------------------------------------------------------------

    @cached_property
    def _bounds(self) -> tuple[tuple[int, int | None], tuple[int, int | None]] | None:
        """How long the newest and the oldest have been so: each (at least, at most), ms; None without sockets."""
        draft = self.finding.draft
        if not len(draft.rows):
            return None
        ages = self.update.ages[draft.rows] if draft.waits is None else draft.waits
        least, most = ages["min_ms"], ages["max_ms"]
        bounded: NDArray[np.int64] = most[most >= 0]
        return (
            (int(least.min()), int(bounded.min()) if len(bounded) else None),
            (int(least.max()), int(most.max()) if len(bounded) == len(most) else None),
        )

    @cached_property
    def age(self) -> str:
        """``9 min to 42 min``, ``≥ 42 min``, ``newest ≥ 9 min, oldest ≥ 42 min``; "" unknown."""
        if self._bounds is None:
            return ""
        newest, oldest = (evidence.interval(*bounds) for bounds in self._bounds)
        if newest == oldest or not oldest or len(self.finding.rows) == 1:
            return oldest
        if not newest:
            return f"oldest {oldest}"
        if newest[0].isdigit() and oldest[0].isdigit() and " to " not in newest + oldest:
            return f"{newest} to {oldest}"
        return f"newest {newest}, oldest {oldest}"

    @cached_property
    def since(self) -> str:
        """`` for 42 min``, `` for 9 min to 42 min``, ``, the oldest for at least 42 min``; "" unknown.

        Goes on a sentence. That of the newest is told where both are exact: there may be others, too young to count.
        """
        first, _, last = self.age.rpartition("oldest ")
        words = last.replace("≥", "at least").replace("≤", "at most")
        return "" if not words else f", the oldest for {words}" if first or last != self.age else f" for {words}"

    # --- who else ---------------------------------------------------------------------------------

    @cached_property
    def others(self) -> str:
        """The processes at the other ends, on this host: ``nginx 812, curl 99 and 2 more``; "" none."""
        return self._some(sorted(self.finding.others, key=lambda pid: -self.finding.others[pid]))

    @cached_property
    def holders(self) -> list[int]:
        """Every process that holds one of its sockets together with another; [] if none is shared."""
        sockets = self.update.sockets
        rows = self.finding.rows[sockets["holders"][self.finding.rows] > 1]
        if not len(rows):
            return []
        holders = self.update.snapshot.holders
        pids, numbers = np.unique(holders.pid[np.isin(holders.inode, sockets["inode"][rows])], return_counts=True)
        return [int(pid) for pid in pids[np.argsort(-numbers, kind="stable")]] if len(pids) > 1 else []

    @property
    def holders_text(self) -> str:
        """The same by name."""
        return self._some(self.holders)

    def _some(self, pids: list[int]) -> str:
        named = [self.name(pid) for pid in pids[:_NAMED]]
        if len(pids) > _NAMED:
            return f"{', '.join(named)} and {count(len(pids) - _NAMED)} more"
        return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)

    def _by_state(self) -> str:
        """``6,120 TIME_WAIT, 12 ESTABLISHED``, by the rule's numbers."""
        numbers = {
            State[name.removeprefix("in_").upper()]: int(value)
            for name, value in self.finding.draft.values.items()
            if name.startswith("in_") and value
        }
        order = sorted(numbers.items(), key=lambda item: -item[1])
        return ", ".join(f"{count(amount_)} {state.name}" for state, amount_ in order)
