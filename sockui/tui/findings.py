"""Findings as rows of a table.

Owns the columns of the findings view and which style says what about a finding. Must not judge, order or word
findings: ``diagnosis``, ``news`` and ``view.findings`` do.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from sockui.diagnosis.finding import Finding, Findings, Severity
from sockui.tui import timeline
from sockui.tui.news import News
from sockui.tui.table import Cell, Heading, Rows
from sockui.view import findings as said
from sockui.view import format as fmt
from sockui.view.finding_facts import where
from sockui.view.table_view import TableView

SEVERITY_STYLES = {Severity.CRITICAL: "bad", Severity.WARNING: "warn", Severity.INFO: "info"}
_TITLE_ROOM = 24  # cells that a title has at least


class FindingRows(Rows):
    """Findings in the order given."""

    def __init__(self, findings: Findings, items: Sequence[Finding], news: News, ascii_only: bool) -> None:
        self.findings = findings
        self.items = items
        self._news = news
        self._ascii = ascii_only

    def __len__(self) -> int:
        return len(self.items)

    def headings(self, width: int) -> Sequence[Heading]:
        wide, wider = width >= 100, width >= 130
        fixed = [
            Heading("process", "Process", 26 if wider else 20, False),
            *([Heading("where", "Where", 22 if wider else 16, False)] if wide else []),
            Heading("count", "Count", 7 if wide else 6, True),
            Heading("age", "Age", 6, True),
            Heading("trend", "Trend", 20 if wider else 12 if wide else 6, False),
        ]
        room = width - 1 - 9
        while len(fixed) > 1 and room - sum(heading.width + 1 for heading in fixed) < _TITLE_ROOM:
            fixed.pop()
        room -= sum(heading.width + 1 for heading in fixed)
        return (
            Heading("", "", 1, False),
            Heading("severity", "Severity", 8, False),
            Heading("title", "Finding", max(8, min(room - 1, 64)), False),
            *fixed,
        )

    def key(self, index: int) -> Hashable:
        return self.items[index].key

    def find(self, key: Hashable) -> int | None:
        return next((index for index, item in enumerate(self.items) if item.key == key), None)

    def page(self, first: int, last: int, headings: Sequence[Heading]) -> Sequence[tuple[Sequence[Cell], str]]:
        return [self._line(item, headings) for item in self.items[first:last]]

    def _line(self, item: Finding, headings: Sequence[Heading]) -> tuple[Sequence[Cell], str]:
        known, new = self._news.acknowledged(item), self._news.about(item)
        mark = "a" if known else "+" if new else " "
        apart = any(heading.name == "where" for heading in headings)
        cells = [(mark, "marked" if new else ""), *(self._cell(item, heading, apart) for heading in headings[1:])]
        if known:
            return [(text, "dim") for text, _ in cells], "dim"
        return cells, "new" if new else ""

    def _cell(self, item: Finding, heading: Heading, apart: bool) -> Cell:
        """One cell; ``apart``: the endpoint has a column of its own, else it stands behind the process."""
        match heading.name:
            case "severity":
                return item.severity.name, SEVERITY_STYLES[item.severity]
            case "title":
                return said.title(item), ""
            case "process":
                name = process(self.findings, item)
                whole = f"{name} {where(item.draft.endpoint)}".strip()
                return name if apart or fmt.cells(whole) > heading.width else whole, ""
            case "where":
                return where(item.draft.endpoint), ""
            case "count":
                return fmt.count(item.count), ""
            case "age":
                return said.age(item), ""
        counts = item.history[1]
        if len(counts) > 1 and (counts == counts[0]).all():
            return "steady", "dim"
        return timeline.fitted(item.history, heading.width, self._ascii), "info"


def process(findings: Findings, item: Finding) -> str:
    """The process of this host that a finding is about, or how many, harmless to show; "" none, or unknown."""
    if item.processes > 1:
        return f"{fmt.count(item.processes)} processes"
    known = findings.update.snapshot.processes.get(item.pid)
    return f"{fmt.escape(known.name)} {item.pid}" if known else str(item.pid) if item.pid > 0 else ""


def matching(findings: Findings, view: TableView) -> Sequence[Finding]:
    """The findings that a filter lets through: those with a socket that it shows.

    Of one without sockets its process must hold such a socket; what is about the whole host always stays.
    """
    if not view.query.text:
        return findings.items
    shown = np.zeros(len(view.update.sockets), np.bool_)
    shown[view.rows] = True
    pids = view.update.sockets["pid"]
    return [
        item
        for item in findings.items
        if (shown[item.rows].any() if len(item.rows) else item.pid <= 0 or (shown & (pids == item.pid)).any())
    ]
