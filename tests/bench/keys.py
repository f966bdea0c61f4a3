"""From a key press to the last byte of its paint, in the real program on a pty, while it polls every second.

A busy host and a small one in turns, and once the busy one with polling paused: that tells what the poll costs a key.
The order is by inode, the largest first, of which no two are equal but those of TIME_WAIT, which have none and stand
last: whatever key is pressed at the top, where each kind begins, the screen has to change. Keys come at irregular
moments, so that they meet every part of a poll.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator

from tests.bench.crowd import NAME, Scene
from tests.bench.figures import Beside, Line, Spread, quantile
from tests.bench.terminal import POLL, SOCKUI, UNANSWERED, Program

AT_MOST = 50  # ms
PRESSES = 21  # of each kind in each repeat; odd: what one of the kinds turned round is as it was after it
_TYPED = "127.0.0.1:"
_BETWEEN = (0.02, 0.2)  # s
_PATIENCE = 20.0  # s
_random = random.Random(1)


def _alternating(*keys: str, before: str = "", after: str = "") -> Callable[[Program], list[float]]:
    def press(program: Program) -> list[float]:
        for key in before:
            program.press(key)
        times = [_press(program, keys[number % len(keys)]) for number in range(PRESSES)]
        for key in after:
            program.press(key)
        return times

    return press


def _typing(program: Program) -> list[float]:
    times: list[float] = []
    while len(times) < PRESSES:
        program.press("/")
        times += [_press(program, character) for character in _TYPED]
        program.press("\x1b")
    return times


def _press(program: Program, key: str) -> float:
    time.sleep(_random.uniform(*_BETWEEN))  # as a person types, and not in step with the polls
    return program.press(key) * 1000


KINDS = {
    "cursor down": _alternating("j", before="g"),
    "page down and up": _alternating("\x1b[6~", "\x1b[5~", before="g"),
    "reverse the sort": _alternating("S", before="g", after="S"),
    "a letter of a filter": _typing,
    "switch the view": _alternating("3", "1", "2", after="2"),
    "fold and unfold the tree": _alternating("h", "l", before="3gl", after="2"),
}


def measure(scene: Scene) -> Iterator[Line]:
    """p95 of each kind of key."""
    command = [*SOCKUI, "--interval", "1", "--sort", "-inode"]
    scene.small.enter()
    live: dict[str, list[float]] = {kind: [] for kind in KINDS}
    still: dict[str, list[float]] = {kind: [] for kind in KINDS}
    few: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with Program(command) as at_small:
        scene.crowd.enter()
        with Program(command) as at_busy:
            for program in (at_small, at_busy):
                program.wait_for(NAME.encode())
                _pause(program)
            _round(at_busy, still)
            for _ in range(scene.repeats):
                for program, times in ((at_busy, live), (at_small, few)):
                    _go_on(program)
                    _round(program, times)
                    _pause(program)
    for kind in KINDS:
        ours, beside = _p95(live[kind]), _p95(few[kind])
        yield Line(
            f"keys: {kind} (p95 [median-most])",
            scene.crowd.sockets,
            "ms",
            ours,
            (
                Beside(f"the same at {scene.small.sockets} sockets", beside, ours.typical / beside.typical, 1.5),
                Beside.limit(ours, AT_MOST),
            ),
            profile=f"with polling paused {quantile(still[kind], 0.95):.1f} ms, "
            f"median {statistics.median(still[kind]):.1f} ms{_unanswered(live[kind])}",
        )


def _round(program: Program, times: dict[str, list[float]]) -> None:
    for kind, press in KINDS.items():
        times[kind] += press(program)


def _pause(program: Program) -> None:
    program.press("p")
    program.settle(0.5)


def _go_on(program: Program) -> None:
    program.press("p")
    program.settle()
    used, deadline = program.cpu_seconds(), time.monotonic() + _PATIENCE
    while program.cpu_seconds() < used + POLL:
        if time.monotonic() > deadline:
            raise SystemExit("polling does not go on: there would be nothing that keys wait for")
        time.sleep(0.02)  # between two looks, up to the deadline


def _unanswered(values: list[float]) -> str:
    count = values.count(1000 * UNANSWERED)
    return f"; {count} of {len(values)} presses brought nothing within {UNANSWERED:g} s" if count else ""


def _p95(values: list[float]) -> Spread:
    return Spread(quantile(values, 0.95), statistics.median(values), max(values))
