"""The middle of the main screen: the table in view, and the explanation of the row under its cursor.

Owns which table shows and what is selected. Must not know keys, bars or the poller.
"""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical

from sockui.tracker import Update
from sockui.tui import paragraphs, wording
from sockui.tui.choices import Choices
from sockui.tui.pane import Pane
from sockui.tui.processes import ProcessRows
from sockui.tui.sockets import SocketRows
from sockui.tui.table import Table
from sockui.view import process_tree
from sockui.view.diagram import diagram
from sockui.view.explain import explain, explain_process
from sockui.view.process_tree import ProcessRow, ProcessTreeView
from sockui.view.table_view import TableView


class Body(Container):
    """Sockets or processes, and the explainer beside or below them."""

    def __init__(self, choices: Choices, explainer: bool, ascii_only: bool) -> None:
        super().__init__(id="body")
        self.choices = choices
        self.view: TableView | None = None
        self.processes: ProcessTreeView | None = None
        self.ready = False  # the tables are there: a fast first poll can come before them
        self._explainer = explainer
        self._ascii = ascii_only
        self._explained: tuple[Update, int | None, ProcessRow | None] | None = None

    def compose(self) -> ComposeResult:
        with Vertical(id="tables"):
            yield Table(id="sockets")
            yield Table(id="processes")
        yield Pane(id="explainer")

    def on_mount(self) -> None:
        self.ready = True
        self.query_one("#explainer").set_class(not self._explainer, "-off")

    @property
    def table(self) -> Table:
        """The table in view."""
        return self.query_one(f"#{self.choices.showing}", Table)

    def switch(self) -> None:
        """Put the chosen table in view."""
        for table in self.query("#tables > Table"):
            table.set_class(table.id != self.choices.showing, "-off")
        self.table.focus()

    def toggle_explainer(self) -> None:
        """Show or hide the explanation."""
        self._explainer = not self._explainer
        self.query_one("#explainer").set_class(not self._explainer, "-off")
        if not self._explainer:
            self.table.focus()
        self._explained = None
        self.explain()

    def show(self, view: TableView) -> None:
        """Show a view of the sockets, or the processes that hold them."""
        self.view = view
        choices, table = self.choices, self.table
        table.empty_text = wording.nothing(view, choices.filter.text)
        if choices.showing == "sockets":
            rows = SocketRows(view, choices.columns, choices.offset, choices.marked)
            table.show(rows, choices.sort.text)
        else:
            tree = process_tree.build_tree(view, choices.tree_sort, choices.folded)
            first, self.processes = self.processes is None, tree
            table.show(ProcessRows(tree, self._ascii), choices.tree_sort.text)
            if first:  # begin with the process that has most, not with its ancestors
                table.cursor = max(range(len(tree.rows)), key=lambda row: _own_sockets(tree.rows[row]), default=0)
        self.explain()

    @property
    def selected(self) -> int | None:
        """Index in ``view.update`` of the socket under the cursor, None if there is none."""
        view, cursor = self.view, self.table.cursor
        if self.choices.showing != "sockets" or view is None or not 0 <= cursor < len(view.rows):
            return None
        return int(view.rows[cursor])

    @property
    def selected_process(self) -> ProcessRow | None:
        """The line of the process view under the cursor, None if there is none."""
        tree, cursor = self.processes, self.table.cursor
        if self.choices.showing != "processes" or tree is None or not 0 <= cursor < len(tree.rows):
            return None
        return tree.rows[cursor]

    @property
    def oldest_stuck(self) -> int | None:
        """Index of the oldest stuck socket of the process under the cursor, None if it has none."""
        process, tree = self.selected_process, self.processes
        if process is None or process.pid <= 0 or tree is None:
            return None
        about = explain_process(tree.update, process.pid, self._pids(process))
        return about.oldest if about.oldest >= 0 else None

    def _pids(self, process: ProcessRow) -> list[int]:
        """What a line stands for: the process, with its descendants when they are folded away."""
        if process.folded and self.processes is not None:
            return process_tree.pids_of_subtree(self.processes, process.pid)
        return [process.pid]

    @on(Table.CursorMoved)
    def explain(self) -> None:
        """Explain what is under the cursor."""
        if not self._explainer or self.view is None:
            return
        update, pane = self.view.update, self.query_one("#explainer", Pane)
        index, process = self.selected, self.selected_process
        if self._explained == (update, index, process):  # a new view and a moved cursor both ask
            return
        self._explained = (update, index, process)
        if index is not None:
            pane.show(paragraphs.explanation(explain(update, index), diagram(update, index, self._ascii)))
        elif process is not None and process.pid > 0:
            pane.show(paragraphs.process(explain_process(update, process.pid, self._pids(process))))
        else:
            pane.show(())


def _own_sockets(row: ProcessRow) -> int:
    return row.own.sockets if row.pid > 0 else -1
