"""Why a line of the budget is not met: said below the table, beside what the run itself measured.

Owns the words, by the line's name up to its bracket. Must not hold figures of a run: those are in its profile. A line
that is met needs none, and what stands here for it is not shown.
"""

from __future__ import annotations

_KEYS = "With polling paused the rest is the key's own work; what is above that is waiting for the poll's thread."

REASONS: dict[str, str] = {
    "start: to the first paint": (
        "Everything that the UI may ever need is imported before it paints (python -X importtime -c 'import "
        "sockui.tui.app'): numpy by the collector, the diagnosis, the words of all pages."
    ),
    "idle: CPU, 2 s interval": (
        "A poll has a cost that does not depend on the number of sockets (refresh at 1,000), and a paint comes on top. "
        "htop reads no sockets: what it takes follows the number of processes."
    ),
    "events: CPU of hearing what ended when nothing did": (
        "Two receives that find nothing, and around them empty numpy arrays, which are made before it is known that "
        "there is nothing to put into them."
    ),
    "refresh: CPU, nothing changed": (
        "On top of the dump every row is copied into columns, compared with its predecessor and judged anew, whether "
        "it changed or not."
    ),
    "refresh: CPU, 100 sockets replaced": (
        "As where nothing changed; and rows that came or went are looked up and told."
    ),
    "wire: bytes per refresh, terminal without focus, 5 rows change": (
        "The terminal's report that it lost the focus (CSI O) is not acted on: what is polled is painted."
    ),
    "wire: paints to come after the last key of a held arrow, 9,600 bit/s": (
        "Nothing waits for the terminal: each key is painted, Textual's writer thread queues up to 30 writes and the "
        "pty some KiB more."
    ),
    "wire: paints to come after the last key of a held arrow, 115,200 bit/s": (
        "As at 9,600 bit/s: keys bring more bytes than the line carries, and nothing waits for it."
    ),
    "cold: to the full table, owners named": "Starting Python and importing is paid before the first request.",
    "keys: cursor down": _KEYS,
    "keys: page down and up": _KEYS,
    "keys: reverse the sort": _KEYS,
    "keys: a letter of a filter": _KEYS,
    "keys: switch the view": _KEYS,
    "keys: fold and unfold the tree": _KEYS,
}
