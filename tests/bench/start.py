"""From nothing to something to read on a small host, wall time, beside the least Textual program."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.crowd import NAME, Scene
from tests.bench.figures import Beside, Line, Spread
from tests.bench.terminal import SOCKUI, Program, environment

LABEL = (sys.executable, str(Path(__file__).with_name("peers.py")), "label")
_IMPORTS = (sys.executable, "-c", "import sockui.tui.app")
_LABEL_IMPORTS = (sys.executable, "-c", "import textual.app, textual.widgets._label")
_ROWS = NAME.encode()
_FIRST = b"Reading sockets|" + _ROWS  # words in the status line before there are rows


def measure(scene: Scene) -> Iterator[Line]:
    """To the first words on the screen, and to the first rows with owners."""
    scene.crowd.enter()
    first, rows, label, imports, least = [], [], [], [], []
    for _ in range(3 * scene.repeats):
        with Program(SOCKUI) as program:
            first.append(program.wait_for(_FIRST))
            rows.append(program.wait_for(_ROWS))
        with Program(LABEL) as program:
            label.append(program.wait_for(b"one label"))
    for _ in range(scene.repeats):
        imports.append(_seconds(_IMPORTS))
        least.append(_seconds(_LABEL_IMPORTS))
    for what, ours, at_most in (("first paint", first, 1.5), ("first rows, owners named", rows, None)):
        yield Line(
            f"start: to the {what}",
            scene.crowd.sockets,
            "s",
            Spread.of(ours),
            (Beside.paired("Textual with one label", ours, label, at_most),),
            profile=f"Python and all imports alone take {Spread.of(imports).typical:.2f} s, "
            f"those of the label {Spread.of(least).typical:.2f} s",
        )


def _seconds(command: tuple[str, ...]) -> float:
    begun = time.monotonic()
    subprocess.run(command, env=environment(), check=True)
    return time.monotonic() - begun
