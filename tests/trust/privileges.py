"""nobody, single capabilities, user namespaces; and that it only looks: each test is one situation, for real."""

from __future__ import annotations

from collections.abc import Iterator

from tests.trust.table import Row
from tests.trust.tried import tried


def measure(seconds: float) -> Iterator[Row]:
    """Every situation once; the table has them as one row."""
    yield tried("privileges, and system calls under strace", "tests/trust/test_privileges.py", seconds=seconds)
