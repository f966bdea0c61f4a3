"""What was thrown at sockui and what became of it: a row of the table, and how that is printed and kept.

Owns counts and words. Must not throw anything.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of trouble."""

    what: str  # "accuracy: TCP and UDP under churn, as root"
    thrown: int  # how often; 0: it could not be tried, and ``note`` says why
    unit: str  # comparisons, mutated dumps, situations, ...
    failed: int  # of them, those that ended in anything but what is right
    note: str = ""  # what a reader should know about the numbers; on failure, the first of them

    @property
    def result(self) -> str:
        """``ok``, ``12 failed`` or ``not tried``."""
        if self.failed:
            return f"{self.failed:,} failed"
        return "ok" if self.thrown else "not tried"

    def markdown(self) -> str:
        """A row of the table in the README."""
        return f"| {self.what} | {self.thrown:,} {self.unit} | {self.result} | {self.note} |"


HEADINGS = "| what we throw at it | how often | result | |\n|---|--:|---|---|"


def as_json(machine: str, rows: Sequence[Row]) -> str:
    """Everything of a run as one JSON object."""
    return json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=1)
