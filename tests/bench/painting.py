"""Bytes written to the terminal per refresh, 1,000 sockets on 120x36: what a slow SSH line has to carry."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.crowd import NAME, Crowd
from tests.bench.figures import Line, Peer, Spread
from tests.bench.peers import CHANGED
from tests.bench.terminal import SOCKUI, Program

INTERVAL = 1.0  # s
STOCK_TABLE = (sys.executable, str(Path(__file__).with_name("peers.py")), "table")
_WINDOWS = 3  # refreshes in each repeat
_OLD = 65.0  # s: ages below a minute change at every refresh, as they must


def measure(crowd: Crowd, repeats: int) -> Iterator[Line]:
    """Nothing changed; five visible rows changed; one of those explained. The explanation is on, as it is at first."""
    crowd.enter()
    time.sleep(max(0.0, _OLD - crowd.age))
    with (
        Program([*SOCKUI, "--interval", f"{INTERVAL:g}", "--sort", "-remote"]) as program,
        Program(STOCK_TABLE) as stock,
    ):
        program.wait_for(NAME.encode())
        stock.wait_for(b"holder-")
        for _ in range(2 * CHANGED):  # the cursor rests on a row that does not change
            program.press("j")
        program.settle(0.5)
        count = repeats * _WINDOWS
        nothing = [_bytes(program, lambda: None) for _ in range(count)]
        before = stock.written
        rows = [_bytes(program, lambda: crowd.poke(CHANGED)) for _ in range(count)]
        table = (stock.written - before) / count
        program.press("e")
        program.settle(0.5)
        plain = [_bytes(program, lambda: crowd.poke(CHANGED)) for _ in range(count)]
        silent = [_bytes(program, lambda: None) for _ in range(count)]
        program.press("e")
        program.press("g")
        program.settle(0.5)
        explained = [_bytes(program, lambda: crowd.poke(CHANGED)) for _ in range(count)]
    at = f"Bytes to the terminal per refresh at {crowd.sockets:,} sockets, 120x36"
    yield Line(
        f"{at}: nothing changed",
        "bytes",
        Spread.of(nothing),
        at_most=200,
        limited_by=_without("the explanation tells ages in seconds", silent),
    )
    for what, values, at_most in (
        (f"{CHANGED} visible rows changed", rows, 1000),
        (f"{CHANGED} visible rows changed, one of them under the cursor and explained", explained, None),
    ):
        ours = Spread.of(values)
        yield Line(
            f"{at}: {what}",
            "bytes",
            ours,
            (Peer("stock DataTable, the same 5 rows", Spread(table, table, table), ours.typical / table),),
            at_most=at_most,
            limited_by=_without("the explanation is painted again", plain),
        )


def _without(cause: str, values: list[int]) -> str:
    return f"{cause}; without it {Spread.of(values).text('bytes')}"


def _bytes(program: Program, change: Callable[[], None]) -> int:
    """Bytes in one interval, which holds one refresh, after a change."""
    before = program.written
    change()
    time.sleep(INTERVAL)
    return program.written - before
