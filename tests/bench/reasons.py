"""Why a line of the budget is not met: said below the table, beside what the run itself measured.

Owns the words, by the line's name up to its bracket. Must not hold figures of a run: those are in its profile. A line
that is met needs none, and what stands here for it is not shown.
"""

from __future__ import annotations

_KEYS = (
    "With polling paused the rest is the key's own work, most of it Textual's styles, layout and paint, which take as "
    "long at 100 sockets; what is above that is waiting for the poll's thread."
)
_ALL_ROWS = (
    "With polling paused the rest is the key's own work: Textual's styles, layout and paint, which take as long at 100 "
    "sockets, and going once through all rows to filter, turn or count them, and to find what belongs to the selected "
    "one; what is above that is waiting for the poll's thread."
)

REASONS: dict[str, str] = {
    "idle: CPU, 2 s interval": (
        "The kernel goes through its whole table of connections for every dump, however few there are, and a Python "
        "program's poll and paint come on top. htop reads no sockets: what it takes follows the number of processes."
    ),
    "refresh: CPU, nothing changed": (
        "On top of the dump every row is copied into place, compared with its predecessor and judged anew, whether it "
        "changed or not."
    ),
    "refresh: CPU, 100 sockets replaced": (
        "As where nothing changed; and rows that came are matched, their owners looked for among descriptors, what "
        "ended is told by how, and the groups of findings are made anew."
    ),
    "cold: to the full table, owners named": "Starting Python and importing is paid before the first request.",
    "keys: cursor down": _KEYS,
    "keys: page down and up": _KEYS,
    "keys: reverse the sort": _ALL_ROWS,
    "keys: a letter of a filter": _ALL_ROWS,
    "keys: switch the view": _ALL_ROWS,
    "keys: fold and unfold the tree": _ALL_ROWS,
}
