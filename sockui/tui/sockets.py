"""Sockets as rows of a table.

Owns which style says what about a socket, and the marks beside it. Must not sort, filter or format values:
``view`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from sockui.model import Owner, Protocol, State
from sockui.tracker import Life
from sockui.tui.table import Cell, Heading, Rows
from sockui.view.column import Column, take
from sockui.view.columns import require
from sockui.view.layout import default_columns, layout
from sockui.view.table_view import TableView

STATE_STYLES = {
    State.CLOSE_WAIT: "bad",
    State.FIN_WAIT1: "warn",
    State.FIN_WAIT2: "warn",
    State.LAST_ACK: "warn",
    State.CLOSING: "warn",
    State.SYN_SENT: "warn",
    State.SYN_RECV: "warn",
    State.ESTABLISHED: "good",
    State.LISTEN: "info",
    State.TIME_WAIT: "dim",
    State.CLOSE: "dim",
}
_YOUNG_MS = 30_000  # a CLOSE_WAIT younger than this is normal: the application may be about to close
_MARKS = {Life.NEW: "+", Life.MISSED: " ", Life.ENDED: "×", Life.PRESENT: " "}


class SocketRows(Rows):
    """A :class:`TableView` as rows: the columns chosen, or those that fit, from ``offset`` on."""

    def __init__(self, view: TableView, columns: Sequence[str], offset: int, marked: AbstractSet[int]) -> None:
        self.view = view
        self._columns = columns
        self._offset = offset
        self._marked = marked
        self._laid_out: list[Column] = []

    def __len__(self) -> int:
        return len(self.view.rows)

    def columns(self, width: int) -> list[Column]:
        """Every column there is to see in this width, those scrolled away on the left included."""
        return [require(name) for name in self._columns] or list(default_columns(width))

    def headings(self, width: int) -> Sequence[Heading]:
        columns = self.columns(width)
        shown = columns[min(self._offset, len(columns) - 1) :]
        laid_out = layout(shown, width - 1)
        self._laid_out = [column for column, _ in laid_out]
        return (
            Heading("", "", 1, False),
            *(Heading(column.name, column.title, cells, column.right) for column, cells in laid_out),
        )

    def key(self, index: int) -> Hashable:
        return int(self.view.update.keys[self.view.rows[index]])

    def find(self, key: Hashable) -> int | None:
        if not isinstance(key, int):
            return None
        found = np.flatnonzero(self.view.update.keys[self.view.rows] == np.uint64(key))
        return int(found[0]) if len(found) else None

    def page(self, first: int, last: int, headings: Sequence[Heading]) -> Sequence[tuple[Sequence[Cell], str]]:
        shown = take(self.view.update, self.view.rows[first:last])
        styles = [_style_of(column) for column in self._laid_out]
        texts = [
            [column.cell(text, heading.width) for text in column.texts(shown)]
            for column, heading in zip(self._laid_out, headings[1:], strict=True)
        ]
        lines = []
        for row in range(last - first):
            life = Life(int(shown.life[row]))
            marked = int(shown.keys[row]) in self._marked
            cells: list[Cell] = [("*" if marked else _MARKS[life], "marked" if marked else "")]
            cells += [
                (column[row], style(shown.sockets[row], shown.ages[row]))
                for column, style in zip(texts, styles, strict=True)
            ]
            lines.append((cells, "ended" if life == Life.ENDED else "new" if life == Life.NEW else ""))
        return lines


_StyleOf = Callable[[np.void, np.void], str]


def _style_of(column: Column) -> _StyleOf:
    return _STYLES.get(column.name, lambda _row, _age: "")


def _state(row: np.void, age: np.void) -> str:
    if row["protocol"] == Protocol.UDP:
        return "dim"
    if row["state"] == State.CLOSE_WAIT and age["min_ms"] < _YOUNG_MS:
        return "warn"
    return STATE_STYLES[State(int(row["state"]))]


def _recv_queue(row: np.void, _age: np.void) -> str:
    if row["state"] == State.LISTEN and row["protocol"] == Protocol.TCP:
        return "bad" if row["recv_queue"] > row["send_queue"] else "warn" if row["recv_queue"] else ""
    return "warn" if row["recv_queue"] else "dim"


def _send_queue(row: np.void, _age: np.void) -> str:
    return "warn" if row["send_queue"] and row["state"] != State.LISTEN else "dim"


def _owner(row: np.void, _age: np.void) -> str:
    return "" if row["owner"] in (Owner.PROCESS, Owner.LISTENER) else "dim"


def _retransmits(row: np.void, _age: np.void) -> str:
    return "bad" if row["retransmits"] >= 3 else "warn" if row["retransmits"] else "dim"


_STYLES: dict[str, _StyleOf] = {
    "state": _state,
    "recv_queue": _recv_queue,
    "send_queue": _send_queue,
    "process": _owner,
    "retransmits": _retransmits,
    "protocol": lambda _row, _age: "dim",
}
