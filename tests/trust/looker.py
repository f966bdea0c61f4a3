"""sockui's eyes in a process of their own: a poll for each line of stdin, and what it saw of one local port as JSON.

What tests do to a process (limits, mounts, clocks) is done to this one. Must not judge what it sees.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from sockui.collector import open_collector
from sockui.errors import CollectError
from sockui.model import Owner
from sockui.tracker import Tracker


def main() -> None:
    """``looker PORT``."""
    collector, tracker, port = open_collector("netlink"), Tracker(), int(sys.argv[1])
    for _ in sys.stdin:
        told: dict[str, Any] = {"error": None}
        try:
            update = tracker.update(collector.collect())
        except CollectError as error:
            told["error"] = str(error)
        else:
            snapshot, sockets = update.snapshot, update.sockets
            here = (sockets["local_port"] == port) & (update.life < 2)
            told["rows"] = [
                {
                    "age": (int(age["min_ms"]), int(age["max_ms"])),
                    "pid": int(row["pid"]),
                    "owner": Owner(row["owner"]).name,
                    "process": process.name if process else None,
                    "running": snapshot.taken_at - process.started_at if process else None,
                }
                for row, age in zip(sockets[here], update.ages[here], strict=True)
                for process in [snapshot.processes.get(int(row["pid"]))]
            ]
            told["notes"] = " ".join(snapshot.notes)
            told["gaps"] = " ".join(gap.reason for gap in snapshot.coverage.gaps)
            told["clocks"] = (snapshot.taken_at, snapshot.monotonic, snapshot.boottime)
            told["counters"] = len(snapshot.host.counters)
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
