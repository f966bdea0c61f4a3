"""Counts over the session: one series per key, in memory that does not grow.

Owns which polls and keys are kept. Must not know what is counted or judge it (``trend`` does).
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Mapping
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

Key = Hashable

MOST_POLLS = 400
"""The last 200 polls at least are kept one by one; what is older, ever more thinly, evenly over the session."""
MOST_KEYS = 4000
"""A table of int32 with MOST_POLLS rows: 6 MiB with so many keys, 13 at the worst."""
FORGET_SECONDS = 600.0
"""A key that was 0 or absent for so long is given up."""
_MOST = np.iinfo(np.int32).max


class History:
    """One table: a row per poll, a column per key; all keys share the polls."""

    def __init__(self) -> None:
        self._polls = 0
        self._seconds = np.zeros(MOST_POLLS)
        self._values = np.zeros((MOST_POLLS, 64), np.int32)
        self._columns: dict[Key, int] = {}
        self._free = list(range(64))
        self._known_from = np.zeros(64)  # s, by column: from when on the key's absence was counted as 0
        self._last_counted = np.zeros(64)  # s, by column: when it was last above 0
        self._crowded = -np.inf  # s, when keys were last dropped for want of room

    @property
    def since(self) -> float | None:
        """When the first poll was, in the seconds that :meth:`add` was given; None before it."""
        return float(self._seconds[0]) if self._polls else None

    def __len__(self) -> int:
        """How many keys are kept."""
        return len(self._columns)

    def add(self, when: float, counts: Mapping[Key, int]) -> None:
        """Add a poll: ``when`` in monotonic seconds, what was counted by key; an absent key counts 0.

        Counts beyond int32 are kept as its greatest. Raises ValueError if ``when`` is not after the poll before.
        """
        if self._polls and when <= self._seconds[self._polls - 1]:
            raise ValueError(f"a poll at {when} s after one at {self._seconds[self._polls - 1]} s")
        if len(counts) > MOST_KEYS:
            counts = dict(heapq.nlargest(MOST_KEYS, counts.items(), key=itemgetter(1)))
            self._crowded = when
        if self._polls == MOST_POLLS:
            self._thin()
        columns = self._columns
        new = [key for key, count in counts.items() if key not in columns and count]
        if new:
            self._begin(when, new)
        known = [(columns[key], count) for key, count in counts.items() if count and key in columns]
        at = np.fromiter(map(itemgetter(0), known), np.intp, len(known))
        row = self._values[self._polls]
        row[:] = 0
        row[at] = np.minimum(np.fromiter(map(itemgetter(1), known), np.int64, len(known)), _MOST)
        self._last_counted[at] = when
        self._seconds[self._polls] = when
        self._polls += 1
        self._forget(when)

    def series(self, key: Key) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(seconds, values), both (n,), n <= MOST_POLLS; empty for a key that is not kept.

        Polls before the key was first seen count 0 if they were looked at and nothing of it was there: one that
        appears later has grown from nothing.
        """
        column = self._columns.get(key)
        if column is None:
            return np.empty(0), np.empty(0)
        start = int(np.searchsorted(self._seconds[: self._polls], self._known_from[column]))
        return (
            self._seconds[start : self._polls].copy(),
            self._values[start : self._polls, column].astype(np.float64),
        )

    def _thin(self) -> None:
        """Keep every poll of the newer half, and half as many of the older, evenly over the time they span."""
        half = MOST_POLLS // 2
        old = self._seconds[:half]
        kept = np.unique(np.searchsorted(old, np.linspace(old[0], old[-1], half // 2)))
        kept = np.concatenate((kept, np.arange(half, MOST_POLLS)))
        self._polls = len(kept)
        self._seconds[: self._polls] = self._seconds[kept]
        self._values[: self._polls] = self._values[kept]

    def _begin(self, when: float, keys: list[Key]) -> None:
        """Give new keys a column; a key that is not kept was 0 for FORGET_SECONDS, unless there was no room for it."""
        while len(self._free) < len(keys):
            size = self._values.shape[1]
            self._values = np.hstack((self._values, np.zeros_like(self._values)))
            self._known_from, self._last_counted = np.tile(self._known_from, 2), np.tile(self._last_counted, 2)
            self._free.extend(range(size, 2 * size))
        absent_from = max(when - FORGET_SECONDS, np.nextafter(self._crowded, np.inf))  # after that poll, without it
        for key in keys:
            column = self._free.pop()
            self._columns[key] = column
            self._known_from[column] = min(absent_from, when)

    def _forget(self, when: float) -> None:
        """Drop keys that were 0 for long, and if there are too many, the smallest."""
        columns = np.fromiter(self._columns.values(), np.intp, len(self._columns))
        gone = self._last_counted[columns] <= when - FORGET_SECONDS
        left = len(columns) - int(gone.sum())
        if left > MOST_KEYS:
            by_count = np.argsort(np.where(gone, -1, self._values[self._polls - 1, columns]), kind="stable")
            gone[by_count[: len(columns) - MOST_KEYS * 9 // 10]] = True  # a tenth at once, not one every poll
            self._crowded = when
        if gone.any():
            keys = list(self._columns)
            for place in np.flatnonzero(gone).tolist():  # its values stay: the next key's series begins after them
                self._free.append(self._columns.pop(keys[place]))
