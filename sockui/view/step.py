"""One thing to do, as a remediation page lists it. Owns the type alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do."""

    rung: str  # one of words.RUNGS
    text: str  # a sentence
    command: str | None  # to be pasted in a shell; no newline
    effect: str  # "reads", "changes settings" or "drops connections", then ", needs root"; "" without a command
