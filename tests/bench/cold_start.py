"""From nothing to something to read, wall time: the first full table of a busy host, the first paint on a small one."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.crowd import NAME, Crowd
from tests.bench.figures import Line, Peer, Spread
from tests.bench.terminal import SOCKUI, Program, environment

LIST = (*SOCKUI, "list", "--format", "table")
FEW = (*LIST, "state", "listen")  # the same with a table of a few rows
SS = ("ss", "-tanpH")
IMPORTS = (sys.executable, "-c", "import sockui.tui.app")
ONE_LABEL = (sys.executable, str(Path(__file__).with_name("peers.py")), "label")
_ROWS = NAME.encode()  # a named owner is on the screen
_ANYTHING = b"reading sockets|" + _ROWS


def measure_busy(crowd: Crowd, repeats: int) -> Iterator[Line]:
    """``sockui list`` and the UI, beside ss with owners."""
    crowd.enter()
    listed, painted, few, ss = [], [], [], []
    for _ in range(repeats):
        listed.append(_seconds(LIST))
        painted.append(_until(SOCKUI, _ROWS))
        few.append(_seconds(FEW))
        ss.append(_seconds(SS))
    reading = f"starting, reading and finding owners take {Spread.of(few).typical:.2f} s, the rest is"
    for what, ours, rest in (
        ("sockui list --format table", listed, "writing the rows"),
        ("the table in the UI", painted, "Textual"),
    ):
        yield Line(
            f"Cold start to the first full table at {crowd.sockets:,} sockets, owners named: {what}",
            "s",
            Spread.of(ours),
            (Peer.paired(" ".join(SS), ours, ss, 0.4),),
            limited_by=f"{reading} {rest}",
        )


def measure_small(crowd: Crowd, repeats: int) -> Iterator[Line]:
    """The UI beside the least Textual program."""
    crowd.enter()
    first, rows, imports, label = [], [], [], []
    for _ in range(repeats):
        first.append(_until(SOCKUI, _ANYTHING))
        label.append(_until(ONE_LABEL, b"one label"))
        rows.append(_until(SOCKUI, _ROWS))
        imports.append(_seconds(IMPORTS))
    for what, ours, at_most in (("first paint", first, 1.5), ("the first rows", rows, None)):
        yield Line(
            f"Start to {what} at {crowd.sockets} sockets",
            "s",
            Spread.of(ours),
            (Peer.paired("Textual with one label", ours, label, at_most),),
            limited_by=f"imports alone take {Spread.of(imports).typical:.2f} s",
        )


def _seconds(command: Sequence[str]) -> float:
    begun = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, env=environment(), check=True)
    return time.monotonic() - begun


def _until(command: Sequence[str], pattern: bytes) -> float:
    with Program(command) as program:
        return program.wait_for(pattern)
