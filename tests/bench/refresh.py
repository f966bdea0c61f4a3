"""One refresh, CPU time: everything between the kernel and the rows of the table, beside the kernel's own part.

Owns the bare dump and the other programs that list sockets. The parts are measured as the poller runs them, one after
the other in one process.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import psutil

from sockui.allocation import give_large_arrays_back
from sockui.collector import inet_diag
from sockui.collector.linux import DUMPS, FEWER_DUMPS, NetlinkCollector
from sockui.collector.netlink import NETLINK_SOCK_DIAG, RECEIVE
from sockui.collector.owners import OwnerResolver
from sockui.collector.processes import ProcessTable
from sockui.diagnosis.engine import Diagnosis
from sockui.tracker import Tracker
from sockui.view import query, table_view
from sockui.view.table_view import Sort, TableView
from tests.bench.crowd import Scene
from tests.bench.figures import Beside, Line, Spread

FILTER = "not dst 10.0.0.0/8 and age >= 0s"  # keeps every row that has an age: all of them are sorted too
CHURN = 100  # sockets
PAIRS = 3  # refreshes and bare dumps in turns, for each turn of the other programs, whose middle one counts
LINEAR = 1.25  # CPU for each socket may grow by that much from one size to the next
QUADRATIC = 100_000
"""Sockets up to which owners are looked up by ss (256 hash chains) and netstat (211): beyond, for minutes."""
BRIEF = 10_000
"""Sockets up to which the other programs take so little that they are run as often as sockui."""
_EVERYTHING = "ss -tanpieOmH"
_COMMANDS = {"ss -tanH": None, "ss -tanpH": QUADRATIC, _EVERYTHING: QUADRATIC, "netstat -tanp": QUADRATIC}
_LENGTH_TYPE = struct.Struct("=IH")


class BareDump:
    """Requests whose answers are received and thrown away: those of every tool, v4 and v6 apart, unless others."""

    def __init__(self, requests: tuple[tuple[int, int], ...] = DUMPS) -> None:
        self._requests = requests
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG)
        self._buffer = bytearray(RECEIVE)

    def __call__(self) -> None:
        for family, protocol in self._requests:
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
        give_large_arrays_back()  # as the poller does
        self._collector = NetlinkCollector()
        self._tracker = Tracker()
        self._diagnosis = Diagnosis()
        self._query = query.compile(FILTER)
        self._owners = OwnerResolver(ProcessTable())
        self._view: TableView | None = None
        self.parts = (0.0, 0.0, 0.0, 0.0)  # CPU ms of the last call: collect, track, diagnose, view

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
        collect, track, diagnose, view = (1000 * (after - before) for before, after in pairwise(times))
        self.parts = collect, track, diagnose, view

    def owners(self) -> None:
        """Find the owners of the last call once more, as ``collect`` did."""
        assert self._view is not None
        self._owners.attribute(self._view.update.snapshot.sockets)

    def close(self) -> None:
        """Close the collector."""
        self._collector.close()


def measure(scene: Scene) -> Iterator[Line]:
    """The refresh where nothing changed, then where sockets came and went: ended ones linger in the refreshes after."""
    scene.crowd.enter()
    bare, one_walk, refresh = BareDump(), BareDump(FEWER_DUMPS), Refresh()
    yield from _unchanged(scene, bare, one_walk, refresh)
    yield from _replaced(scene, bare, refresh)
    bare.close()
    one_walk.close()
    refresh.close()


def _unchanged(scene: Scene, bare: BareDump, one_walk: BareDump, refresh: Refresh) -> Iterator[Line]:
    crowd, name = scene.crowd, "refresh: CPU, nothing changed"
    peers = {"psutil.net_connections": lambda: _milliseconds(lambda: psutil.net_connections("tcp"))} | {
        command: lambda command=command: _milliseconds_of(command) for command in _COMMANDS
    }
    missing = {command: _missing(command, crowd.sockets) for command in peers}
    dumps: list[float] = []
    walks: list[float] = []
    ours: list[float] = []
    parts: list[tuple[float, ...]] = []
    theirs: dict[str, list[float]] = {peer: [] for peer in peers if not missing[peer]}
    _warm(bare, refresh)
    for _ in range(scene.repeats):
        if crowd.renew():
            _warm(bare, refresh)
        for _ in range(PAIRS):
            dumps.append(_milliseconds(bare))
            walks.append(_milliseconds(one_walk))
            ours.append(_milliseconds(refresh))
        parts.append(_parts(refresh, dumps[-1]))
        turns = PAIRS if crowd.sockets <= BRIEF else 1
        for peer, times in theirs.items():
            times.append(_middle([peers[peer]() for _ in range(turns)]))
    each = [_middle(ours[at : at + PAIRS]) for at in range(0, len(ours), PAIRS)]
    asked = {_EVERYTHING: 0.1} if scene.asked else {}
    yield Line(
        name,
        crowd.sockets,
        "ms",
        Spread.of(ours),
        (
            Beside.paired("bare kernel dump", ours, dumps, 1.6 if scene.asked else None),
            Beside.paired("the same, v4 and v6 in one walk, as sockui asks", ours, walks, None),
            *(
                Beside.missing(peer, missing[peer], asked.get(peer))
                if missing[peer]
                else Beside.paired(peer, each, theirs[peer], asked.get(peer))
                for peer in peers
            ),
        ),
        profile=_profile(parts),
    )
    for before in scene.smaller(name)[-1:]:
        now, then = _each(Spread.of(ours), crowd.sockets), _each(before.ours, before.sockets)
        at_most = LINEAR if scene.asked else None
        beside = Beside(f"the same at {before.sockets:,}", then, now.typical / then.typical, at_most)
        yield Line("refresh: CPU for each socket", crowd.sockets, "us", now, (beside,))


def _replaced(scene: Scene, bare: BareDump, refresh: Refresh) -> Iterator[Line]:
    dumps, ours, parts = [], [], []
    for _ in range(4 * scene.repeats):
        scene.crowd.renew()
        scene.crowd.churn(CHURN)
        dumps.append(_milliseconds(bare))
        ours.append(_milliseconds(refresh))
        parts.append(_parts(refresh, dumps[-1]))
    yield Line(
        f"refresh: CPU, {CHURN} sockets replaced",
        scene.crowd.sockets,
        "ms",
        Spread.of(ours),
        (Beside.paired("bare kernel dump", ours, dumps, 1.6 if scene.asked else None),),
        profile=_profile(parts),
    )


def _warm(bare: BareDump, refresh: Refresh) -> None:
    bare()
    for _ in range(3):  # the first finds all owners, the next two read young processes once more
        refresh()
        refresh.owners()


def _parts(refresh: Refresh, dump: float) -> tuple[float, ...]:
    collect, *others = refresh.parts
    owners = _milliseconds(refresh.owners)
    return dump, collect - owners - dump, owners, *others


def _profile(parts: list[tuple[float, ...]]) -> str:
    medians = [Spread.of(values).typical for values in zip(*parts, strict=True)]
    names = ("dump", "decoding and the rest of the collector", "owners", "ages and tracker", "findings", "filter, sort")
    return "ms of " + ", ".join(f"{name} {median:.1f}" for name, median in zip(names, medians, strict=True))


def _each(milliseconds: Spread, sockets: int) -> Spread:
    """Microseconds for one socket."""
    return Spread(*(1000 * value / sockets for value in (milliseconds.typical, milliseconds.low, milliseconds.high)))


def _middle(values: list[float]) -> float:
    return Spread.of(values).typical


def _missing(command: str, sockets: int) -> str:
    program = command.split()[0]
    most = _COMMANDS.get(command)
    if command in _COMMANDS and not shutil.which(program):
        return f"{program} is not installed"
    return "quadratic, takes minutes" if most is not None and sockets > most else ""


def _milliseconds(call: Callable[[], object]) -> float:
    begun = time.process_time()
    call()
    return (time.process_time() - begun) * 1000


def _milliseconds_of(command: str) -> float:
    process = subprocess.Popen(command.split(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} failed with exit code {process.returncode}")
    return 1000 * (used.ru_utime + used.ru_stime)
