"""The sockets of one text while it is read: rows as they come, in blocks, into one array.

Owns growing, limits of the fields, holders and processes. Must not know how any program prints. No Python object
outlives its block, and memory is that of the array: it grows in place, and its rows have room for those fields only
that the text has told of.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from operator import gt, methodcaller

import numpy as np
from numpy.typing import NDArray

from sockui.collector.queued import fill_queued
from sockui.collector.text.endpoint import V4, Endpoint
from sockui.model import (
    SOCKET,
    Holders,
    Known,
    Owner,
    Process,
    Protocol,
    SocketArray,
    State,
)
from sockui.model.sockets import ENDS, PIECE, layout, mixed

BLOCK = 256
"""Rows that are gathered as dictionaries before they go into the array."""
ROOM = 128 << 20
"""Bytes of rows beyond which groups of fields are given up, one after the other: 500,000 sockets at least."""
MOST_PROCESSES = 50_000
"""Processes whose names are kept; a text with more pids is no host's."""

_FILLED = ("known", "protocol", "state", "family", "owner", "pid", "fd", "holders")
"""Fields that are filled in whatever the text tells."""
_LIMITS = {
    name: (1 << 8 * SOCKET[name].itemsize - (SOCKET[name].kind == "i")) - 1 for name in SOCKET.names or ()
}  # the largest value of each field
MINI_STATES = (State.TIME_WAIT, State.SYN_RECV, State.FIN_WAIT2)
"""Without an inode these may be mini-sockets, which have no user: the uid that is printed, 0, means nothing."""
_GIVEN_UP = (  # groups, their fields, and what people call them
    (
        int(Known.COUNTERS | Known.MEMORY),
        {
            "data_segs_out", "bytes_acked", "bytes_received", "segs_out", "segs_in", "notsent_bytes", "min_rtt",
            "busy_time", "rwnd_limited", "sndbuf_limited", "bytes_sent", "bytes_retrans",
            "rmem_alloc", "rcvbuf", "sndbuf", "wmem_queued", "drops",
        },
        "bytes, segments, busy times and buffers",
    ),
    (
        int(Known.INFO | Known.WINDOWS),
        {
            "backoff", "rto", "snd_mss", "unacked", "lost", "retrans", "last_data_sent", "last_data_recv",
            "last_ack_recv", "pmtu", "rtt", "rttvar", "snd_cwnd", "total_retrans", "snd_wnd", "rcv_wnd",
        },
        "round trips, windows and times since the last segments",
    ),
)  # fmt: skip
_CLOSING = (State.FIN_WAIT1, State.FIN_WAIT2, State.LAST_ACK, State.CLOSING)


class SocketTable:
    """Rows in the order of the text. ``len()`` counts them."""

    def __init__(self) -> None:
        self._layout = layout(_FILLED)
        self._told = set(_FILLED)  # fields that rows have room for
        self._memory = np.empty(0, np.uint8)
        self._count = 0  # rows in the memory; those in the block come on top
        self._block: list[dict[str, int]] = []
        self._more_inodes, self._more_pids, self._more_fds = array("L"), array("l"), array("l")
        self.processes: dict[int, Process] = {}
        self._unkept: set[str] = set()  # fields that were given up
        self.given_up = 0  # Known: groups that no row knows any more, for want of room
        self.duplicates = 0  # rows that a later row of the same socket replaced, known after finish()

    def __len__(self) -> int:
        return self._count + len(self._block)

    def add(
        self, protocol: Protocol, state: State, local: Endpoint, remote: Endpoint, known: int = 0, **fields: int
    ) -> bool:
        """Append a row; False, and no row, if a value does not fit its field.

        An end without a family (``*``) has that of the other end, or IPv4 if neither tells.
        """
        family = local.family | remote.family or 4  # 4 | 6 is 6: one end is v4-mapped
        fields["known"] = int(known)
        fields["protocol"] = int(protocol)
        fields["state"] = int(state)
        fields["family"] = family
        fields["local_high"], fields["local_low"], _, fields["local_port"] = local
        fields["remote_high"], fields["remote_low"], _, fields["remote_port"] = remote
        if family == 4:
            fields["local_low"] |= V4
            fields["remote_low"] |= V4
        if not fits(fields):
            return False
        if len(self._block) >= BLOCK:
            self._flush()
        self._block.append(fields)
        return True

    def update(self, fields: dict[str, int]) -> bool:
        """Add fields to the last row and join its ``known`` groups. False, and no change, if a value does not fit."""
        if not self._block or not fits(fields):
            return False
        row = self._block[-1]
        fields["known"] = row["known"] | fields.get("known", 0)
        row.update(fields)
        return True

    @property
    def last(self) -> dict[str, int] | None:
        """The row that was added last."""
        return self._block[-1] if self._block else None

    def left_out(self) -> str:
        """What people call the fields that were given up, "" if none was."""
        return " and ".join(words for groups, _, words in _GIVEN_UP if self.given_up & groups)

    def hold(self, pid: int, fd: int = -1, name: str = "", user: str = "", uid: int = -1) -> None:
        """Say that a process holds the last row's socket. The lowest pid stands in the row; names are kept raw."""
        if not 0 < pid <= _LIMITS["pid"] or fd > _LIMITS["fd"]:
            return
        row = self._block[-1]
        row["holders"] = min(row.get("holders", 0) + 1, 0xFFFF)
        if row["holders"] > 1 and row["known"] & Known.INODE:
            self._more_inodes.append(row["inode"])
            self._more_pids.append(max(pid, row["pid"]))
            self._more_fds.append(fd if pid >= row["pid"] else row["fd"])
        if row["holders"] == 1 or pid < row["pid"]:
            row["pid"], row["fd"] = pid, fd
        self.name(pid, name, user, uid)

    def name(self, pid: int, name: str, user: str = "", uid: int = -1) -> None:
        """Say what a process is called; the first name that is not empty counts."""
        known = self.processes.get(pid)
        if known.name or not name if known else len(self.processes) >= MOST_PROCESSES:
            return
        self.processes[pid] = Process(
            pid=pid,
            name=name,
            cmdline=(),
            ppid=0,
            uid=uid,
            user=user,
            started_at=0.0,
            started_ticks=-1,  # of no process here: a pid in a text is never looked up on this host
            fd_count=None,
            fd_limit=None,
            fd_limit_hard=None,
            cgroup="",
            unit="",
        )

    def since(self, first: int, *names: str) -> SocketArray:
        """The rows from the ``first`` one on, to be changed in place before the next is added.

        ``names`` are the fields to be changed, beside what is 0 and what every row has.
        """
        self._flush()
        self._make_room(names)
        return self._rows[first:]

    @property
    def _rows(self) -> SocketArray:
        return self._memory.view(self._layout)

    def finish(self, *, one_row_per_holder: bool = False) -> tuple[SocketArray, Holders]:
        """Give away the rows, one for each socket, with ``owner`` filled, and the holders of those with an inode.

        ``one_row_per_holder``: rows with the same inode, or without one the same ``cookie``, are one socket's.
        """
        self._flush()
        rows = self._rows
        holders = self._holders(rows)
        if one_row_per_holder:
            keep: NDArray[np.intp] | None = _first_of_each(rows)
        else:
            keep = _last_of_each(rows)
            self.duplicates = 0 if keep is None else len(rows) - len(keep)
        if keep is not None:
            for start in range(0, len(keep), PIECE):  # in place, towards the beginning
                chosen = keep[start : start + PIECE]
                rows[start : start + len(chosen)] = rows.take(chosen)
            del rows
            self._resize(len(keep))
            rows = self._rows
        for start in range(0, len(rows), PIECE):
            _fill_owner(rows[start : start + PIECE])
        queued = (rows["known"] & int(Known.INODE) != 0) & (rows["inode"] == 0)
        queued &= rows["state"] != State.SYN_RECV  # not every program tells that it is a mini-socket
        fill_queued(rows, queued)
        self._memory = np.empty(0, np.uint8)
        return rows, holders

    def _flush(self) -> None:
        block = self._block
        if not block:
            return
        columns = {}
        for name in set().union(*block) - self._unkept:
            value = methodcaller("get", name, -1 if name == "fd" else 0)
            columns[name] = np.fromiter(map(value, block), SOCKET[name], len(block))
        columns["known"] &= ~self.given_up & 0xFFFF
        self._make_room(name for name, column in columns.items() if column.any())
        first = self._count
        self._resize(first + len(block))
        rows = self._rows[first:]
        rows["fd"] = -1
        for name in self._told & columns.keys():
            rows[name] = columns[name]
        self._block = []
        for groups, fields, _ in _GIVEN_UP:
            if len(self._memory) > ROOM and not self.given_up & groups:
                self._give_up(groups, fields)

    def _resize(self, count: int) -> None:
        """Keep as many rows, or add such that are 0; no view of them may be used any more."""
        self._memory.resize(count * self._layout.itemsize, refcheck=False)  # realloc: so much moves without a copy
        self._count = count

    def _give_up(self, groups: int, fields: set[str]) -> None:
        """Lay out the rows anew, in place, without room for some groups."""
        wide, count = self._layout, self._count
        self.given_up |= groups
        self._unkept |= fields
        self._told -= fields
        self._layout = layout(self._told)
        before, after = self._memory.view(wide), self._memory[: count * self._layout.itemsize].view(self._layout)
        for start in range(0, count, PIECE):  # what is written has been read
            rows = before[start : start + PIECE].copy()
            rows["known"] &= ~groups & 0xFFFF
            after[start : start + PIECE] = rows
        del before, after
        self._resize(count)

    def _make_room(self, names: Iterable[str]) -> None:
        """Lay out the rows anew, in place, if they have no room for some of these fields."""
        told = self._told.union(names)
        if told == self._told:
            return
        narrow, count = self._layout, self._count
        self._told, self._layout = told, layout(told)
        self._resize(count)
        before, after = self._memory[: count * narrow.itemsize].view(narrow), self._rows
        for start in reversed(range(0, count, PIECE)):  # from the end on: what is written has been read
            after[start : start + PIECE] = before[start : start + PIECE].copy()

    def _holders(self, rows: SocketArray) -> Holders:
        """Column by column: at a million sockets every copy counts."""
        held = (rows["known"] & int(Known.INODE) != 0) & (rows["inode"] != 0) & (rows["pid"] > 0)
        more = {"inode": self._more_inodes, "pid": self._more_pids, "fd": self._more_fds}
        columns = {name: np.concatenate((rows[name][held], np.array(more[name], SOCKET[name]))) for name in more}
        order = np.lexsort((columns["fd"], columns["pid"], columns["inode"]))
        for name in more:
            columns[name] = columns[name][order]
        return Holders(columns["inode"], columns["pid"], columns["fd"])


def fits(fields: dict[str, int]) -> bool:
    """Whether every value is within the range of its field."""
    return not any(map(gt, fields.values(), map(_LIMITS.__getitem__, fields)))


def _fill_owner(rows: SocketArray) -> None:
    """PROCESS where a pid is known, KERNEL where no process can hold the socket, else UNKNOWN."""
    state = rows["state"]
    orphan = (rows["known"] & Known.INODE != 0) & (rows["inode"] == 0) & np.isin(state, _CLOSING)
    kernel = orphan | (state == State.TIME_WAIT) | (state == State.SYN_RECV)
    owner = np.where(kernel & (rows["protocol"] == Protocol.TCP), Owner.KERNEL, Owner.UNKNOWN)
    rows["owner"] = np.where(rows["pid"] > 0, Owner.PROCESS, owner)


def _identities(rows: SocketArray) -> Iterator[NDArray[np.uint64]]:
    """Each row's socket, piece by piece: the cookie, the two ends of a TCP connection, or else the row itself.

    Listeners and UDP sockets may share their ends (SO_REUSEPORT): each line is a socket.
    """
    for start in range(0, len(rows), PIECE):
        part = rows[start : start + PIECE]
        connected = (part["protocol"] == Protocol.TCP) & (part["remote_port"] != 0)
        numbers = np.arange(start, start + len(part), dtype=np.uint64)
        other = np.where(connected, mixed(map(part.__getitem__, ENDS)), numbers) | np.uint64(1 << 63)
        yield np.where(part["known"] & int(Known.COOKIE) != 0, part["cookie"], other)


def _last_of_each(rows: SocketArray) -> NDArray[np.intp] | None:
    """Where the rows stand that no later row repeats; None if that is all of them."""
    if not _repeats(rows):
        return None
    keys = np.concatenate(list(_identities(rows)))
    _, last = np.unique(keys[::-1], return_index=True)
    return np.sort(len(rows) - 1 - last)


def _repeats(rows: SocketArray) -> bool:
    """Whether any socket has two rows. A part of the sockets at a time: a million keys are 8 MB, and sorted 16."""
    for part in range(8):
        chosen = [keys[keys & np.uint64(7) == part] for keys in _identities(rows)]
        keys = np.sort(np.concatenate(chosen)) if chosen else np.empty(0, np.uint64)
        if (keys[1:] == keys[:-1]).any():
            return True
    return False


def _first_of_each(rows: SocketArray) -> NDArray[np.intp]:
    """Where the first row of each socket stands, by inode or ``cookie``; counts holders and leaves the lowest pid."""
    keys = np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), PIECE):
        part = rows[start : start + PIECE]
        keys[start : start + PIECE] = mixed((part["inode"], part["cookie"]))
    alone = np.flatnonzero((rows["inode"] == 0) & (rows["cookie"] == 0))
    keys[alone] = alone.astype(np.uint64)
    rows["cookie"] = 0
    order = np.lexsort((rows["fd"], rows["pid"], keys))
    keys = keys[order]
    begins = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(rows)])
    lowest = order[begins]
    rows["holders"][lowest] = np.minimum(np.diff(begins, append=len(rows)), 0xFFFF)
    return np.sort(lowest)
