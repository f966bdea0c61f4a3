"""CPU of the UI while nobody presses a key, beside htop on an equal terminal at the same time."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack

from sockui.collector.linux import FEWER_DUMPS
from tests.bench.crowd import NAME, Scene
from tests.bench.figures import Beside, Line, Spread
from tests.bench.refresh import BareDump
from tests.bench.terminal import SOCKUI, Program

INTERVAL = 2  # s
_WINDOW = 2 * INTERVAL + 2  # s; three refreshes in each
_DUMPS = 20
_SETTLED = 5.0  # s; what starting costs is not what idling costs
_HTOP = ("htop", f"--delay={10 * INTERVAL}")


def measure(scene: Scene) -> Iterator[Line]:
    """Per cent of one core."""
    scene.crowd.enter()
    with ExitStack() as running:
        programs = [running.enter_context(Program([*SOCKUI, "--interval", str(INTERVAL)]))]
        programs[0].wait_for(NAME.encode())
        if shutil.which("htop"):
            programs.append(running.enter_context(Program(_HTOP)))
        time.sleep(_SETTLED)  # no socket is young any more
        used: list[list[float]] = [[] for _ in programs]
        for _ in range(scene.repeats):
            begun, before = time.monotonic(), [program.cpu_seconds() for program in programs]
            time.sleep(_WINDOW)  # the time that is measured
            seconds = time.monotonic() - begun
            programs[0].has_polled(before[0], seconds // INTERVAL, scene.crowd.sockets)
            for program, started, shares in zip(programs, before, used, strict=True):
                shares.append(100 * (program.cpu_seconds() - started) / seconds)
    ours = used[0]
    if len(used) > 1:
        beside = Beside.paired("htop", ours, used[1], 1.0)
    else:
        beside = Beside.missing("htop", "not installed: not compared", 1.0)
    yield Line(
        f"idle: CPU, {INTERVAL} s interval",
        scene.crowd.sockets,
        "%",
        Spread.of(ours),
        (beside,),
        profile=f"{_each(ours)} of CPU for each poll and its paint, {_each(used[-1])} for each of htop's; "
        f"the bare kernel dump alone takes {_bare_dump():.1f} ms, and htop reads each of "
        f"{sum(name.isdecimal() for name in os.listdir('/proc'))} processes",
    )


def _each(shares: list[float]) -> str:
    return f"{10 * INTERVAL * Spread.of(shares).typical:.1f} ms"


def _bare_dump() -> float:
    """CPU ms of what no tool that lists sockets can do without."""
    bare, times = BareDump(FEWER_DUMPS), []
    for _ in range(_DUMPS):
        begun = time.process_time()
        bare()
        times.append(1000 * (time.process_time() - begun))
    bare.close()
    return Spread.of(times).typical
