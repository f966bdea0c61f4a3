"""Update -> Findings: runs the rules, lets one finding own each socket, and follows findings from poll to poll.

Owns precedence (TCP-FACTS G.1), trends and what is remembered of a finding. Must not decide what a fault is (the
rules do) or put it into words.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sockui.collector.threads import read_threads
from sockui.diagnosis.census import Census
from sockui.diagnosis.finding import Draft, Finding, Findings, Severity, spelt
from sockui.diagnosis.history import MOST_KEYS, History
from sockui.diagnosis.memory import Memory
from sockui.diagnosis.rules import RULES
from sockui.diagnosis.thresholds import Thresholds
from sockui.diagnosis.trend import forecast, trend
from sockui.giving_way import GivingWay
from sockui.model import Owner, Protocol, State, Threads
from sockui.model.sockets import columns
from sockui.tracker import Life, Update

_EXPLAIN_ONLY = frozenset({"R16", "R22", "R25"})
"""Rules that own the sockets of other findings."""
_OTHER_END = {"R05": ("R01", "R02", "R25"), "R19": ("R20",)}
"""A finding whose sockets have their other ends in one of these is explained by it: the same fault from afar (X4)."""
_OF_LISTENER = "R17"
"""Says of a listener's past what R16 says of its present: one of them is enough."""
_LEAKS = ("R01", "R02")
_GROWING_POLLS = 3
_MOST_LOOKED_AT = 12
"""Processes whose threads are looked at in a poll: those of the worst findings."""


@dataclass(slots=True)
class _Followed:
    """What is remembered of a finding while it lasts."""

    since: float
    severity: Severity
    worse: int
    last_seen: float


class Diagnosis:
    """Finds what is wrong, poll after poll. Used by one thread at a time, the one that made the snapshots.

    ``look`` reads a process of this host.
    """

    def __init__(
        self,
        limits: Thresholds | None = None,
        look: Callable[[int], Threads | None] = read_threads,
        give_way: GivingWay | None = None,
    ) -> None:
        self._give_way = give_way or GivingWay()
        self._limits = limits or Thresholds()
        self._look = look
        self._memory = Memory(self._limits.window_seconds)
        self._history = History()
        self._followed: dict[str, _Followed] = {}
        self._still: set[int] = set()  # pids that stood still at the last look
        self._began: float | None = None
        self._polls = 0

    def update(self, update: Update) -> Findings:
        """Judge the next update, in the order of time."""
        now = update.snapshot.monotonic
        self._began = now if self._began is None else self._began
        self._polls += 1
        self._memory.take(update)
        census = Census(update, self._limits, self._memory)
        drafts: list[Draft] = []
        for rule in RULES:
            self._give_way()
            drafts += rule(census)
        if drafts:
            census.others(np.unique(np.concatenate([draft.rows for draft in drafts])))  # at once: it remembers them
        kept = _precedence(census, drafts)
        self._give_way()
        self._count(census, kept)
        found = [self._follow(census, key, draft, explained) for key, draft, explained in kept]
        found.sort(key=_rank)
        self._followed = {key: old for key, old in self._followed.items() if now - old.last_seen < 600}
        looked = self._threads(found)
        still = {pid for pid, threads in looked.items() if threads is not None and threads.stopped}
        stopped, self._still = still & self._still, still  # a tracer stops threads for moments
        return Findings(
            update,
            tuple(
                dataclasses.replace(item, threads=looked.get(item.pid), stopped=item.pid in stopped) for item in found
            ),
            self._polls,
            now - self._began,
            census.left_out,
            {state: self._history.series(("host", state)) for state in State},
        )

    def _count(self, census: Census, kept: list[tuple[str, Draft, Counter[str]]]) -> None:
        """Add this poll to the history: sockets per state, per process and state, descriptors, and per finding."""
        update, sockets = census.update, census.sockets
        protocol, code, owner, holder = columns(sockets, "protocol", "state", "owner", "pid")
        present = (update.life != Life.ENDED) & (protocol != Protocol.UDP)
        states = code[present]
        counts: dict[Hashable, int] = {
            ("host", state): int(number)
            for state, number in zip(State, np.bincount(states, minlength=64)[list(State)], strict=True)
        }
        held = present & (owner == Owner.PROCESS)
        for state in np.unique(states).tolist():
            pids, numbers = np.unique(holder[held & (code == state)], return_counts=True)
            most = np.argsort(numbers, kind="stable")[-MOST_KEYS:]
            for pid, number in zip(pids[most].tolist(), numbers[most].tolist(), strict=True):
                counts["state", pid, state] = number
        for pid, process in update.snapshot.processes.items():
            if process.fd_count is not None:
                counts["fds", pid, process.started_ticks] = process.fd_count
        for key, draft, _ in kept:
            counts["finding", key] = _counted(draft)
        self._history.add(update.snapshot.monotonic, counts)

    def _follow(self, census: Census, key: str, draft: Draft, explained: Counter[str]) -> Finding:
        """Complete a draft with what earlier polls tell."""
        now = census.update.snapshot.monotonic
        series = self._history.series(("finding", key))
        if draft.states:
            parts = [self._history.series(("state", draft.pid, int(state))) for state in draft.states]
            series = max(parts, key=lambda part: part[1][-1] if len(part[1]) else 0.0)
        slope = trend(*series)
        ahead = None
        if draft.filled is not None:
            what, used, limit = draft.filled
            process = census.process(draft.pid)
            fills = slope
            if what == "descriptors" and process is not None:
                fills = trend(*self._history.series(("fds", draft.pid, process.started_ticks)))
            ahead = forecast(fills, used, limit) if fills is not None else None
        if draft.rule in _LEAKS and (_grows(series[1]) or (slope is not None and slope.low > 0)):
            draft = dataclasses.replace(draft, severity=Severity.CRITICAL, conditions=draft.conditions | {"growing"})

        old = self._followed.get(key)
        if old is None:
            old = self._followed[key] = _Followed(now, draft.severity, 0, now)
        if draft.severity > old.severity:
            old.worse += 1
        old.severity, old.last_seen = draft.severity, now

        ages = draft.waits["min_ms"] if draft.waits is not None else census.age_min(draft.rows)
        order = np.argsort(-ages, kind="stable")
        others = census.others(draft.rows)
        pids = census.sockets["pid"][others[others >= 0]]
        held, number = np.unique(pids[(pids > 0) & (pids != draft.pid)], return_counts=True)
        holding = census.sockets["pid"][draft.rows]
        return Finding(
            key=key,
            draft=draft,
            rows=draft.rows[order],
            count=_counted(draft),
            oldest_ms=(int(ages.max()) or None) if len(ages) else None,
            newest_ms=(int(ages.min()) or None) if len(ages) else None,
            since=old.since,
            worse=old.worse,
            explains=dict(explained),
            processes=1 if draft.pid else len(np.unique(holding[holding > 0])),
            others=dict(zip(held.tolist(), number.tolist(), strict=True)),
            trend=slope,
            forecast=ahead,
            history=series,
            threads=None,
            stopped=False,
        )

    def _threads(self, found: list[Finding]) -> Mapping[int, Threads | None]:
        pids = list(dict.fromkeys(item.pid for item in found if item.pid > 0))[:_MOST_LOOKED_AT]
        return {pid: self._look(pid) for pid in pids}


def _counted(draft: Draft) -> int:
    return len(draft.rows) if draft.count is None else draft.count


def _grows(values: NDArray[np.float64]) -> bool:
    return len(values) > _GROWING_POLLS and bool((np.diff(values[-_GROWING_POLLS - 1 :]) > 0).all())


def _rank(finding: Finding) -> tuple[int, float, int, str]:
    """The worst first: severity, then what runs out soonest, then the most sockets."""
    soon = finding.forecast.seconds if finding.forecast is not None else float("inf")
    return -finding.severity, soon, -finding.count, finding.key


def _key(draft: Draft) -> str:
    end = draft.endpoint
    where = "" if end is None else f"/:{end.port}" if end.local else f"/{spelt(end.high, end.low, end.port)}"
    return f"{draft.rule}/{draft.about or f'{draft.pid}{where}'}"


def _precedence(census: Census, drafts: list[Draft]) -> list[tuple[str, Draft, Counter[str]]]:
    """Give each socket to one finding; what is left without sockets is explained by another and not said again.

    First what a finding of the host or of a listener absorbs, then the far ends of faults that are on this host (X4).
    """
    owner = np.full(len(census.sockets), -1, np.int32)  # index of the draft that explains the row
    explained = [Counter[str]() for _ in drafts]
    for index, draft in enumerate(drafts):
        if draft.absorbs is not None:
            free = draft.absorbs[owner[draft.absorbs] < 0]
            owner[free] = index
    by_rule: dict[str, list[int]] = {}
    for index, draft in enumerate(drafts):
        by_rule.setdefault(draft.rule, []).append(index)
    kept: dict[int, Draft] = {}
    for index, draft in enumerate(drafts):
        rows = draft.rows
        if not len(rows) or draft.rule in _EXPLAIN_ONLY:
            kept[index] = draft
            continue
        taken = owner[rows] >= 0
        for by, number in Counter(owner[rows[taken]].tolist()).items():
            if draft.rule != _OF_LISTENER:
                explained[by][draft.rule] += number
        if not taken.all():
            kept[index] = _only(draft, ~taken)
    for far, near in _OTHER_END.items():
        candidates = [index for index in by_rule.get(far, ()) if index in kept]
        finding = np.full(len(census.sockets), -1, np.int32)  # of the near ones, the one that each row belongs to
        for by in reversed([index for rule in near for index in by_rule.get(rule, ()) if index in kept]):
            finding[kept[by].rows] = by
        for index in candidates:
            _absorb_far_end(census, kept, index, finding, explained)
    return [(_key(draft), draft, explained[index]) for index, draft in kept.items()]


def _absorb_far_end(
    census: Census, kept: dict[int, Draft], index: int, finding: NDArray[np.int32], explained: list[Counter[str]]
) -> None:
    draft = kept[index]
    others = census.others(draft.rows)
    absorbing = np.where(others >= 0, finding[others], -1)
    taken = absorbing >= 0
    for by, number in Counter(absorbing[taken].tolist()).items():
        explained[by][draft.rule] += number
    if taken.all():
        del kept[index]
    elif taken.any():
        kept[index] = _only(draft, ~taken)


def _only(draft: Draft, rows: NDArray[np.bool_]) -> Draft:
    """A draft with some of its rows alone."""
    if rows.all():
        return draft
    waits = draft.waits[rows] if draft.waits is not None else None
    return dataclasses.replace(draft, rows=draft.rows[rows], waits=waits)
