"""Which columns a screen shows, and how wide.

Owns the choice by terminal width and the sharing of spare cells. Must not look at content: widths come from
the column model alone, so that nothing moves when values change.
"""

from __future__ import annotations

from collections.abc import Sequence

from sockui.view.column import Column
from sockui.view.columns import require

GAP = 1  # cells between two columns


def default_columns(width: int) -> tuple[Column, ...]:
    """The columns that say most in ``width`` cells, left to right."""
    wanted = ["state", "age", "recv_queue", "send_queue", "local", "remote", "process"]
    if width < 79:
        wanted.remove("send_queue")  # a listener without its local port would say nothing
    if width < 72:
        wanted.remove("recv_queue")
    if width >= 100:
        wanted.insert(0, "protocol")
    if width >= 120:
        wanted[5:5] = ["timer", "retransmits"]
    if width >= 160:
        wanted[7:7] = ["rtt_ms"]
        wanted += ["user", "unit"]
    if width >= 200:
        wanted[8:8] = ["cwnd", "bytes_sent", "bytes_received"]
    return tuple(require(name) for name in wanted)


def layout(columns: Sequence[Column], width: int) -> list[tuple[Column, int]]:
    """How many cells each column gets on a line of ``width``, ``GAP`` between two of them.

    Spare cells go to the columns that can use them, one each in turn. Columns at the end that do not fit are left
    out; the last one may be cut, to not less than 4 cells.
    """
    cells: list[tuple[Column, int]] = []
    left = width
    for column in columns:
        room = min(column.width, left)
        if room < min(4, column.width):
            break
        cells.append((column, room))
        left -= room + GAP
    left = max(0, left + GAP)
    sizes = [room for _, room in cells]
    while left > 0:
        growing = [index for index, (column, _) in enumerate(cells) if sizes[index] < column.wide]
        if not growing:
            break
        for index in growing[:left]:
            sizes[index] += 1
        left -= min(left, len(growing))
    return [(column, size) for (column, _), size in zip(cells, sizes, strict=True)]
