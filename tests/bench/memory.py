"""Resident memory of the UI: at many sockets, for each socket more, and over time while sockets come and go."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.bench.crowd import NAME, Scene
from tests.bench.figures import Beside, Line, Spread
from tests.bench.terminal import SOCKUI, Program

BUSY, AT_MOST = 100_000, 200  # sockets, MiB
LINEAR = 1.1  # memory for each socket may grow by that much from one size to the next
CHURN = 1_000  # sockets/s
GROWTH = 1.02
LONG, SHORT = 600.0, 60.0  # s of churn
_WARM_UP = 30.0  # s; an ended row stays for 5
_REFRESHES = 10
_STEP = 0.1  # s between two pieces of churn
_COMMAND = (*SOCKUI, "--interval", "1")
_EACH = "memory: RSS for each socket more"


def measure(scene: Scene) -> Iterator[Line]:
    """After ten refreshes, beside a hundred sockets."""
    ours, theirs = [], []
    scene.small.enter()
    with Program(_COMMAND) as at_small:
        scene.crowd.enter()
        with Program(_COMMAND) as at_busy:
            for program in (at_small, at_busy):
                program.wait_for(NAME.encode())
            begun = [program.cpu_seconds() for program in (at_small, at_busy)]
            time.sleep(2 * _REFRESHES * max(1.0, scene.crowd.sockets / BUSY))  # intervals stretch where polls are slow
            at_small.has_polled(begun[0], _REFRESHES, scene.small.sockets)
            at_busy.has_polled(begun[1], _REFRESHES, scene.crowd.sockets)
            for _ in range(scene.repeats):
                ours.append(at_busy.rss_mib())
                theirs.append(at_small.rss_mib())
                time.sleep(1)  # between two samples
    mine, least = Spread.of(ours), Spread.of(theirs)
    besides = [Beside.paired(f"the same at {scene.small.sockets} sockets", ours, theirs)]
    if scene.crowd.sockets <= BUSY:
        besides.insert(0, Beside.limit(mine, AT_MOST))
    more = [
        (1024 * (one - other)) / (scene.crowd.sockets - scene.small.sockets)
        for one, other in zip(ours, theirs, strict=True)
    ]
    each = Spread.of(more)
    yield Line(
        "memory: RSS after ten refreshes",
        scene.crowd.sockets,
        "MiB",
        mine,
        tuple(besides),
        profile=f"{least.typical:.0f} MiB are the program, {each.text('KiB')} for each socket more",
    )
    linear = tuple(
        Beside(f"the same at {line.sockets:,}", line.ours, each.typical / line.ours.typical, LINEAR)
        for line in scene.smaller(_EACH)[-1:]
    )
    yield Line(_EACH, scene.crowd.sockets, "KiB", each, linear)


def measure_churn(scene: Scene) -> Iterator[Line]:
    """After the warm-up beside the end, of some seconds each.

    The short one is not judged: unused memory is given back once a minute (``sockui.poller.HOLES``).
    """
    scene.crowd.enter()
    seconds, at_most = (LONG, GROWTH) if scene.long else (SHORT, None)
    with Program(_COMMAND) as program:
        program.wait_for(NAME.encode())
        _churn(scene, program, _WARM_UP)
        samples = _churn(scene, program, seconds)
    part = max(scene.repeats, len(samples) // 6)
    first, last = samples[:part], samples[-part:]
    yield Line(
        f"churn: RSS after {seconds:g} s of {CHURN:,} new sockets/s",
        scene.crowd.sockets,
        "MiB",
        Spread.of(last),
        (Beside.paired(f"after {_WARM_UP:g} s of warm-up", last, first, at_most),),
        profile=f"{len(samples)} samples, the least {min(samples):.1f} MiB, the most {max(samples):.1f} MiB",
    )


def _churn(scene: Scene, program: Program, seconds: float) -> list[float]:
    """Replace sockets at an even pace; RSS once a second, MiB."""
    samples, begun = [], time.monotonic()
    for piece in range(int(seconds / _STEP)):
        scene.crowd.churn(int(CHURN * _STEP))
        if piece % int(1 / _STEP) == 0:
            samples.append(program.rss_mib())
        time.sleep(max(0.0, begun + (piece + 1) * _STEP - time.monotonic()))
    return samples
