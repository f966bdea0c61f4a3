"""From a key press to the last byte of its paint, in the real program on a pty, while it polls every second.

A busy host and a small one in turns, and the busy one with polling paused: that tells what the poll costs a key. The
order is by inode, of which no two are equal: whatever key is pressed, the screen has to change.
Keys come at irregular moments, so that they meet every part of a poll.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator

from tests.bench.crowd import NAME, Crowd
from tests.bench.figures import Line, Peer, Spread, quantile
from tests.bench.terminal import SOCKUI, UNANSWERED, Program

AT_MOST = 50  # ms
PRESSES = 10  # of each kind in each repeat
_TYPED = "127.0.0.1:"
_BETWEEN = (0.02, 0.3)  # s
_random = random.Random(1)


def _alternating(*keys: str) -> Callable[[Program], list[float]]:
    def press(program: Program) -> list[float]:
        return [_press(program, keys[number % len(keys)]) for number in range(PRESSES)]

    return press


def _typing(program: Program) -> list[float]:
    program.press("/")
    times = [_press(program, character) for character in _TYPED]
    program.press("\x1b")
    return times


def _press(program: Program, key: str) -> float:
    time.sleep(_random.uniform(*_BETWEEN))  # as a person types, and not in step with the polls
    return program.press(key) * 1000


KINDS = {
    "cursor down": _alternating("j"),
    "page down and up": _alternating("\x1b[6~", "\x1b[5~"),
    "reverse the sort": _alternating("S"),
    "a letter of a filter": _typing,
    "switch the view": _alternating("3", "2"),
}


def measure(busy: Crowd, small: Crowd, repeats: int) -> Iterator[Line]:
    """p95 of each kind of key."""
    command = [*SOCKUI, "--interval", "1", "--sort", "inode"]
    small.enter()
    with Program(command) as at_small:
        busy.enter()
        with Program(command) as at_busy:
            for program in (at_small, at_busy):
                program.wait_for(NAME.encode())
                _pause(program)
            live: dict[str, list[float]] = {kind: [] for kind in KINDS}
            paused: dict[str, list[float]] = {kind: [] for kind in KINDS}
            few: dict[str, list[float]] = {kind: [] for kind in KINDS}
            for _ in range(repeats):
                _round(at_busy, paused)
                for program, times in ((at_busy, live), (at_small, few)):
                    _go_on(program)
                    _round(program, times)
                    _pause(program)
    for kind in KINDS:
        beside, still = _p95(few[kind]), quantile(paused[kind], 0.95)
        ours = _p95(live[kind])
        causes = ["the poll holds the interpreter"] if still < ours.typical / 1.5 else []
        if still > AT_MOST or not causes:
            causes.append("the work of the key itself")
        yield Line(
            f"Key press to paint at {busy.sockets:,} sockets, p95 [median-most]: {kind}",
            "ms",
            ours,
            (Peer(f"the same at {small.sockets} sockets", beside, ours.typical / beside.typical, 1.5),),
            at_most=AT_MOST,
            limited_by=" and ".join(causes),
            note=f"with polling paused {still:.1f} ms{_unanswered(live[kind])}",
        )


def _round(program: Program, times: dict[str, list[float]]) -> None:
    for kind, press in KINDS.items():
        times[kind] += press(program)


def _pause(program: Program) -> None:
    program.press("p")
    program.settle(0.5)


def _go_on(program: Program) -> None:
    program.press("p")
    time.sleep(1)


def _unanswered(values: list[float]) -> str:
    count = values.count(1000 * UNANSWERED)
    return f"; {count} of {len(values)} presses brought nothing within {UNANSWERED:g} s" if count else ""


def _p95(values: list[float]) -> Spread:
    return Spread(quantile(values, 0.95), statistics.median(values), max(values))
