"""The middle of the main screen: the table in view, and the explanation of the row under its cursor.

Owns which table shows and what is selected. Must not know keys, bars or the poller.
"""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical

from sockui.diagnosis.finding import Finding, Findings
from sockui.tui import findings, paragraphs, wording
from sockui.tui.choices import Choices
from sockui.tui.findings import FindingRows
from sockui.tui.news import News
from sockui.tui.pane import Pane
from sockui.tui.processes import ProcessRows
from sockui.tui.sockets import SocketRows
from sockui.tui.table import Table
from sockui.tui.wrapping import Paragraph
from sockui.view import findings as said
from sockui.view import process_tree
from sockui.view.diagram import diagram
from sockui.view.explain import explain, explain_process
from sockui.view.process_tree import ProcessRow, ProcessTreeView
from sockui.view.table_view import TableView


class Body(Container):
    """Findings, sockets or processes, and the explainer beside or below them."""

    def __init__(self, choices: Choices, news: News, explainer: bool, ascii_only: bool) -> None:
        super().__init__(id="body")
        self.choices = choices
        self.view: TableView | None = None
        self.findings: Findings | None = None
        self.processes: ProcessTreeView | None = None
        self.ready = False  # the tables are there: a fast first poll can come before them
        self._news = news
        self._explainer = explainer
        self._ascii = ascii_only
        self._explained: tuple[object, ...] = ()
        self._about = ""  # key of the finding that is explained

    def compose(self) -> ComposeResult:
        with Vertical(id="tables"):
            yield Table(id="findings")
            yield Table(id="sockets")
            yield Table(id="processes")
        yield Pane(id="explainer")

    def on_mount(self) -> None:
        self.ready = True
        self.set_class(not self._explainer, "-alone")

    def on_resize(self) -> None:
        self._explained = ()  # a timeline is as long as the pane is wide
        self.call_after_refresh(self.explain)

    @property
    def table(self) -> Table:
        """The table in view."""
        return self.query_one(f"#{self.choices.showing}", Table)

    def switch(self) -> None:
        """Put the chosen table in view."""
        for table in self.query("#tables > Table"):
            table.display = table.id == self.choices.showing  # a class would have every style worked out again
        self.set_class(self.choices.showing == "findings", "-findings")
        self.table.focus()

    def toggle_explainer(self) -> None:
        """Show or hide the explanation."""
        self._explainer = not self._explainer
        self.set_class(not self._explainer, "-alone")
        if not self._explainer:
            self.table.focus()
        self._explained = ()
        self.explain()

    def show(self, view: TableView, found: Findings) -> None:
        """Show what was found in an update, a view of its sockets, or the processes that hold them."""
        self.view, self.findings = view, found
        choices, table = self.choices, self.table
        match choices.showing:
            case "findings":
                items = self._news.in_order(findings.matching(found, view))
                calm = not found.items
                self.set_class(calm, "-calm")
                table.empty_text = wording.calm(found) if calm else wording.no_finding(found, choices.filter.text)
                table.empty_style = "good" if calm else "dim"
                table.show(FindingRows(found, items, self._news, self._ascii))
            case "sockets":
                table.empty_text = wording.nothing(view, choices.filter.text)
                table.show(SocketRows(view, choices.columns, choices.offset, choices.marked), choices.sort.text)
            case _:
                table.empty_text = wording.nothing(view, choices.filter.text)
                tree = process_tree.lay_out(process_tree.count(view), choices.tree_sort, choices.folded)
                first, self.processes = self.processes is None, tree
                table.show(ProcessRows(tree, self._ascii), choices.tree_sort.text)
                if first:  # begin with the process that has most, not with its ancestors
                    table.cursor = max(range(len(tree.rows)), key=lambda row: _own_sockets(tree.rows[row]), default=0)
        self.explain()

    # --- what is selected -------------------------------------------------------------------------

    @property
    def selected_finding(self) -> Finding | None:
        """The finding under the cursor, None if there is none."""
        if self.choices.showing != "findings":
            return None
        rows, cursor = self.table.rows, self.table.cursor
        return rows.items[cursor] if isinstance(rows, FindingRows) and 0 <= cursor < len(rows) else None

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

    @property
    def meant(self) -> int | None:
        """Index of the socket under the cursor, the first of the finding, or the oldest stuck of the process."""
        finding = self.selected_finding
        if finding is not None:
            return int(finding.rows[0]) if len(finding.rows) else None
        return self.selected if self.choices.showing == "sockets" else self.oldest_stuck

    def filter_of_selected(self) -> str:
        """A filter for the sockets of the finding or process under the cursor, within the one in force; "" none."""
        finding, process = self.selected_finding, self.selected_process
        if process is not None and self.processes is not None:
            return process_tree.filter_text(self.processes, process)
        own = said.filter_text(finding) if finding is not None else ""
        within = self.choices.filter.text.strip()
        return f"{own} and ( {within} )" if own and within else own

    def _pids(self, process: ProcessRow) -> list[int]:
        """What a line stands for: the process, with its descendants when they are folded away."""
        if process.folded and self.processes is not None:
            return process_tree.pids_of_subtree(self.processes, process.pid)
        return [process.pid]

    # --- the explanation --------------------------------------------------------------------------

    @on(Table.CursorMoved)
    def explain(self) -> None:
        """Explain what is under the cursor."""
        if not self._explainer or self.view is None or self.findings is None:
            return
        update, pane = self.view.update, self.query_one("#explainer", Pane)
        finding, index, process = self.selected_finding, self.selected, self.selected_process
        asked = (update, self.choices.showing, finding, index, process)
        if self._explained == asked:  # a new view and a moved cursor both ask
            return
        self._explained = asked
        about, self._about = self._about, finding.key if finding is not None else ""
        if self.choices.showing == "findings":
            text = self._findings_text(self.findings, finding, pane.size.width)
            pane.show(text, at=(0, None) if about != self._about else None)
        elif index is not None:
            pane.show(paragraphs.explanation(explain(update, index), diagram(update, index, self._ascii)))
        elif process is None:
            pane.show(())
        elif process.pid > 0:
            pane.show(paragraphs.process(explain_process(update, process.pid, self._pids(process))))
        else:
            pane.show(paragraphs.without_process(process, update.snapshot.coverage))

    def _findings_text(self, found: Findings, finding: Finding | None, width: int) -> list[Paragraph]:
        text = paragraphs.finding(said.say(found, finding)) if finding is not None else []
        if not found.items and self.view is not None:
            text += paragraphs.time_wait(self.view.state_counts.get("TIME_WAIT", 0))
        return text + paragraphs.timeline(found, width - 1, self._ascii)


def _own_sockets(row: ProcessRow) -> int:
    return row.own.sockets if row.pid > 0 else -1
