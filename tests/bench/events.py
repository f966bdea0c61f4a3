"""What ended between two polls: what hearing of it costs while nothing ends, and whether all is heard."""

from __future__ import annotations

import time
from collections.abc import Iterator

from sockui.collector.endings import EndingReader
from tests.bench.crowd import Scene
from tests.bench.figures import Beside, Line, Spread
from tests.bench.refresh import BareDump

CALLS = 1_000  # drains in each repeat: one is too short for the clock
SHORT = 100  # sockets replaced in each repeat
NOTHING = 0.01  # of a bare dump


def measure(scene: Scene) -> Iterator[Line]:
    """One look at the kernel's socket-destroy multicast, CPU, beside a dump of the same sockets."""
    crowd = scene.crowd
    crowd.enter()
    bare, reader = BareDump(), EndingReader()
    bare()
    silent, dumps, unheard = [], [], []
    for _ in range(3 * scene.repeats):
        reader.drain()
        silent.append(_microseconds(reader.drain, CALLS))
        dumps.append(_microseconds(bare, 10))
    for _ in range(scene.repeats):
        reader.drain()
        crowd.churn(SHORT)
        heard = reader.drain()
        unheard.append(SHORT - len(heard.sockets))
    bare.close()
    reader.close()
    yield Line(
        "events: CPU of hearing what ended when nothing did",
        crowd.sockets,
        "us",
        Spread.of(silent),
        (Beside.paired("bare kernel dump", silent, dumps, NOTHING),),
    )
    missed = Spread.of(unheard)
    yield Line(
        f"events: of {SHORT} sockets that ended, not heard of",
        crowd.sockets,
        "sockets",
        missed,
        (Beside.limit(missed, 0),),
    )


def _microseconds(call: object, times: int) -> float:
    assert callable(call)
    begun = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - begun) * 1e6 / times
