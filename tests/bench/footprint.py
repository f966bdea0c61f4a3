"""What the running UI takes from the host: memory at many sockets, CPU at 1,000 beside htop."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

from tests.bench.crowd import NAME, Crowd
from tests.bench.figures import Line, Peer, Spread
from tests.bench.terminal import SOCKUI, Program

_REFRESHES = 10
_HTOP = ("htop", "--delay", "20")  # tenths of a second


def measure_memory(busy: Crowd, small: Crowd) -> Iterator[Line]:
    """Resident memory after ten refreshes."""
    command = [*SOCKUI, "--interval", "1"]
    small.enter()
    with Program(command) as at_small:
        busy.enter()
        with Program(command) as at_busy:
            for program in (at_small, at_busy):
                program.wait_for(NAME.encode())
            time.sleep(2.5 * _REFRESHES)  # at 100,000 sockets a poll takes so long that the interval stretches to 2 s
            ours, theirs = [], []
            for _ in range(_REFRESHES):
                ours.append(at_busy.rss_mib())
                theirs.append(at_small.rss_mib())
                time.sleep(0.5)  # between two samples
    mine, least = Spread.of(ours), Spread.of(theirs)
    each = (mine.typical - least.typical) * 1024 / (busy.sockets - small.sockets)
    yield Line(
        f"Memory (RSS) of the UI at {busy.sockets:,} sockets after {_REFRESHES} refreshes",
        "MiB",
        mine,
        (Peer.paired(f"the same at {small.sockets} sockets", ours, theirs),),
        at_most=200,
        limited_by=f"{each:.2f} KiB a socket: the last two polls and what sorting them takes",
        note=f"{each:.2f} KiB for each socket more; the growth to 1,000,000 is not measured",
    )


def measure_idle(crowd: Crowd, repeats: int) -> Iterator[Line]:
    """CPU while nobody presses a key, 2 s interval, both at the same time for 20 s."""
    crowd.enter()
    seconds = 20 / repeats
    htop = Program(_HTOP) if shutil.which("htop") else None
    with Program([*SOCKUI, "--interval", "2"]) as program:
        program.wait_for(NAME.encode())
        time.sleep(5)  # what starting costs is not what idling costs
        ours, theirs = [], []
        for _ in range(repeats):
            before = program.cpu_seconds(), htop.cpu_seconds() if htop else 0.0
            time.sleep(seconds)  # the time that is measured
            ours.append(100 * (program.cpu_seconds() - before[0]) / seconds)
            if htop:
                theirs.append(100 * (htop.cpu_seconds() - before[1]) / seconds)
    what = f"CPU of the UI at {crowd.sockets:,} sockets, 2 s interval, of one core"
    if htop is None:
        missing = "not compared: htop is not installed (apt install htop)"
        yield Line(what, "%", Spread.of(ours), note=missing)
        return
    htop.close()
    mine, peer = Spread.of(ours), Spread.of(theirs)
    beside = Peer("htop", peer, sum(ours) / max(sum(theirs), 0.01), 1.0)  # 10 ms ticks: the sums, not each pair
    yield Line(what, "%", mine, (beside,), limited_by="Python's share of a poll and of a paint")
