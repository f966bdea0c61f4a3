"""What the copy keys of the main screen put on the clipboard.

Owns the choice of what is meant: the marked rows, the row under the cursor, the table. Must not send anything
anywhere, and holds no words: ``view.summary`` and ``report`` make the texts.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Collection, Sequence

import numpy as np

from sockui import report
from sockui.tui.table import Rows
from sockui.view import summary
from sockui.view.columns import require
from sockui.view.format import fit
from sockui.view.table_view import TableView

TABLE_WIDTH = 120
"""Cells of a copied table: a chat window shows that many without wrapping."""


def sockets(view: TableView, marked: Collection[int], selected: int | None) -> str:
    """The summary of the marked sockets, else of the one under the cursor; "" if there is none."""
    rows = np.flatnonzero(np.isin(view.update.keys, _keys(marked))).tolist()
    if not rows and selected is not None:
        rows = [selected]
    return summary.summary(view.update, rows) if rows else ""


def table(view: TableView, marked: Collection[int], columns: Sequence[str]) -> str:
    """The marked rows, else all that are shown, as a table in a code block; "" if there are none."""
    if marked:
        view = dataclasses.replace(view, rows=view.rows[np.isin(view.update.keys[view.rows], _keys(marked))])
    if not len(view.rows):
        return ""
    text = io.StringIO()
    report.write(view, "table", text, [require(name) for name in columns], TABLE_WIDTH)
    return f"```\n{text.getvalue()}```"


def rows(shown: Rows) -> str:
    """Every row of a table as it stands on the screen, in a code block; "" if there are none."""
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
