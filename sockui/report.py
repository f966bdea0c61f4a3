"""Headless output: a :class:`TableView` as text, JSON, NDJSON, CSV or Markdown.

Owns the formats. Must not choose rows, name columns or know a terminal UI; what a cell says is ``view``'s.

Rows are written in pieces, so that 100,000 sockets are never one string. ``BrokenPipeError`` of a reader that
closed the pipe passes through untouched; for the command line that is no error.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from sockui.model import Snapshot
from sockui.tracker import Life, Update
from sockui.view import format as fmt
from sockui.view.column import Column, each, take
from sockui.view.columns import COLUMNS
from sockui.view.layout import GAP, default_columns, layout
from sockui.view.markdown import code
from sockui.view.table_view import TableView

FORMATS = ("table", "json", "ndjson", "csv", "markdown")
_PIECE = 2048  # rows
_UNCUT = 200  # a table that is not for a terminal has the columns of a screen this wide
_V4 = {"address": 15, "endpoint": 21}  # cells of a column without IPv6
_NAME = 16  # cells for a name such as that of a user
_IN_CHAT = 120  # and one in Markdown those of one this wide


def write(
    view: TableView,
    form: str,
    out: TextIO,
    columns: Sequence[Column] = (),
    width: int | None = None,
) -> None:
    """Write the rows of a view in one of ``FORMATS``; sockets that have ended are left out.

    ``columns`` defaults to every JSON column for json, ndjson and csv, to those of the screen for the others.
    ``width`` is that of the terminal, for ``table``; without one (None) a column is
    as wide as is ever useful, so that little is cut and columns stay in line. Raises ValueError for an unknown format.
    """
    match form:
        case "table":
            _write_table(view, out, columns or default_columns(width or _UNCUT), width)
        case "json":
            _write_json(view, out, columns or tuple(COLUMNS.values()))
        case "ndjson":
            _write_ndjson(view, out, columns or tuple(COLUMNS.values()))
        case "csv":
            _write_csv(view, out, columns or tuple(COLUMNS.values()))
        case "markdown":
            _write_markdown(view, out, columns or default_columns(_IN_CHAT))
        case _:
            raise ValueError(form)


def _pieces(view: TableView) -> Iterator[Update]:
    rows = view.rows[view.update.life[view.rows] != Life.ENDED]
    for first in range(0, len(rows), _PIECE):
        yield take(view.update, rows[first : first + _PIECE])


# --- JSON ---------------------------------------------------------------------------------------------


def objects(part: Update, columns: Sequence[Column]) -> Iterator[dict[str, Any]]:
    """The rows of an update as JSON has them."""
    names = [column.name for column in columns]
    for values in zip(*(column.json(part) for column in columns), strict=True):
        yield dict(zip(names, values, strict=True))


def _lines(part: Update, columns: Sequence[Column]) -> Iterator[str]:
    # ASCII: safe on any terminal and in any encoding
    return map(json.JSONEncoder(separators=(", ", ": ")).encode, objects(part, columns))


def _write_ndjson(view: TableView, out: TextIO, columns: Sequence[Column]) -> None:
    for part in _pieces(view):
        out.write("".join(f"{text}\n" for text in _lines(part, columns)))


def _write_json(view: TableView, out: TextIO, columns: Sequence[Column]) -> None:
    head = json.dumps(envelope(view.update.snapshot), indent=2)
    out.write(head.removesuffix("\n}") + ',\n  "sockets": [')
    separator = "\n    "
    for part in _pieces(view):
        texts = ",\n    ".join(_lines(part, columns))
        out.write(separator + texts)
        separator = ",\n    "
    out.write("\n  ]\n}\n" if separator.startswith(",") else "]\n}\n")


def envelope(snapshot: Snapshot) -> dict[str, Any]:
    """What a JSON report says before its sockets."""
    coverage = snapshot.coverage
    taken_at = None
    if snapshot.taken_at:  # a text may not say when it was taken
        moment = datetime.fromtimestamp(snapshot.taken_at, UTC)
        taken_at = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "taken_at": taken_at,
        "host": fmt.escape(snapshot.host.name) or None,
        "netns": fmt.escape(snapshot.host.namespace) or None,
        "source": snapshot.source,
        "coverage": {
            "sockets": coverage.sockets,
            "attributed": coverage.attributed,
            "kernel": coverage.kernel,
            "not_attributed": [{"sockets": gap.sockets, "reason": fmt.escape(gap.reason)} for gap in coverage.gaps],
            "fix": coverage.fix,
            "missing_fields": list(coverage.missing_fields),
        },
    }


# --- CSV ----------------------------------------------------------------------------------------------


def _write_csv(view: TableView, out: TextIO, columns: Sequence[Column]) -> None:
    """RFC 4180; the header is the JSON names."""
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([column.name for column in columns])
    for part in _pieces(view):
        cells = ([_csv_cell(value) for value in column.json(part)] for column in columns)
        writer.writerows(zip(*cells, strict=True))


def _csv_cell(value: Any) -> Any:
    """A cell that no spreadsheet runs as a formula; unknown is empty, holders are ``pid/fd`` with spaces between."""
    if isinstance(value, list):
        return " ".join(f"{holder['pid']}/{'' if holder['fd'] is None else holder['fd']}" for holder in value)
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value


# --- text ---------------------------------------------------------------------------------------------


def _write_table(view: TableView, out: TextIO, columns: Sequence[Column], width: int | None) -> None:
    laid_out = layout(columns, width) if width else [(column, _room(column, view.update)) for column in columns]
    gap = " " * GAP

    def column_of(column: Column, room: int, texts: Sequence[str]) -> list[str]:
        if not width and column is columns[-1]:  # nothing comes after it
            return [text or "-" for text in texts]
        unknown = "" if width else "-"
        return each(lambda text: column.cell(text or unknown, room), texts)

    titles = [column_of(column, room, [column.title])[0] for column, room in laid_out]
    out.write(gap.join(titles).rstrip() + "\n")
    for part in _pieces(view):
        lines = zip(*(column_of(column, room, column.texts(part)) for column, room in laid_out), strict=True)
        out.write("".join([f"{gap.join(cells).rstrip()}\n" for cells in lines]))


def _room(column: Column, update: Update) -> int:
    """Cells that hold nearly every text of a column; to look at each would double the time that a table takes."""
    if column.kind in _V4 and not update.sockets[f"{column.name.removesuffix('_address')}_high"].any():
        return _V4[column.kind]
    return column.wide or max(column.width, _NAME if column.kind == "text" else 0)


def _write_markdown(view: TableView, out: TextIO, columns: Sequence[Column]) -> None:
    """A GitHub table. Text from outside stands in code spans, where nothing is markup, mention or link."""
    out.write(f"| {' | '.join(column.title for column in columns)} |\n")
    out.write(f"| {' | '.join('---:' if column.right else '---' for column in columns)} |\n")
    for part in _pieces(view):
        cells = ([_markdown_cell(column, text) for text in column.texts(part)] for column in columns)
        out.write("".join(f"| {' | '.join(row)} |\n" for row in zip(*cells, strict=True)))


def _markdown_cell(column: Column, text: str) -> str:
    """What would end the cell is written as ``format.escape`` writes control characters."""
    if not text or column.kind in ("number", "age", "state", "enum"):
        return text
    return code(text.replace("|", "\\x7c"))
