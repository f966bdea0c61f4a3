"""Slopes of leaks, restarts, outliers, steps and noise; forecasts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sockui.diagnosis.trend import LEAST_POINTS, LEAST_SECONDS, MOST_POINTS, Forecast, Trend, forecast, trend

Series = NDArray[Any]


def polls(count: int, every: float = 2.0) -> Series:
    return 1000.0 + every * np.arange(count)


def leak(seconds: Series, per_second: float, start: float = 0.0, phase: float = 0.5) -> Series:
    grown: Series = np.floor(per_second * (seconds - seconds[0]) + phase)
    return start + grown


def sure(seconds: Series, values: Series) -> Trend:
    found = trend(seconds, values)
    assert found is not None
    return found


# --- leaks ----------------------------------------------------------------------------------------------


@given(
    per_second=st.floats(0.1, 50),
    every=st.floats(0.5, 10),
    phase=st.floats(0, 0.99),
    start=st.integers(0, 10_000),
    count=st.integers(12, 300),
)
def test_a_steady_leak_is_found_at_its_rate(
    per_second: float, every: float, phase: float, start: int, count: int
) -> None:
    seconds = polls(count, every)
    watched = seconds[-1] - seconds[0]
    assume(watched >= LEAST_SECONDS + every and per_second * watched >= 20)
    found = sure(seconds, leak(seconds, per_second, start, phase))
    assert found.per_minute == pytest.approx(60 * per_second, rel=0.15)
    assert found.low <= 60 * per_second <= found.high
    assert found.growing


def test_a_leak_of_one_in_five_seconds_looks_like_stairs_and_is_found() -> None:
    seconds = polls(30)
    found = sure(seconds, leak(seconds, 0.2, 40))
    assert found.per_minute == pytest.approx(12, rel=0.1)
    assert found.growing


def test_one_more_is_no_growth() -> None:
    for at in range(1, 30):
        seconds = polls(30)
        found = trend(seconds, np.where(np.arange(30) < at, 7.0, 8.0))
        assert found is None or not found.growing


def test_ten_seconds_are_enough_for_a_fast_leak() -> None:
    seconds = polls(6)
    found = sure(seconds, leak(seconds, 10))
    assert found.growing
    assert found.per_minute == pytest.approx(600, rel=0.02)
    assert (found.seconds, found.points, found.first, found.last) == (10.0, 6, 0.0, 100.0)


def test_a_count_that_falls_is_certain_and_not_growing() -> None:
    seconds = polls(30)
    found = sure(seconds, 500 - leak(seconds, 2))
    assert found.certain
    assert not found.growing
    assert found.per_minute == pytest.approx(-120, rel=0.05)


# --- what must not disturb ------------------------------------------------------------------------------


@given(at=st.integers(2, 29), seen=st.sampled_from((0.0, 5.0, 5000.0)))
def test_one_poll_that_saw_nothing_or_too_much_changes_little(at: int, seen: float) -> None:
    seconds = polls(31)
    values = leak(seconds, 1, 100)
    values[at] = seen
    found = sure(seconds, values)
    assert found.growing
    assert found.per_minute == pytest.approx(60, rel=0.1)


@given(after=st.integers(10, 60), before=st.integers(3, 60), level=st.sampled_from((0, 3, 40)))
def test_after_a_restart_only_what_came_after_counts(after: int, before: int, level: int) -> None:
    seconds = polls(before + after)
    values = np.concatenate(
        (leak(seconds[:before], 4, 300), leak(seconds[before:], 1, level)),
    )
    found = sure(seconds, values)
    assert found.points == after
    assert found.first == level
    assert found.per_minute == pytest.approx(60, rel=0.1)


def test_right_after_a_restart_nothing_is_said() -> None:
    seconds = polls(34)
    assert trend(seconds, np.concatenate((leak(seconds[:30], 4, 300), [0.0, 2, 4, 6]))) is None


def paused(hours: float, after: int) -> Series:
    """When there were polls: for five minutes, and so many after a pause."""
    before = polls(151)
    return np.concatenate((before, before[-1] + 3600 * hours + 2.0 * np.arange(after)))


@pytest.mark.parametrize("after", [1, 2, 4, 5, 30, 150, 300])
@pytest.mark.parametrize("hours", [0.07, 0.3, 1.0, 3.0, 4.1, 6.0, 8.3, 12.0, 100.0])
def test_a_leak_that_ended_in_a_pause_is_not_foretold_from_before_it(hours: float, after: int) -> None:
    seconds = paused(hours, after)
    values = 100 + np.floor(np.minimum(seconds - seconds[0], 300.0))
    for ended_at in (0.0, 5.0):
        found = trend(seconds, values + np.where(np.arange(len(seconds)) > 150, ended_at, 0.0))
        assert found is None or not found.growing


@pytest.mark.parametrize("hours", [4.1, 6.0, 8.3, 100.0])
def test_a_pause_of_hours_and_a_few_polls_after_it_are_no_trend(hours: float) -> None:
    for after in (1, 4):
        seconds = paused(hours, after)
        assert trend(seconds, leak(seconds, 0.01, 100)) is None


@pytest.mark.parametrize("hours", [0.07, 0.3, 1.0, 4.1, 8.3, 100.0])
def test_a_leak_that_goes_on_after_a_pause_is_found_again_in_ten_seconds(hours: float) -> None:
    seconds = paused(hours, 6)
    found = sure(seconds, leak(seconds, 1, 100))
    assert found.growing
    assert found.per_minute == pytest.approx(60, rel=0.1)


def test_a_step_in_a_pause_is_no_growth() -> None:
    for hours in (0.05, 0.3, 1.0, 5.0, 9.0):
        for after in (1, 2, 5, 30, 150):
            seconds = paused(hours, after)
            values: Series = np.where(np.arange(len(seconds)) < 151, 100.0, 900.0) + np.arange(len(seconds)) % 2
            found = trend(seconds, values)
            assert found is None or not found.growing


def test_a_small_fall_is_part_of_the_series() -> None:
    seconds = polls(40)
    values = leak(seconds, 2, 100)
    values[20:] -= 15  # a garbage collector closed some
    assert sure(seconds, values).points == 40


@pytest.mark.parametrize("share", [0.2, 0.35, 0.5, 0.65, 0.8])
@pytest.mark.parametrize("count", [15, 40, 100, 400])
def test_a_step_is_no_growth(share: float, count: int) -> None:
    seconds = polls(count)
    values: Series = np.where(np.arange(count) < share * count, 100.0, 150.0) + np.arange(count) % 2
    assert not sure(seconds, values).growing


def test_a_count_that_stands_still_has_slope_0() -> None:
    for level in (0.0, 812.0):
        found = sure(polls(30), np.full(30, level))
        assert found.per_minute == 0
        assert found.low < 0 < found.high


def test_growth_is_measured_from_where_it_began() -> None:
    seconds = polls(400)
    values = np.concatenate((np.full(340, 12.0), leak(seconds[340:], 1, 13)))
    found = sure(seconds, values)
    assert found.growing
    assert found.per_minute == pytest.approx(60, rel=0.05)
    assert found.points == 61


def test_growth_under_noise_is_measured_where_it_is_recent() -> None:
    seconds = polls(400, 10.0)
    noise = np.arange(400) * 7919 % 11
    values = noise + np.maximum(0, np.arange(400) - 330) * 10.0  # 1 in a second, for 690 s of 4000
    found = sure(seconds, values)
    assert found.growing
    assert found.seconds <= 600
    assert found.per_minute == pytest.approx(60, rel=0.1)


def test_growth_that_ended_is_over() -> None:
    seconds = polls(400, 10.0)
    values = np.minimum(leak(seconds, 1), 3000.0) + np.arange(400) * 7919 % 3
    assert not sure(seconds, values).growing


def test_a_leak_too_slow_for_ten_minutes_is_found_over_hours() -> None:
    seconds = polls(400, 30.0)
    found = sure(seconds, leak(seconds, 1 / 300, 5))
    assert found.growing
    assert found.per_minute == pytest.approx(0.2, rel=0.05)


# --- what is only chance --------------------------------------------------------------------------------


def _share(count: int, holds: Callable[[np.random.Generator], bool]) -> float:
    return sum(holds(np.random.default_rng(seed)) for seed in range(count)) / count


@pytest.mark.parametrize("stay", [1.0, 5.0, 30.0])
@pytest.mark.parametrize("count", [15, 60, 200])
def test_a_healthy_crowd_seldom_seems_to_grow(stay: float, count: int) -> None:
    """Connections that come at random and stay ``stay`` seconds: 50 at a time, for ever."""

    def seems_to_grow(random: np.random.Generator) -> bool:
        keep = math.exp(-2.0 / stay)
        values = np.empty(count)
        values[0] = random.poisson(50)
        for index in range(1, count):
            values[index] = random.binomial(int(values[index - 1]), keep) + random.poisson(50 * (1 - keep))
        found = trend(polls(count), values)
        return found is not None and found.growing

    assert _share(150, seems_to_grow) <= 0.1


@pytest.mark.parametrize("count", [20, 60, 200])
def test_the_interval_covers_leaks_with_random_arrivals(count: int) -> None:
    def covers(random: np.random.Generator) -> bool:
        found = trend(polls(count), np.cumsum(random.poisson(2.0, count)).astype(np.float64))
        return found is not None and found.low <= 60 <= found.high

    assert _share(150, covers) >= 0.75


# --- form -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", range(LEAST_POINTS))
def test_too_few_points_are_no_trend(count: int) -> None:
    seconds = polls(count, 60.0)
    assert trend(seconds, leak(polls(9, 60.0), 1)[:count]) is None


def test_too_short_a_time_is_no_trend() -> None:
    seconds = polls(40, (LEAST_SECONDS - 0.01) / 39)
    assert trend(seconds, leak(seconds, 10)) is None


@given(st.lists(st.integers(0, 100_000), max_size=150), st.floats(0.1, 100))
def test_any_counts_give_finite_or_honest_numbers(counts: list[int], every: float) -> None:
    seconds = polls(len(counts), every)
    found = trend(seconds, np.array(counts, np.float64))
    if found is not None:
        assert math.isfinite(found.per_minute)
        assert found.low < found.per_minute < found.high
        assert found.last == counts[-1]
        assert found.points <= len(counts)
        assert found.growing <= found.certain


def test_a_long_series_is_thinned_evenly_in_time() -> None:
    recent = np.arange(3000.0, 3600.0, 2.0)
    seconds = np.concatenate((np.arange(0.0, 3000.0, 30.0), recent))
    assert len(seconds) > 3 * MOST_POINTS
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(2000, 300, len(seconds))
        found = sure(seconds, np.round(leak(seconds, 0.5) + noise))
        assert found.growing
        assert found.per_minute == pytest.approx(30, rel=0.2)  # a tenth of the points would be off by as much often


# --- forecasts ------------------------------------------------------------------------------------------

GROWING = Trend(per_minute=12.0, low=10.0, high=15.0, seconds=540.0, points=100, first=700.0, last=812.0)


def test_a_forecast_divides_what_is_left_by_the_slope() -> None:
    assert forecast(GROWING, 812, 1024) == Forecast(812, 1024, 1060.0, low_seconds=848.0, high_seconds=1272.0)


@pytest.mark.parametrize(("low", "high", "per_minute"), [(-1.0, 30.0, 12.0), (0.0, 30.0, 12.0), (-30.0, -10.0, -20.0)])
def test_no_forecast_unless_growth_is_certain(low: float, high: float, per_minute: float) -> None:
    assert forecast(Trend(per_minute, low, high, 540.0, 100, 700.0, 812.0), 812, 1024) is None


def test_no_forecast_for_what_is_full() -> None:
    assert forecast(GROWING, 1024, 1024) is None
    assert forecast(GROWING, 1100, 1024) is None


def test_no_forecast_beyond_the_horizon() -> None:
    assert forecast(GROWING, 0, 12 * 60 * 24 + 1) is None
    assert forecast(GROWING, 0, 12 * 60 * 24) is not None
    assert forecast(GROWING, 812, 1024, horizon_seconds=1000) is None


def test_what_the_flattest_slope_does_not_reach_within_the_horizon_has_no_end() -> None:
    found = forecast(GROWING, 0, 12 * 60 * 24)
    assert found is not None
    assert found.low_seconds < found.seconds
    assert found.high_seconds is None


@given(per_second=st.floats(0.2, 20), phase=st.floats(0, 0.99))
def test_the_forecast_comes_true(per_second: float, phase: float) -> None:
    """A leak is watched for a while; when the limit is really reached lies within the forecast, and near it."""
    seconds = polls(61)
    values = leak(seconds, per_second, 100, phase)
    limit = values[-1] + 500
    found = forecast(sure(seconds, values), values[-1], limit)
    assert found is not None
    reached = (limit - 100 - phase) / per_second - 120.0
    assert found.seconds == pytest.approx(reached, rel=0.2)
    assert found.low_seconds <= reached + 1 / per_second
    assert found.high_seconds is None or reached - 1 / per_second <= found.high_seconds
