"""Measures the view at 100,000 sockets: filter, sort, tree, a screenful, reports. Prints; asserts nothing.

Run: python tests/bench/bench_view.py [SOCKETS]
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from sockui import report
from sockui.ages import AGE, AgeSource
from sockui.model import (
    Coverage,
    Holders,
    Host,
    Known,
    Owner,
    Process,
    Protocol,
    Snapshot,
    State,
    empty_sockets,
)
from sockui.tracker import Update
from sockui.view import layout, query
from sockui.view.column import take
from sockui.view.process_tree import DEFAULT_SORT, build_tree
from sockui.view.table_view import Sort, build

PROCESSES = 500


def busy_host(count: int) -> Update:
    """Sockets of 500 processes, four of five established, one peer address in three used twice."""
    random = np.random.default_rng(7)
    sockets = empty_sockets(count)
    sockets["cookie"] = random.permutation(count) + 1
    sockets["known"] = 0xFFFF & ~int(Known.MINI)
    sockets["protocol"] = Protocol.TCP
    sockets["family"] = 4
    states = [State.ESTABLISHED, State.CLOSE_WAIT, State.TIME_WAIT, State.FIN_WAIT2, State.SYN_SENT]
    sockets["state"] = random.choice(states, count, p=[0.8, 0.08, 0.08, 0.03, 0.01])
    sockets["local_low"] = 0xFFFF0A000001
    sockets["remote_low"] = (0xFFFF << 32) + random.integers(0, 2**32, count, dtype=np.uint64) // 3 * 3
    sockets["local_port"] = random.choice([80, 443, 5432, 8080], count)
    sockets["remote_port"] = random.integers(1024, 65535, count)
    sockets["inode"] = random.permutation(count) + 1000
    sockets["pid"] = random.integers(1, PROCESSES, count) * 37
    sockets["fd"] = random.integers(3, 5000, count)
    sockets["holders"] = 1
    sockets["owner"] = Owner.PROCESS
    sockets["recv_queue"] = random.choice([0, 0, 0, 1, 5000], count)
    sockets["rtt"] = random.integers(50, 90000, count)
    ages = np.zeros(count, AGE)
    ages["min_ms"] = random.integers(0, 10**7, count)
    ages["max_ms"] = -1
    ages["source"] = AgeSource.LAST_ACK
    processes = {
        pid: Process(
            pid,
            f"worker-{pid % 40}",
            ("/usr/bin/worker", "--shard", str(pid)),
            1,
            33,
            "www-data",
            0.0,
            0,
            99,
            1024,
            "/a",
            "web.service",
        )
        for pid in range(37, 37 * PROCESSES, 37)
    }
    order = np.argsort(sockets["inode"])
    holders = Holders(*(sockets[name][order] for name in ("inode", "pid", "fd")))
    snapshot = Snapshot(
        0.0, 1e6, 1e6, sockets, processes, holders, Host("bench", "Linux"), Coverage(count, count), "netlink"
    )
    life = np.zeros(count, np.uint8)
    return Update(snapshot, sockets, sockets["cookie"].copy(), ages, life, sockets["state"].astype(np.uint64), 0, 0)


def measure(name: str, call: Callable[[], object], times: int = 5) -> None:
    """Print the shortest of a few runs."""
    best = min(_once(call) for _ in range(times))
    print(f"{name:54} {best * 1000:9.2f} ms")


def _once(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def main() -> None:
    """Measure everything."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    update = busy_host(count)
    print(f"{count} sockets, CPU time, shortest of 5")
    measure("compile, the first filter (loads the parser)", lambda: query.compile("java"), 1)
    for text in ("state close-wait and dport = :443", "( sport = :https or age > 5m ) and not src 127.0.0.1"):
        measure(f"compile  {text}", partial(query.compile, text))
    for text in ("state close-wait", "dst 10.0.0.0/8", "age > 5m recvq > 64k", "pid = 37,74", "process ~ worker-3"):
        wanted = query.compile(text)
        measure(f"mask     {text}", partial(wanted.mask, update))
    for text in ("worker-3", "10.0", "443", "close-wait"):
        wanted = query.compile(text)
        measure(f"search   {text}", partial(wanted.mask, update))
    everything, filtered = query.EVERYTHING, query.compile("state established recvq > 0")
    for name in ("attention", "age", "recv_queue", "process", "remote", "local", "rtt_ms", "user", "state"):
        sort = Sort(name)
        measure(f"build    all, by {name}", partial(build, update, everything, sort, None))
    measure("build    filtered to a third, attention", lambda: build(update, filtered, Sort(), None))
    measure("tree     all", lambda: build_tree(update, everything, DEFAULT_SORT, frozenset()))
    view = build(update, everything, Sort(), None)
    columns = layout.layout(layout.default_columns(120), 120)

    def paint() -> None:
        shown = take(update, view.rows[:36])
        for column, room in columns:
            [column.cell(text, room) for text in column.texts(shown)]

    measure("texts of one screen, 120x36", paint)
    for format_ in report.FORMATS:
        measure(f"report   {format_}", partial(report.write, view, format_, io.StringIO()), 1)


if __name__ == "__main__":
    main()
