"""The main screen: counts, table, explanation, status.

Owns what is shown now (view, filter, order, marks, fold state) and the keys that change it. Must not read
sockets or compute views itself: it asks ``view`` with the last :class:`Poll`.
"""

from __future__ import annotations

import dataclasses
import io
import time
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.screen import Screen

from sockui import report
from sockui.config import Config
from sockui.errors import FilterError
from sockui.poller import Poll
from sockui.tui import paragraphs, wording
from sockui.tui.bar import Bar, StateBar
from sockui.tui.filter_bar import FilterBar
from sockui.tui.pane import Pane
from sockui.tui.pickers import ColumnChooser, SortPicker
from sockui.tui.processes import ProcessRows
from sockui.tui.sockets import SocketRows
from sockui.tui.table import Table
from sockui.view import process_tree, query, summary, table_view
from sockui.view.columns import COLUMNS, SCREEN, require
from sockui.view.diagram import diagram
from sockui.view.explain import explain, explain_process
from sockui.view.process_tree import ProcessTreeView
from sockui.view.query import Query
from sockui.view.table_view import Sort, TableView

if TYPE_CHECKING:
    from sockui.tui.app import SockuiApp

WIDE = 110
"""Columns from which the explanation stands beside the table instead of below it."""
QUIET_SECONDS = 0.6
"""A changed order waits until no key was pressed for so long: nothing moves under a finger."""


class MainScreen(Screen[None]):
    """Sockets or processes, with the explanation of what is under the cursor."""

    DEFAULT_CSS = """
    MainScreen {
        & #body { height: 1fr; layout: vertical; }
        & #tables { height: 1fr; width: 1fr; }
        & #explainer { height: 1fr; max-height: 18; border-top: solid $primary; padding: 0 1; }
        & #explainer:focus { border-top: thick $accent; }
        & #explainer.-off { display: none; }
        & #tables > .-off { display: none; }
        &.-wide #body { layout: horizontal; }
        &.-wide #tables { height: 1fr; }
        &.-wide #explainer {
            width: 44; height: 1fr; max-height: 100%; border-top: none; border-left: solid $primary;
        }
        &.-wide #explainer:focus { border-left: thick $accent; }
        &.-huge #explainer { width: 64; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("2", "view('sockets')", "Sockets"),
        Binding("3", "view('processes')", "Processes"),
        Binding("slash", "filter", "Filter"),
        Binding("escape", "back", "Back one step"),
        Binding("s", "pick_sort", "Sort by…"),
        Binding("S", "reverse", "Reverse the order"),
        Binding("space", "mark", "Mark"),
        Binding("p", "pause", "Pause"),
        Binding("plus,equals_sign", "interval(2)", "Longer interval"),
        Binding("minus", "interval(0.5)", "Shorter interval"),
        Binding("enter", "enter", "All about it"),
        Binding("r", "remedy", "Remediation"),
        Binding("c", "copy_summary", "Copy a summary"),
        Binding("C", "copy_table", "Copy marked rows or the table"),
        Binding("d", "copy_full", "Copy full diagnostics"),
        Binding("e", "explainer", "Explainer on/off"),
        Binding("o", "columns", "Columns"),
        Binding("left,h", "sideways(-1)", "Columns to the left, fold", show=False),
        Binding("right,l", "sideways(1)", "Columns to the right, unfold", show=False),
    ]

    def __init__(self, config: Config) -> None:
        super().__init__()
        self._ascii = config.ascii
        self.poll: Poll | None = None
        self.view: TableView | None = None
        self.tree_view: ProcessTreeView | None = None
        self.filter: Query = query.EVERYTHING
        self.sort = Sort.parse(config.sort)
        self.tree_sort = process_tree.DEFAULT_SORT
        self.folded: frozenset[int] = frozenset()
        self.marked: set[int] = set()
        self.showing = config.view
        self._columns = config.columns
        self._offset = 0
        self._before_typing: Query = query.EVERYTHING
        self._explainer = config.explainer
        self._last_key = 0.0
        self._waiting: tuple[Poll, TableView] | None = None
        self._note = ""

    @property
    def sockui(self) -> SockuiApp:
        """The application, by its own type."""
        from sockui.tui.app import SockuiApp

        app = self.app
        assert isinstance(app, SockuiApp)  # noqa: S101  nothing else makes this screen
        return app

    # --- composition ------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield Bar(id="top")
        yield StateBar(id="states")
        yield FilterBar(id="filter")
        with Container(id="body"):
            with Vertical(id="tables"):
                yield Table(id="sockets")
                yield Table(id="processes")
            yield Pane(id="explainer")
        yield Bar(id="status")
        yield Bar(id="hints")

    def on_mount(self) -> None:
        self.query_one("#explainer").set_class(not self._explainer, "-off")
        self.query_one("#top", Bar).say(wording.top(None, self.sockui.poller.interval, False))
        self.query_one("#status", Bar).say(wording.reading())
        self.action_view(self.showing)

    def on_resize(self) -> None:
        width = self.app.size.width
        self.set_class(width >= WIDE, "-wide")
        self.set_class(width >= 170, "-huge")
        self._hint()

    @property
    def table(self) -> Table:
        """The table in view."""
        return self.query_one(f"#{self.showing}", Table)

    # --- results ----------------------------------------------------------------------------------

    def wants(self) -> tuple[Query, Sort]:
        """What the poller's thread should filter and sort by."""
        return self.filter, self.sort

    def take(self, poll: Poll, view: TableView | None) -> None:
        """Show a poll; ``view`` was built for what was wanted when the poll was made."""
        self.poll = poll
        self.query_one("#top", Bar).say(wording.top(poll, self.sockui.poller.interval, self.sockui.poller.paused))
        if poll.error or view is None:
            self._status()
            return
        quiet = time.monotonic() - self._last_key
        if self.view is not None and quiet < QUIET_SECONDS:
            if self._waiting is None:
                self.set_timer(QUIET_SECONDS - quiet + 0.05, self._show_waiting)
            self._waiting = (poll, view)
            return
        self._waiting = None
        if view.query != self.filter or view.sort != self.sort:
            self._build()
            return
        self._show(view)

    def _show_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self.take(*waiting)

    def _build(self) -> None:
        """Filter and sort the last update again, because the person asked for it."""
        if self.poll is None or self.poll.update is None:
            return
        self._show(table_view.build(self.poll.update, self.filter, self.sort, self.view))

    def _show(self, view: TableView) -> None:
        self.view = view
        if self.showing == "sockets":
            table = self.query_one("#sockets", Table)
            table.empty_text = wording.nothing(view, self.filter.text)
            table.show(SocketRows(view, self._columns, self._offset, self.marked), self.sort.text)
        else:
            self._show_tree()
        chosen = wording.state_of_filter(self.filter.text)
        self.query_one("#states", StateBar).count(wording.state_counts(view), chosen)
        if self.query_one(FilterBar).is_open:
            self.query_one(FilterBar).answer(len(view.rows), view.total)
        self._status()
        self._explain()
        self.sockui.renew_screens()

    def _show_tree(self) -> None:
        if self.view is None:
            return
        self.tree_view = process_tree.build_tree(self.view.update, self.filter, self.tree_sort, self.folded)
        table = self.query_one("#processes", Table)
        table.empty_text = wording.nothing(self.view, self.filter.text)
        table.show(ProcessRows(self.tree_view, self._ascii), self.tree_sort.text)

    def _status(self) -> None:
        words = wording.status(self.poll, self.view, self.filter.text, len(self.marked), self._note)
        self.query_one("#status", Bar).say(words)

    def _hint(self) -> None:
        words = wording.hints(self.showing, self.app.size.width, bool(self.filter.text))
        self.query_one("#hints", Bar).say(words)

    def say(self, note: str) -> None:
        """Say something in the status line until the next key."""
        self._note = note
        self._status()

    # --- the row under the cursor -----------------------------------------------------------------

    @property
    def selected(self) -> int | None:
        """Index in ``view.update`` of the socket under the cursor, None if there is none."""
        view, table = self.view, self.query_one("#sockets", Table)
        if self.showing != "sockets" or view is None or not 0 <= table.cursor < len(view.rows):
            return None
        return int(view.rows[table.cursor])

    @property
    def selected_process(self) -> process_tree.ProcessRow | None:
        """The process under the cursor."""
        table = self.query_one("#processes", Table)
        if self.showing != "processes" or self.tree_view is None or not 0 <= table.cursor < len(self.tree_view.rows):
            return None
        return self.tree_view.rows[table.cursor]

    @on(Table.CursorMoved)
    def _moved(self) -> None:
        self._explain()

    def _explain(self) -> None:
        if not self._explainer or self.view is None:
            return
        pane = self.query_one("#explainer", Pane)
        index, process = self.selected, self.selected_process
        if index is not None:
            update, ascii_only = self.view.update, self._ascii
            pane.show(paragraphs.explanation(explain(update, index), diagram(update, index, ascii_only)))
        elif process is not None and process.pid > 0 and self.tree_view is not None:
            pids = process_tree.pids_of_subtree(self.tree_view, process.pid) if process.folded else [process.pid]
            pane.show(paragraphs.process(explain_process(self.view.update, process.pid, pids)))
        else:
            pane.show(())

    # --- keys -------------------------------------------------------------------------------------

    def on_key(self) -> None:
        """Remember that a finger is on the keys, and let the last note go."""
        self._last_key = time.monotonic()
        if self._note:
            self._note = ""
            self._status()

    def action_view(self, name: str) -> None:
        """Show sockets or processes."""
        self.showing = name
        for table in self.query("#tables > Table"):
            table.set_class(table.id != name, "-off")
        self.table.focus()
        self._hint()
        if self.view is not None:
            self._show(self.view)

    def action_filter(self) -> None:
        """Type a filter."""
        self._before_typing = self.filter
        self.query_one(FilterBar).open(self.filter.text)

    @on(FilterBar.Changed)
    def _typed(self, event: FilterBar.Changed) -> None:
        try:
            self.filter = query.compile(event.text)
        except FilterError as error:
            self.query_one(FilterBar).wrong(error)
            return
        self._build()

    @on(FilterBar.Closed)
    def _typed_all(self, event: FilterBar.Closed) -> None:
        self.query_one(FilterBar).close()
        self.table.focus()
        if not event.keep:
            self.filter = self._before_typing
        self._hint()
        self._build()

    def filter_by(self, text: str) -> None:
        """Put a filter in force."""
        try:
            self.filter = query.compile(text)
        except FilterError as error:
            self.say(error.hint)
            return
        self._hint()
        self._build()

    @on(Bar.Pressed, "#states")
    def _pressed_state(self, event: Bar.Pressed) -> None:
        word = "" if wording.state_of_filter(self.filter.text) == event.press else event.press
        self.filter_by(wording.filter_of_state(word))

    def action_back(self) -> None:
        """Go back one step: marks, filter, then the socket view."""
        if self.marked:
            self.marked.clear()
            self._build()
        elif self.filter.text:
            self.filter_by("")
        elif not isinstance(self.focused, Table):
            self.table.focus()
        elif self.showing != "sockets":
            self.action_view("sockets")

    def action_pick_sort(self) -> None:
        """Choose the order from a list."""
        present = self.sort.text if self.showing == "sockets" else self.tree_sort.text
        choices = wording.sort_choices(self.showing)
        self.app.push_screen(SortPicker(choices, present), self._sort_by)

    def _sort_by(self, name: str | None) -> None:
        if not name:
            return
        if self.showing == "sockets":
            again = self.sort.column_name == name
            self.sort = Sort(name, not self.sort.reverse if again else wording.begins_reversed(name))
            self._build()
        else:
            again = self.tree_sort.column_name == name
            self.tree_sort = Sort(name, not self.tree_sort.reverse if again else wording.begins_reversed(name))
            self._show_tree()

    @on(Table.HeadingClicked)
    def _pressed_heading(self, event: Table.HeadingClicked) -> None:
        self._sort_by(event.name)

    def action_reverse(self) -> None:
        """Turn the order round."""
        self._sort_by(self.sort.column_name if self.showing == "sockets" else self.tree_sort.column_name)

    def action_mark(self) -> None:
        """Mark the socket, or take its mark, and go to the next."""
        if self.selected is None or self.view is None:
            return
        key = int(self.view.update.keys[self.selected])
        self.marked ^= {key}
        self.table.action_move(1)
        self._build()

    def action_pause(self) -> None:
        """Rest or go on."""
        poller = self.sockui.poller
        poller.paused = not poller.paused
        self.query_one("#top", Bar).say(wording.top(self.poll, poller.interval, poller.paused))

    def action_interval(self, factor: float) -> None:
        """Poll less or more often."""
        poller = self.sockui.poller
        poller.interval = wording.step_interval(poller.interval, factor)
        self.query_one("#top", Bar).say(wording.top(self.poll, poller.interval, poller.paused))

    def action_explainer(self) -> None:
        """Show or hide the explanation."""
        self._explainer = not self._explainer
        self.query_one("#explainer").set_class(not self._explainer, "-off")
        if not self._explainer:
            self.table.focus()
        self._explain()

    def action_columns(self) -> None:
        """Choose the columns."""
        table = self.query_one("#sockets", Table)
        if self.showing != "sockets" or not isinstance(table.rows, SocketRows):
            return
        present = [column.name for column in table.rows.columns(table.size.width)]
        every = {**SCREEN, **COLUMNS}
        names = [*present, *(name for name in every if name not in present)]
        choices = [(name, every[name].help) for name in names]
        self.app.push_screen(ColumnChooser(choices, present), self._take_columns)

    def _take_columns(self, names: tuple[str, ...] | None) -> None:
        if names is not None:
            self._columns, self._offset = names, 0
            self._build()

    def action_sideways(self, by: int) -> None:
        """Scroll the columns; in the tree, fold or unfold."""
        if self.showing == "processes":
            row = self.selected_process
            if row is not None and row.has_children:
                self.folded = self.folded | {row.pid} if by < 0 else self.folded - {row.pid}
                self._show_tree()
            return
        table = self.query_one("#sockets", Table)
        if isinstance(table.rows, SocketRows):
            most = len(table.rows.columns(table.size.width)) - 1
            self._offset = max(0, min(self._offset + by, most))
            self._build()

    @on(Table.Entered)
    def action_enter(self) -> None:
        """All about the socket; of a process, its sockets."""
        process = self.selected_process
        if process is not None and self.tree_view is not None:
            self.showing = "sockets"
            self.filter_by(process_tree.filter_text(self.tree_view, process))
            self.action_view("sockets")
        elif isinstance(self.focused, StateBar):
            self.focused.action_press()
        elif self.selected is not None:
            self.sockui.show_details()

    def action_remedy(self) -> None:
        """What to do about the socket."""
        if self.selected is not None:
            self.sockui.show_remedy()
        else:
            self.say("Remediation is for a socket: press 2 and choose one.")

    # --- copying ----------------------------------------------------------------------------------

    def _chosen(self) -> list[int]:
        """Rows of the update: the marked sockets, or the one under the cursor."""
        if self.view is None:
            return []
        marked = np.isin(self.view.update.keys, np.fromiter(self.marked, np.uint64))
        rows = [int(row) for row in np.flatnonzero(marked)]
        return rows or ([self.selected] if self.selected is not None else [])

    def action_copy_summary(self) -> None:
        """Copy what chat should know: the socket's summary, the marked sockets' together, or the process's."""
        process = self.selected_process
        if self.view is not None and process is not None and process.pid > 0:
            self.sockui.copy(summary.summary_process(self.view.update, process.pid))
        elif self.view is not None and (rows := self._chosen()):
            self.sockui.copy(summary.summary(self.view.update, rows))
        else:
            self.say("Not copied: nothing is selected.")

    def action_copy_table(self) -> None:
        """Copy the marked rows, or the table as filtered and sorted, as text in a code block."""
        if self.view is None or not len(self.view.rows):
            self.say("Not copied: the table is empty.")
            return
        view = self.view
        if self.marked:
            shown = np.isin(view.update.keys[view.rows], np.fromiter(self.marked, np.uint64))
            view = dataclasses.replace(view, rows=view.rows[shown])
        text = io.StringIO()
        report.write(view, "table", text, [require(name) for name in self._columns], 120)
        self.sockui.copy(f"```\n{text.getvalue()}```")

    def action_copy_full(self) -> None:
        """Copy all that is known of the socket under the cursor."""
        if self.view is None or self.selected is None:
            self.say("Not copied: no socket is selected.")
            return
        self.sockui.copy(summary.full(self.view.update, self.selected))
