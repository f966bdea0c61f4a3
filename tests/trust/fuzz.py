"""Everything that sockui reads from outside, mutated: dumps, endings, filters, pasted texts, configuration, /proc.

Owns which targets there are and how time is divided among them; a target is a class in ``mutated/``. What is random
comes from a seed, which the row names: ``python -m tests.trust.fuzz filters.Filters 4711`` throws that one case again.
"""

from __future__ import annotations

import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from tests.trust.mutated.filters import Filters
from tests.trust.mutated.netlink import Conversation, Decoding, Hearing
from tests.trust.mutated.proc import Proc
from tests.trust.mutated.settings import Settings
from tests.trust.mutated.target import Target, throw
from tests.trust.mutated.texts import Texts
from tests.trust.table import Row

TARGETS: dict[Callable[[Path], Target], float] = {  # how much of the time each has
    Decoding: 0.35,
    Conversation: 0.1,
    Hearing: 0.1,
    Filters: 0.15,
    Texts: 0.15,
    Settings: 0.05,
    Proc: 0.1,
}


def measure(seconds: float) -> Iterator[Row]:
    """A row for each target."""
    for make, share in TARGETS.items():
        with tempfile.TemporaryDirectory() as scratch:
            target = make(Path(scratch))
            yield throw(target, secrets.randbits(48), _over(seconds * share))


def _over(seconds: float) -> Callable[[int], bool]:
    """Whether so much time has passed since."""
    end = time.monotonic() + seconds
    return lambda _: time.monotonic() >= end


def main() -> None:
    """Throw one case again, and let it end as it ends."""
    name, seed = sys.argv[1:]
    for make in TARGETS:
        if name == f"{make.__module__.rpartition('.')[2]}.{make.__qualname__}":
            with tempfile.TemporaryDirectory() as scratch:
                make(Path(scratch)).case(Random(int(seed)))


if __name__ == "__main__":
    main()
