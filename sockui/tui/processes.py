"""Processes as rows of a table.

Owns the columns of the process view and which style says what about a process. Must not count or lay out the
tree: ``view.process_tree`` does.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from sockui.model import State
from sockui.tui.sockets import STATE_STYLES
from sockui.tui.table import Cell, Heading, Rows
from sockui.view import format as fmt
from sockui.view.process_tree import UDP, ProcessRow, ProcessTreeView

_STATES = (
    (State.CLOSE_WAIT, "CLOSEW"),
    (State.FIN_WAIT2, "FINW2"),
    (State.FIN_WAIT1, "FINW1"),
    (State.LAST_ACK, "LASTA"),
    (State.CLOSING, "CLOSG"),
    (State.SYN_SENT, "SYNS"),
    (State.SYN_RECV, "SYNR"),
    (State.ESTABLISHED, "ESTAB"),
    (State.LISTEN, "LISTEN"),
    (State.TIME_WAIT, "TIMEW"),
)
_ALWAYS = (State.CLOSE_WAIT, State.ESTABLISHED, State.LISTEN)
_LEVEL = 3  # cells of a level of ``ProcessRow.prefix``
_NAME_ROOM = 20  # cells that a process's branch and name have at least
_DISPENSABLE = {
    "sockets": 0,
    "CLOSE_WAIT": 0,
    "oldest": 0,
    "pid": 0,
    "ESTABLISHED": 0,
    "fds": 0,
    "LISTEN": 0.5,
    "UDP": 2,
}
_FULL_SHARE = 0.9  # of the descriptor limit: about to run out
_HIGH_SHARE = 0.5


class ProcessRows(Rows):
    """A :class:`ProcessTreeView` as rows. States that no process has take no column on a narrow screen."""

    def __init__(self, view: ProcessTreeView, ascii_only: bool) -> None:
        self.view = view
        self._ascii = ascii_only
        self._indent = _LEVEL
        totals = [sum(row.own.states[state] for row in view.rows) for state, _ in _STATES]
        self._present = {state for (state, _), total in zip(_STATES, totals, strict=True) if total}

    def __len__(self) -> int:
        return len(self.view.rows)

    def headings(self, width: int) -> Sequence[Heading]:
        fixed = [Heading("pid", "PID", 7, True), Heading("sockets", "Socks", 6, True)]
        fixed += [
            Heading(state.name, title, 6, True)
            for state, title in _STATES
            if state in _ALWAYS or (state in self._present and width >= 78) or width >= 150
        ]
        fixed += [Heading("UDP", "UDP", 5, True)] if width >= 100 else []
        fixed += [Heading("oldest", "Oldest", 8, True), Heading("fds", "FDs", 10, True)]
        if width >= 150:
            fixed += [Heading("user", "User", 10, False), Heading("unit", "Unit", 18, False)]
        while width - sum(heading.width + 1 for heading in fixed) < _NAME_ROOM and len(fixed) > 1:
            fixed.remove(max(fixed, key=lambda heading: _DISPENSABLE.get(heading.name, 1)))
        room = width - sum(heading.width + 1 for heading in fixed)
        self._indent = next((step for step in (3, 2) if self._widest(step) <= room), 1)
        return (Heading("name", "Process", min(room, 60), False), *fixed)

    def key(self, index: int) -> Hashable:
        return self.view.rows[index].pid

    def find(self, key: Hashable) -> int | None:
        return self.view.find(key) if isinstance(key, int) else None

    def page(self, first: int, last: int, headings: Sequence[Heading]) -> Sequence[tuple[Sequence[Cell], str]]:
        return [([self._cell(row, heading) for heading in headings], "") for row in self.view.rows[first:last]]

    def _widest(self, indent: int) -> int:
        """Cells that the widest name takes with its branch."""
        return max((indent * (row.depth - 1) + 5 + fmt.cells(row.name) for row in self.view.rows), default=0)

    def _branch(self, row: ProcessRow) -> str:
        """The branches before a name; deep trees take less room a level, so that names can still be read."""
        branch = row.prefix(self._ascii)
        levels = [branch[at : at + _LEVEL] for at in range(0, len(branch), _LEVEL)]
        return "".join(level[: self._indent] for level in levels[:-1]) + "".join(levels[-1:])

    def _cell(self, row: ProcessRow, heading: Heading) -> Cell:
        tally = row.shown
        match heading.name:
            case "name":
                fold = "" if not row.has_children else "+" if row.folded else "-" if self._ascii else "▾"
                fold = "▸" if row.folded and not self._ascii else fold
                name = f"{fold}{' ' if fold else ''}{row.name}"
                name = self._branch(row) + name
                spare = heading.width - len(name) - 2
                command = row.command
                if spare > 12 and command and command != row.name:
                    return f"{name}  {command}", ""
                return name, "" if row.pid > 0 else "dim"
            case "pid":
                return (str(row.pid), "dim") if row.pid > 0 else ("", "")
            case "sockets":
                return _number(tally.sockets, "")
            case "oldest":
                return fmt.age(tally.oldest_min_ms, tally.oldest_max_ms), ""
            case "fds":
                return _descriptors(row)
            case "user":
                return row.user, "dim"
            case "unit":
                return row.unit, "dim"
            case "UDP":
                return _number(tally.states[UDP], "dim")
        state = State[heading.name]
        return _number(tally.states[state], STATE_STYLES[state])


def _number(number: int, style: str) -> Cell:
    return (fmt.count(number), style) if number else ("·", "dim")


def _descriptors(row: ProcessRow) -> Cell:
    """Open descriptors of the limit."""
    process = row.process
    if process is None or process.fd_count is None:
        return "", "dim"
    if not process.fd_limit:
        return str(process.fd_count), "dim"
    share = process.fd_count / process.fd_limit
    style = "bad" if share >= _FULL_SHARE else "warn" if share >= _HIGH_SHARE else "dim"
    limit = process.fd_limit
    short = f"{limit}" if limit < 10_000 else f"{limit // 1000}k" if limit < 10_000_000 else f"{limit // 1_000_000}M"
    return f"{process.fd_count}/{short}", style
