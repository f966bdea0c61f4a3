"""What of a line of text is painted again."""

from __future__ import annotations

import pytest

from sockui.tui.links import Line
from sockui.tui.pane import _changed

WIDTH = 12


def line(*spans: tuple[str, str], anchor: int = -1, more: bool = False) -> tuple[Line, bool]:
    return (spans, anchor), more


@pytest.mark.parametrize(
    ("old", "new", "cells"),
    [
        (line(("for 17 s.", "")), line(("for 18 s.", "")), (5, 6)),
        (line(("for 17 s.", "")), line(("for 23 s.", "")), (4, 6)),
        (line(("for 9 s.", "")), line(("for 10 s.", "")), (4, WIDTH)),
        (line(("a", "dim"), ("bc", "")), line(("a", "dim"), ("bc", "bad")), (1, 3)),
        (line(("a", "dim"), ("bc", "")), line(("ab", "dim"), ("c", "")), (1, 2)),
        (line(("a", ""), ("b", "")), line(("ab", "")), (0, 0)),
        (line(("", "")), line(("abc", "")), (0, WIDTH)),
        (line(("abc", "")), line(("", "")), (0, WIDTH)),
        (line(("same", "")), line(("same", ""), more=True), (0, WIDTH)),
        (line(("same", ""), anchor=1), line(("same", ""), anchor=2), (0, WIDTH)),
        (line(("a日b1", "")), line(("a日b2", "")), (0, WIDTH)),
        (line(("x" * 20, "")), line(("x" * 21, "")), (WIDTH - 1, WIDTH)),
        (line(("x" * 20, "")), line(("x" * 19 + "y", "")), (WIDTH - 1, WIDTH)),
    ],
)
def test_only_the_cells_that_differ(old: tuple[Line, bool], new: tuple[Line, bool], cells: tuple[int, int]) -> None:
    first, last = _changed(old, new, WIDTH)
    assert (min(first, WIDTH - 1), min(last, WIDTH)) == cells
