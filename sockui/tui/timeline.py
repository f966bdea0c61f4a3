"""A series over time in a few characters that seldom change: time runs from the left, and what is drawn stays.

Owns how long a character is. Must not know what is counted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sockui.view.sparkline import sparkline

Series = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Seconds, ascending, and the count at each."""

_STEPS = (5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400)


def step(seconds: float, width: int) -> int:
    """How long a character must be, in seconds, so that a session fits in ``width`` of them."""
    fits = (each for each in _STEPS if seconds / each < width)
    return next(fits, _STEPS[-1] * (int(seconds / _STEPS[-1] / max(width, 1)) + 1))


def draw(series: Series, start: float, seconds: int, ascii_only: bool) -> str:
    """The greatest count in every ``seconds`` from ``start`` on; a stretch without a poll repeats the one before."""
    times, counts = series
    if not len(times):
        return ""
    at = ((times - start) // seconds).astype(np.intp)
    line = np.full(int(at[-1]) + 1, np.nan)
    np.fmax.at(line, at, counts)
    known = np.maximum.accumulate(np.where(np.isnan(line), 0, np.arange(len(line))))
    return sparkline(line[known], len(line), ascii_only=ascii_only)


def fitted(series: Series, width: int, ascii_only: bool) -> str:
    """A series by itself in at most ``width`` characters."""
    times, _ = series
    return draw(series, times[0], step(times[-1] - times[0], width), ascii_only) if len(times) else ""
