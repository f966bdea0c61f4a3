"""Long runs: the UI on a terminal and a poller without one, at 1 s, while sockets come and go.

Owns how much comes and goes, what is sampled, and what of it may grow. Must not make sockets (``tests.bench.crowd``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

import numpy as np

from sockui.collector.linux import NetlinkCollector
from sockui.diagnosis.engine import Diagnosis
from sockui.model import State
from sockui.poller import Poll, Poller
from sockui.tracker import Life, Tracker, Update
from tests.bench.crowd import NAME, PROCESSES, Crowd
from tests.bench.holder import WAITING
from tests.bench.terminal import SOCKUI, Program
from tests.trust.table import Row

TURNOVER = 50_000  # sockets that enter TIME_WAIT in a minute
SOCKETS = TURNOVER // 60 * WAITING + PROCESSES * WAITING
"""Held besides: so many that one "wait" a second of the crowd, a twentieth of it, makes the turnover."""
REPLACED = 200  # sockets that are closed by RST and made anew in a second, besides
INTERVAL = 1.0  # s
WARM_UP = 180.0
"""Seconds until all is there that will be: TIME_WAIT lasts 60, and each thread's heap has met its largest poll."""
STUCK = 10.0  # s without a paint: each interval brings other ages
STRETCHED = 5
"""Polls that pass from one paint to the next where they are slow: an interval is stretched to four, then comes one."""
AROUND = 30.0  # s before a pause in which a slow poll explains it
GROWTH = 0.05  # of the UI's memory, from the first sixth of the time to the last
ENOUGH = 0.95  # of the turnover that is meant: the first and the last turn are not whole
_EARLY_MS = 10  # a jiffy: what an age may lack to have grown as the clock


@dataclass
class Watched:
    """What the poller published, checked as it came, in its thread."""

    polls: int = 0
    lost: int = 0  # intervals without a poll
    stretched: int = 0  # polls after which the interval was longer, because they took long; they say so
    took: list[tuple[float, float]] = field(default_factory=list)  # CLOCK_MONOTONIC s when a poll was there, s it took
    failed: list[str] = field(default_factory=list)  # polls with an error
    compared: int = 0  # ages, with those of the same socket in the same state one poll before
    wrong: list[str] = field(default_factory=list)
    waiting: int = 0  # sockets that were seen to be in TIME_WAIT for the first time
    most: int = 0  # sockets in one poll
    _last: Update | None = None
    _began: float = 0.0  # CLOCK_MONOTONIC s of the last poll ...
    _next: float = 0.0  # ... and the interval that it announced

    def publish(self, poll: Poll) -> None:
        """Take one poll; the first has nothing to be compared with."""
        began = time.monotonic() - poll.seconds
        if self.polls:
            self.lost += max(0, int((began - self._began) / self._next) - 1)
        self._began, self._next = began, poll.interval
        self.polls += 1
        self.stretched += poll.interval > INTERVAL
        self.took.append((began + poll.seconds, poll.seconds))
        if poll.error:
            self.failed.append(poll.error)
        if poll.update is not None and poll.update is not self._last:
            if self._last is not None:
                self._compare(self._last, poll.update)
            self._last = poll.update

    def slowest(self, since: float = 0.0, until: float = float("inf")) -> float:
        """Seconds that the slowest poll took of those that were there between two moments."""
        return max((seconds for at, seconds in self.took if since <= at <= until), default=0.0)

    def _compare(self, last: Update, update: Update) -> None:
        ages, old = update.ages, last.ages
        self.most = max(self.most, len(update.snapshot.sockets))
        turned_round = (ages["max_ms"] >= 0) & (ages["max_ms"] < ages["min_ms"])
        self._note("at most is less than at least", update, np.flatnonzero(turned_round))
        order = np.argsort(last.keys)
        at = np.minimum(np.searchsorted(last.keys, update.keys, sorter=order), len(order) - 1)
        was = order[at]
        alive = update.life != Life.ENDED
        same = (last.keys[was] == update.keys) & alive & (last.life[was] != Life.ENDED)
        before = np.where(same, last.sockets["state"][was], 0)
        state = update.sockets["state"]
        self.waiting += int(np.count_nonzero(alive & (state == State.TIME_WAIT) & (before != State.TIME_WAIT)))
        rows = np.flatnonzero(same & (state == before) & (update.path == last.path[was]))
        was = was[rows]
        self.compared += len(rows)
        on = round(1000 * (update.snapshot.monotonic - last.snapshot.monotonic))
        on_at_most = round(1000 * (update.snapshot.boottime - last.snapshot.boottime))
        self._note("at least did not grow", update, rows[ages["min_ms"][rows] < old["min_ms"][was] + on - _EARLY_MS])
        bounded = old["max_ms"][was] >= 0
        unbounded_now = ages["max_ms"][rows] < 0
        wider = unbounded_now | (ages["max_ms"][rows] > old["max_ms"][was] + on_at_most + _EARLY_MS)
        self._note("at most grew faster than the clock", update, rows[bounded & wider])

    def _note(self, what: str, update: Update, rows: Sequence[int] | np.ndarray[tuple[int], np.dtype[np.intp]]) -> None:
        for row in rows:
            socket, age = update.sockets[row], update.ages[row]
            self.wrong.append(f"{what}: {State(socket['state']).name}, cookie {socket['cookie']}, {age.tolist()}")


@dataclass(frozen=True)
class Sample:
    """The UI's process at one moment, CLOCK_MONOTONIC s."""

    at: float
    mib: float
    descriptors: int
    threads: int
    paints: int


def measure(seconds: float) -> Iterator[Row]:
    """Everything at full turnover."""
    yield from soak(seconds, SOCKETS, REPLACED, WARM_UP, STUCK)


def soak(seconds: float, sockets: int, replaced: int, warm_up: float, stuck: float) -> Iterator[Row]:
    """``seconds`` in all, ``warm_up`` of them first, on a crowd of ``sockets`` of which ``replaced`` a second end.

    ``stuck``: seconds without a paint that no poll around them explains are wrong.
    """
    if os.geteuid():
        yield Row("long runs", 0, "polls", 0, "network namespaces need root")
        return
    with ThreadPoolExecutor(1) as thread:  # which enters the crowd's namespace; this one stays where it is
        yield from thread.submit(_soak, seconds, sockets, replaced, warm_up, stuck).result()


def _soak(seconds: float, sockets: int, replaced: int, warm_up: float, stuck: float) -> list[Row]:
    crowd = Crowd(sockets)
    try:
        crowd.enter()
        watched = Watched()
        collector = NetlinkCollector()
        poller = Poller(collector, Tracker(), Diagnosis(), watched.publish, INTERVAL)
        with Program((*SOCKUI, "--interval", f"{INTERVAL:g}"), synchronized=True) as program:
            program.wait_for(NAME.encode())
            poller.start()
            begun = time.monotonic()
            _churn(crowd, program, replaced, warm_up)
            cpu, at = program.cpu_seconds(), time.monotonic()
            samples = _churn(crowd, program, replaced, seconds - warm_up)
            share = (program.cpu_seconds() - cpu) / (time.monotonic() - at)
            elapsed = time.monotonic() - begun
            poller.stop()
            collector.close()
    finally:
        crowd.close()
    turnover = (sockets - PROCESSES * WAITING) // WAITING * 60
    return [*_flat(samples, share), *_steady(watched, elapsed, samples, turnover, stuck)]


def _churn(crowd: Crowd, program: Program, replaced: int, seconds: float) -> list[Sample]:
    """Let sockets come and go, in step with the clock; a sample every interval."""
    samples = []
    begun = time.monotonic()
    for turn in range(1, int(seconds / INTERVAL) + 1):
        crowd.wait()
        crowd.churn(replaced)
        samples.append(
            Sample(time.monotonic(), program.rss_mib(), program.descriptors(), program.threads(), program.paints)
        )
        time.sleep(max(0.0, begun + turn * INTERVAL - time.monotonic()))
    return samples


def _flat(samples: list[Sample], share: float) -> Iterator[Row]:
    """At 50,000 a minute for two hours the growth allowed is that of a leak of one byte for each socket that came."""
    part = max(1, len(samples) // 6)
    first, last = samples[:part], samples[-part:]
    few = f"{len(samples)} samples after the warm-up; the first sixth beside the last: "
    then, now = (median(sample.mib for sample in each) for each in (first, last))
    note = f"{then:.1f} MiB, {now:.1f} MiB (may grow by {GROWTH:.0%}); {share:.0%} of a core"
    if len(samples) * INTERVAL < WARM_UP:
        yield Row("soak: memory of the UI is flat", 0, "samples", 0, f"needs {2 * WARM_UP:.0f} s; {few}{note}")
    else:
        yield Row("soak: memory of the UI is flat", len(samples), "samples", int(now > then * (1 + GROWTH)), few + note)
    for what in ("descriptors", "threads"):
        then, now = (min(getattr(sample, what) for sample in each) for each in (first, last))
        peak = max(getattr(sample, what) for sample in samples)
        note = f"{then} then, {now} at the end, at most {peak} at once"
        yield Row(f"soak: {what} of the UI are flat", len(samples), "samples", int(now > then), note)


def _pauses(samples: list[Sample]) -> Iterator[tuple[float, float]]:
    """From when until when nothing was painted, CLOCK_MONOTONIC s; one that lasts is told again with each sample."""
    begun = samples[0].at
    for sample, later in pairwise(samples):
        yield begun, later.at
        if later.paints != sample.paints:
            begun = later.at


def _steady(watched: Watched, elapsed: float, samples: list[Sample], turnover: int, stuck: float) -> Iterator[Row]:
    """``turnover``: sockets that were to enter TIME_WAIT in a minute; where fewer did, nothing was shown."""
    pauses = list(_pauses(samples))
    unexplained = [
        until - since
        for since, until in pauses
        if until - since > max(stuck, STRETCHED * watched.slowest(since - AROUND, until) + INTERVAL)
    ]
    yield Row(
        "soak: no lost poll",
        watched.polls,
        "polls",
        watched.lost + len(watched.failed) + bool(unexplained),
        next(iter(watched.failed), "")
        or f"in {elapsed:.0f} s; an interval was stretched {watched.stretched} times, the slowest poll took "
        f"{watched.slowest():.2f} s; the UI painted {samples[-1].paints:,} times, at the longest "
        f"{max(until - since for since, until in pauses):.0f} s apart",
    )
    per_minute = watched.waiting / elapsed * 60
    yield Row(
        "soak: turnover of TIME_WAIT",
        watched.waiting,
        "sockets",
        int(per_minute < ENOUGH * turnover),
        f"{per_minute:,.0f} a minute, of {turnover:,} that were meant",
    )
    yield Row(
        "soak: ages go with the clock",
        watched.compared,
        "comparisons",
        len(watched.wrong),
        next(iter(watched.wrong), "") or f"up to {watched.most:,} sockets",
    )
