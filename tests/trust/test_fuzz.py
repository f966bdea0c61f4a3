"""A short run of every target: the same cases each time, and some that nobody has seen."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trust.fuzz import TARGETS
from tests.trust.mutated.target import Target, throw

CASES = {
    "Decoding": 250,
    "Conversation": 200,
    "Hearing": 100,
    "Filters": 250,
    "Texts": 300,
    "Settings": 500,
    "Proc": 60,
}
"""A second or two each."""
SEED = 20261130


@pytest.mark.parametrize("make", TARGETS, ids=lambda make: make.__name__)
def test_mutated_input_ends_in_a_result_or_in_a_typed_error(make: Callable[[Path], Target], tmp_path: Path) -> None:
    target = make(tmp_path)
    number = CASES[type(target).__name__]
    for seed in (SEED, secrets.randbits(48)):
        row = throw(target, seed, lambda thrown: thrown >= number)
        assert (row.thrown, row.failed) == (number, 0), row.note


def test_a_case_that_raises_or_does_not_end_is_counted_with_its_seed() -> None:
    class Bad:
        what, unit = "bad", "cases"
        thrown = 0

        def case(self, random: object) -> None:
            self.thrown += 1
            if self.thrown == 2:
                raise KeyError("missing")
            while self.thrown == 3:
                pass

    row = throw(Bad(), 100, lambda thrown: thrown >= 4)
    assert (row.thrown, row.failed) == (4, 2)
    assert row.note.startswith("first: seed 101, KeyError at test_fuzz.py:")
