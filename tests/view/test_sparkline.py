"""Counts drawn as one line of text."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockui.view.sparkline import sparkline


@pytest.mark.parametrize(
    ("values", "width", "line"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], 8, "▁▂▃▄▅▆▇█"),
        ([7, 0, 7], 3, "█▁█"),
        ([0, 1, 1000], 3, "▁▂█"),  # 1 is not 0
        ([100, 101, 102], 3, "███"),  # scaled from 0: 2 % is no mountain
        ([0, 0, 0], 3, "▁▁▁"),
        ([5], 3, "  █"),
        ([], 3, "   "),
        ([math.nan, 1, math.nan, 2], 4, " ▅ █"),
        ([math.nan, math.nan], 2, "  "),
        ([0, 0, 9, 0, 0, 0], 3, "▁█▁"),  # a peak is not lost
        ([math.nan, 4, math.nan, math.nan], 2, "█ "),
        ([1, 2], 0, ""),
    ],
)
def test_a_line(values: list[float], width: int, line: str) -> None:
    assert sparkline(values, width) == line


def test_ascii() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7, math.nan], 10, ascii_only=True) == " _.:-=+*# "


@given(
    st.lists(st.one_of(st.integers(0, 1 << 40).map(float), st.just(math.nan)), max_size=50),
    st.integers(0, 60),
    st.booleans(),
)
def test_every_line_has_its_width(values: list[float], width: int, ascii_only: bool) -> None:
    line = sparkline(np.array(values), width, ascii_only=ascii_only)
    assert len(line) == width
    assert line.isascii() or not ascii_only
    if values and len(values) <= width:
        assert [character == " " for character in line] == [True] * (width - len(values)) + [
            math.isnan(value) for value in values
        ]
        drawn = [(value, character) for value, character in zip(values, line[-len(values) :], strict=True)]
        zero = "_" if ascii_only else "▁"
        assert all((value == 0) == (character == zero) for value, character in drawn if not math.isnan(value))
