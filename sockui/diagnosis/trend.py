"""How a count develops, and when it reaches a limit: a robust slope with an interval, and a forecast only if certain.

Owns the estimator. Must not keep series (``history`` does), know what is counted, or hold words.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]

CONFIDENCE = 0.9
"""How often the interval has the true slope, about: 85 to 100 % over simulated leaks, random arrivals, crowds that
come and go, and random walks of 6 to 300 points."""
LEAST_POINTS = 5
"""With four points even a strict rise is chance once in 24 orders, too often for something looked at every 2 s."""
LEAST_SECONDS = 8.0
"""Shorter is one burst: a pool being opened, a batch. ``--for 10s`` is just enough."""
RECENT_SECONDS = 600.0
"""Where the last ten minutes contradict the whole series, what is recent tells what comes next."""
MOST_POINTS = 100
"""Pairs grow with the square: 100 points are 4,950 pairs, a third of a millisecond."""
HORIZON_SECONDS = 86_400.0
"""No count grows straight for longer than a day: load follows the clock."""

_PAUSE = 5.0
"""Points so many times as far apart as they usually are: nobody looked in between."""
_QUANTILE = NormalDist().inv_cdf(0.995)


@dataclass(frozen=True, slots=True)
class Trend:
    """The slope of a count, per minute, over the part of its series that the present follows from."""

    per_minute: float  # the median slope
    low: float  # per minute, where the interval (CONFIDENCE) begins; -inf and inf: across a pause too little is known
    high: float  # per minute, where it ends
    seconds: float  # from the first point used to the last
    points: int  # used, before thinning
    first: float  # the count at the first point used
    last: float  # the count at the last

    @property
    def growing(self) -> bool:
        """Whether it certainly grows: the whole interval is above 0."""
        return self.low > 0

    @property
    def certain(self) -> bool:
        """Whether the direction is certain: 0 is not in the interval."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Forecast:
    """When something that certainly grows is full, if it goes on like this; seconds from the last point."""

    used: float
    limit: float
    seconds: float  # at the median slope
    low_seconds: float  # at the steepest slope of the interval: not sooner
    high_seconds: float | None  # at the flattest; None: not within the horizon


def trend(seconds: Series, values: Series) -> Trend | None:
    """The slope of counts over time; None with fewer than LEAST_POINTS or less than LEAST_SECONDS to go by.

    ``seconds`` (n,) ascends strictly; ``values`` (n,) are counts. What came before the last big fall (a restart,
    a pool emptied) is left out, and so is a first stretch in which nothing changed at all: neither is part of what
    happens now.
    """
    if len(values) and bool((values == values[0]).all()):
        return _level(seconds, values)
    start = _last_fall(values)
    changed = np.flatnonzero(values[start:] != values[start]) if len(values) else np.empty(0, np.intp)
    if len(changed):
        start += int(changed[0]) - 1
    seconds, values = seconds[start:], values[start:]
    whole = _straight(seconds, values)
    begin = int(np.searchsorted(seconds, seconds[-1] - RECENT_SECONDS)) if len(seconds) else 0
    recent = _straight(seconds[begin:], values[begin:]) if begin else None
    if whole is None or recent is None:
        return whole or recent
    apart = recent.high < whole.low or whole.high < recent.low
    return recent if apart or (recent.certain and not whole.certain) else whole


def forecast(trend: Trend, used: float, limit: float, horizon_seconds: float = HORIZON_SECONDS) -> Forecast | None:
    """When ``used`` reaches ``limit``; None unless it certainly grows and gets there within the horizon.

    Of what is full already nothing can be foretold: None too.
    """
    left = limit - used
    if not trend.growing or left <= 0:
        return None
    seconds, soonest, latest = (60.0 * left / slope for slope in (trend.per_minute, trend.high, trend.low))
    if seconds > horizon_seconds:
        return None
    return Forecast(used, limit, seconds, soonest, latest if latest <= horizon_seconds else None)


def _tells(seconds: Series) -> bool:
    return len(seconds) >= LEAST_POINTS and bool(seconds[-1] - seconds[0] >= LEAST_SECONDS)


def _level(seconds: Series, values: Series) -> Trend | None:
    """What :func:`_straight` gives where nothing changed at all, as most counts in most polls."""
    if not _tells(seconds):
        return None
    span, value = float(seconds[-1] - seconds[0]), float(values[0])
    count = _stairs(span) * 60.0
    return Trend(0.0, -count, count, span, len(seconds), value, value)


def _straight(seconds: Series, values: Series) -> Trend | None:
    if not _tells(seconds):
        return None
    points = len(seconds)
    at = _thinned(seconds)
    if len(at) < LEAST_POINTS:  # a pause is nearly all of it: nothing is known of most of the time
        return None
    slope, low, high = (float(each) * 60.0 for each in _interval(seconds[at], values[at]))
    return Trend(slope, low, high, float(seconds[-1] - seconds[0]), points, float(values[0]), float(values[-1]))


def _thinned(seconds: Series) -> NDArray[np.intp]:
    """At most MOST_POINTS places, as even in time as the points allow: a series is denser where it is recent.

    Of one with a long pause few are left: the pause weighs what it lasted, and what came before it little.
    """
    if len(seconds) <= MOST_POINTS:
        return np.arange(len(seconds))
    return np.unique(np.searchsorted(seconds, np.linspace(seconds[0], seconds[-1], MOST_POINTS)))


def _last_fall(values: Series) -> int:
    """Where the series begins again after its last big fall; 0 if there was none.

    A fall to half, and by more than three standard deviations of a count (its square root): medians of three
    points before and after are compared, so that one poll that saw nothing, or too much, is no fall.
    """
    if len(values) < LEAST_POINTS:
        return 0
    before = _medians(np.concatenate(([0.0, 0.0], values[:-1])))
    after = _medians(np.concatenate((values[1:], [np.inf, np.inf])))
    fell = np.flatnonzero((before > 0) & (before - after >= np.maximum(before / 2, 3 * np.sqrt(before))))
    if not len(fell):
        return 0
    last = int(fell[-1]) + 1
    nearby = np.arange(max(last - 2, 1), last + 1)  # the medians see one fall from three places
    return int(nearby[np.diff(values)[nearby - 1].argmin()])


def _medians(values: Series) -> Series:
    """The median of each three that stand beside each other."""
    one, two, three = values[:-2], values[1:-1], values[2:]
    return np.maximum(np.minimum(one, two), np.minimum(np.maximum(one, two), three))


@lru_cache(4)
def _pairs(points: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Every pair of places, the former first; most series of a poll are of one length."""
    first, second = np.triu_indices(points, 1)
    return first, second


def _stairs(seconds: float) -> float:
    """Per second: one count either way over half the length. Nothing is known more narrowly."""
    return 2.0 / seconds


def _interval(seconds: Series, values: Series) -> tuple[float, float, float]:
    """The median of all pairwise slopes (Theil 1950, Sen 1968) and its interval, per second.

    Sen's interval takes the points for independent, and counts of sockets are not: simulated leaks with random
    arrivals lay in a 90 % interval one time in seven, and steps and slow waves passed for growth. So its variance
    is widened by what neighbouring residuals have in common. That is right for noise around a line; for a sum of
    random arrivals, where nothing pulls the count back to a line, the spread of the increments is. Which of the
    two it is a short series does not tell: the narrower at 99 % each, which covers about 90 % of either. Of a series
    with a pause it is the wider: the few points after it would pass for outliers of a line that has ended. Nothing
    is narrower than one count either way over half the length: counts are integers and a leak looks like stairs.
    """
    first, second = _pairs(len(seconds))
    slopes = np.sort((values[second] - values[first]) / (seconds[second] - seconds[first]))
    slope = float(np.median(slopes))
    residuals = np.round(values - values[0] - slope * (seconds - seconds[0]), 6)  # equal ones must tie
    around = _sen(slopes, values, residuals)
    spread = _QUANTILE * _spread(np.diff(residuals)) / float(seconds[-1] - seconds[0])
    arrivals = slope - spread, slope + spread
    steps = np.diff(seconds)
    choose = max if steps.max() > _PAUSE * np.median(steps) else min
    low, high = choose(around, arrivals, key=lambda ends: ends[1] - ends[0])
    count = _stairs(float(seconds[-1] - seconds[0]))
    return slope, min(low, slope - count), max(high, slope + count)


def _sen(slopes: Series, values: Series, residuals: Series) -> tuple[float, float]:
    """Sen's interval by Kendall's variance with ties, widened for a first-order autocorrelation."""
    size = len(values)
    ties = np.unique(values, return_counts=True)[1]
    kendall = size * (size - 1) * (2 * size + 5) - (ties * (ties - 1) * (2 * ties + 5)).sum()
    _, rank, number = np.unique(residuals, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(number) - (number - 1) / 2)[rank]  # an outlier has but one rank
    ranks -= ranks.mean()
    total = float((ranks * ranks).sum())
    common = max(float((ranks[1:] * ranks[:-1]).sum()) / total, 0.0) if total else 0.0
    if common:
        common = min(common + (1 + 4 * common) / size, 0.98)  # the estimate from few points is too low (Kendall 1954)
    half = _QUANTILE * np.sqrt(kendall / 18 * (1 + common) / (1 - common))
    low, high = int(np.floor((len(slopes) - half) / 2)), int(np.ceil((len(slopes) + half) / 2))
    return (float(slopes[low]), float(slopes[high])) if high < len(slopes) else (-np.inf, np.inf)


def _spread(increments: Series) -> float:
    """The standard deviation of the sum of increments, neighbours' covariance included (Newey and West 1987)."""
    size = len(increments)
    lags = round(size ** (1 / 3))
    variance = float((increments * increments).sum())
    for lag in range(1, lags + 1):
        variance += 2 * (1 - lag / (lags + 1)) * float((increments[lag:] * increments[:-lag]).sum())
    return float(np.sqrt(max(variance, 0.0) * size / (size - 2)))
