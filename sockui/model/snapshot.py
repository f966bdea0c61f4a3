"""What one poll saw. Owns the type; must not change once published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sockui.model.endings import Endings
from sockui.model.host import Host
from sockui.model.owners import Coverage, Holders, Process
from sockui.model.sockets import SocketArray


@dataclass(frozen=True, eq=False, slots=True)
class Snapshot:
    """Every socket of one network namespace at one moment, with owners and host facts."""

    taken_at: float  # Unix time, seconds, when the dump was complete
    monotonic: float  # CLOCK_MONOTONIC, seconds, at the same moment; stops while the host sleeps
    boottime: float  # CLOCK_BOOTTIME, seconds, at the same moment; goes on while the host sleeps
    sockets: SocketArray  # (n,) SOCKET, no two with the same cookie
    processes: Mapping[int, Process]  # pid -> process: every holder (of ``ghosts`` too) and its ancestors
    holders: Holders
    host: Host
    coverage: Coverage
    source: str  # "netlink" or "psutil"
    notes: tuple[str, ...] = ()  # what a person should know about this poll: sentences
    ghosts: Holders = field(default_factory=Holders.none)  # of TCP sockets in no list, collector.ghosts; at least these
    dump_seconds: float = 0.0  # how long the dump took: rows are up to this much older than taken_at
    endings: Endings = field(default_factory=Endings.none)  # what ended since the poll before, until the dump began
