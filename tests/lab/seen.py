"""What ss and /proc show of the lab's sockets, and waiting for it."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sockui.lab.run import Lab
from sockui.lab.scene import NOWHERE, Address, Made
from sockui.model import State


@dataclass
class Row:
    state: str
    recv_queue: int
    send_queue: int
    local: str
    remote: str
    timer: str  # "" none
    timer_seconds: float
    retransmits: int
    inode: int
    rest: str


def rows(namespace: str, *options: str) -> list[Row]:
    command = ["ip", "netns", "exec", namespace, "ss", "-tanoieH", "--oneline", *options]
    found = []
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        state, recv_queue, send_queue, local, remote, *rest = line.split()
        timer = re.search(r"timer:\((\w+),([^,]+),(\d+)\)", line)
        inode = re.search(r"ino:(\d+)", line)
        found.append(
            Row(
                state,
                int(recv_queue),
                int(send_queue),
                local,
                remote,
                timer[1] if timer else "",
                seconds(timer[2]) if timer else 0,
                int(timer[3]) if timer else 0,
                int(inode[1]) if inode else 0,
                " ".join(rest),
            )
        )
    return found


def seconds(text: str) -> float:
    """As ss 6.1 writes them: 1min2sec, 33sec, 312ms, and 9.348ms for 9.348 s."""
    minutes = re.search(r"(\d+)min", text)
    rest = re.search(r"([\d.]+)(sec|ms)", text)
    total = float(minutes[1]) * 60 if minutes else 0.0
    if rest:
        total += float(rest[1]) / (1000 if rest[2] == "ms" and "." not in rest[1] else 1)
    return total


def spelt(address: Address) -> str:
    return "0.0.0.0:*" if address == NOWHERE else f"{address[0]}:{address[1]}"


def row_of(namespace: str, made: Made) -> Row | None:
    for row in rows(namespace):
        if (row.local, row.remote) == (spelt(made.local), spelt(made.remote)):
            return row
    return None


def until(condition: Callable[[], bool], wanted: str, limit: float = 60) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, wanted
        time.sleep(0.05)


def number(name: str, row: Row) -> int:
    found = re.search(rf"\b{name}:(\d+)", row.rest)
    return int(found[1]) if found else 0


def of(lab: Lab, name: str, state: State | None = None) -> list[Made]:
    return [made for made in lab.made if made.name == name and state in (None, made.state)]


def inodes(pid: int) -> list[int]:
    links = [os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
    return [int(link[8:-1]) for link in links if link.startswith("socket:[")]


def inside(namespace: str, *command: str) -> str:
    """What a command prints in a network namespace."""
    done = subprocess.run(["ip", "netns", "exec", namespace, *command], capture_output=True, text=True, check=True)
    return done.stdout


def sysctl(namespace: str, name: str) -> str:
    return " ".join(inside(namespace, "cat", f"/proc/sys/{name}").split())


def counter(namespace: str, name: str) -> int:
    """A counter of the namespace since it was made, by nstat(8) with a history of its own."""
    (line,) = [each for each in inside(namespace, "nstat", "-asz", name).splitlines() if each.startswith(name)]
    return int(line.split()[1])


def drops(namespace: str, inode: int, *options: str) -> int:
    """The d of skmem of one socket."""
    command = ("ss", "-aneH", "--oneline", "--memory", *options)
    (line,) = [each for each in inside(namespace, *command).splitlines() if f"ino:{inode} " in each]
    found = re.search(r",d(\d+)\)", line)
    assert found
    return int(found[1])
