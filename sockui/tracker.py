"""Snapshot -> Update: which sockets are the same as before, new or gone, and since when in their state.

Owns identity across polls and the tracker's own clock. Must not read the kernel, judge or format.

Two clocks: CLOCK_MONOTONIC stops while the host sleeps, as the kernel's own counters do, and so bounds from
below; CLOCK_BOOTTIME goes on and bounds from above. The wall clock is never used, it can be set.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sockui.ages import AgeArray, AgeSource, bounds
from sockui.model import Known, Protocol, Snapshot, SocketArray, State


class Life(IntEnum):
    """Where a row stands in its life on the screen."""

    PRESENT = 0
    NEW = 1  # first seen in this poll, and not in the first poll of all
    MISSED = 2  # absent from one dump; dumps are not atomic, so this proves nothing yet
    ENDED = 3  # absent from two dumps in a row; stays for a few seconds


@dataclass(frozen=True, eq=False, slots=True)
class Update:
    """One poll, understood: rows are the snapshot's sockets, then those missed, then those that ended lately."""

    snapshot: Snapshot
    sockets: SocketArray  # (n,) SOCKET; rows of MISSED and ENDED sockets are as they were last seen
    keys: NDArray[np.uint64]  # (n,) identity: the cookie, or without one a hash of 5-tuple, inode and holder
    ages: AgeArray  # (n,) AGE, at snapshot.monotonic; of ENDED sockets when they were last seen
    life: NDArray[np.uint8]  # (n,) Life
    path: NDArray[np.uint64]  # (n,) states that were seen, 4 bits each, the present one in the lowest 4
    opened: int  # sockets that appeared since the previous poll
    closed: int  # sockets that ended since the previous poll


_MEMORY = np.dtype(
    [
        ("seen_monotonic", "f8"),  # s, when last seen
        ("seen_boottime", "f8"),  # s, the earliest moment at which that row can have been read
    ]
)

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

    def update(self, snapshot: Snapshot) -> Update:
        """Take the next snapshot, in the order of time; O(n log n) array operations."""
        sockets = snapshot.sockets
        keys = identities(sockets)
        ages = bounds(sockets, snapshot.host, snapshot.monotonic, snapshot.dump_seconds)
        self._allow_for_sleep(snapshot, ages)
        life = np.zeros(len(sockets), np.uint8)
        path = sockets["state"].astype(np.uint64)
        memory = np.empty(len(sockets), _MEMORY)
        memory["seen_monotonic"] = snapshot.monotonic
        memory["seen_boottime"] = snapshot.boottime - snapshot.dump_seconds
        last = self._last
        if last is None:
            update = Update(snapshot, sockets, keys, ages, life, path, 0, 0)
        else:
            update = self._against(last, snapshot, keys, ages, life, path, memory)
            memory = self._memory
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
        missing = np.flatnonzero(~seen_again)
        closed = 0
        if len(missing):
            ended = last.life[missing] >= Life.MISSED
            closed = int((last.life[missing] == Life.MISSED).sum())
            kept = ~ended | (snapshot.monotonic - self._memory["seen_monotonic"][missing] <= self._linger)
            missing, ended = missing[kept], ended[kept]
        if len(missing):
            stale = last.ages[missing]
            running = np.flatnonzero(~ended)
            stale["min_ms"][running] += round(1000 * (snapshot.monotonic - last.snapshot.monotonic))
            bounded = running[stale["max_ms"][running] >= 0]
            stale["max_ms"][bounded] += round(1000 * (snapshot.boottime - last.snapshot.boottime))
            sockets = np.concatenate([sockets, last.sockets[missing]])
            keys = np.concatenate([keys, last.keys[missing]])
            ages = np.concatenate([ages, stale])
            life = np.concatenate([life, np.where(ended, Life.ENDED, Life.MISSED).astype(np.uint8)])
            path = np.concatenate([path, last.path[missing]])
            memory = np.concatenate([memory, self._memory[missing]])
        self._memory = memory
        return Update(snapshot, sockets, keys, ages, life, path, int(new.sum()), closed)

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
