"""What the person at the keyboard has chosen to see: view, filter, order, columns, marks, folds.

Owns these choices and how a key changes them. Must not touch widgets or build views.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sockui.config import Config
from sockui.view import process_tree
from sockui.view.columns import COLUMNS, SCREEN
from sockui.view.query import EVERYTHING, Query
from sockui.view.table_view import ATTENTION, Sort

AUTO = "auto"
"""The view in the configuration that means: findings if there is something to find, else sockets."""
_BIGGEST_FIRST = ("number", "age")


@dataclass(slots=True)
class Choices:
    """The choices in force."""

    showing: str  # "findings", "sockets" or "processes"
    home: str  # the view that it began with, where Esc ends
    sort: Sort  # of the sockets
    columns: tuple[str, ...]  # empty: those that fit the width
    filter: Query = EVERYTHING
    tree_sort: Sort = process_tree.DEFAULT_SORT
    folded: frozenset[int] = frozenset()  # pids whose children are folded away
    marked: set[int] = field(default_factory=set)  # keys of sockets
    offset: int = 0  # columns scrolled away on the left
    came: tuple[str, Query, Query] | None = None  # by Enter: from which view and filter, with which filter to sockets

    @classmethod
    def of(cls, config: Config, chosen: Query) -> Choices:
        """Begin with what the configuration says, and a filter."""
        view = "sockets" if config.view == AUTO else config.view
        return cls(view, view, Sort.parse(config.sort), config.columns, chosen)

    def begin(self, name: str) -> None:
        """Let this be the view that it began with."""
        self.showing = self.home = name

    def enter(self, narrowed: Query) -> None:
        """Go to the sockets that a filter shows, and remember the way back."""
        self.came = (self.showing, self.filter, narrowed)
        self.showing, self.filter = "sockets", narrowed

    def come_back(self) -> bool:
        """Go back to where :meth:`enter` was; False if something else was chosen since."""
        came, self.came = self.came, None
        if came is None or (self.showing, self.filter) != ("sockets", came[2]):
            return False
        self.showing, self.filter, _ = came
        return True

    @property
    def order(self) -> Sort:
        """The order of the view that is showing; findings have their own, the worst first."""
        return self.sort if self.showing == "sockets" else self.tree_sort

    def sort_by(self, name: str) -> None:
        """Sort by a column: the biggest first where that is what people want; once more turns it round."""
        order = self.order
        again = order.column_name == name
        order = Sort(name, not order.reverse if again else begins_reversed(name))
        if self.showing == "sockets":
            self.sort = order
        else:
            self.tree_sort = order

    def fold(self, pid: int, away: bool) -> None:
        """Fold a process's children away, or show them again."""
        self.folded = self.folded | {pid} if away else self.folded - {pid}

    def mark(self, key: int) -> None:
        """Mark a socket, or take its mark."""
        self.marked ^= {key}

    def scroll_columns(self, by: int, columns: int) -> None:
        """Scroll sideways; one column stays."""
        self.offset = max(0, min(self.offset + by, columns - 1))

    def choose_columns(self, names: tuple[str, ...]) -> None:
        """Show these columns; none: those that fit."""
        self.columns, self.offset = names, 0


def begins_reversed(name: str) -> bool:
    """Whether the first press on a column means the biggest first."""
    column = {**SCREEN, **COLUMNS}.get(name)
    if column is not None:
        return column.kind in _BIGGEST_FIRST and column.name not in ("pid", "local_port", "remote_port", "uid", "fd")
    return name not in (ATTENTION, "name", "pid")
