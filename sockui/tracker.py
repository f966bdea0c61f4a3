"""Snapshot -> Update: which sockets are the same as before, new or gone, and since when in their state.

Owns identity across polls, which rows have ended, and the tracker's own clock. Must not read the kernel, judge or
format.

Two clocks: CLOCK_MONOTONIC stops while the host sleeps, as the kernel's own counters do, and so bounds from
below; CLOCK_BOOTTIME goes on and bounds from above. The wall clock is never used, it can be set.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sockui.ages import AGE, AgeArray, AgeSource, bounds
from sockui.giving_way import GivingWay
from sockui.model import (
    ENDING,
    SOCKET,
    EndingArray,
    Endings,
    How,
    Known,
    Snapshot,
    SocketArray,
    State,
    settled,
)
from sockui.model.identity import identities, standings
from sockui.model.sockets import appended, joined

UNSEEN_KEPT = 1000
"""So many connections that were in no dump, of those that one poll is told of, become rows; all of them are counted."""


class Life(IntEnum):
    """Where a row stands in its life on the screen."""

    PRESENT = 0
    NEW = 1  # first seen in this poll, and not in the first poll of all
    MISSED = 2  # absent from one dump; dumps are not atomic, so this proves nothing yet
    ENDED = 3  # the kernel told of its end, or absent from two dumps in a row; stays for a few seconds


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Update:
    """One poll, understood: rows are the snapshot's sockets, then those missed, then those that ended lately.

    Of the latter the last are connections that the kernel told of and no dump shows: state CLOSE, owner not known.
    """

    snapshot: Snapshot
    sockets: SocketArray  # (n,) SOCKET; MISSED and ENDED as last seen, but tcp_info and queues as the kernel told last
    keys: NDArray[np.uint64]  # (n,) identity: the cookie, or without one a hash (model.identity)
    ages: AgeArray  # (n,) AGE, at snapshot.monotonic; of ENDED sockets when they were last seen
    life: NDArray[np.uint8]  # (n,) Life
    path: NDArray[np.uint64]  # (n,) states that were seen, 4 bits each, the present one in the lowest 4
    opened: int  # sockets that this dump shows first; not those that came and went between two
    closed: int  # of those that dumps showed, how many ended since the previous poll; some of them are told of later
    ended_keys: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))  # (m,) ascending: ENDED ...
    endings: EndingArray = field(default_factory=lambda: np.empty(0, ENDING))  # (m,) ... and told of: how
    hows: NDArray[np.intp] = field(default_factory=lambda: np.zeros(len(How), np.intp))  # endings told of since the
    # previous poll, by How: also those in no row, and those that go on as a mini-socket
    lost: int = 0  # endings since the previous poll that were not told of, at least
    seconds: float = 0.0  # since the previous poll; 0 if there was none

    def ending_places(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Where in ``endings`` each of some rows stands, -1 nowhere."""
        if not len(self.ended_keys):
            return np.full(len(rows), -1, np.intp)
        keys = self.keys[rows]
        at = np.minimum(np.searchsorted(self.ended_keys, keys), len(self.ended_keys) - 1)
        return np.where(self.ended_keys[at] == keys, at, -1)


_MEMORY = np.dtype(
    [
        ("lingers_from", "f8"),  # CLOCK_MONOTONIC, s: when last seen, or told to have ended
        ("seen_boottime", "f8"),  # s, the earliest moment at which that row can have been read
    ]
)

_GROUPS = int(Known.QUEUES | Known.TIMER | Known.INFO | Known.WINDOWS | Known.RTO_TOTALS | Known.COUNTERS)
_NAMES = SOCKET.names or ()
_TOLD = ("timer", "recv_queue", "send_queue", "timer_ms", *_NAMES[_NAMES.index("ca_state") :])
"""Fields, of ``_GROUPS``, that the message about an end tells as they were then."""

_UNBOUNDED = np.iinfo(np.int64).max

_REENTERED = (State.SYN_SENT, State.ESTABLISHED, State.LISTEN, State.CLOSE)
"""States that one socket can come back to between two polls (connect() again, listen() again): where old and new
bounds contradict there, the new ones count. In all others the socket has stayed, and the old lower bound holds."""


class Tracker:
    """Remembers the previous poll and puts the next one beside it.

    ``linger`` is how long, in seconds, an ended socket stays in the updates. ``give_way`` is asked between the parts of
    an update whether to rest.
    """

    def __init__(self, linger: float = 5.0, give_way: GivingWay | None = None) -> None:
        self._linger = linger
        self._give_way = give_way or GivingWay()
        self._last: Update | None = None
        self._absent: NDArray[Any] = np.empty(0, _MEMORY)  # of the last update's rows that its dump does not show
        self._order: NDArray[np.intp] | None = None  # of the last update's keys; None: not needed yet
        self._stood: NDArray[np.uint64] | None = None  # of the last update's rows; None: not needed yet
        self._sleeps: list[tuple[float, float]] = []  # (CLOCK_MONOTONIC s when noticed, s slept)
        self._slept_before: float | None = None  # seconds the host had slept since boot when watching began
        self._started = 0.0  # CLOCK_MONOTONIC, s, when watching began
        self._dump_before: float | None = None  # CLOCK_MONOTONIC, s, when the dump before the last one began

    def update(self, snapshot: Snapshot) -> Update:
        """Take the next snapshot, in the order of time; O(n log n) array operations."""
        sockets = snapshot.sockets
        keys = identities(sockets)
        self._give_way()
        ages = bounds(sockets, snapshot.host, snapshot.monotonic, snapshot.dump_seconds)
        self._give_way()
        self._allow_for_sleep(snapshot, ages)
        path = sockets["state"].astype(np.uint64)
        last = self._last
        if last is None:
            update = Update(snapshot, sockets, keys, ages, np.zeros(len(sockets), np.uint8), path, 0, 0)
            self._stood = None
        else:
            update = self._against(last, snapshot, keys, ages, path)
            self._dump_before = last.snapshot.monotonic - last.snapshot.dump_seconds
        self._last = update
        return update

    def _against(
        self, last: Update, snapshot: Snapshot, keys: NDArray[np.uint64], ages: AgeArray, path: NDArray[np.uint64]
    ) -> Update:
        sockets = snapshot.sockets
        told = self._told(last, snapshot)
        self._give_way()
        rows, was, order = self._matched(last.keys, keys)  # rows that were there before, and where
        self._give_way()
        stands, stood = standings(sockets), standings(last.sockets) if self._stood is None else self._stood
        self._give_way()
        same = stands[rows] == stood[was]
        self._carry_on(last, was[same], snapshot, rows[same], ages)
        self._changed(last, was[~same], snapshot, rows[~same], ages)
        self._give_way()
        path[rows[same]] = last.path[was[same]]
        path[rows[~same]] |= last.path[was[~same]] << np.uint64(4)
        life = np.full(len(sockets), Life.NEW, np.uint8)
        life[rows] = Life.PRESENT
        opened = len(sockets) - len(same)

        seen_again = np.zeros(len(last.keys), np.bool_)
        seen_again[was] = True
        parts: list[tuple[NDArray[Any], ...]] = [(sockets, keys, ages, life, path, stands, np.empty(0, _MEMORY))]
        missing = np.flatnonzero(~seen_again)
        closed = 0
        if len(missing):
            # a text has no socket by chance only
            seen_before, told_now = last.life[missing] < Life.ENDED, told.of_last[missing] | (snapshot.source == "text")
            ended = (last.life[missing] >= Life.MISSED) | told_now
            closed = int(np.count_nonzero(seen_before & ended))
            left = self._remembered(missing, last)
            left["lingers_from"][seen_before & told_now] = snapshot.monotonic
            kept = np.flatnonzero(~ended | (snapshot.monotonic - left["lingers_from"] <= self._linger))
            kept = kept[np.argsort(ended[kept], kind="stable")]  # those that ended last
            missing, ended, left = missing[kept], ended[kept], left[kept]
        if len(missing):
            stale = last.ages[missing]
            running = np.flatnonzero(~ended)
            stale["min_ms"][running] += round(1000 * (snapshot.monotonic - last.snapshot.monotonic))
            bounded = running[stale["max_ms"][running] >= 0]
            stale["max_ms"][bounded] += round(1000 * (snapshot.boottime - last.snapshot.boottime))
            parts.append(
                (
                    told.last_words(last.sockets.take(missing), missing),
                    last.keys[missing],
                    stale,
                    np.where(ended, Life.ENDED, Life.MISSED).astype(np.uint8),
                    last.path[missing],
                    stood[missing],
                    left,
                )
            )
        if len(told.unseen):
            parts.append(_rows_of(told.endings.sockets[told.unseen], snapshot))
        self._stood, self._absent, self._order = stands, parts[0][-1], order
        if len(parts) > 1:
            self._give_way()
            (first, *others), *more = zip(*parts, strict=True)
            keys, ages, life, path, self._stood, self._absent = map(joined, more)
            sockets = appended(first, others)
            if order is not None:  # else it is made when it is needed
                dumped = len(first)
                absent = dumped + np.argsort(keys[dumped:])
                self._order = np.insert(
                    order, np.searchsorted(keys[:dumped], keys[absent], sorter=order, side="right"), absent
                )
        return Update(
            snapshot,
            sockets,
            keys,
            ages,
            life,
            path,
            opened,
            closed,
            *_told_of(last, told, keys[life == Life.ENDED]),
            hows=np.bincount(told.endings.facts["how"], minlength=len(How)),
            lost=told.endings.lost,
            seconds=snapshot.monotonic - last.snapshot.monotonic,
        )

    def _told(self, last: Update, snapshot: Snapshot) -> _Told:
        """Which sockets the kernel told to have ended, beside the dumps; a mini-socket that goes on has not."""
        endings, of_last = snapshot.endings, np.zeros(len(last.keys), bool)
        none = np.empty(0, np.intp)
        if not len(endings.sockets):
            return _Told(endings, none, none, of_last, none)
        dumped = len(last.life) - int(np.count_nonzero(last.life == Life.ENDED))
        endings = settled(endings, last.sockets[:dumped], snapshot.sockets, self._dump_before)
        was = self._positions(last.keys, identities(endings.sockets))
        gone = endings.facts["mini"] == 0
        known = np.flatnonzero(gone & (was >= 0))
        of_last[was[known]] = True
        return _Told(endings, known, was[known], of_last, _unseen(endings.facts, gone & (was < 0)))

    def _matched(
        self, old: NDArray[np.uint64], new: NDArray[np.uint64]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp] | None]:
        """The new keys that are among the old ones, where these stood, and the order of the new ones if it is known."""
        if len(old) >= len(new) and np.array_equal(old[: len(new)], new):
            every = np.arange(len(new))
            return every, every, None if self._order is None else self._order[self._order < len(new)]
        order = np.argsort(new)
        before = np.empty(len(new), np.intp)
        before[order] = self._positions(old, new[order])  # in order they are found eight times as fast
        rows = np.flatnonzero(before >= 0)
        return rows, before[rows], order

    def _positions(self, old: NDArray[np.uint64], new: NDArray[np.uint64]) -> NDArray[np.intp]:
        """Where each new key stood before, -1 nowhere."""
        if not len(old) or not len(new):
            return np.full(len(new), -1, np.intp)
        if self._order is None:
            self._order = np.argsort(old)
        in_order = old[self._order]
        at = np.minimum(np.searchsorted(in_order, new), len(old) - 1)
        return np.where(in_order[at] == new, self._order[at], -1)

    def _remembered(self, rows: NDArray[np.intp], last: Update) -> NDArray[Any]:
        """What is remembered of some rows of the last update; those of its dump were all read with it."""
        dumped = len(last.snapshot.sockets)
        memory = np.empty(len(rows), _MEMORY)
        memory["lingers_from"] = last.snapshot.monotonic
        memory["seen_boottime"] = last.snapshot.boottime - last.snapshot.dump_seconds
        absent = rows >= dumped
        memory[absent] = self._absent[rows[absent] - dumped]
        return memory

    def _carry_on(
        self, last: Update, was: NDArray[np.intp], snapshot: Snapshot, rows: NDArray[np.intp], ages: AgeArray
    ) -> None:
        """Same socket, same state: what bounded its age before still does, one interval later."""
        on = round(1000 * (snapshot.monotonic - last.snapshot.monotonic))
        on_at_most = round(1000 * (snapshot.boottime - last.snapshot.boottime))
        old_least, old_most, old_source = (last.ages[name][was] for name in ("min_ms", "max_ms", "source"))
        new_least, new_most, new_source = (ages[name][rows] for name in ("min_ms", "max_ms", "source"))
        # an upper bound did not go on while the socket was taken for ended
        bounded = (old_most >= 0) & (last.life[was] != Life.ENDED)
        old_most = np.where(bounded, old_most + on_at_most, _UNBOUNDED)
        new_most = np.where(new_most < 0, _UNBOUNDED, new_most)
        least, most = np.maximum(new_least, old_least + on), np.minimum(new_most, old_most)
        source = np.where(new_source == AgeSource.NONE, old_source, new_source)
        source[source == AgeSource.NONE] = AgeSource.FIRST_SEEN
        observed = old_source == AgeSource.OBSERVED
        contradiction = np.flatnonzero(most < least)
        if len(contradiction):
            again = np.isin(snapshot.sockets["state"][rows[contradiction]], _REENTERED)
            at, stays = contradiction[again], contradiction[~again]
            least[at], most[at], observed[at] = new_least[at], new_most[at], False
            most[stays] = np.maximum(old_most[stays], new_most[stays])
        source[observed] = AgeSource.OBSERVED
        most[most == _UNBOUNDED] = -1
        ages["min_ms"][rows], ages["max_ms"][rows], ages["source"][rows] = least, most, source

    def _changed(
        self, last: Update, was: NDArray[np.intp], snapshot: Snapshot, rows: NDArray[np.intp], ages: AgeArray
    ) -> None:
        """A socket whose state changed since it was last seen entered the present one in between."""
        since = self._remembered(was, last)["seen_boottime"]
        most = np.ceil(1000 * (snapshot.boottime - since)).astype(np.int64)
        known = ages["max_ms"][rows]
        most = np.where((known >= 0) & (known < most), known, most)
        ages["max_ms"][rows] = most
        ages["min_ms"][rows] = np.minimum(ages["min_ms"][rows], most)
        ages["source"][rows] = AgeSource.OBSERVED

    def _allow_for_sleep(self, snapshot: Snapshot, ages: AgeArray) -> None:
        """Raise upper bounds by the time the host slept within them: the kernel's counters stood still then."""
        slept = snapshot.boottime - snapshot.monotonic
        if self._slept_before is None:
            self._slept_before = slept
            self._started = snapshot.monotonic
        last = self._last
        if last is not None:
            more = slept - (last.snapshot.boottime - last.snapshot.monotonic)
            if more > 0.5:
                self._sleeps.append((snapshot.monotonic, more))
        sleeps = self._sleeps
        if self._slept_before > 0.5:  # when, between boot and the start of watching, is not known
            sleeps = [*sleeps, (self._started, self._slept_before)]
        most = ages["max_ms"]
        if sleeps:
            begun = snapshot.monotonic * 1000 - most  # CLOCK_MONOTONIC ms of the earliest possible entry
            for moment, seconds in sleeps:
                most[(most >= 0) & (begun <= moment * 1000)] += round(1000 * seconds)


@dataclass(frozen=True, eq=False, slots=True)
class _Told:
    """What the endings of a poll mean for the rows of the one before."""

    endings: Endings  # settled
    known: NDArray[np.intp]  # (k,) endings of sockets that the poll before has ...
    was: NDArray[np.intp]  # (k,) ... and where it has them
    of_last: NDArray[np.bool_]  # its rows: which of them ended
    unseen: NDArray[np.intp]  # endings of connections that it has not, as many as become rows

    def last_words(self, rows: SocketArray, missing: NDArray[np.intp]) -> SocketArray:
        """``rows`` are those that stood at ``missing``: with the fields that the kernel told of their ends."""
        if not len(self.known):
            return rows
        place = np.full(len(self.of_last), -1, np.intp)
        place[missing] = np.arange(len(missing))
        at = place[self.was]
        tells = self.endings.sockets["known"][self.known] & int(Known.INFO) != 0
        source, at = self.known[tells & (at >= 0)], at[tells & (at >= 0)]
        for name in _TOLD:
            rows[name][at] = self.endings.sockets[name][source]
        told = self.endings.sockets["known"][source] & _GROUPS
        rows["known"][at] = rows["known"][at] & ~np.uint16(_GROUPS | Known.MINI) | told
        return rows


def _unseen(facts: EndingArray, candidates: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Which of the endings in no dump become rows: connections, those first that did not end by a plain close()."""
    rows = np.flatnonzero(candidates & (facts["how"] != How.NO_CONNECTION))
    if len(rows) > UNSEEN_KEPT:
        plain = np.isin(facts["how"][rows], (How.CLOSED, How.NORMAL))
        rows = np.sort(rows[np.argsort(~plain, kind="stable")][-UNSEEN_KEPT:])
    return rows


def _rows_of(unseen: SocketArray, snapshot: Snapshot) -> tuple[NDArray[Any], ...]:
    """Sockets, keys, ages, life, path, standings and memory of connections in no dump; nothing bounds their ages."""
    ages = np.zeros(len(unseen), AGE)
    ages["max_ms"] = -1
    memory = np.zeros(len(unseen), _MEMORY)
    memory["lingers_from"], memory["seen_boottime"] = snapshot.monotonic, snapshot.boottime
    life = np.full(len(unseen), Life.ENDED, np.uint8)
    return unseen, identities(unseen), ages, life, unseen["state"].astype(np.uint64), standings(unseen), memory


def _told_of(last: Update, told: _Told, ended: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], EndingArray]:
    """Keys, ascending, and facts of the rows that ended and were told of, in this poll or before."""
    rows = np.concatenate([told.known, told.unseen])
    keys = np.concatenate([last.ended_keys, identities(told.endings.sockets[rows])])
    here = np.flatnonzero(np.isin(keys, ended))
    here = here[np.argsort(keys[here])]
    return keys[here], np.concatenate([last.endings, told.endings.facts[rows]])[here]
