"""The Textual programs that sockui is put beside: python peers.py label | table.

``label`` is the least a Textual program can be. ``table`` is the stock DataTable with 1,000 rows, of which five visible
ones get another number every second.
"""

from __future__ import annotations

import sys

from textual.app import App, ComposeResult
from textual.widgets import DataTable, Label

ROWS = 1000
CHANGED = 5


class OneLabel(App[None]):
    """One label."""

    def compose(self) -> ComposeResult:
        yield Label("one label")


class StockTable(App[None]):
    """A DataTable with the columns of the socket table."""

    def __init__(self) -> None:
        super().__init__()
        self._value = 0

    def compose(self) -> ComposeResult:
        yield DataTable(cursor_type="row")

    def on_mount(self) -> None:
        table = self.query_one(DataTable)
        for title in ("state", "age", "recv_queue", "send_queue", "local", "remote", "process"):
            table.add_column(title, key=title)
        for row in range(ROWS):
            endpoints = ("127.0.0.1:8080", f"127.0.0.1:{40000 + row}")
            table.add_row("ESTABLISHED", "≥4m", "0", "0", *endpoints, "holder-00 4312", key=str(row))
        self.set_interval(1, self._change)

    def _change(self) -> None:
        self._value += 1
        for row in range(CHANGED):
            self.query_one(DataTable).update_cell(str(row), "recv_queue", str(self._value % 10))


if __name__ == "__main__":
    {"label": OneLabel, "table": StockTable}[sys.argv[1]]().run()
