"""Polling: what a tick publishes, and when the next one comes. Ticks are called, clocks are given."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from sockui.errors import NetlinkError
from sockui.model import Snapshot
from sockui.poller import Poll, Poller
from sockui.tracker import Tracker
from tests.tui.scenes import Replay, snapshot, sock


def poller(
    source: Replay, interval: float = 2.0, clock: Callable[[], float] = lambda: 0.0
) -> tuple[Poller, list[Poll]]:
    polls: list[Poll] = []
    return Poller(source, Tracker(), polls.append, interval, clock), polls


def test_a_tick_publishes_what_it_saw() -> None:
    ticking, polls = poller(Replay([snapshot(10, sock(1))]))
    assert ticking.tick() is polls[0]
    assert polls[0].update is not None
    assert (polls[0].update.keys.tolist(), polls[0].error, polls[0].interval) == ([1], "", 2.0)


def test_a_failed_poll_keeps_the_last_good_update() -> None:
    class Failing(Replay):
        def collect(self) -> Snapshot:
            if not self.snapshots:
                raise NetlinkError("the kernel did not answer within 5 s")
            return super().collect()

    ticking, _ = poller(Failing([snapshot(10, sock(1))]))
    good, bad = ticking.tick(), ticking.tick()
    assert bad.update is good.update
    assert bad.error == "the kernel did not answer within 5 s"


@pytest.mark.parametrize(("took", "interval"), [(0.1, 2.0), (0.5, 2.0), (1.0, 4.0), (30.0, 120.0)])
def test_a_poll_that_takes_more_than_a_quarter_of_the_interval_stretches_it(took: float, interval: float) -> None:
    times = iter([100.0, 100.0 + took])
    ticking, polls = poller(Replay([snapshot(10, sock(1))]), clock=lambda: next(times))
    ticking.tick()
    assert polls[0].seconds == pytest.approx(took)
    assert polls[0].interval == pytest.approx(interval)


def test_the_interval_has_limits() -> None:
    ticking, _ = poller(Replay([]))
    for asked, given in ((0.001, 0.1), (5.0, 5.0), (1e9, 3600.0)):
        ticking.interval = asked
        assert ticking.interval == given


def test_the_thread_polls_until_paused_and_goes_on_at_once() -> None:
    came = threading.Semaphore(0)
    ticking = Poller(Replay([snapshot(at, sock(1)) for at in range(50)]), Tracker(), lambda _: came.release(), 0.1)
    ticking.start()
    assert came.acquire(timeout=10)
    assert came.acquire(timeout=10)
    ticking.paused = True
    ticking.interval = 3600.0
    ticking.paused = False
    assert came.acquire(timeout=10), "going on polls at once, however long the interval"
    ticking.stop()
    assert not any(thread.name == "sockui-poller" for thread in threading.enumerate())
