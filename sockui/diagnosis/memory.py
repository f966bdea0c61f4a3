"""What rules remember from poll to poll: counters within a window, drops per socket, which sockets a rule asked about.

Owns only what cannot be read off one update. Must not judge.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sockui.model import Protocol, State
from sockui.model.sockets import columns
from sockui.tracker import Life, Update

Keys = NDArray[np.uint64]
_MOST_DROPPING = 20_000  # LISTEN and UDP sockets whose drops are remembered: those that dropped anything


class Memory:
    """``window`` is how far back a change counts, seconds."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._polls: deque[tuple[float, Mapping[str, int], Keys, NDArray[np.int64]]] = deque()
        self._asked: dict[str, Keys] = {}
        self._listened = np.zeros(65536, np.bool_)

    def take(self, update: Update) -> None:
        """Remember a poll; what is older than the window is forgotten, but for the one poll that begins it."""
        now, sockets = update.snapshot.monotonic, update.sockets
        state, protocol = columns(sockets, "state", "protocol")
        rows = np.flatnonzero(((state == State.LISTEN) | (protocol == Protocol.UDP)) & (update.life != Life.ENDED))
        rows = rows[sockets["drops"][rows] > 0]
        keys = update.keys[rows]
        order = np.argsort(keys)[:_MOST_DROPPING]  # by key, so that it is the same ones in every poll
        drops = sockets["drops"][rows[order]].astype(np.int64)
        self._polls.append((now, update.snapshot.host.counters, keys[order], drops))
        while len(self._polls) > 2 and self._polls[1][0] <= now - self._window:
            self._polls.popleft()

    def risen(self, name: str, now: int | None) -> int:
        """By how much a counter rose since the poll that begins the window; 0 if unknown, or set back."""
        before = self._polls[0][1].get(name) if self._polls else None
        return max(now - before, 0) if now is not None and before is not None else 0

    def seconds(self) -> float:
        """How far back the window reaches at present."""
        return self._polls[-1][0] - self._polls[0][0] if self._polls else 0.0

    def more_drops(self, keys: Keys) -> NDArray[np.int64]:
        """By how much the drops of each socket rose within the window; of a new one, all of them; 0 if unknown."""
        before, now = self._drops(0, keys), self._drops(-1, keys)
        return np.where((before < 0) | (now < 0), 0, np.maximum(now - before, 0))

    def _drops(self, poll: int, keys: Keys) -> NDArray[np.int64]:
        """The drops of each socket in a poll; -1 if it may be one of those for which there was no room."""
        _, _, known, drops = self._polls[poll]
        absent = -1 if len(known) == _MOST_DROPPING else 0
        if not len(known):
            return np.full(len(keys), absent, np.int64)
        at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return np.where(known[at] == keys, drops[at], absent)

    def swap(self, rule: str, keys: Keys) -> Keys:
        """Keep what a rule asks about now; what it asked about in the poll before."""
        before = self._asked.get(rule, np.empty(0, np.uint64))
        self._asked[rule] = keys
        return before

    def listened(self, now: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Ports that somebody listened on in an earlier poll and nobody does ``now``; both (65536,) bool."""
        gone = self._listened & ~now
        self._listened |= now
        return gone
