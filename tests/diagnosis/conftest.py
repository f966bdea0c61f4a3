"""Updates put together by hand, poll after poll, and what is found in them."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from sockui.diagnosis.engine import Diagnosis
from sockui.diagnosis.finding import Finding, Findings
from sockui.diagnosis.thresholds import Thresholds
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
from sockui.tracker import Tracker

FULL = int(Known.QUEUES | Known.TIMER | Known.UID | Known.INODE | Known.COOKIE | Known.MEMORY | Known.INFO) | int(
    Known.WINDOWS | Known.RTO_TOTALS | Known.COUNTERS | Known.CGROUP
)
MINI = int(Known.QUEUES | Known.TIMER | Known.INODE | Known.COOKIE | Known.MINI)
SETTINGS = {
    "net.ipv4.ip_local_port_range": "32768 60999",
    "net.ipv4.tcp_fin_timeout": "60",
    "net.ipv4.tcp_max_tw_buckets": "131072",
    "net.ipv4.tcp_ehash_entries": "262144",
    "net.ipv4.tcp_max_orphans": "65536",
    "net.ipv4.tcp_mem": "100000 150000 200000",
    "net.ipv4.tcp_syncookies": "1",
    "net.ipv4.tcp_retries2": "15",
    "net.ipv4.tcp_orphan_retries": "0",
    "net.ipv4.tcp_abort_on_overflow": "0",
    "net.ipv4.tcp_timestamps": "1",
    "net.ipv4.tcp_tw_reuse": "2",
    "net.core.somaxconn": "4096",
}


def process(pid: int, name: str, fds: int | None = 20, limit: int | None = 20_000) -> Process:
    """A process with so many of its descriptors open."""
    return Process(pid, name, (name,), 1, 0, "root", 1e9, 100 + pid, fds, limit, None, "/", "")


@dataclass
class Ward:
    """A host that is looked at poll after poll."""

    limits: Thresholds = field(default_factory=Thresholds)
    processes: Sequence[Process] = (process(4312, "java"), process(812, "nginx"))
    settings: Mapping[str, str] = field(default_factory=lambda: dict(SETTINGS))
    now: float = 10_000.0

    def __post_init__(self) -> None:
        self.tracker = Tracker()
        self.diagnosis = Diagnosis(self.limits, look=lambda _: None)

    def poll(
        self,
        *rows: dict[str, Any],
        seconds: float = 2.0,
        counters: Mapping[str, int] | None = None,
        sockstat: Mapping[str, int] | None = None,
        ghosts: Sequence[tuple[int, int, int]] = (),
    ) -> Findings:
        """Look at these sockets so many seconds after the poll before."""
        self.now += seconds
        sockets = empty_sockets(len(rows))
        for number, (row, fields) in enumerate(zip(sockets, rows, strict=True), 1):
            mini = fields.get("known") == MINI
            usual: dict[str, Any] = {
                "known": FULL, "protocol": Protocol.TCP, "family": 4, "inode": 0 if mini else 70_000 + number,
                "cookie": number, "snd_wnd": 65_536, "rcv_wnd": 65_536, "snd_mss": 1448, "rto": 200_000,
                "local": "10.0.0.1", "remote": "10.0.0.2", "local_port": 8080, "remote_port": 40_000 + number % 20_000,
                "pid": 0 if mini else 4312, "fd": -1 if mini else number, "holders": 0 if mini else 1,
                "owner": Owner.KERNEL if mini else Owner.PROCESS, "bytes_sent": 1, "bytes_received": 1,
            }  # fmt: skip
            values = usual | fields
            for side in ("local", "remote"):
                given = ipaddress.ip_address(values.pop(side))
                address = int(given) | (0xFFFF << 32 if given.version == 4 else 0)
                values[f"{side}_high"], values[f"{side}_low"] = address >> 64, address & (2**64 - 1)
            for name, value in values.items():
                row[name] = value
        host = Host("web1", "Linux 6.18", self.settings, counters or {}, sockstat or {})
        known = {each.pid: each for each in self.processes}
        inode, pid, fd = np.array(list(ghosts) or np.empty((0, 3), int)).T
        return self.diagnosis.update(
            self.tracker.update(
                Snapshot(
                    1.7e9 + self.now, self.now, self.now, sockets, known, Holders.none(), host, Coverage(), "netlink",
                    ghosts=Holders(inode.astype(np.uint32), pid.astype(np.int32), fd.astype(np.int32)),
                )
            )
        )  # fmt: skip

    def only(self, *rows: dict[str, Any], **given: Any) -> Finding:
        """The one finding of a poll."""
        found = self.poll(*rows, **given).items
        assert len(found) == 1, [item.key for item in found]
        return found[0]


@pytest.fixture
def ward() -> Ward:
    return Ward()


@pytest.fixture
def make_ward() -> Callable[..., Ward]:
    return Ward


def aged(state: State, seconds: float, **fields: Any) -> dict[str, Any]:
    """A socket that has been in CLOSE_WAIT, FIN_WAIT2 or ESTABLISHED for so long, by its last segments."""
    milliseconds = round(seconds * 1000)
    quiet = dict.fromkeys(("last_data_sent", "last_data_recv", "last_ack_recv"), milliseconds)
    return {"state": state, "recv_queue": int(state == State.CLOSE_WAIT), **quiet, **fields}
