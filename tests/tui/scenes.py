"""Snapshots to show, put together by hand: what the UI does with them is what is tested, not what they mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import numpy as np
from textual.pilot import Pilot

from sockui.diagnosis.engine import Diagnosis
from sockui.model import (
    Coverage,
    Gap,
    Holders,
    Host,
    Known,
    Owner,
    Process,
    Protocol,
    Snapshot,
    SocketArray,
    State,
    empty_sockets,
)
from sockui.tui.app import SockuiApp

WHOLE = Known.QUEUES | Known.TIMER | Known.UID | Known.INODE | Known.COOKIE | Known.INFO | Known.COUNTERS
LOCALHOST = 0xFFFF_7F00_0001


def sock(cookie: int, state: State = State.ESTABLISHED, pid: int = 4312, **fields: int) -> SocketArray:
    """One socket of 127.0.0.1, held by a process."""
    row = empty_sockets(1)
    values: dict[str, int] = {
        "cookie": cookie, "known": WHOLE, "protocol": Protocol.TCP, "family": 4, "state": state,
        "local_low": LOCALHOST, "remote_low": LOCALHOST, "local_port": 443, "remote_port": 10_000 + cookie,
        "pid": pid, "fd": cookie, "holders": 1, "inode": 1000 + cookie, "owner": Owner.PROCESS,
        "last_data_recv": 60_000, "last_data_sent": 60_000, "last_ack_recv": 60_000, "bytes_sent": 1,
        "bytes_received": 1,
    }  # fmt: skip
    if state == State.LISTEN:
        values |= {"remote_low": 0xFFFF_0000_0000, "remote_port": 0, "send_queue": 128}
    for name, value in (values | fields).items():
        row[name] = value
    return row


def process(pid: int, name: str, ppid: int = 1, fds: int = 20) -> Process:
    """A process."""
    return Process(pid, name, (f"/usr/bin/{name}",), ppid, 0, "root", 1e9, pid, fds, 1024, None, "/", f"{name}.service")


PROCESSES = {p.pid: p for p in (process(1, "systemd", 0), process(4312, "java"), process(812, "nginx", 4312))}


def snapshot(at: float, *sockets: SocketArray, processes: Sequence[Process] = tuple(PROCESSES.values())) -> Snapshot:
    """What a poll at this second saw."""
    rows = np.concatenate([empty_sockets(0), *sockets])
    order = np.argsort(rows["inode"])
    holders = Holders(
        rows["inode"][order].astype(np.uint32), rows["pid"][order].astype(np.int32), rows["fd"][order].astype(np.int32)
    )
    coverage = Coverage(len(rows), len(rows) - 1, 0, (Gap(1, "belong to processes of other users"),), "sudo sockui")
    host = Host("web-3", "Linux 6.18", {"net.ipv4.tcp_fin_timeout": "60"})
    known = {each.pid: each for each in processes}
    return Snapshot(1.7e9 + at, at, at, rows, known, holders, host, coverage, "netlink")


def diagnosis() -> Diagnosis:
    """One that judges these snapshots and looks at no process of this host, for theirs are made up."""
    return Diagnosis(look=lambda _pid: None)


class Replay:
    """A source that gives these snapshots, one a poll."""

    source = "netlink"

    def __init__(self, snapshots: list[Snapshot]) -> None:
        self.snapshots = snapshots

    def collect(self) -> Snapshot:
        return self.snapshots.pop(0)

    def close(self) -> None:
        pass


@dataclass
class Screen:
    """The app under a pilot, ticking only when told to."""

    app: SockuiApp
    pilot: Pilot[int]
    snapshots: list[Snapshot]
    terminal: list[str] = field(default_factory=list)

    async def poll(self, shot: Snapshot) -> None:
        """Let the poller take this snapshot and the screen show it."""
        self.snapshots.append(shot)
        self.app.poller.tick()
        await self.pilot.pause()

    async def press(self, *keys: str) -> None:
        """Press keys, then take the finger off them."""
        await self.pilot.press(*keys)
        await self.pilot.pause()
        self.app.main.finger_off()

    def lines(self, widget: str) -> list[str]:
        """The text that a table shows."""
        table = self.app.main.query_one(widget)
        return [table.render_line(y).text.rstrip() for y in range(table.size.height)]

    def bar(self, widget: str) -> str:
        """The text of a bar."""
        bar = self.app.screen.query_one(widget)
        return bar.render_line(0).text.rstrip()


Start = Callable[..., AbstractAsyncContextManager[Screen]]
