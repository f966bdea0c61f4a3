"""A kernel, a /proc and a host in trouble: each test is one situation, provoked for real."""

from __future__ import annotations

from collections.abc import Iterator

from tests.trust.table import Row
from tests.trust.tried import tried


def measure(seconds: float) -> Iterator[Row]:
    """Every situation once; the table has them as one row."""
    yield tried("faults: kernel, /proc, clocks, limits", "tests/trust/test_faults.py", seconds=seconds)
