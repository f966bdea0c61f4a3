"""What bare words that match nothing were meant to be."""

from __future__ import annotations

import pytest

from sockui.model import State
from sockui.view import query
from sockui.view.meant import guessed, meant


def test_every_state_that_is_suggested_is_a_filter() -> None:
    for state in State:
        assert query.compile(meant([state.name[:-1].lower()])).text.startswith("state ")


@pytest.mark.parametrize(
    ("text", "guess"),
    [
        ("diagnos", "sockui diagnose"),
        ("explan close-wait", "sockui explain close-wait"),
        ("Diagnose", "sockui diagnose"),
        ("close-wiat", "state close-wait"),
        ("process java", "process = java"),
        ("nginx", ""),
        ("process = diagnos", ""),
        ("", ""),
    ],
)
def test_a_condition_or_a_command_is_guessed(text: str, guess: str) -> None:
    assert guessed(text) == guess
