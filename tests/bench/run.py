"""Every line of the budget beside its peers, measured in turns in one run on real loopback sockets.

make bench ARGS="[GROUP...] [--sockets N] [--huge] [--long] [--repeats N] [--json FILE|-]"
make bench ARGS="--compare FIRST.json SECOND.json"

Owns the sizes and the order of groups. The sockets are in network namespaces of their own, so those of the host do
not matter; without root that takes a user namespace. Nothing is asserted: on a loaded machine only ratios tell
anything.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.bench import cold, events, figures, idle, keys, memory, refresh, start, wire
from tests.bench.crowd import Crowd, Scene, room
from tests.bench.figures import Line

SMALL, MIDDLE, LARGE, BUSY, HUGE = 100, 1_000, 10_000, 100_000, 1_000_000
GROUPS: dict[str, tuple[Callable[[Scene], Iterator[Line]], str]] = {
    "start": (start.measure, f"to the first paint, at {SMALL} sockets"),
    "idle": (idle.measure, f"CPU beside htop, at {MIDDLE:,}"),
    "events": (events.measure, f"hearing what ended, at {MIDDLE:,}"),
    "wire": (wire.measure, f"bytes to the terminal and slow lines, at {MIDDLE:,}"),
    "refresh": (refresh.measure, f"CPU beside the bare dump and ss, at {MIDDLE:,}, {LARGE:,} and the most"),
    "cold": (cold.measure, "to the full table with owners, at the most"),
    "keys": (keys.measure, "key to paint, at the most"),
    "memory": (memory.measure, "RSS, at the most"),
    "churn": (memory.measure_churn, "RSS while sockets come and go, at the most"),
}


def steps(most: int, huge: int) -> Iterator[tuple[int, str]]:
    """Size and group of what is measured, sizes in ascending order: the busiest host is the last to be made.

    No crowd is there but the one that is measured and a small one: every start and every ss reads all of /proc.
    """
    yield SMALL, "start"
    for group in ("idle", "events", "wire"):
        yield MIDDLE, group
    for size in (*(size for size in (MIDDLE, LARGE) if size < most), most):
        yield size, "refresh"
    for group in ("cold", "keys", "memory", "churn"):
        yield most, group
    if huge:
        for group in ("refresh", "memory"):
            yield huge, group


def main() -> None:
    """Measure what is asked for, or compare what was measured."""
    parser = _parser()
    options = parser.parse_args()
    if unknown := set(options.groups) - set(GROUPS):
        parser.error(f"there is no group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    if options.compare:
        text, apart = figures.compare(*options.compare)
        print(text)
        sys.exit(bool(apart))
    if os.geteuid() != 0:
        command = [sys.executable, "-m", "tests.bench.run", *sys.argv[1:]]
        os.execvp("unshare", ["unshare", "--user", "--map-root-user", *command])
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # holders and programs are ended
    try:
        _bench(options)
    except KeyboardInterrupt:
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    groups = "\n".join(f"  {name:10}{about}" for name, (_, about) in GROUPS.items())
    parser = argparse.ArgumentParser(
        "bench",
        description="Every line of the budget beside its peers, in turns, on the same sockets.",
        epilog=f"groups, all unless some are named:\n{groups}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("groups", nargs="*", metavar="GROUP", help="what to measure")
    parser.add_argument("--sockets", type=int, default=BUSY, help=f"the most; {BUSY:,} unless said otherwise")
    parser.add_argument("--huge", action="store_true", help=f"refresh and memory at {HUGE:,} too")
    parser.add_argument("--long", action="store_true", help=f"{memory.LONG:g} s of churn, not {memory.SHORT:g}")
    parser.add_argument("--repeats", type=int, default=5, help="of each measurement; 5 unless said otherwise")
    parser.add_argument("--json", metavar="FILE", help="keep everything as one JSON object; -: on stdout, and no table")
    parser.add_argument(
        "--compare", nargs=2, type=Path, metavar="JSON", help="the ratios of two runs; 1 if they differ"
    )
    return parser


def _bench(options: argparse.Namespace) -> None:
    table = sys.stderr if options.json == "-" else sys.stdout
    most, huge = _room(options.sockets), _room(HUGE) if options.huge else 0
    about = _about(most, huge)
    meant = "" if most == BUSY else f" At {most:,} sockets: the budget is for {BUSY:,}."
    print(
        f"{about['machine']}\nmedian [least-most]; a ratio is sockui / theirs, of runs in turns.{meant}\n", file=table
    )
    print(figures.headings(), file=table, flush=True)
    lines: list[Line] = []
    for line in _measure(options, most, huge):
        lines.append(line)
        print(line.rows(len(lines)), file=table, flush=True)
    print(f"\n{figures.footnotes(lines)}", file=table)
    if options.json:
        text = figures.as_json(about, lines)
        if options.json == "-":
            print(text)
        else:
            Path(options.json).write_text(text + "\n")


def _measure(options: argparse.Namespace, most: int, huge: int) -> Iterator[Line]:
    small = Crowd(SMALL)
    crowd = small
    lines: list[Line] = []
    try:
        for size, group in steps(most, huge):
            if options.groups and group not in options.groups:
                continue
            if crowd.sockets != size:
                _end(crowd, small)
                _say(f"making {size:,} sockets")
                crowd = Crowd(size)
            _say(f"measuring {group} at {size:,} sockets")
            for line in GROUPS[group][0](Scene(crowd, small, options.repeats, most, options.long, lines)):
                lines.append(line)
                yield line
    finally:
        _end(crowd, small)
        small.close()


def _end(crowd: Crowd, small: Crowd) -> None:
    if crowd is not small:
        crowd.close()


def _room(wanted: int) -> int:
    sockets, limit = room(wanted)
    if limit:
        _say(f"{wanted:,} sockets are not possible here, {sockets:,} are made: {limit}")
    return sockets


def _about(most: int, huge: int) -> dict[str, Any]:
    model = next(
        (line.partition(": ")[2].strip() for line in _cpu_info() if line.startswith("model name")), platform.machine()
    )
    machine = f"{os.cpu_count()} x {model}, Linux {platform.release()}, Python {platform.python_version()}"
    load = ", ".join(f"{number:.1f}" for number in os.getloadavg())
    return {"machine": f"{machine}, load {load}", "most": most, "huge": huge, "kernel": platform.release()}


def _cpu_info() -> list[str]:
    return Path("/proc/cpuinfo").read_text().splitlines()


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
