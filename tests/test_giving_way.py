"""A poll rests while a key is being handled, and not for ever."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from sockui.collector.linux import NetlinkCollector
from sockui.giving_way import MOST, REST, GivingWay
from sockui.tracker import Tracker


class Time:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def give_way(time: Time) -> GivingWay:
    made = GivingWay(lambda: time.now, time.sleep)
    made.begin()
    return made


def test_without_a_key_nothing_rests(time: Time, give_way: GivingWay) -> None:
    give_way()
    assert time.slept == []


def test_a_poll_rests_until_the_key_is_done(time: Time, give_way: GivingWay) -> None:
    give_way.key()
    time.now += REST / 4
    give_way()
    assert sum(time.slept) == pytest.approx(REST * 3 / 4) == give_way.rested
    give_way()
    assert len(time.slept) == 1, "the key is done"


def test_a_key_that_comes_meanwhile_is_waited_for_too(time: Time, give_way: GivingWay) -> None:
    keys = iter(range(2))

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        if next(keys, None) is not None:
            give_way.key()

    give_way._sleep = sleep
    give_way.key()
    give_way()
    assert sum(time.slept) == pytest.approx(3 * REST)


def test_a_key_that_is_held_down_does_not_stop_polling(time: Time, give_way: GivingWay) -> None:
    for _ in range(1000):
        give_way.key()
        give_way()
    assert sum(time.slept) == pytest.approx(MOST)
    give_way.begin()
    give_way.key()
    give_way()
    assert sum(time.slept) == pytest.approx(MOST + REST), "the next poll gives way again"


class Counted(GivingWay):
    """Counts how often somebody asked whether to rest."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()  # by who asked

    def __call__(self) -> None:
        self.asked[sys._getframe(1).f_code.co_qualname] += 1


@pytest.mark.kernel
def test_whatever_takes_long_in_a_poll_rests_between_its_parts() -> None:
    give_way = Counted()
    collector = NetlinkCollector(give_way=give_way)
    tracker = Tracker(give_way=give_way)
    for _ in range(2):
        give_way.asked.clear()
        tracker.update(collector.collect())
    collector.close()
    steps = {"OwnerResolver.attribute": 5, "Tracker._against": 4, "Tracker.update": 2, "NetlinkCollector.collect": 2}
    assert give_way.asked >= Counter({**steps, "DiagSocket._dump": 2}), "a dump at least for each family"
