"""The main screen: counts, table, explanation, status.

Owns what is shown now (view, filter, order, marks, fold state) and the keys that change it. Must not read
sockets or compute views itself: it asks ``view`` with the last :class:`Poll`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from sockui.config import Config
from sockui.errors import FilterError
from sockui.poller import Poll
from sockui.tui import copying, wording
from sockui.tui.bar import Bar, StateBar
from sockui.tui.body import Body
from sockui.tui.choices import Choices
from sockui.tui.filter_bar import FilterBar
from sockui.tui.pickers import ColumnChooser, SortPicker
from sockui.tui.sockets import SocketRows
from sockui.tui.table import Table
from sockui.view import process_tree, query, summary, table_view
from sockui.view.columns import COLUMNS, SCREEN
from sockui.view.query import Query
from sockui.view.table_view import Sort, TableView

if TYPE_CHECKING:
    from sockui.tui.app import SockuiApp

WIDE = 120
"""Columns from which the explanation stands beside the table instead of below it."""
QUIET_SECONDS = 0.6
"""A changed order waits until no key was pressed for so long: nothing moves under a finger."""


class MainScreen(Screen[None]):
    """Sockets or processes, with the explanation of what is under the cursor."""

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

    def __init__(self, config: Config, chosen: Query) -> None:
        super().__init__()
        self.poll: Poll | None = None
        self.view: TableView | None = None
        self.choices = Choices.of(config, chosen)
        self.body = Body(self.choices, config.explainer, config.ascii)
        self._before_typing: Query = query.EVERYTHING
        self._finger_on = False
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
        yield self.body
        yield Bar(id="status")
        yield Bar(id="hints")

    def on_mount(self) -> None:
        self._quiet = self.set_interval(QUIET_SECONDS, self.finger_off, pause=True)
        self.query_one("#top", Bar).say(wording.top(None, self.sockui.poller.interval, False))
        self.query_one("#status", Bar).say(wording.reading())
        self.action_view(self.choices.showing)

    def on_resize(self) -> None:
        width = self.app.size.width
        self.set_class(width >= WIDE, "-wide")
        self.set_class(width >= 170, "-huge")
        self._hint()

    # --- results ----------------------------------------------------------------------------------

    def wants(self) -> tuple[Query, Sort]:
        """What the poller's thread should filter and sort by."""
        return self.choices.filter, self.choices.sort

    def take(self, poll: Poll, view: TableView | None) -> None:
        """Show a poll; ``view`` was built for what was wanted when the poll was made."""
        if not self.body.ready:
            self.call_later(self.take, poll, view)
            return
        self.poll = poll
        self.query_one("#top", Bar).say(wording.top(poll, self.sockui.poller.interval, self.sockui.poller.paused))
        if poll.error or view is None:
            self._status()
            return
        if self.view is not None and self._finger_on:
            self._waiting = (poll, view)
            return
        if view.query != self.choices.filter or view.sort != self.choices.sort:
            self._build()
            return
        self._show(view)

    def finger_off(self) -> None:
        """No key was pressed for a while: what waited may be shown."""
        self._finger_on = False
        self._quiet.pause()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self.take(*waiting)

    def _build(self) -> None:
        """Filter and sort the last update again, because the person asked for it."""
        if self.poll is None or self.poll.update is None:
            return
        self._show(table_view.build(self.poll.update, self.choices.filter, self.choices.sort, self.view))

    def _show(self, view: TableView) -> None:
        self.view = view
        self.body.show(view)
        chosen = wording.state_of_filter(self.choices.filter.text)
        self.query_one("#states", StateBar).count(wording.state_counts(view), chosen)
        self._status()
        self.sockui.renew_screens()

    def _status(self) -> None:
        words = wording.status(self.poll, self.view, self.choices, self._note)
        self.query_one("#status", Bar).say(words)

    def _hint(self) -> None:
        words = wording.hints(self.choices.showing, self.app.size.width, bool(self.choices.filter.text))
        self.query_one("#hints", Bar).say(words)

    def say(self, note: str) -> None:
        """Say something in the status line until the next key."""
        self._note = note
        self._status()

    # --- keys -------------------------------------------------------------------------------------

    def on_key(self) -> None:
        """Remember that a finger is on the keys, and let the last note go."""
        self._finger_on = True
        self._quiet.reset()
        self._quiet.resume()
        if self._note:
            self._note = ""
            self._status()

    def action_view(self, name: str) -> None:
        """Show sockets or processes."""
        self.choices.showing = name
        self.body.switch()
        self._hint()
        if self.view is not None:
            self._show(self.view)

    def action_filter(self) -> None:
        """Type a filter."""
        self._before_typing = self.choices.filter
        self.query_one(FilterBar).open(self.choices.filter.text)

    @on(FilterBar.Changed)
    def _typed(self, event: FilterBar.Changed) -> None:
        """Apply what is typed so far. What is wrong or matches nothing yet leaves the last good view."""
        bar = self.query_one(FilterBar)
        try:
            typed = query.compile(event.text)
        except FilterError as error:
            bar.wrong(error)
            return
        if self.poll is None or self.poll.update is None:
            return
        view = table_view.build(self.poll.update, typed, self.choices.sort, self.view)
        if len(view.rows):
            self.choices.filter = typed
            self._show(view)
        bar.answer(len(view.rows), view.total)

    @on(FilterBar.Closed)
    def _typed_all(self, event: FilterBar.Closed) -> None:
        self.query_one(FilterBar).close()
        self.body.table.focus()
        self.choices.filter = query.compile(event.text) if event.text is not None else self._before_typing
        self._hint()
        self._build()

    def filter_by(self, text: str) -> None:
        """Put a filter in force."""
        try:
            self.choices.filter = query.compile(text)
        except FilterError as error:
            self.say(error.hint)
            return
        self._hint()
        self._build()

    @on(Bar.Pressed, "#states")
    def _pressed_state(self, event: Bar.Pressed) -> None:
        word = "" if wording.state_of_filter(self.choices.filter.text) == event.press else event.press
        self.filter_by(wording.filter_of_state(word))

    def action_back(self) -> None:
        """Go back one step: marks, filter, then the socket view."""
        if self.choices.marked:
            self.choices.marked.clear()
            self._build()
        elif self.choices.filter.text:
            self.filter_by("")
        elif not isinstance(self.focused, Table):
            self.body.table.focus()
        elif self.choices.showing != "sockets":
            self.action_view("sockets")

    def action_pick_sort(self) -> None:
        """Choose the order from a list."""
        names = wording.sort_choices(self.choices.showing)
        self.app.push_screen(SortPicker(names, self.choices.order.text), self._sort_by)

    def _sort_by(self, name: str | None) -> None:
        if name:
            self.choices.sort_by(name)
            self._build()

    @on(Table.HeadingClicked)
    def _pressed_heading(self, event: Table.HeadingClicked) -> None:
        self._sort_by(event.name)

    def action_reverse(self) -> None:
        """Turn the order round."""
        self._sort_by(self.choices.order.column_name)

    def action_mark(self) -> None:
        """Mark the socket, or take its mark, and go to the next."""
        if self.body.selected is None or self.view is None:
            return
        self.choices.mark(int(self.view.update.keys[self.body.selected]))
        self.body.table.action_move(1)
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
        self.body.toggle_explainer()

    def action_columns(self) -> None:
        """Choose the columns."""
        table = self.body.table
        if not isinstance(table.rows, SocketRows):
            return
        present = [column.name for column in table.rows.columns(table.size.width)]
        every = {**SCREEN, **COLUMNS}
        names = [*present, *(name for name in every if name not in present)]
        choices = [(name, every[name].help) for name in names]
        self.app.push_screen(ColumnChooser(choices, present), self._take_columns)

    def _take_columns(self, names: tuple[str, ...] | None) -> None:
        if names is not None:
            self.choices.choose_columns(names)
            self._build()

    def action_sideways(self, by: int) -> None:
        """Scroll the columns; in the tree, fold or unfold."""
        row, table = self.body.selected_process, self.body.table
        if row is not None and row.has_children:
            self.choices.fold(row.pid, by < 0)
        elif isinstance(table.rows, SocketRows):
            self.choices.scroll_columns(by, len(table.rows.columns(table.size.width)))
        self._build()

    @on(Table.Entered)
    def action_enter(self) -> None:
        """All about the socket; of a process, its sockets."""
        process = self.body.selected_process
        if process is not None and self.body.processes is not None:
            self.choices.showing = "sockets"
            self.filter_by(process_tree.filter_text(self.body.processes, process))
            self.action_view("sockets")
        elif isinstance(self.focused, StateBar):
            self.focused.action_press()
        elif self.body.selected is not None:
            self.sockui.show_details(self.body.selected)

    def action_remedy(self) -> None:
        """What to do about the socket; of a process, about its oldest stuck one."""
        index = self.body.selected if self.choices.showing == "sockets" else self.body.oldest_stuck
        if index is not None:
            self.sockui.show_remedy(index)
        else:
            self.say("There is nothing stuck here.")

    # --- copying ----------------------------------------------------------------------------------

    def _copy(self, text: str, nothing: str) -> None:
        if text:
            self.sockui.copy(text)
        else:
            self.say(f"Not copied: {nothing}.")

    def action_copy_summary(self) -> None:
        """Copy what chat should know: of the marked sockets, the socket or the process under the cursor."""
        process, text = self.body.selected_process, ""
        if self.view is not None and process is not None and process.pid > 0:
            text = summary.summary_process(self.view.update, process.pid)
        elif self.view is not None:
            text = copying.sockets(self.view, self.choices.marked, self.body.selected)
        self._copy(text, "nothing is selected")

    def action_copy_table(self) -> None:
        """Copy the marked rows, or the table as filtered and sorted, as text in a code block."""
        if self.choices.showing == "processes":
            text = copying.rows(self.body.table.rows)
        else:
            text = copying.table(self.view, self.choices.marked, self.choices.columns) if self.view else ""
        self._copy(text, "the table is empty")

    def action_copy_full(self) -> None:
        """Copy all that is known of the socket under the cursor."""
        view, selected = self.view, self.body.selected
        text = summary.full(view.update, selected) if view is not None and selected is not None else ""
        self._copy(text, "no socket is selected")
