"""What every target of the fuzz is: something that takes mutated input, case after case.

Owns the contract, the watch over each case, and the count. Must not know what is mutated.
"""

from __future__ import annotations

import contextlib
import resource
import signal
import time
from collections.abc import Callable, Iterator
from random import Random
from types import FrameType
from typing import Protocol

from tests.trust.table import Row

LONGEST = 1.0
"""Seconds of processor time that one case may take: what a loaded machine does to it does not count."""
MEMORY = 1 << 30
"""Bytes that the whole run may take more than it had at its beginning: one case that takes as much ends in MemoryError.
"""


class Target(Protocol):
    """One reader of outside input; made with a directory of its own to write in."""

    what: str  # "fuzz: the netlink decoder"
    unit: str  # "mutated dumps"

    def case(self, random: Random) -> None:
        """Make an input and read it. Anything raised is a failure; errors that sockui raises on purpose are caught."""


class TooLongError(BaseException):
    """A case used up its time; no handler for Exception may take it for something else."""


def throw(target: Target, seed: int, until: Callable[[int], bool]) -> Row:
    """Throw case after case, ``Random(seed)``, ``Random(seed + 1)`` ..., while ``until(number)`` is false."""
    thrown = failed = 0
    first = ""
    random = Random()
    begun = time.monotonic()
    with _limits():
        while not until(thrown):
            random.seed(seed + thrown)
            signal.setitimer(signal.ITIMER_PROF, LONGEST)
            try:
                target.case(random)
            except (Exception, TooLongError) as error:
                failed += 1
                first = first or f"first: seed {seed + thrown}, {_told(error)}"
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
            thrown += 1
    rate = thrown / max(time.monotonic() - begun, 0.001)
    return Row(target.what, thrown, target.unit, failed, first or f"{rate:,.0f}/s, seeds from {seed}")


def _told(error: BaseException) -> str:
    """An exception on one line."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    where = f"{at.tb_frame.f_code.co_filename.rpartition('/')[2]}:{at.tb_lineno}" if at else "?"
    return f"{type(error).__name__} at {where}: {' '.join(str(error).split())[:200]}"


@contextlib.contextmanager
def _limits() -> Iterator[None]:
    """End a case that takes too long or too much."""

    def too_long(_signal: int, _frame: FrameType | None) -> None:
        raise TooLongError(f"more than {LONGEST:g} s of processor time")

    handler = signal.signal(signal.SIGPROF, too_long)
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most if before[1] < 0 else min(most, before[1]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.signal(signal.SIGPROF, handler)
