"""What bare words that match nothing were meant to be."""

from __future__ import annotations

from sockui.model import State
from sockui.view import query
from sockui.view.meant import meant


def test_every_state_that_is_suggested_is_a_filter() -> None:
    for state in State:
        assert query.compile(meant([state.name[:-1].lower()])).text.startswith("state ")
