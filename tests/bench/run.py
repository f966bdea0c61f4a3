"""Every line of the budget beside its peer, measured side by side in one run on real loopback sockets.

python -m tests.bench.run [--sockets N] [--repeats N] [--json] [TOPIC...]

Owns the crowds and the order of topics. The sockets are in network namespaces of their own, so those of the host do
not matter; without root that takes a user namespace. Nothing is asserted: on a loaded machine only ratios tell
anything.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator

from tests.bench import cold_start, footprint, keys, painting, refresh
from tests.bench.crowd import Crowd, per_process, possible
from tests.bench.figures import Line

SMALL, MIDDLE, BUSY = 100, 1_000, 100_000


Topic = Callable[[], Iterator[Line]]
NAMES = ("first-paint", "idle", "painting", "refresh", "cold-start", "keys", "memory")


def quiet_topics(middle: Crowd, small: Crowd, repeats: int) -> dict[str, Topic]:
    """What is measured while no busy crowd is there, whose descriptors every start would have to read in /proc."""
    return {
        "first-paint": lambda: cold_start.measure_small(small, repeats),
        "idle": lambda: footprint.measure_idle(middle, repeats),
        "painting": lambda: painting.measure(middle, repeats),
    }


def busy_topics(busy: Crowd, small: Crowd, repeats: int) -> dict[str, Topic]:
    """What needs the busy crowd."""
    return {
        "refresh": lambda: refresh.measure(busy, repeats),
        "cold-start": lambda: cold_start.measure_busy(busy, repeats),
        "keys": lambda: keys.measure(busy, small, repeats),
        "memory": lambda: footprint.measure_memory(busy, small),
    }


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser("bench", description="Every line of the budget beside its peer.")
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"of {', '.join(NAMES)}; all unless said otherwise")
    parser.add_argument("--sockets", type=int, default=BUSY, help=f"on the busy host, {BUSY:,} unless said otherwise")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    if unknown := set(options.topics) - set(NAMES):
        parser.error(f"there is no topic {', '.join(unknown)}")
    if os.geteuid() != 0:
        os.execvp(
            "unshare", ["unshare", "--user", "--map-root-user", sys.executable, "-m", "tests.bench.run", *sys.argv[1:]]
        )
    _measure(options)


def _measure(options: argparse.Namespace) -> None:
    sockets = possible(options.sockets)
    _say(f"making {sockets + MIDDLE + SMALL:,} sockets, at most {per_process():,} in a process")
    crowds: list[Crowd] = []
    lines: list[Line] = []

    def crowd(count: int) -> Crowd:
        crowds.append(Crowd(count))
        return crowds[-1]

    if not options.json:
        print(_about(sockets), flush=True)
    try:
        small, middle = crowd(SMALL), crowd(MIDDLE)
        lines += _run(quiet_topics(middle, small, options.repeats), options)
        lines += _run(busy_topics(crowd(sockets), small, options.repeats), options)
    finally:
        for made in crowds:
            made.close()
    if options.json:
        told = [{**dataclasses.asdict(line), "verdict": line.verdict} for line in lines]
        print(json.dumps({"about": _about(sockets), "lines": told}, indent=2))
    else:
        budgeted = [line for line in lines if line.budgeted]
        print(f"\n{sum(line.holds for line in budgeted)} of {len(budgeted)} lines of the budget hold.")


def _run(topics: dict[str, Topic], options: argparse.Namespace) -> Iterator[Line]:
    for name, measure in topics.items():
        if options.topics and name not in options.topics:
            continue
        _say(f"measuring {name}")
        for line in measure():
            if not options.json:
                print(f"\n{line.text()}", flush=True)
            yield line


def _about(sockets: int) -> str:
    load = ", ".join(f"{number:.1f}" for number in os.getloadavg())
    meant = "" if sockets == BUSY else f" (the budget is for {BUSY:,})"
    system = f"Linux {platform.release()}, Python {platform.python_version()}, {os.cpu_count()} CPUs, load {load}"
    return (
        f"{sockets:,} sockets{meant}; {system}.\nmedian [least-most]; a ratio is sockui / peer, from runs in turns: "
        "other work on the machine moves both."
    )


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
