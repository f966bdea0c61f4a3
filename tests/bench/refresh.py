"""One refresh, CPU time: everything between the kernel and the rows of the table, beside the kernel's own part.

Owns the bare dump. The parts are measured as the poller runs them, one after the other in one process.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

from sockui.collector import inet_diag
from sockui.collector.linux import DUMPS, NetlinkCollector
from sockui.collector.netlink import NETLINK_SOCK_DIAG, RECEIVE
from sockui.collector.owners import OwnerResolver
from sockui.collector.processes import ProcessTable
from sockui.diagnosis.engine import Diagnosis
from sockui.tracker import Tracker, Update
from sockui.view import query, table_view
from sockui.view.table_view import Sort, TableView
from tests.bench.crowd import Crowd
from tests.bench.figures import Line, Peer, Spread

SS = ("ss", "-tanpieOmH")
FILTER = "not dst 10.0.0.0/8 and age >= 0s"  # keeps every row that has an age: all of them are sorted too
CHURN = 100  # sockets
_LENGTH_TYPE = struct.Struct("=IH")


class BareDump:
    """The same requests, received and thrown away."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG)
        self._buffer = bytearray(RECEIVE)

    def __call__(self) -> None:
        for family, protocol in DUMPS:
            self._socket.send(inet_diag.request(family, protocol, inet_diag.ALL_STATES, 1))
            while not self._ends(self._socket.recv_into(self._buffer)):
                pass

    def _ends(self, size: int) -> bool:
        """Whether what was received closes the dump: NLMSG_DONE is its first message or its last."""
        ends = (inet_diag.NLMSG_DONE, inet_diag.NLMSG_ERROR)
        return _LENGTH_TYPE.unpack_from(self._buffer)[1] in ends or (
            _LENGTH_TYPE.unpack_from(self._buffer, size - 20) == (20, inet_diag.NLMSG_DONE)
        )

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class Refresh:
    """What the poller does at every tick, and how much of it was what."""

    def __init__(self) -> None:
        self._collector = NetlinkCollector()
        self._tracker = Tracker()
        self._diagnosis = Diagnosis()
        self._query = query.compile(FILTER)
        self._view: TableView | None = None
        self.collect, self.track, self.diagnose, self.view = 0.0, 0.0, 0.0, 0.0  # CPU s of the last call

    def __call__(self) -> None:
        times = [time.process_time()]
        snapshot = self._collector.collect()
        times.append(time.process_time())
        update = self._tracker.update(snapshot)
        times.append(time.process_time())
        self._diagnosis.update(update)
        times.append(time.process_time())
        self._view = table_view.build(update, self._query, Sort(), self._view)
        times.append(time.process_time())
        self.collect, self.track, self.diagnose, self.view = (after - before for before, after in pairwise(times))

    @property
    def update(self) -> Update:
        """What the last call brought."""
        assert self._view is not None
        return self._view.update

    def close(self) -> None:
        """Close the collector."""
        self._collector.close()


def measure(crowd: Crowd, repeats: int) -> Iterator[Line]:
    """The refresh where nothing changed, then where sockets came and went: ended ones linger in the refreshes after."""
    crowd.enter()
    bare, refresh = BareDump(), Refresh()
    owners = OwnerResolver(ProcessTable())
    bare()
    for _ in range(3):  # the first finds all owners, the next two read young processes once more
        refresh()
        owners.attribute(refresh.update.snapshot.sockets)
    changes: dict[str, Callable[[], None]] = {
        "nothing changed": lambda: None,
        f"{CHURN} sockets replaced": lambda: crowd.churn(CHURN),
    }
    for what, change in changes.items():
        dumps: list[float] = []
        ours: list[float] = []
        ss: list[float] = []
        parts: list[tuple[float, ...]] = []
        for _ in range(repeats):
            change()
            dumps.append(_milliseconds(bare))
            ours.append(_milliseconds(refresh))
            attribute = _milliseconds(lambda: owners.attribute(refresh.update.snapshot.sockets))
            decode = 1000 * refresh.collect - attribute - dumps[-1]
            parts.append((decode, attribute, 1000 * refresh.track, 1000 * refresh.diagnose, 1000 * refresh.view))
            ss.append(1000 * _cpu_seconds_of(SS))
        yield Line(
            f"One refresh at {crowd.sockets:,} sockets, CPU, {what}",
            "ms",
            Spread.of(ours),
            (Peer.paired("bare kernel dump", ours, dumps, 1.6), Peer.paired(" ".join(SS), ours, ss, 0.1)),
            limited_by=f"on top of the dump, ms: {_medians(parts)}",
        )
    bare.close()
    refresh.close()


def _medians(parts: list[tuple[float, ...]]) -> str:
    medians = [Spread.of(values).typical for values in zip(*parts, strict=True)]
    names = ("decoding", "owners", "ages and tracker", "findings", "filter and sort")
    return ", ".join(f"{name} {median:.0f}" for name, median in zip(names, medians, strict=True))


def _milliseconds(call: Callable[[], object]) -> float:
    begun = time.process_time()
    call()
    return (time.process_time() - begun) * 1000


def _cpu_seconds_of(command: tuple[str, ...]) -> float:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with exit code {process.returncode}")
    return used.ru_utime + used.ru_stime
