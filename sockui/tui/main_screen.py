"""The main screen: what each key does to what is shown.

Owns the keys; what only a key needs is loaded when it is pressed. Must not take polls or say what the bars say
(``live_screen``), nor choose the text that a key copies (``copying``).
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType

from sockui.errors import FilterError
from sockui.model import Protocol, State
from sockui.model.sockets import state_name
from sockui.tui import wording
from sockui.tui.bar import Bar, StateBar
from sockui.tui.beside import beside
from sockui.tui.filter_bar import FilterBar
from sockui.tui.live_screen import LiveScreen
from sockui.tui.sockets import SocketRows
from sockui.tui.table import Table
from sockui.view import query
from sockui.view.columns import COLUMNS, SCREEN
from sockui.view.query import Query

_IN_ORDER = "Findings are in order already: the worst first."


class MainScreen(LiveScreen):
    """Findings, sockets and processes, and the keys that go from one to the other and to pages about one of them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "view('findings')", "Findings"),
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
        Binding("enter", "enter", "All about it; of a finding or a process its sockets"),
        Binding("r", "remedy", "Remediation"),
        Binding("i", "meaning", "What it means: the page of the state or finding"),
        Binding("D", "diagram", "Diagram of the states, to walk in"),
        Binding("a", "acknowledge", "Acknowledge a finding, or take that back"),
        Binding("c", "copy_summary", "Copy a summary"),
        Binding("C", "copy_table", "Copy marked rows or the table"),
        Binding("d", "copy_full", "Copy full diagnostics"),
        Binding("e", "explainer", "Explainer on/off"),
        Binding("o", "columns", "Columns"),
        Binding("left,h", "sideways(-1)", "Columns to the left, fold", show=False),
        Binding("right,l", "sideways(1)", "Columns to the right, unfold", show=False),
    ]

    _before_typing: Query = query.EVERYTHING

    # --- what is shown ----------------------------------------------------------------------------

    def action_view(self, name: str) -> None:
        """Show findings, sockets or processes."""
        self.choices.came = None
        self.switch(name)

    def action_filter(self) -> None:
        """Type a filter."""
        update = self.poll.update if self.poll is not None else None
        self.run_worker(beside(partial(query.prepare, update)))  # there before the first letter is typed
        self._before_typing = self.choices.filter
        self.query_one(FilterBar).open(self.choices.filter.text)

    @on(FilterBar.Changed)
    def _typed(self, event: FilterBar.Changed) -> None:
        """Apply what is typed so far. What is wrong or matches nothing yet leaves the last good view."""
        self.on_key()  # the line has kept the key to itself
        bar = self.query_one(FilterBar)
        try:
            typed = query.compile(event.text)
            if self.poll is None or self.poll.update is None:
                return
            view = self.built(self.poll.update, typed)
        except FilterError as error:
            bar.wrong(error)
            return
        if len(view.rows):
            self.choices.filter = typed
            self._show(view)
        bar.answer(*wording.matching(view), shown=len(view.rows) > 0)

    @on(FilterBar.Closed)
    def _typed_all(self, event: FilterBar.Closed) -> None:
        self.query_one(FilterBar).close()
        self.body.table.focus()
        self.choices.filter = query.compile(event.text) if event.text is not None else self._before_typing
        self.show_hints()
        self.build()

    def filter_by(self, text: str) -> None:
        """Put a filter in force."""
        self.choices.filter = query.compile(text)
        self.show_hints()
        self.build()

    @on(Bar.Pressed, "#states")
    def _pressed_state(self, event: Bar.Pressed) -> None:
        word = "" if wording.state_of_filter(self.choices.filter.text) == event.press else event.press
        self.filter_by(wording.filter_of_state(word))

    @on(Bar.Pressed, "#top, #status")
    def _pressed_view(self, event: Bar.Pressed) -> None:
        self.action_view(event.press)

    def action_back(self) -> None:
        """Go back one step: marks, where Enter was pressed, filter, then the first view."""
        if self.choices.marked:
            self.choices.marked.clear()
            self.build()
        elif self.choices.come_back():
            self.switch(self.choices.showing)
            self.build()
        elif self.choices.filter.text:
            self.filter_by("")
        elif not isinstance(self.focused, Table):
            self.body.table.focus()
        elif self.choices.showing != self.choices.home:
            self.action_view(self.choices.home)

    def action_pick_sort(self) -> None:
        """Choose the order from a list."""
        if self.choices.showing == "findings":
            self.say(_IN_ORDER)
            return
        from sockui.tui.pickers import SortPicker

        names = wording.sort_choices(self.choices.showing)
        self.app.push_screen(SortPicker(names, self.choices.order.text), self._sort_by)

    def _sort_by(self, name: str | None) -> None:
        if name:
            self.choices.sort_by(name)
            self.build()

    @on(Table.HeadingClicked)
    def _pressed_heading(self, event: Table.HeadingClicked) -> None:
        if self.choices.showing != "findings":
            self._sort_by(event.name)

    def action_reverse(self) -> None:
        """Turn the order round."""
        if self.choices.showing == "findings":
            self.say(_IN_ORDER)
        else:
            self._sort_by(self.choices.order.column_name)

    def action_mark(self) -> None:
        """Mark the socket, or take its mark, and go to the next."""
        if self.body.selected is None or self.view is None:
            self.say("Nothing is marked: only sockets are, and 2 shows them.")
            return
        self.choices.mark(int(self.view.update.keys[self.body.selected]))
        self.body.table.action_move(1)
        self.build()

    def action_acknowledge(self) -> None:
        """Acknowledge the finding, so that it stands last and dimmed until it gets worse, and go to the next."""
        finding, table = self.body.selected_finding, self.body.table
        if finding is None:
            self.say("Nothing is acknowledged: only findings are, and 1 shows them.")
            return
        below = table.rows.key(table.cursor + 1) if table.cursor + 1 < len(table.rows) else None
        known = self.news.acknowledge(finding)
        self.build()
        if known and below is not None:
            table.go_to(below)
        assert self.findings is not None  # noqa: S101  it is one of them
        name = wording.name(self.findings, finding)
        self.say(f"Acknowledged until it gets worse: {name}" if known else f"No longer acknowledged: {name}")

    def action_pause(self) -> None:
        """Rest or go on."""
        if self._of_text():
            return
        self.sockui.poller.paused = not self.sockui.poller.paused
        self.expect_poll()
        self.show_top()

    def action_interval(self, factor: float) -> None:
        """Poll less or more often."""
        if self._of_text():
            return
        self.sockui.poller.interval = wording.step_interval(self.sockui.poller.interval, factor)
        self.show_top()

    def _of_text(self) -> bool:
        """Whether a text is shown; then there is nothing to poll, which is said."""
        text = wording.text_of(self.view.update.snapshot) if self.view is not None else ""
        if text:
            self.say(f"There is nothing to poll: this is a {text}.")
        return bool(text)

    def action_explainer(self) -> None:
        """Show or hide the explanation."""
        self.body.toggle_explainer()

    def action_columns(self) -> None:
        """Choose the columns."""
        table = self.body.table
        if not isinstance(table.rows, SocketRows):
            self.say("Only the columns of sockets can be chosen: 2 shows them.")
            return
        from sockui.tui.pickers import ColumnChooser

        present = [column.name for column in table.rows.columns(table.size.width)]
        every = {**SCREEN, **COLUMNS}
        names = [*present, *(name for name in every if name not in present)]
        choices = [(name, every[name].help) for name in names]
        self.app.push_screen(ColumnChooser(choices, present), self._take_columns)

    def _take_columns(self, names: tuple[str, ...] | None) -> None:
        if names is not None:
            self.choices.choose_columns(names)
            self.build()

    def action_sideways(self, by: int) -> None:
        """Scroll the columns; in the tree, fold or unfold."""
        row, table = self.body.selected_process, self.body.table
        if row is not None and row.has_children:
            self.choices.fold(row.pid, by < 0)
        elif isinstance(table.rows, SocketRows):
            self.choices.scroll_columns(by, len(table.rows.columns(table.size.width)))
        self.build()

    # --- from a row to a page ---------------------------------------------------------------------

    @on(Table.Entered)
    def action_enter(self) -> None:
        """All about the socket; of a finding or a process, its sockets."""
        if isinstance(self.focused, StateBar):
            self.focused.action_press()
        elif self.choices.showing != "sockets":
            narrowed = self.body.filter_of_selected()
            if narrowed:
                self.choices.enter(query.compile(narrowed))
                self.switch("sockets")
                self.build()
            elif self.body.selected_finding is not None:
                self.say("This finding is about the host, not about single sockets.")
        elif self.body.selected is not None:
            self.sockui.show_details(self.body.selected)

    def action_remedy(self) -> None:
        """What to do about the finding or socket; of a process, about its oldest stuck one."""
        finding = self.body.selected_finding
        index = self.body.selected if self.choices.showing == "sockets" else self.body.oldest_stuck
        if finding is not None:
            self.sockui.show_finding_remedy(finding)
        elif index is not None:
            self.sockui.show_remedy(index)
        else:
            self.say("There is nothing stuck here.")

    def action_meaning(self) -> None:
        """The page of the finding, of the state that is chosen above, or of the state of the socket."""
        from sockui.knowledge import topics

        finding, bar, index = self.body.selected_finding, self.query_one(StateBar), self.body.meant
        if self.focused is bar:
            name = bar.at
        elif finding is not None:
            name = finding.rule
        elif index is not None and self.view is not None:
            row = self.view.update.sockets[index]
            name = state_name(row["state"], row["protocol"])
        else:
            name = ""
        topic = topics.find(name)
        if topic is not None:
            self.sockui.explain(topic)
        else:
            self.say(f"There is no page about {name or 'this'}; ? then typing searches all pages.")

    def action_diagram(self) -> None:
        """Walk in the diagram of the states, from that of the socket or of the first one of the finding."""
        state, index = State.ESTABLISHED, self.body.meant
        if self.view is not None and index is not None:
            row = self.view.update.sockets[index]
            state = State(int(row["state"])) if row["protocol"] == Protocol.TCP else state
        self.sockui.show_diagram(state)

    def go_to_state(self, name: str) -> None:
        """Show the sockets in a state; Esc comes back to what was shown."""
        self.choices.enter(query.compile(wording.filter_of_state(name)))
        self.switch("sockets")
        self.build()

    # --- copying ----------------------------------------------------------------------------------

    def _copy(self, text: str, nothing: str) -> None:
        if text:
            self.sockui.copy(text)
        else:
            self.say(f"Not copied: {nothing}.")

    def action_copy_summary(self) -> None:
        """Copy what chat should know: of the finding, the marked sockets, the socket or the process."""
        from sockui.tui import copying

        self._copy(copying.summary_of(self.body), "nothing is selected")

    def action_copy_table(self) -> None:
        """Copy the marked rows, or the table as filtered and sorted, as text in a code block."""
        from sockui.tui import copying

        self._copy(copying.table_of(self.body), "the table is empty")

    def action_copy_full(self) -> None:
        """Copy all that is known of the finding or the socket under the cursor."""
        from sockui.tui import copying

        self._copy(copying.full_of(self.body), "no socket is selected")
