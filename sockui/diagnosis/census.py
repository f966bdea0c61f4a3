"""What the rules look at: one update, counted and grouped, beside what came before it.

Owns every look-up that more than one rule needs, worked out once a poll and only when asked for. Must not judge.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sockui.ages import AgeSource
from sockui.diagnosis.finding import Endpoint
from sockui.diagnosis.memory import Memory
from sockui.diagnosis.situations import Situation, endpoint_key, of
from sockui.diagnosis.stalls import stalls
from sockui.diagnosis.thresholds import Thresholds
from sockui.model import Host, Known, Process, Protocol, SocketArray, State
from sockui.model.sockets import by_state
from sockui.tracker import Update

Rows = NDArray[np.intp]
_SERVER_PORTS = 1024, 32_768
_NOT_ASKED = -2
MOST_GROUPS = 50
"""Groups in which a rule's sockets are looked at, at most twice as many: more findings of one kind nobody reads."""
MOST_LISTENERS = 200
"""Listeners of which a rule speaks: those that are worst off."""


class Census:
    """One update as the rules see it; rows that ended are left out of everything."""

    def __init__(self, update: Update, limits: Thresholds, memory: Memory) -> None:
        self.update = update
        self.limits = limits
        self.memory = memory
        self.left_out = 0  # what rules would have said of listeners beyond MOST_LISTENERS

    @property
    def sockets(self) -> SocketArray:
        """(n,) SOCKET."""
        return self.update.sockets

    @property
    def host(self) -> Host:
        """Settings and counters."""
        return self.update.snapshot.host

    @property
    def situations(self) -> NDArray[np.uint8]:
        """(n,) Situation; 0 for a row that ended."""
        return of(self.update)

    @cached_property
    def _alike(self) -> dict[int, Rows]:
        """The rows in each Situation, ascending; those that there are."""
        return dict(by_state(self.situations))

    def at(self, *situations: Situation) -> Rows:
        """Rows in one of some situations, ascending."""
        parts = [self._alike[situation] for situation in situations if situation in self._alike]
        if len(parts) == 1:
            return parts[0]
        return np.sort(np.concatenate(parts)) if parts else np.empty(0, np.intp)

    def known(self, rows: Rows, group: Known) -> NDArray[np.bool_]:
        """Which of some rows know a group of fields."""
        return np.asarray(self.sockets["known"][rows] & int(group) == int(group))

    def age_min(self, rows: Rows) -> NDArray[np.int64]:
        """How long each of some rows has been in its state, at least, ms."""
        return np.asarray(self.update.ages["min_ms"][rows])

    def aged(self, rows: Rows, seconds: float) -> Rows:
        """Those of some rows that have been in their state so long; from a text also those that may have been."""
        return rows[(self.age_min(rows) >= seconds * 1000) | self._undated(rows, seconds)]

    def dated(self, rows: Rows, seconds: float) -> tuple[Rows, bool]:
        """Of some :meth:`aged` rows those that surely have been in their state so long; all, and False, if none."""
        surely = rows[self.age_min(rows) >= seconds * 1000]
        return (surely, True) if len(surely) else (rows, False)

    def _undated(self, rows: Rows, seconds: float) -> NDArray[np.bool_]:
        if self.update.snapshot.source != "text":
            return np.zeros(len(rows), np.bool_)
        source, most = (self.update.ages[name][rows] for name in ("source", "max_ms"))
        unbounded = (most < 0) | (most >= seconds * 1000)
        return np.asarray(unbounded & np.isin(source, (AgeSource.NONE, AgeSource.FIRST_SEEN)))

    def stalls(self, rows: Rows) -> NDArray[Any]:
        """Since when each of some rows has not moved, (len(rows),) STALL."""
        return stalls(self.sockets, rows)

    def process(self, pid: int) -> Process | None:
        """A process of this host."""
        return self.update.snapshot.processes.get(pid)

    # --- change -----------------------------------------------------------------------------------

    def risen(self, counter: str) -> int:
        """By how much a counter of the host rose within the window; 0 in the first poll or where it is not known."""
        return self.memory.risen(counter, self.host.counters.get(counter))

    def same_before(self, rule: str, rows: Rows) -> Rows:
        """Those of some rows that ``rule`` asked about in the poll before, too; it remembers these for the next."""
        keys = self.update.keys[rows]
        return rows[np.isin(keys, self.memory.swap(rule, keys))]

    def more_drops(self, rows: Rows) -> NDArray[np.int64]:
        """By how much the drops of each of some sockets rose within the window; LISTEN and UDP only."""
        return self.memory.more_drops(self.update.keys[rows])

    # --- who belongs together -----------------------------------------------------------------------

    @cached_property
    def listeners(self) -> Rows:
        """Rows in LISTEN."""
        return self.at(Situation.LISTEN, Situation.LISTEN_QUEUE_FULL)

    @cached_property
    def _listening_at(self) -> NDArray[np.uint64]:
        """One number for the address and port of each of the listeners."""
        return endpoint_key(*(self.sockets[f"local_{part}"][self.listeners] for part in ("high", "low", "port")))

    @cached_property
    def sharing(self) -> Rows:
        """Rows in LISTEN beside which their process has others on the same address and port.

        With SO_REUSEPORT, or each bound to another interface.
        """
        ends = self._listening_at + self.sockets["pid"][self.listeners].astype(np.uint64)
        _, which, number = np.unique(ends, return_inverse=True, return_counts=True)
        return self.listeners[number[which] > 1]

    @cached_property
    def listening_ports(self) -> NDArray[np.bool_]:
        """(65536,) bool: TCP ports that somebody listens on, at whatever address."""
        ports = np.zeros(65536, np.bool_)
        ports[self.sockets["local_port"][self.listeners]] = True
        return ports

    @cached_property
    def _ephemeral(self) -> tuple[int, int]:
        low, high = (self.host.number("net.ipv4.ip_local_port_range", index) for index in (0, 1))
        return low or _SERVER_PORTS[1], high or 60_999

    def served(self, rows: Rows) -> NDArray[np.bool_]:
        """Which of some rows are connections to us: their port is listened on, or only the other one is ephemeral."""
        ours, theirs = self._ephemeral_ports(rows)
        listened = self.listening_ports[self.sockets["local_port"][rows]]
        return np.asarray((listened | (~ours & theirs)) & (self.sockets["state"][rows] != State.SYN_SENT))

    def _ephemeral_ports(self, rows: Rows) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which of some rows have our port, and which the other one, in ip_local_port_range."""
        low, high = self._ephemeral
        ours, theirs = self.sockets["local_port"][rows], self.sockets["remote_port"][rows]
        return (ours >= low) & (ours <= high), (theirs >= low) & (theirs <= high)

    def listener_of(self, rows: Rows) -> Rows:
        """The listener that each of some rows came through, by its local address, then the wildcards; -1 none."""
        return self._listener(rows, "local")

    def asked_listener(self, rows: Rows) -> Rows:
        """The listener of this host that each of some rows asks, by its remote address and port; -1 none."""
        return self._listener(rows, "remote")

    def _listener(self, rows: Rows, side: str) -> Rows:
        sockets, found = self.sockets, np.full(len(rows), -1, np.intp)
        if not len(rows) or not len(self.listeners):
            return found
        # of several on one endpoint (SO_REUSEPORT) the fullest stands for all, of equals the same one in every poll
        identity, queue = self.update.keys[self.listeners], sockets["recv_queue"][self.listeners]
        order = np.lexsort((identity, queue))[::-1]
        by_queue = self.listeners[order]
        keys, first = np.unique(self._listening_at[order], return_index=True)
        high, low, port = (sockets[f"{side}_{part}"][rows] for part in ("high", "low", "port"))
        nothing = np.zeros_like(high)
        v4 = (high == 0) & (low >> np.uint64(32) == 0xFFFF)
        any_v4 = np.where(v4, np.uint64(0xFFFF << 32), np.uint64(0))
        for wanted in (
            endpoint_key(nothing, nothing, port),
            endpoint_key(nothing, any_v4, port),
            endpoint_key(high, low, port),
        ):
            at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            hit = keys[at] == wanted
            found[hit] = by_queue[first[at[hit]]]
        return found

    def others(self, rows: Rows) -> Rows:
        """The other end of each of some rows if it is on this host, by the reversed addresses and ports; -1 if not."""
        asked = rows[self._others[rows] == _NOT_ASKED]
        if len(asked):
            self._others[asked] = self._find_others(asked)
        return self._others[rows].astype(np.intp)

    @cached_property
    def _others(self) -> NDArray[np.int32]:
        return np.full(len(self.sockets), _NOT_ASKED, np.int32)

    def _find_others(self, rows: Rows) -> Rows:
        sockets, found = self.sockets, np.full(len(rows), -1, np.intp)
        wanted = self._pairs(rows, "remote", "local")
        order = np.argsort(wanted)
        in_order = wanted[order]
        asked = np.zeros(1 << 16, np.bool_)
        asked[sockets["remote_port"][rows]] = True
        every = np.flatnonzero(asked[sockets["local_port"]])
        every = every[(self.situations[every] != 0) & (sockets["remote_port"][every] != 0)]
        have = self._pairs(every, "local", "remote")
        have_order = np.argsort(have)
        have, every = have[have_order], every[have_order]
        if not len(have):
            return found
        at = np.minimum(np.searchsorted(have, in_order), len(have) - 1)
        hit = (have[at] == in_order) & (every[at] != rows[order])
        found[order[hit]] = every[at[hit]]
        return found

    def _pairs(self, rows: Rows, near: str, far: str) -> NDArray[np.uint64]:
        """One number per connection as seen from the ``near`` end."""
        ends = [
            endpoint_key(*(self.sockets[f"{side}_{part}"][rows] for part in ("high", "low", "port")))
            for side in (near, far)
        ]
        tcp = (self.sockets["protocol"][rows] == Protocol.TCP).astype(np.uint64)
        return np.asarray(ends[0] * np.uint64(3) + (ends[1] ^ (ends[1] >> np.uint64(31))) * np.uint64(5) + tcp)

    def groups(self, rows: Rows) -> Iterator[tuple[int, Endpoint | None, Rows]]:
        """Part some rows by process, and by our port where they came to us, else by where they go.

        Yields (pid, endpoint, rows). A Python object per group, not per socket: of very many groups the small ones are
        put together, those of a process (the endpoint is None), or of an endpoint (the pid is 0), or both.
        """
        if not len(rows):
            return
        heads, parts = self._parted(rows)
        for (pid, *end), part in zip(heads, parts, strict=True):
            yield pid, Endpoint(bool(end[3]), *end[:3]) if any(end[:3]) else None, rows[part]

    def _parted(self, rows: Rows) -> tuple[list[tuple[int, ...]], list[NDArray[np.intp]]]:
        """What each group has in common (pid, address, port, whether it is ours), and where its rows stand."""
        sockets = self.sockets
        pids = sockets["pid"][rows].astype(np.int64)
        served = self.served(rows)
        ours, theirs = self._ephemeral_ports(rows)
        either = (ours == theirs) & ~served & (sockets["state"][rows] != State.SYN_SENT)
        if either.any():
            # a listener that has gone, on a port like any other: what many share is the end that they came to
            served |= either & (_crowd(sockets, rows, pids, "local") > _crowd(sockets, rows, pids, "remote"))
        high = np.where(served, 0, sockets["remote_high"][rows]).astype(np.uint64)
        low = np.where(served, 0, sockets["remote_low"][rows]).astype(np.uint64)
        port = np.where(served, sockets["local_port"][rows], sockets["remote_port"][rows]).astype(np.uint16)
        ends: list[NDArray[Any]] = [high, low, port, served]
        order, begins = _in_groups(_group_key(pids, *ends))
        if len(begins) > MOST_GROUPS:
            number = np.diff(begins, append=len(rows))
            _put_together(order[np.repeat(number * MOST_GROUPS < len(rows), number)], pids, ends)
            order, begins = _in_groups(_group_key(pids, *ends))
        columns = (column[order[begins]].tolist() for column in (pids, *ends))
        return list(zip(*columns, strict=True)), np.split(order, begins[1:])

    def worst(self, listeners: NDArray[Any], by: NDArray[Any]) -> NDArray[Any]:
        """Of too many listeners, or ports, those with the greatest number in ``by``; ``left_out`` counts the others."""
        if len(listeners) <= MOST_LISTENERS:
            return listeners
        self.left_out += len(listeners) - MOST_LISTENERS
        return np.sort(listeners[np.argsort(by, kind="stable")[-MOST_LISTENERS:]])

    def fd_use(self, pid: int) -> tuple[int, int] | None:
        """(open descriptors, limit) of a process; None if either is not known."""
        process = self.process(pid)
        if process is None or process.fd_count is None or not process.fd_limit:
            return None
        return process.fd_count, process.fd_limit

    @cached_property
    def ghosts(self) -> dict[int, int]:
        """Pid -> descriptors on TCP sockets that no list shows, at least."""
        pids, number = np.unique(self.update.snapshot.ghosts.pid, return_counts=True)
        return dict(zip(pids.tolist(), number.tolist(), strict=True))


class Parts:
    """Some rows by a number that each has, as of its listener or its port: those with one number, ascending."""

    def __init__(self, rows: Rows, numbers: NDArray[Any]) -> None:
        order = np.argsort(numbers, kind="stable")
        self._rows, self._numbers = rows[order], numbers[order]

    def __getitem__(self, number: int) -> Rows:
        first, last = np.searchsorted(self._numbers, (number, number + 1))
        return self._rows[first:last]


def _crowd(sockets: SocketArray, rows: Rows, pids: NDArray[np.int64], side: str) -> NDArray[np.intp]:
    """How many of some rows have each one's process and ``side``: our port, or the address and port they go to."""
    high, low, port = (sockets[f"{side}_{part}"][rows] for part in ("high", "low", "port"))
    if side == "local":
        high, low = np.zeros_like(high), np.zeros_like(low)
    key = endpoint_key(high, low, port) + pids.astype(np.uint64)
    _, which, number = np.unique(key, return_inverse=True, return_counts=True)
    return np.asarray(number[which])


def _group_key(
    pids: NDArray[Any], high: NDArray[Any], low: NDArray[Any], port: NDArray[Any], served: NDArray[Any]
) -> NDArray[np.uint64]:
    key = endpoint_key(high, low, port) + pids.astype(np.uint64) * np.uint64(2) + served.astype(np.uint64)
    return np.asarray(key)


def _in_groups(key: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The order that brings equal keys together, each group's ascending, and where in it the groups begin."""
    order = np.argsort(key, kind="stable")
    in_order = key[order]
    return order, np.flatnonzero(np.append(True, in_order[1:] != in_order[:-1]))


def _put_together(small: Rows, pids: NDArray[np.int64], ends: list[NDArray[Any]]) -> None:
    """Give up, in place, what parts some places most: their endpoints, or their processes, or both."""
    of_small = [end[small] for end in ends]
    if len(np.unique(pids[small])) <= MOST_GROUPS:
        given_up = ends
    elif len(np.unique(_group_key(np.zeros(len(small), np.int64), *of_small))) <= MOST_GROUPS:
        given_up = [pids]
    else:
        given_up = [pids, *ends]
    for column in given_up:
        column[small] = 0
