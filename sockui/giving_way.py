"""Who goes first: a key that was pressed, or the poll.

Owns for how long a poll rests after a key. Python runs one thread at a time: beside a poll of 100,000 sockets what a
key does takes twice as long. Must not know what a poll does, nor what a key.
"""

from __future__ import annotations

import time
from collections.abc import Callable

REST = 0.06
"""Seconds after a key in which its paint is done."""
MOST = 0.6
"""Seconds that one poll rests in all, however long a key is held down."""


class GivingWay:
    """Called by the poll's thread wherever it may rest for a moment; told of keys by the one that handles them."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._until = 0.0
        self.rested = 0.0  # seconds, in this poll

    def key(self) -> None:
        """Say that a key was pressed."""
        self._until = self._clock() + REST

    def begin(self) -> None:
        """Say that a poll begins."""
        self.rested = 0.0

    def __call__(self) -> None:
        """Rest while a key is being handled."""
        while (left := min(self._until - self._clock(), MOST - self.rested)) > 0:
            self._sleep(left)
            self.rested += left
