"""The process view: who holds how many sockets in which state, as a tree drawn line by line.

Owns the counting by process, the tree, its order and its folding. Must not draw or format ages and numbers.

A socket that several processes hold counts for each of them, and once in the total of a subtree that has
several of them. Sockets that have ended are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sockui.errors import UsageError
from sockui.model import Owner, Process, Protocol, State
from sockui.once import once
from sockui.tracker import Life, Update
from sockui.view import format as fmt
from sockui.view.column import Codes, Mask
from sockui.view.fields import command
from sockui.view.query import Query
from sockui.view.table_view import Sort, TableView

DEFAULT_SORT = Sort("sockets", reverse=True)
UDP = 0  # index of UDP sockets in ``Tally.states``, which no TCP state has
_CODES = len(State) + 1
SORTS = ("sockets", "name", "pid", "oldest", "fds", *(state.name.lower() for state in State), "udp")
"""What ``lay_out`` sorts by."""
_PASSING = (  # states that a connection should soon leave
    State.CLOSE_WAIT,
    State.FIN_WAIT1,
    State.FIN_WAIT2,
    State.LAST_ACK,
    State.CLOSING,
    State.SYN_SENT,
    State.SYN_RECV,
)
_NO_PROCESS = (  # lines for sockets without one, after all processes: pid, owner, name
    (-1, Owner.KERNEL, "kernel (no process)"),
    (-2, Owner.HIDDEN, "processes that may not be read"),
    (-3, Owner.UNFOUND, "not in sight (another PID namespace, or the kernel)"),
    (-4, Owner.UNKNOWN, "owner unknown"),
    (-5, Owner.LISTENER, "not accepted, by a process that is not named"),
)


_OWNERS = {pid: owner for pid, owner, _ in _NO_PROCESS}


@dataclass(frozen=True, slots=True)
class Tally:
    """Sockets counted."""

    states: tuple[int, ...]  # TCP sockets by State, at ``UDP`` those of UDP
    oldest_min_ms: int  # the oldest CLOSE_WAIT, FIN_WAIT, LAST_ACK, CLOSING or SYN is at least this old; 0 unknown
    oldest_max_ms: int  # and at most this; -1 nothing bounds it (or there is none)

    @property
    def sockets(self) -> int:
        """All of them."""
        return sum(self.states)


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """One line: a process, or with a negative ``pid`` the sockets that have none."""

    pid: int
    process: Process | None  # None: a line without a process, or one that is gone
    name: str  # escaped
    last: tuple[bool, ...]  # for each level, from the root's children on: is it (or its ancestor) the last child
    has_children: bool
    folded: bool
    own: Tally  # its own sockets
    subtree: Tally  # those of its descendants too

    @property
    def command(self) -> str:
        """Its command line, escaped; "" unknown."""
        return fmt.escape(command(self.process)) if self.process else ""

    @property
    def user(self) -> str:
        """Its effective user, escaped; "" unknown."""
        return fmt.escape(self.process.user) if self.process else ""

    @property
    def unit(self) -> str:
        """Its systemd unit, escaped; "" none."""
        return fmt.escape(self.process.unit) if self.process else ""

    @property
    def may_be_named(self) -> bool:
        """Whether its sockets have a process that more rights might name."""
        return self.pid < 0 and _OWNERS[self.pid] in (Owner.HIDDEN, Owner.LISTENER)

    @property
    def depth(self) -> int:
        """0 for a root."""
        return len(self.last)

    @property
    def shown(self) -> Tally:
        """What its line stands for: with the descendants when they are folded away."""
        return self.subtree if self.folded else self.own

    def prefix(self, ascii_only: bool = False) -> str:
        """The branches before its name."""
        if not self.last:
            return ""
        through, blank, branch, corner = ("|  ", "   ", "|- ", "`- ") if ascii_only else ("│  ", "   ", "├─ ", "└─ ")
        above = "".join(blank if is_last else through for is_last in self.last[:-1])
        return above + (corner if self.last[-1] else branch)


@dataclass(frozen=True, eq=False, slots=True)
class Counts:
    """The sockets of a view counted by process, in no order and with nothing folded."""

    update: Update
    query: Query
    children: dict[int, list[int]]  # pid -> pids of its children in the tree, the roots under 0
    own: dict[int, Tally]  # by pid
    subtree: dict[int, Tally]
    without: tuple[ProcessRow, ...]  # lines for the sockets that have no process


@dataclass(frozen=True, eq=False, slots=True)
class ProcessTreeView:
    """The lines of the process view of one update."""

    update: Update
    rows: tuple[ProcessRow, ...]  # in the order of display; descendants of folded processes are not among them
    sort: Sort
    query: Query
    children: dict[int, list[int]]  # pid -> pids of its children in the tree, in order

    def find(self, pid: int) -> int | None:
        """Where in ``rows`` a process is; None if it is not shown."""
        return next((index for index, row in enumerate(self.rows) if row.pid == pid), None)


def pids_of_subtree(view: ProcessTreeView, pid: int) -> list[int]:
    """A process and all its descendants in the tree, folded or not."""
    pids = [pid]
    for each in pids:  # grows while it is read
        pids += view.children.get(each, [])
    return pids


def filter_text(view: ProcessTreeView, row: ProcessRow) -> str:
    """A filter for the sockets that a line stands for, together with the filter of the view."""
    if row.pid < 0:
        condition = f"owner = {_OWNERS[row.pid].name.lower()} and not pid > 0"
    else:
        pids = pids_of_subtree(view, row.pid) if row.folded else [row.pid]
        condition = f"pid = {','.join(map(str, pids))}"
    return f"{condition} and ( {view.query.text.strip()} )" if view.query.text.strip() else condition


@once
def count(view: TableView) -> Counts:
    """Count the sockets of a view by process: what costs a pass over all of them, once however often it is asked."""
    update = view.update
    chosen = np.zeros(len(update.sockets), np.bool_)
    chosen[view.rows] = True
    chosen &= update.life != Life.ENDED
    rows, pids = _held(update, chosen)
    children = _tree(update, np.unique(pids).tolist())
    preorder, parents, ends = _preorder(children)
    codes = _state_codes(update)
    own, subtree = _tallies(update, codes, rows, pids, preorder, parents, ends)
    without = _without_process(update, codes, chosen)
    own_by_pid, subtree_by_pid = (dict(zip(preorder, each, strict=True)) for each in (own, subtree))
    return Counts(update, view.query, children, own_by_pid, subtree_by_pid, tuple(without))


def lay_out(counts: Counts, sort: Sort = DEFAULT_SORT, folded: frozenset[int] = frozenset()) -> ProcessTreeView:
    """Lay out the tree: the processes that were counted and their ancestors; costs nothing by the socket.

    Siblings are ordered by the totals of their subtrees. Raises :class:`UsageError` for an unknown sort.
    """
    name = _sort_name(sort)
    update, totals = counts.update, counts.subtree
    children = {}
    for parent, siblings in counts.children.items():
        values = {pid: _value(name, pid, update.snapshot.processes.get(pid), totals[pid]) for pid in siblings}
        known = sorted(pid for pid in siblings if values[pid] is not None)  # equal ones by pid
        known.sort(key=values.__getitem__, reverse=sort.reverse)
        children[parent] = known + sorted(pid for pid in siblings if values[pid] is None)

    lines: list[ProcessRow] = []
    waiting: list[tuple[int, tuple[bool, ...]]] = [(pid, ()) for pid in reversed(children.get(0, []))]
    while waiting:
        pid, last = waiting.pop()
        below = children.get(pid, [])
        hides = pid in folded and bool(below)
        process = update.snapshot.processes.get(pid)
        shown = fmt.escape(process.name) if process else "?"
        lines.append(ProcessRow(pid, process, shown, last, bool(below), hides, counts.own[pid], totals[pid]))
        if not hides:
            waiting += [(child, (*last, child == below[-1])) for child in reversed(below)]
    return ProcessTreeView(update, (*lines, *counts.without), sort, counts.query, children)


def _sort_name(sort: Sort) -> str:
    """The name as ``SORTS`` has it."""
    wanted = sort.column_name.lower().replace("-", "_")
    if wanted in SORTS:
        return wanted
    raise UsageError(f'processes cannot be sorted by "{fmt.escape(wanted)}"{fmt.did_you_mean(wanted, SORTS)}')


def _value(name: str, pid: int, process: Process | None, tally: Tally) -> Any:
    """What siblings are compared by; None where it is not known."""
    match name:
        case "sockets":
            return tally.sockets
        case "name":
            return process.name.casefold() if process else None
        case "pid":
            return pid
        case "oldest":
            return tally.oldest_min_ms or None
        case "fds":
            return process.fd_count if process else None
        case "udp":
            return tally.states[UDP]
    return tally.states[State[name.upper()]]


def _held(update: Update, chosen: Mask) -> tuple[Codes, NDArray[np.intp]]:
    """Every (socket row, pid) of the chosen sockets, each pair once."""
    sockets, holders = update.sockets, update.snapshot.holders
    shared = np.flatnonzero(chosen & (sockets["holders"] > 1))
    shared = shared[np.argsort(sockets["inode"][shared])]
    inodes = sockets["inode"][shared]
    place = np.searchsorted(inodes, holders.inode)
    place[place == len(inodes)] = 0
    found = np.flatnonzero(inodes[place] == holders.inode) if len(inodes) else np.empty(0, np.intp)
    again = (np.diff(holders.inode[found]) == 0) & (np.diff(holders.pid[found]) == 0)  # by a second descriptor
    found = found[~np.concatenate(([False], again))[: len(found)]]
    rows = shared[place[found]]

    by_pid = chosen & (sockets["pid"] > 0)
    by_pid[rows] = False
    single = np.flatnonzero(by_pid)
    return np.concatenate((single, rows)), np.concatenate((sockets["pid"][single], holders.pid[found])).astype(np.intp)


def _tree(update: Update, pids: list[int]) -> dict[int, list[int]]:
    """The children of every pid, the roots under 0: these processes and all their ancestors that are known."""
    processes = update.snapshot.processes
    children: dict[int, list[int]] = {}
    placed: set[int] = set()
    for pid in pids:
        path: set[int] = set()
        while pid not in placed:
            placed.add(pid)
            path.add(pid)
            parent = processes[pid].ppid if pid in processes else 0
            if parent not in processes or parent in path:  # a circle: pids that were used again while /proc was read
                parent = 0
            children.setdefault(parent, []).append(pid)
            if parent == 0:
                break
            pid = parent
    return children


def _preorder(children: dict[int, list[int]]) -> tuple[list[int], list[int], list[int]]:
    """Every pid after its parent; beside it the index of its parent (-1: a root) and the end of its subtree."""
    preorder: list[int] = []
    parents: list[int] = []
    waiting = [(pid, -1) for pid in children.get(0, [])]
    while waiting:
        pid, parent = waiting.pop()
        waiting += [(child, len(preorder)) for child in children.get(pid, [])]
        preorder.append(pid)
        parents.append(parent)
    ends = list(range(1, len(preorder) + 1))
    for index in range(len(preorder) - 1, -1, -1):
        if parents[index] >= 0:
            ends[parents[index]] = max(ends[parents[index]], ends[index])
    return preorder, parents, ends


_UNBOUNDED = np.iinfo(np.int64).max


def _tallies(
    update: Update,
    codes: Codes,
    rows: Codes,
    pids: NDArray[np.intp],
    preorder: list[int],
    parents: list[int],
    ends: list[int],
) -> tuple[list[Tally], list[Tally]]:
    """Own and subtree counts, in preorder."""
    count = len(preorder)
    order = np.argsort(preorder) if count else np.empty(0, np.intp)
    nodes = order[np.searchsorted(np.array(preorder, np.intp)[order], pids)]
    cells = nodes * _CODES + codes[rows]
    own = np.bincount(cells, minlength=count * _CODES).reshape(count, _CODES)

    # A socket held twice in a subtree counts once there: of two holders beside each other in preorder, one is
    # taken off where their branches meet.
    once = own.copy()
    several = np.flatnonzero(update.sockets["holders"][rows] > 1)
    by_socket = several[np.lexsort((nodes[several], rows[several]))]
    same = np.flatnonzero(np.diff(rows[by_socket]) == 0)
    first, second = by_socket[same], by_socket[same + 1]
    meetings = np.stack((nodes[first], nodes[second], codes[rows[first]]), axis=1)
    for (one, other, code), times in zip(*np.unique(meetings, axis=0, return_counts=True), strict=True):
        meeting = _meeting(int(one), int(other), parents, ends)
        if meeting >= 0:
            once[meeting, code] -= times
    sums = np.concatenate((np.zeros((1, _CODES), np.int64), np.cumsum(once, axis=0)))
    subtree = sums[ends] - sums[:-1]

    passing = np.isin(codes[rows], _PASSING)
    ages = update.ages[rows[passing]]
    least, most = np.zeros(count, np.int64), np.full(count, -1, np.int64)
    np.maximum.at(least, nodes[passing], ages["min_ms"])
    np.maximum.at(most, nodes[passing], np.where(ages["max_ms"] < 0, _UNBOUNDED, ages["max_ms"]))
    all_least, all_most = least.tolist(), most.tolist()
    for index in range(count - 1, -1, -1):
        if parents[index] >= 0:
            all_least[parents[index]] = max(all_least[parents[index]], all_least[index])
            all_most[parents[index]] = max(all_most[parents[index]], all_most[index])
    return _as_tallies(own, least.tolist(), most.tolist()), _as_tallies(subtree, all_least, all_most)


def _meeting(one: int, other: int, parents: list[int], ends: list[int]) -> int:
    """The nearest ancestor of two nodes (``one`` first in preorder); -1 if they are in different trees."""
    while one >= 0 and ends[one] <= other:
        one = parents[one]
    return one


def _state_codes(update: Update) -> Codes:
    """TCP states, and ``UDP``."""
    udp = update.sockets["protocol"] == Protocol.UDP
    return np.where(udp, UDP, update.sockets["state"]).astype(np.intp)


def _as_tallies(states: NDArray[Any], least: Sequence[int], most: Sequence[int]) -> list[Tally]:
    return [
        Tally(tuple(counts), minimum, -1 if maximum == _UNBOUNDED else maximum)
        for counts, minimum, maximum in zip(states.tolist(), least, most, strict=True)
    ]


def _without_process(update: Update, codes: Codes, chosen: Mask) -> list[ProcessRow]:
    """One line for each reason why sockets have no process."""
    rows = np.flatnonzero(chosen & (update.sockets["pid"] <= 0))
    owner, codes = update.sockets["owner"][rows], codes[rows]
    lines = []
    for pid, kind, name in _NO_PROCESS:
        mask = owner == kind
        if not mask.any():
            continue
        ages = update.ages[rows[mask & np.isin(codes, _PASSING)]]
        least = int(ages["min_ms"].max(initial=0))
        most = -1 if (ages["max_ms"] < 0).any() else int(ages["max_ms"].max(initial=-1))
        tally = Tally(tuple(np.bincount(codes[mask], minlength=_CODES).tolist()), least, most)
        lines.append(ProcessRow(pid, None, name, (), False, False, tally, tally))
    return lines
