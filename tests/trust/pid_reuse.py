"""A pid that another process has by now, for real: the kernel is told which pid to give out next.

To be run as the first process of a PID namespace with its own /proc; prints what sockui showed and did as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from sockui.actions import plan_signal, run
from sockui.collector.destroy import Destroyer
from sockui.collector.linux import NetlinkCollector
from sockui.tracker import Tracker, Update

PID = 4000


def hold(name: str, held: socket.socket, others: socket.socket) -> int:
    """Start a process with the pid ``PID`` that holds one of two sockets."""
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(PID - 1))
    started, told = os.pipe()
    pid = os.fork()
    if not pid:
        others.close()
        Path("/proc/self/comm").write_text(name)
        os.write(told, b".")
        signal.pause()
        os._exit(0)
    os.read(started, 1)
    held.close()
    return pid


def owner(update: Update, port: int) -> tuple[int, str | None]:
    """The pid that a port's socket is shown with, and the name of that process."""
    (row,) = update.sockets[(update.sockets["local_port"] == port) & (update.life < 2)]
    return int(row["pid"]), getattr(update.snapshot.processes.get(int(row["pid"])), "name", None)


def main() -> None:
    """Old process, plan to signal it, its end, another one with its pid, a look, and the plan carried out."""
    collector, tracker = NetlinkCollector(), Tracker()
    old, new = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    ports = old.getsockname()[1], new.getsockname()[1]
    told: dict[str, Any] = {"pids": [hold("old", old, new)]}
    before = tracker.update(collector.collect())
    told["before"] = owner(before, ports[0])
    plan = plan_signal(before, PID, signal.SIGTERM, allowed=True)
    os.kill(PID, signal.SIGKILL)
    os.waitpid(PID, 0)
    told["pids"].append(hold("new", new, socket.socket()))
    after = tracker.update(collector.collect())
    told["after"] = owner(after, ports[1])
    outcome = run(plan, plan.word, Destroyer(), allowed=True, directory=Path(sys.argv[1]), environ={})
    told["said"] = outcome.sentences
    told["alive"] = os.waitpid(PID, os.WNOHANG) == (0, 0)
    os.kill(PID, signal.SIGKILL)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
