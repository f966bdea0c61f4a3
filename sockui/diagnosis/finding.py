"""What is wrong: the types that rules make and everything after them reads.

Owns the form of a finding. Must not hold words (``knowledge/findings`` has them) or decide anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sockui.diagnosis.trend import Forecast, Trend
from sockui.model import State, Threads
from sockui.tracker import Update


class Severity(IntEnum):
    """How bad it is: INFO needs nobody now, WARNING somebody today, CRITICAL somebody at once."""

    INFO = 1
    WARNING = 2
    CRITICAL = 3


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What the sockets of a finding share: our port (``local``), or the address and port they go to."""

    local: bool
    high: int  # first 64 bits of the address as SOCKET has it; 0 with ``low`` 0: not part of it
    low: int  # last 64 bits
    port: int  # 0: not part of it


def spelt(high: int, low: int, port: int) -> str:
    """An address and port as keys have them: ``0.ffff0a000001:443``."""
    return f"{high:x}.{low:x}:{port}"


Value = int | float | str


@dataclass(frozen=True, eq=False, slots=True)
class Draft:
    """What a rule found in one poll."""

    rule: str  # "R02"
    severity: Severity
    rows: NDArray[np.intp]  # of the update; the sockets that it is about, may be empty
    pid: int = 0  # the process of this host that it is about; 0 none, or unknown
    endpoint: Endpoint | None = None
    about: str = ""  # what it is about, the same in every poll, where that is not just ``pid`` and ``endpoint``
    waits: NDArray[Any] | None = None  # (len(rows),) STALL: how long each has been so; None: as long as in its state
    count: int | None = None  # what is counted where that is not the rows: ports, descriptors
    states: tuple[State, ...] = ()  # whose number in ``pid`` is its trend; empty: the number of its own sockets
    values: Mapping[str, Value] = field(default_factory=dict)  # numbers the words need, by placeholder
    conditions: frozenset[str] = frozenset()  # what holds beside the numbers, by the words' names
    absorbs: NDArray[np.intp] | None = None  # rows of other rules that this one explains
    filled: tuple[str, float, float] | None = None  # what runs out: "descriptors" or "ports", used, limit


@dataclass(frozen=True, eq=False, slots=True)
class Finding:
    """One thing that is wrong, followed from poll to poll by its ``key``."""

    key: str  # "R02/4312/:8080"; no other finding of the poll has it
    draft: Draft
    rows: NDArray[np.intp]  # as the draft's, oldest first
    count: int
    oldest_ms: int | None  # how long the oldest has been so, at least; None unknown
    newest_ms: int | None  # how long the newest has been so, at least; None unknown
    since: float  # CLOCK_MONOTONIC, s, when it was first found
    worse: int  # how often its severity rose since it was first found
    explains: Mapping[str, int]  # sockets that other rules would have named -> how many
    processes: int  # that hold its sockets; 0 none, or unknown
    others: Mapping[int, int]  # pid of the process at the other end, on this host -> sockets (X4)
    trend: Trend | None  # of the count
    forecast: Forecast | None  # when what it fills is full
    history: tuple[NDArray[np.float64], NDArray[np.float64]]  # CLOCK_MONOTONIC s, count
    threads: Threads | None  # what the process's threads wait in; None not looked at, or it ended
    stopped: bool  # the process stood still at two looks in a row: SIGSTOP, a debugger

    @property
    def rule(self) -> str:
        """The rule's id, ``R02``."""
        return self.draft.rule

    @property
    def severity(self) -> Severity:
        """How bad it is now."""
        return self.draft.severity

    @property
    def pid(self) -> int:
        """The process of this host that it is about; 0 none, or unknown."""
        return self.draft.pid


@dataclass(frozen=True, eq=False, slots=True)
class Findings:
    """What is wrong as of one poll."""

    update: Update
    items: tuple[Finding, ...]  # the worst first
    polls: int  # how many updates were looked at; rules about change need two
    watched: float  # seconds since the first of them
    left_out: int  # what would have been said of more listeners, or ports, than anybody reads
    timeline: Mapping[State, tuple[NDArray[np.float64], NDArray[np.float64]]]  # CLOCK_MONOTONIC s, TCP sockets
