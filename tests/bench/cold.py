"""From nothing to the first full table of a busy host with owners, wall time, beside ss."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

from tests.bench.crowd import NAME, Scene
from tests.bench.figures import Beside, Line, Spread
from tests.bench.terminal import SOCKUI, Program, environment

LIST = (*SOCKUI, "list", "--format", "table")
FEW = (*LIST, "state", "listen")  # the same with a table of a few rows
SS = ("ss", "-tanpH")


def measure(scene: Scene) -> Iterator[Line]:
    """``sockui list`` and the UI."""
    scene.crowd.enter()
    listed, painted, few, ss = [], [], [], []
    for _ in range(scene.repeats):
        scene.crowd.renew()
        listed.append(_seconds(LIST))
        ss.append(_seconds(SS))
        with Program(SOCKUI) as program:
            painted.append(program.wait_for(NAME.encode()))
        few.append(_seconds(FEW))
    profile = f"starting, reading and finding owners take {Spread.of(few).typical:.2f} s, the rest is"
    for what, ours, rest in (
        ("sockui list --format table", listed, "writing the rows"),
        ("the table in the UI", painted, "Textual"),
    ):
        yield Line(
            f"cold: to the full table, owners named ({what})",
            scene.crowd.sockets,
            "s",
            Spread.of(ours),
            (Beside.paired(" ".join(SS), ours, ss, 0.4),),
            profile=f"{profile} {rest}",
        )


def _seconds(command: tuple[str, ...]) -> float:
    begun = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(), check=True)
    return time.monotonic() - begun
