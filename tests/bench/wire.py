"""Bytes written to the terminal, on 120x36: what a slow SSH line has to carry, and what queues up on it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.crowd import NAME, Scene
from tests.bench.figures import Beside, Line, Spread
from tests.bench.peers import CHANGED
from tests.bench.terminal import SOCKUI, Program

INTERVAL = 1.0  # s
TABLE = (sys.executable, str(Path(__file__).with_name("peers.py")), "table")
RATES = (9_600, 115_200)  # bit/s
KEYS, PER_SECOND = 45, 30  # as a held key repeats
BEHIND = 2
"""Paints that may still come after the last key: the one on its way, and the one that shows where the keys led."""
_WINDOWS = 2  # refreshes in each repeat
_OLD = 65.0  # s: ages below a minute change at every refresh, as they must
_BLIND = "nothing was painted"
"""Where rows changed before and after: then silence proves nothing."""
_DOWN, _FOCUS_IN, _FOCUS_OUT = "\x1b[B", "\x1b[I", "\x1b[O"


def measure(scene: Scene) -> Iterator[Line]:
    """Bytes per refresh, then keys held down on a slow line."""
    scene.crowd.enter()
    yield from _refreshes(scene)
    for rate in RATES:
        yield _held(scene, rate)


def _refreshes(scene: Scene) -> Iterator[Line]:
    """Nothing changed, five visible rows changed, at rest; another row is explained, as it is at first."""
    crowd = scene.crowd
    time.sleep(max(0.0, _OLD - crowd.age))
    with (
        Program([*SOCKUI, "--interval", f"{INTERVAL:g}", "--sort", "-remote"]) as program,
        Program(TABLE) as table,
    ):
        program.wait_for(NAME.encode())
        table.wait_for(NAME.encode())
        for _ in range(2 * CHANGED):  # the cursor rests on a row that does not change
            program.press("j")

        def windows(change: Callable[[], None]) -> list[int]:
            if crowd.renew():
                time.sleep(INTERVAL)
            program.settle(0.5, INTERVAL)
            return [_bytes(program, change) for _ in range(_WINDOWS * scene.repeats)]

        def poke() -> None:
            crowd.poke(CHANGED)

        nothing = windows(lambda: None)
        before, begun = table.written, time.monotonic()
        rows = windows(poke)
        stock = (table.written - before) / (time.monotonic() - begun)
        program.press("e")
        plain, silent = windows(poke), windows(lambda: None)
        program.press("e")
        program.press("p")
        paused = windows(poke)
        program.press("p")
        program.settle(0.5)
        program.send(_FOCUS_OUT)
        unfocused = windows(poke)
        program.send(_FOCUS_IN)
        awake = windows(poke)
    seen = min(Spread.of(rows).typical, Spread.of(awake).typical) > 0
    with_none, changed = (Spread.of(values).text("bytes") for values in (silent, plain))
    for what, values, most in (
        ("nothing changed", nothing, 200),
        (f"{CHANGED} visible rows changed", rows, 1000),
        (f"paused, {CHANGED} rows change", paused, 0),
        (f"terminal without focus, {CHANGED} rows change", unfocused, 0),
    ):
        ours = Spread.of(values)
        besides = [Beside.limit(ours, most) if seen else Beside.missing("the limit", _BLIND, 1.0)]
        if values is rows and seen:
            besides.append(Beside("stock DataTable, the same rows", Spread(stock, stock, stock), ours.typical / stock))
        yield Line(
            f"wire: bytes per refresh, {what}",
            crowd.sockets,
            "bytes",
            ours,
            tuple(besides),
            f"without the explanation {changed} where {CHANGED} rows changed, {with_none} where nothing did",
        )


def _held(scene: Scene, rate: int) -> Line:
    """An arrow held down, on a terminal that reads so slowly and says that it knows synchronized output."""
    to_come, left = [], []
    with Program([*SOCKUI, "--interval", "3600", "--sort", "-inode"], synchronized=True) as program:
        program.wait_for(NAME.encode())
        program.settle(1.0)
        single = [_paints(program, _DOWN) for _ in range(scene.repeats)]
        for_one = max(1.0, Spread.of([paints for paints, _ in single]).typical)
        for _ in range(scene.repeats):
            program.rate = rate
            for _ in range(KEYS):
                program.send(_DOWN)
                time.sleep(1 / PER_SECOND)  # the keyboard's own pace
            paints, size = program.paints, program.written
            program.rate = None  # what has queued up comes at once
            program.settle(0.5)
            to_come.append((program.paints - paints) / for_one)
            left.append(program.written - size)
            program.press("g")
            program.settle(0.5)
    seen = all(paints for paints, _ in single)
    ours, queued = Spread.of(to_come), Spread.of(left)
    return Line(
        f"wire: paints to come after the last key of a held arrow, {rate:,} bit/s",
        scene.crowd.sockets,
        "paints",
        ours,
        (Beside.limit(ours, BEHIND) if seen else Beside.missing("the limit", _BLIND, 1.0),),
        profile=f"{queued.text('bytes')} were to come, {10 * queued.typical / rate:.1f} s on that line; "
        f"a single key is {Spread.of([size for _, size in single]).text('bytes')}",
    )


def _paints(program: Program, key: str) -> tuple[int, int]:
    before = program.paints, program.written
    program.press(key)
    program.settle(0.5)
    return program.paints - before[0], program.written - before[1]


def _bytes(program: Program, change: Callable[[], None]) -> int:
    """Bytes in one interval, which holds one refresh, after a change."""
    before = program.written
    change()
    time.sleep(INTERVAL)  # the time that is measured
    return program.written - before
