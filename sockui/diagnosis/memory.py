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
_MOST_DROPPING = 20_000  # LISTEN and UDP sockets whose drops are remembered


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
        rows = np.flatnonzero(((state == State.LISTEN) | (protocol == Protocol.UDP)) & (update.life != Life.ENDED))[
            :_MOST_DROPPING
        ]
        keys = update.keys[rows]
        order = np.argsort(keys)
        drops = sockets["drops"][rows].astype(np.int64)
        self._polls.append((now, update.snapshot.host.counters, keys[order], drops[order]))
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
        """By how much the drops of each socket rose within the window; of a new one, all of them."""
        now = self._drops(len(self._polls) - 1, keys)
        before = self._drops(0, keys)
        return np.where(now < 0, 0, np.maximum(now - np.maximum(before, 0), 0)) if len(self._polls) > 1 else now * 0

    def _drops(self, poll: int, keys: Keys) -> NDArray[np.int64]:
        _, _, known, drops = self._polls[poll]
        if not len(known) or not len(keys):
            return np.full(len(keys), -1, np.int64)
        at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return np.where(known[at] == keys, drops[at], -1)

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
