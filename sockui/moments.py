"""Texts as moments of one host, which is not the one that sockui runs on.

Owns what differs from looking at a host live: its pids are never looked up here, and after the last text there is no
more. Must not read a text (``collector.text``) or print.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from sockui.config import Config
from sockui.diagnosis.engine import Diagnosis
from sockui.errors import TextError
from sockui.model import Snapshot
from sockui.poller import SHORTEST, Poll, Poller
from sockui.tracker import Tracker

_T = TypeVar("_T")


def judge(config: Config) -> Diagnosis:
    """A diagnosis that looks at no process of this host."""
    return Diagnosis(config.thresholds, look=lambda _: None)


def last(moments: Iterable[_T]) -> _T:
    """The last one, when all were gone through; none before it is kept."""
    return deque(moments, maxlen=1).pop()


class Replay:
    """A source that gives ``snapshots``, at least one, one after the other."""

    def __init__(self, snapshots: Sequence[Snapshot]) -> None:
        self._left = deque(snapshots)

    def collect(self) -> Snapshot:
        """The next moment. Raises :class:`TextError` after the last."""
        if not self._left:
            raise TextError("there is no further text")
        return self._left.popleft()

    def close(self) -> None:
        """Nothing is held open."""

    @property
    def over(self) -> bool:
        """Whether every moment was given."""
        return not self._left


class ReplayPoller(Poller):
    """Gets to the last moment at once and rests there, whoever asks it to go on."""

    def __init__(self, replay: Replay, config: Config, publish: Callable[[Poll], None]) -> None:
        super().__init__(replay, Tracker(config.linger), judge(config), publish, SHORTEST)
        self._replay = replay

    @property
    def paused(self) -> bool:
        """Whether polling rests."""
        return self._paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        with self._wake:
            self._paused = paused or self._replay.over
            self._now = not self._paused
            self._wake.notify()

    def tick(self) -> Poll:
        """Do one poll."""
        poll = super().tick()
        if self._replay.over:
            self.paused = True
        return poll
