"""The polling service: collect -> track -> diagnose -> publish, again and again, in one thread.

Owns the interval, pausing and what happens when a poll fails or takes long. Must not touch a widget: it
hands each result to ``publish``, which is called in the poller's thread. An error in sockui itself ends the
thread, but not in silence: it is published too, for whoever can report it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from sockui.allocation import give_holes_back, give_large_arrays_back
from sockui.collector import Collector
from sockui.diagnosis.engine import Diagnosis
from sockui.diagnosis.finding import Findings
from sockui.errors import CollectError
from sockui.giving_way import GivingWay
from sockui.tracker import Tracker, Update

BUSY_SHARE = 0.25
"""A poll may take this share of the interval; the interval stretches when it takes more."""
SHORTEST = 0.1
LONGEST = 3600.0
HOLES = 60.0
"""Seconds after which the memory that polls left unused is given back, so that a long run does not grow."""


@dataclass(frozen=True, eq=False, slots=True)
class Poll:
    """What one tick brought. ``update`` is the last good one if this poll failed, None if none ever succeeded."""

    update: Update | None
    findings: Findings | None  # of ``update``
    seconds: float  # what the poll took
    interval: float  # until the next one, seconds; more than was asked for if polls are slow
    error: str = ""  # why this poll failed, a sentence; "" fine
    crash: Exception | None = None  # an error in sockui itself, ``publish`` included: there will be no more polls


class Poller:
    """Runs ticks in a thread of its own. ``tick`` may also be called directly, without the thread.

    ``collector``, ``tracker`` and ``diagnosis`` are used by one thread at a time only; ``clock`` is in seconds. Of what
    a poll takes, resting for keys (``give_way``) does not count.
    """

    def __init__(
        self,
        collector: Collector,
        tracker: Tracker,
        diagnosis: Diagnosis,
        publish: Callable[[Poll], None],
        interval: float,
        clock: Callable[[], float] = time.monotonic,
        give_way: GivingWay | None = None,
    ) -> None:
        self._give_way = give_way or GivingWay()
        self._collector = collector
        self._tracker = tracker
        self._diagnosis = diagnosis
        self._publish = publish
        self._interval = interval
        self._clock = clock
        self._update: Update | None = None
        self._findings: Findings | None = None
        self._stop = False
        self._paused = False
        self._now = False
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None

    @property
    def interval(self) -> float:
        """Seconds between polls as asked for."""
        return self._interval

    @interval.setter
    def interval(self, seconds: float) -> None:
        with self._wake:
            self._interval = min(max(seconds, SHORTEST), LONGEST)
            self._now = not self._paused
            self._wake.notify()

    @property
    def paused(self) -> bool:
        """Whether polling rests."""
        return self._paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        with self._wake:
            self._paused = paused
            self._now = not paused
            self._wake.notify()

    def tick(self) -> Poll:
        """Do one poll and publish what it brought; a failed one keeps the last good update."""
        began = self._clock()
        self._give_way.begin()
        error = ""
        first = self._update is None  # it walks every process, which none after it does
        try:
            snapshot = self._collector.collect()
            self._give_way()
            update = self._tracker.update(snapshot)
            self._give_way()
            self._findings = self._diagnosis.update(update)
            self._update = update
        except CollectError as failure:
            error = str(failure)
        self._give_way()
        seconds = self._clock() - began - self._give_way.rested
        interval = self._interval if first else max(self._interval, seconds / BUSY_SHARE)
        poll = Poll(self._update, self._findings, seconds, interval, error)
        self._publish(poll)
        return poll

    def start(self) -> None:
        """Begin to poll in a daemon thread."""
        give_large_arrays_back()
        self._thread = threading.Thread(target=self._run, name="sockui-poller", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 2.0) -> None:
        """End the thread after the poll under way; wait for it at most ``timeout`` seconds."""
        with self._wake:
            self._stop = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        try:
            self._poll()
        except Exception as error:  # nobody reads what a thread prints below a full screen
            self._publish(
                Poll(self._update, self._findings, 0, self._interval, f"an error in sockui itself: {error!r}", error)
            )

    def _poll(self) -> None:
        given_back = self._clock()
        while not self._stop:
            began = self._clock()
            self._now = False  # before the poll: what is asked for during it counts
            interval = self.tick().interval
            if began - given_back >= HOLES:
                give_holes_back()
                given_back = began
            with self._wake:
                while not self._stop and not self._now:
                    left = None if self._paused else began + interval - self._clock()
                    if left is not None and left <= 0:
                        break
                    self._wake.wait(left)
