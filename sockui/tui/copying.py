"""What the copy keys of the main screen put on the clipboard.

Owns the choice of what is meant: the finding, the marked rows, the row under the cursor, the table. Must not send
anything anywhere, and holds no words: ``view.findings``, ``view.summary`` and ``report`` make the texts.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Collection, Sequence

import numpy as np

from sockui import report
from sockui.tui.body import Body
from sockui.tui.subject import markdown_of
from sockui.tui.table import Rows
from sockui.view import findings, summary
from sockui.view.columns import require
from sockui.view.format import fit
from sockui.view.table_view import TableView

TABLE_WIDTH = 120
"""Cells of a copied table: a chat window shows that many without wrapping."""


def summary_of(body: Body) -> str:
    """What chat should know of the finding, the marked sockets, or the row under the cursor; "" if there is none."""
    view, process = body.view, body.selected_process
    if view is None or body.choices.showing == "findings":
        return _finding_of(body, findings.markdown)
    if process is not None:
        return summary.summary_process(view.update, process.pid) if process.pid > 0 else ""
    return _sockets(view, body.choices.marked, body.selected)


def full_of(body: Body) -> str:
    """All that is known of the finding or socket under the cursor; "" if there is none."""
    view, selected = body.view, body.selected
    if view is None or body.choices.showing == "findings":
        return _finding_of(body, findings.full)
    return summary.full(view.update, selected) if selected is not None else ""


def table_of(body: Body) -> str:
    """The marked rows, else the table as it is filtered and sorted, in a code block; "" if it is empty."""
    if body.choices.showing != "sockets":
        return _rows(body.table.rows)
    return _table(body.view, body.choices.marked, body.choices.columns) if body.view is not None else ""


def _finding_of(body: Body, text: Callable[..., str]) -> str:
    item = body.selected_finding
    return markdown_of(text, body.findings, item) if item is not None and body.findings is not None else ""


def _sockets(view: TableView, marked: Collection[int], selected: int | None) -> str:
    rows = np.flatnonzero(np.isin(view.update.keys, _keys(marked))).tolist()
    if not rows and selected is not None:
        rows = [selected]
    return summary.summary(view.update, rows) if rows else ""


def _table(view: TableView, marked: Collection[int], columns: Sequence[str]) -> str:
    if marked:
        view = dataclasses.replace(view, rows=view.rows[np.isin(view.update.keys[view.rows], _keys(marked))])
    if not len(view.rows):
        return ""
    text = io.StringIO()
    report.write(view, "table", text, [require(name) for name in columns], TABLE_WIDTH)
    return f"```\n{text.getvalue()}```"


def _rows(shown: Rows) -> str:
    """Every row of a table as it stands on the screen."""
    if not len(shown):
        return ""
    headings = shown.headings(TABLE_WIDTH)
    lines = [[heading.title for heading in headings]]
    lines += [[text for text, _ in cells] for cells, _ in shown.page(0, len(shown), headings)]
    text = "\n".join(
        " ".join(fit(cell, heading.width, heading.right) for cell, heading in zip(line, headings, strict=True)).rstrip()
        for line in lines
    )
    return f"```\n{text}\n```"


def _keys(marked: Collection[int]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.fromiter(marked, np.uint64, len(marked))
