"""Polling: what a tick publishes, and when the next one comes. Ticks are called, clocks are given."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import pytest

from sockui.diagnosis.engine import Diagnosis
from sockui.errors import NetlinkError
from sockui.giving_way import REST, GivingWay
from sockui.model import Snapshot
from sockui.poller import Poll, Poller
from sockui.tracker import Tracker
from tests.tui.scenes import Replay, snapshot, sock


def poller(
    source: Replay, interval: float = 2.0, clock: Callable[[], float] = lambda: 0.0
) -> tuple[Poller, list[Poll]]:
    polls: list[Poll] = []
    return Poller(source, Tracker(), Diagnosis(), polls.append, interval, clock), polls


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
    times = iter([100.0, 130.0, 200.0, 200.0 + took])
    ticking, polls = poller(Replay([snapshot(10, sock(1)), snapshot(11, sock(1))]), clock=lambda: next(times))
    ticking.tick()
    ticking.tick()
    assert polls[0].interval == 2.0, "the first one walks every process and says nothing of those to come"
    assert polls[1].seconds == pytest.approx(took)
    assert polls[1].interval == pytest.approx(interval)


def test_resting_for_keys_is_not_what_a_poll_takes() -> None:
    now = [100.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    class Slow(Replay):
        def collect(self) -> Snapshot:
            now[0] += 0.2
            give_way.key()
            return super().collect()

    give_way = GivingWay(lambda: now[0], sleep)
    polls: list[Poll] = []
    source = Slow([snapshot(10, sock(1)), snapshot(11, sock(1))])
    ticking = Poller(source, Tracker(), Diagnosis(), polls.append, 1.0, lambda: now[0], give_way)
    ticking.tick()
    ticking.tick()
    assert [poll.seconds for poll in polls] == pytest.approx([0.2, 0.2])
    assert now[0] == pytest.approx(100.4 + 2 * REST)


def test_the_interval_has_limits() -> None:
    ticking, _ = poller(Replay([]))
    for asked, given in ((0.001, 0.1), (5.0, 5.0), (1e9, 3600.0)):
        ticking.interval = asked
        assert ticking.interval == given


def test_the_thread_polls_until_paused_and_goes_on_at_once() -> None:
    came = threading.Semaphore(0)
    ticking = Poller(
        Replay([snapshot(at, sock(1)) for at in range(50)]), Tracker(), Diagnosis(), lambda _: came.release(), 0.1
    )
    ticking.start()
    assert came.acquire(timeout=10)
    assert came.acquire(timeout=10)
    ticking.paused = True
    ticking.interval = 3600.0
    ticking.paused = False
    assert came.acquire(timeout=10), "going on polls at once, however long the interval"
    ticking.stop()
    assert not any(thread.name == "sockui-poller" for thread in threading.enumerate())


class Gate(Replay):
    """A source that waits in every poll until it is let through; an exception among its snapshots is raised."""

    def __init__(self, *results: Snapshot | Exception) -> None:
        super().__init__([result for result in results if isinstance(result, Snapshot)])
        self._results = iter(results)
        self.arrived, self.through = threading.Semaphore(0), threading.Semaphore(0)

    def collect(self) -> Snapshot:
        self.arrived.release()
        assert self.through.acquire(timeout=10)
        result = next(self._results)
        if isinstance(result, Exception):
            raise result
        return result


def begun(gate: Gate) -> tuple[Poller, queue.SimpleQueue[Poll]]:
    """A poller in its thread, held up in its first poll; the next would come in an hour."""
    polls: queue.SimpleQueue[Poll] = queue.SimpleQueue()
    ticking = Poller(gate, Tracker(), Diagnosis(), polls.put, 3600.0)
    ticking.start()
    assert gate.arrived.acquire(timeout=10)
    return ticking, polls


def test_what_polls_left_unused_is_given_back_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless(Replay):
        def collect(self) -> Snapshot:
            return snapshot(now[0], sock(1))

    def publish(_: Poll) -> None:
        now[0] += 25.0
        if len(given_back) == 3:
            enough.set()

    now, given_back, enough = [0.0], list[float](), threading.Event()
    monkeypatch.setattr("sockui.poller.give_holes_back", lambda: given_back.append(now[0]))
    polling = Poller(Endless([]), Tracker(), Diagnosis(), publish, 1.0, lambda: now[0])
    polling.start()
    assert enough.wait(10)
    polling.stop()
    assert given_back[:3] == [100.0, 175.0, 250.0]


def test_an_error_in_sockui_itself_ends_the_thread_and_is_handed_over() -> None:
    bug = ZeroDivisionError("deep inside")
    gate = Gate(snapshot(10, sock(1)), bug)
    ticking, polls = begun(gate)
    gate.through.release(2)
    ticking.interval = 3600.0  # the second poll comes at once
    good, last = polls.get(timeout=10), polls.get(timeout=10)
    assert (good.crash, last.crash) == (None, bug)
    assert "deep inside" in last.error
    assert last.update is good.update
    ticking.stop()
    assert polls.empty()


def test_an_error_while_publishing_is_handed_over_too() -> None:
    polls: queue.SimpleQueue[Poll] = queue.SimpleQueue()

    def publish(poll: Poll) -> None:
        if not poll.error:
            raise KeyError("view")  # whoever publishes filters and sorts first
        polls.put(poll)

    ticking = Poller(Replay([snapshot(10, sock(1))]), Tracker(), Diagnosis(), publish, 3600.0)
    ticking.start()
    assert isinstance(polls.get(timeout=10).crash, KeyError)
    ticking.stop()


def test_without_the_thread_an_error_is_raised() -> None:
    gate = Gate(ZeroDivisionError())
    gate.through.release()
    with pytest.raises(ZeroDivisionError):
        Poller(gate, Tracker(), Diagnosis(), lambda _: None, 2.0).tick()


def test_an_interval_chosen_during_a_poll_counts() -> None:
    gate = Gate(snapshot(10, sock(1)), snapshot(11, sock(1)))
    ticking, polls = begun(gate)
    ticking.interval = 1800.0
    gate.through.release(2)
    polls.get(timeout=10)
    assert polls.get(timeout=10).interval == 1800.0
    ticking.stop()


def test_an_interval_chosen_while_paused_waits_for_the_end_of_the_pause() -> None:
    gate = Gate(snapshot(10, sock(1)), snapshot(11, sock(1)))
    ticking, polls = begun(gate)
    ticking.paused = True
    ticking.interval = 1800.0
    gate.through.release()
    polls.get(timeout=10)
    ticking.stop()  # nothing is let through any more: a poll that began would hold it up
    assert not gate.arrived.acquire(blocking=False)
