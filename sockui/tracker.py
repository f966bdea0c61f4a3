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
from sockui.model import (
    ENDING,
    SOCKET,
    EndingArray,
    Endings,
    How,
    Known,
    Protocol,
    Snapshot,
    SocketArray,
    State,
    settled,
)

UNSEEN_KEPT = 1000
"""So many connections that were in no dump, of those that one poll is told of, become rows; all of them are counted."""


class Life(IntEnum):
    """Where a row stands in its life on the screen."""

    PRESENT = 0
    NEW = 1  # first seen in this poll, and not in the first poll of all
    MISSED = 2  # absent from one dump; dumps are not atomic, so this proves nothing yet
    ENDED = 3  # the kernel told of its end, or absent from two dumps in a row; stays for a few seconds


@dataclass(frozen=True, eq=False, slots=True)
class Update:
    """One poll, understood: rows are the snapshot's sockets, then those missed, then those that ended lately.

    Of the latter the last are connections that the kernel told of and no dump shows: state CLOSE, owner not known.
    """

    snapshot: Snapshot
    sockets: SocketArray  # (n,) SOCKET; MISSED and ENDED as last seen, but tcp_info and queues as the kernel told last
    keys: NDArray[np.uint64]  # (n,) identity: the cookie, or without one a hash of 5-tuple, inode and holder
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
_TOLD = ("timer", "recv_queue", "send_queue", "timer_ms", "retransmits", *_NAMES[_NAMES.index("ca_state") :])
"""Fields, of ``_GROUPS``, that the message about an end tells as they were then."""

_REENTERED = (State.SYN_SENT, State.ESTABLISHED, State.LISTEN, State.CLOSE)
"""States that one socket can come back to between two polls (connect() again, listen() again): where old and new
bounds contradict there, the new ones count. In all others the socket has stayed, and the old lower bound holds."""


class Tracker:
    """Remembers the previous poll and puts the next one beside it.

    ``linger`` is how long, in seconds, an ended socket stays in the updates.
    """

    def __init__(self, linger: float = 5.0) -> None:
        self._linger = linger
        self._last: Update | None = None
        self._memory: NDArray[Any] = np.empty(0, _MEMORY)
        self._order: NDArray[np.intp] = np.empty(0, np.intp)
        self._sleeps: list[tuple[float, float]] = []  # (CLOCK_MONOTONIC s when noticed, s slept)
        self._slept_before: float | None = None  # seconds the host had slept since boot when watching began
        self._started = 0.0  # CLOCK_MONOTONIC, s, when watching began
        self._dump_before: float | None = None  # CLOCK_MONOTONIC, s, when the dump before the last one began

    def update(self, snapshot: Snapshot) -> Update:
        """Take the next snapshot, in the order of time; O(n log n) array operations."""
        sockets = snapshot.sockets
        keys = identities(sockets)
        ages = bounds(sockets, snapshot.host, snapshot.monotonic, snapshot.dump_seconds)
        self._allow_for_sleep(snapshot, ages)
        life = np.zeros(len(sockets), np.uint8)
        path = sockets["state"].astype(np.uint64)
        memory = np.empty(len(sockets), _MEMORY)
        memory["lingers_from"] = snapshot.monotonic
        memory["seen_boottime"] = snapshot.boottime - snapshot.dump_seconds
        last = self._last
        if last is None:
            update = Update(snapshot, sockets, keys, ages, life, path, 0, 0)
        else:
            update = self._against(last, snapshot, keys, ages, life, path, memory)
            memory = self._memory
            self._dump_before = last.snapshot.monotonic - last.snapshot.dump_seconds
        self._last, self._memory = update, memory
        self._order = np.argsort(update.keys)
        return update

    def _against(
        self,
        last: Update,
        snapshot: Snapshot,
        keys: NDArray[np.uint64],
        ages: AgeArray,
        life: NDArray[np.uint8],
        path: NDArray[np.uint64],
        memory: NDArray[Any],
    ) -> Update:
        sockets = snapshot.sockets
        before = self._positions(last.keys, keys)
        rows = np.flatnonzero(before >= 0)  # rows that were there before ...
        was = before[rows]  # ... and where
        same = (sockets["state"][rows] == last.sockets["state"][was]) & _same_peer(sockets, rows, last.sockets, was)
        self._carry_on(last, was[same], snapshot, rows[same], ages)
        self._changed(was[~same], snapshot, rows[~same], ages)
        path[rows] = last.path[was]
        path[rows[~same]] = path[rows[~same]] << np.uint64(4) | sockets["state"][rows[~same]]
        new = before < 0
        life[new] = Life.NEW

        seen_again = np.zeros(len(last.keys), bool)
        seen_again[was] = True
        parts: list[tuple[NDArray[Any], ...]] = [(sockets, keys, ages, life, path, memory)]
        told = self._told(last, snapshot)
        missing = np.flatnonzero(~seen_again)
        closed = 0
        if len(missing):
            seen_before, told_now = last.life[missing] < Life.ENDED, told.of_last[missing]
            ended = (last.life[missing] >= Life.MISSED) | told_now
            closed = int(np.count_nonzero(seen_before & ended))
            since = self._memory["lingers_from"][missing]
            since[seen_before & told_now] = snapshot.monotonic
            kept = np.flatnonzero(~ended | (snapshot.monotonic - since <= self._linger))
            kept = kept[np.argsort(ended[kept], kind="stable")]  # those that ended last
            missing, ended, since = missing[kept], ended[kept], since[kept]
        if len(missing):
            stale = last.ages[missing]
            running = np.flatnonzero(~ended)
            stale["min_ms"][running] += round(1000 * (snapshot.monotonic - last.snapshot.monotonic))
            bounded = running[stale["max_ms"][running] >= 0]
            stale["max_ms"][bounded] += round(1000 * (snapshot.boottime - last.snapshot.boottime))
            left = self._memory[missing]
            left["lingers_from"] = since
            parts.append(
                (
                    told.last_words(last.sockets[missing], missing),
                    last.keys[missing],
                    stale,
                    np.where(ended, Life.ENDED, Life.MISSED).astype(np.uint8),
                    last.path[missing],
                    left,
                )
            )
        if len(told.unseen):
            parts.append(_rows_of(told.endings.sockets[told.unseen], snapshot))
        if len(parts) > 1:  # at once: a copy of all rows takes 20 ms
            sockets, keys, ages, life, path, memory = (np.concatenate(part) for part in zip(*parts, strict=True))
        self._memory = memory
        return Update(
            snapshot,
            sockets,
            keys,
            ages,
            life,
            path,
            int(new.sum()),
            closed,
            *_remembered(last, told, keys[life == Life.ENDED]),
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

    def _positions(self, old: NDArray[np.uint64], new: NDArray[np.uint64]) -> NDArray[np.intp]:
        """Where each new key stood before, -1 nowhere."""
        if not len(old) or not len(new):
            return np.full(len(new), -1, np.intp)
        if len(old) >= len(new) and np.array_equal(old[: len(new)], new):
            return np.arange(len(new))
        in_order = old[self._order]
        at = np.minimum(np.searchsorted(in_order, new), len(old) - 1)
        return np.where(in_order[at] == new, self._order[at], -1)

    def _carry_on(
        self, last: Update, was: NDArray[np.intp], snapshot: Snapshot, rows: NDArray[np.intp], ages: AgeArray
    ) -> None:
        """Same socket, same state: what bounded its age before still does, one interval later."""
        on = round(1000 * (snapshot.monotonic - last.snapshot.monotonic))
        on_at_most = round(1000 * (snapshot.boottime - last.snapshot.boottime))
        old = last.ages[was]
        new = ages[rows]
        old_least = old["min_ms"] + on
        # an upper bound did not go on while the socket was taken for ended
        old_most = np.where((old["max_ms"] < 0) | (last.life[was] == Life.ENDED), -1, old["max_ms"] + on_at_most)
        least = np.maximum(new["min_ms"], old_least)
        most = np.where(
            old_most < 0, new["max_ms"], np.where(new["max_ms"] < 0, old_most, np.minimum(new["max_ms"], old_most))
        )
        contradiction = (most >= 0) & (most < least)
        again = contradiction & np.isin(snapshot.sockets["state"][rows], _REENTERED)
        least = np.where(again, new["min_ms"], least)
        most = np.where(again, new["max_ms"], np.where(contradiction, np.maximum(old_most, new["max_ms"]), most))
        kept = np.where(old["source"] == AgeSource.NONE, AgeSource.FIRST_SEEN, old["source"])
        source = np.where(new["source"] == AgeSource.NONE, kept, new["source"])
        source = np.where((old["source"] == AgeSource.OBSERVED) & ~again, AgeSource.OBSERVED, source)
        ages["min_ms"][rows], ages["max_ms"][rows], ages["source"][rows] = least, most, source

    def _changed(self, was: NDArray[np.intp], snapshot: Snapshot, rows: NDArray[np.intp], ages: AgeArray) -> None:
        """A socket whose state changed since it was last seen entered the present one in between."""
        most = np.ceil(1000 * (snapshot.boottime - self._memory["seen_boottime"][was])).astype(np.int64)
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
        bounded = ages["max_ms"] >= 0
        begun = snapshot.monotonic * 1000 - ages["max_ms"]  # CLOCK_MONOTONIC ms of the earliest possible entry
        for moment, seconds in self._sleeps:
            ages["max_ms"][bounded & (begun <= moment * 1000)] += round(1000 * seconds)
        if self._slept_before > 0.5:  # when, between boot and the start of watching, is not known
            ages["max_ms"][bounded & (begun <= self._started * 1000)] += round(1000 * self._slept_before)


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
    """Sockets, keys, ages, life, path and memory of connections in no dump: nothing bounds how long in their state."""
    ages = np.zeros(len(unseen), AGE)
    ages["max_ms"] = -1
    memory = np.zeros(len(unseen), _MEMORY)
    memory["lingers_from"], memory["seen_boottime"] = snapshot.monotonic, snapshot.boottime
    life = np.full(len(unseen), Life.ENDED, np.uint8)
    return unseen, identities(unseen), ages, life, unseen["state"].astype(np.uint64), memory


def _remembered(last: Update, told: _Told, ended: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], EndingArray]:
    """Keys, ascending, and facts of the rows that ended and were told of, in this poll or before."""
    rows = np.concatenate([told.known, told.unseen])
    keys = np.concatenate([last.ended_keys, identities(told.endings.sockets[rows])])
    here = np.flatnonzero(np.isin(keys, ended))
    here = here[np.argsort(keys[here])]
    return keys[here], np.concatenate([last.endings, told.endings.facts[rows]])[here]


def identities(sockets: SocketArray) -> NDArray[np.uint64]:
    """Name each socket by a number: its cookie, or where there is none a hash with the top bit set.

    The kernel's cookies are a counter that never reaches the top bit. The hash is over the 5-tuple and the
    inode, and over pid and descriptor where the inode is not known either.
    """
    cookies: NDArray[np.uint64] = sockets["cookie"].copy()
    without = np.flatnonzero(sockets["known"] & int(Known.COOKIE) == 0)
    if len(without):
        rows = sockets[without]
        inode = rows["known"] & int(Known.INODE) != 0
        mixed = np.zeros(len(rows), np.uint64)
        for column in (
            rows["protocol"],
            rows["family"],
            rows["local_high"],
            rows["local_low"],
            rows["remote_high"],
            rows["remote_low"],
            rows["local_port"],
            rows["remote_port"],
            np.where(inode, rows["inode"], 0),
            np.where(inode, 0, rows["pid"]),
            np.where(inode, 0, rows["fd"]),
        ):
            mixed = (mixed ^ column.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> np.uint64(29)
        cookies[without] = mixed | np.uint64(1 << 63)
    return cookies


def _same_peer(new: SocketArray, rows: NDArray[np.intp], old: SocketArray, was: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whether the connection is still the same; one descriptor can be connected again under its cookie."""
    same = new["remote_port"][rows] == old["remote_port"][was]
    same &= new["local_port"][rows] == old["local_port"][was]
    same &= new["remote_low"][rows] == old["remote_low"][was]
    same &= new["remote_high"][rows] == old["remote_high"][was]
    same |= new["protocol"][rows] == Protocol.UDP
    return np.asarray(same)
