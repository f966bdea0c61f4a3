"""How often is looked before a report, and what an interruption leaves of it. The clock is given: nothing waits."""

from __future__ import annotations

import numpy as np
import pytest

from sockui.diagnosis.engine import Diagnosis
from sockui.diagnosis.finding import Findings
from sockui.errors import CollectError, NetlinkError
from sockui.model import Coverage, Holders, Host, Snapshot, State, empty_sockets
from sockui.poller import Poller
from sockui.sampling import sample
from sockui.tracker import Tracker


class Watch:
    """A clock that ``wait`` moves on, and a source that tells its time and fails when it is told to."""

    def __init__(self, took: float = 0.0, fails_at: tuple[int, ...] = (), interrupted_at: int = 99) -> None:
        self.now = 1000.0
        self.took, self.fails_at, self.interrupted_at = took, fails_at, interrupted_at
        self.looked_at: list[float] = []
        self.left: list[float] = []

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float, left: float) -> None:
        self.left.append(round(left, 3))
        if len(self.left) == self.interrupted_at:
            raise KeyboardInterrupt
        self.now += seconds

    def collect(self) -> Snapshot:
        self.looked_at.append(round(self.now - 1000, 3))
        self.now += self.took
        if len(self.looked_at) - 1 in self.fails_at:
            raise NetlinkError("the kernel broke off")
        sockets = empty_sockets(1)
        sockets["state"] = State.CLOSE
        return Snapshot(
            self.now, self.now, self.now, sockets, {}, Holders.none(), Host("h", "Linux"), Coverage(), "netlink"
        )

    def close(self) -> None:
        pass


def sampled(watch: Watch, seconds: float, interval: float = 2.0) -> Findings:
    poller = Poller(watch, Tracker(), Diagnosis(), lambda _: None, interval, watch.clock)
    return sample(poller, seconds, watch.wait, watch.clock)


@pytest.mark.parametrize(
    ("seconds", "interval", "looks"),
    [
        (1, 2, [0, 1]),
        (0.5, 2, [0, 0.5]),
        (0.5, 0.1, [0, 0.1, 0.2, 0.3, 0.4, 0.5]),  # that is what --interval asked for
        (3, 2, [0, 1, 2, 3]),
        (10, 2, [0, 2, 4, 6, 8, 10]),
        (10, 30, [0, 2, 4, 6, 8, 10]),  # a trend needs five points, whatever the interval
        (100, 30, [0, 20, 40, 60, 80, 100]),
        (12, 1, list(range(13))),
    ],
)
def test_looks_are_evenly_apart_and_the_last_is_at_the_end(seconds: float, interval: float, looks: list[float]) -> None:
    watch = Watch()
    found = sampled(watch, seconds, interval)
    assert watch.looked_at == looks
    assert found.polls == len(looks)
    assert found.watched == pytest.approx(seconds)


def test_polls_that_take_long_leave_fewer_looks_but_never_less_than_two() -> None:
    slow = Watch(took=3.0)
    assert sampled(slow, 10).polls == 3, "the third one ends after the time is over"
    slower = Watch(took=60.0)
    assert sampled(slower, 1).polls == 2


def test_what_is_left_counts_down() -> None:
    watch = Watch()
    sampled(watch, 10)
    assert watch.left == [10, 8, 6, 4, 2]


@pytest.mark.parametrize(("interrupted_at", "polls"), [(1, 1), (2, 2), (4, 4)])
def test_an_interruption_keeps_what_is_known_by_then(interrupted_at: int, polls: int) -> None:
    assert sampled(Watch(interrupted_at=interrupted_at), 10).polls == polls


def test_an_interruption_before_anything_is_known_goes_through() -> None:
    class Interrupted(Watch):
        def collect(self) -> Snapshot:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sampled(Interrupted(), 10)


def test_one_failed_look_among_several_is_left_out() -> None:
    found = sampled(Watch(fails_at=(3,)), 10)
    assert found.polls == 5
    assert np.isclose(found.watched, 10)


@pytest.mark.parametrize("fails_at", [(0,), (1,)])
def test_with_fewer_than_two_good_looks_it_says_why(fails_at: tuple[int, ...]) -> None:
    with pytest.raises(CollectError, match="the kernel broke off"):
        sampled(Watch(fails_at=fails_at), 1)
