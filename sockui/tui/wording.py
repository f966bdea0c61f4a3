"""What the bars of the main screen say.

Owns the words around the table: title, counts, status, key hints, help. Must not hold words about TCP (those are
``knowledge``) or touch widgets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from textual.binding import Binding

from sockui import __version__
from sockui.model import Coverage, State, parse_state
from sockui.poller import Poll
from sockui.tracker import Life
from sockui.tui.bar import Word
from sockui.tui.choices import Choices
from sockui.tui.pane import Paragraph
from sockui.tui.sockets import STATE_STYLES
from sockui.view import format as fmt
from sockui.view import process_tree, query
from sockui.view.columns import COLUMNS, SCREEN
from sockui.view.table_view import ATTENTION, Sort, TableView

_COUNT_ORDER = (
    State.CLOSE_WAIT,
    State.FIN_WAIT2,
    State.FIN_WAIT1,
    State.LAST_ACK,
    State.CLOSING,
    State.SYN_SENT,
    State.SYN_RECV,
    State.TIME_WAIT,
    State.ESTABLISHED,
    State.LISTEN,
    State.CLOSE,
)
_INTERVALS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_TREE_SORTS = {
    "sockets": "how many sockets",
    "name": "name of the process",
    "pid": "process id",
    "oldest": "age of the oldest stuck socket",
    "fds": "open file descriptors",
    "UDP": "how many are UDP",
}
_KEY_NAMES = {
    "slash": "/",
    "question_mark": "?",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "colon": ":",
    "escape": "Esc",
    "space": "Space",
    "enter": "Enter",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
    "pageup": "PgUp",
    "pagedown": "PgDn",
}


def key_name(keys: str) -> str:
    """The name of a binding's first key as it stands on a keyboard."""
    first = keys.split(",")[0]
    return _KEY_NAMES.get(first, first)


def top(poll: Poll | None, interval: float, paused: bool) -> list[Word]:
    """The first line: host, source, interval, and whether what is shown is old."""
    words = [Word(" sockui ", "strong")]
    if poll is None or poll.update is None:
        return [*words, Word(" reading sockets…" if poll is None else "", "dim")]
    snapshot = poll.update.snapshot
    words.append(Word(f" {fmt.escape(snapshot.host.name)}", "info"))
    if snapshot.host.namespace:
        words.append(Word(f" netns {fmt.escape(snapshot.host.namespace)}", "warn"))
    words.append(Word(f"  {snapshot.source}", "dim"))
    every = f"  every {interval:g} s"
    if paused:
        words.append(Word("  PAUSED, p goes on", "warn"))
    elif poll.interval > interval * 1.05:
        words.append(Word(f"{every}, slowed to {poll.interval:.1f} s: a poll takes {poll.seconds:.2f} s", "warn"))
    else:
        words.append(Word(every, "dim"))
    if snapshot.notes:
        words.append(Word("  " + " ".join(snapshot.notes), "warn"))
    return words


def reading() -> list[Word]:
    """The status line before the first poll."""
    return [Word(" Reading sockets from the kernel…", "dim")]


def state_counts(view: TableView) -> list[tuple[str, int, str]]:
    """(word, count, style) of every state there is, those that matter first."""
    counts = [
        (state.name, view.state_counts.get(state.name, 0), STATE_STYLES[state])
        for state in _COUNT_ORDER
        if view.state_counts.get(state.name)
    ]
    if view.state_counts.get("UDP"):
        counts.append(("UDP", view.state_counts["UDP"], "dim"))
    return counts


def filter_of_state(word: str) -> str:
    """The filter that a press on a count stands for; "" for ""."""
    if not word:
        return ""
    return "protocol = udp" if word == "UDP" else f"state {word.lower().replace('_', '-')} and protocol = tcp"


def state_of_filter(text: str) -> str:
    """The count that a filter was made by, "" if by none."""
    if text == "protocol = udp":
        return "UDP"
    words = text.split()
    if len(words) == 6 and words[0] == "state" and words[2:] == ["and", "protocol", "=", "tcp"]:
        state = parse_state(words[1])
        return state.name if state else ""
    return ""


def nothing(view: TableView, text: str) -> str:
    """What an empty table says."""
    if text:
        return f"  None of {view.total:,} sockets matches  {text}   (Esc shows all)"
    return "  There is no TCP or UDP socket in this network namespace."


def status(poll: Poll | None, view: TableView | None, choices: Choices, note: str) -> list[Word]:
    """The last line but one: a failure, a note, or the filter, the order and how complete the picture is."""
    if poll is not None and poll.error:
        first = poll.error.split("\n")[0]
        stale = " What is shown is the last good poll." if view is not None else ""
        return [Word(f" {first}{stale}", "bad")]
    if note:
        return [Word(f" {note}", "good")]
    if view is None:
        return reading()
    words = []
    if choices.marked:
        words.append(Word(f" {len(choices.marked)} marked ", "key"))
    if choices.filter.text:
        matching = int(np.count_nonzero(view.update.life[view.rows] != Life.ENDED))
        words += [Word(f" {matching:,} match", "strong"), Word(f"  / {fmt.escape(choices.filter.text)} ", "info")]
    if choices.showing == "sockets" and choices.sort == Sort():
        words.append(Word(" by attention ·", "dim"))
    return [*words, *coverage(view.update.snapshot.coverage)]


def coverage(coverage: Coverage) -> list[Word]:
    """How many sockets have a name, how many cannot have one, and what would name the rest."""
    words = [Word(f" {coverage.sockets:,} sockets: {coverage.attributed:,} named", "dim")]
    if coverage.kernel:
        words.append(Word(f", {coverage.kernel:,} the kernel's", "dim"))
    if coverage.fix:  # what is missing can be had: say how, the reasons are in the help
        missing = sum(gap.sockets for gap in coverage.gaps)
        words += [Word(f", {missing:,} cannot be named without root: ", "warn"), Word(coverage.fix, "key")]
    else:
        words += [Word(f", {gap.sockets:,} {gap.reason}", "warn") for gap in coverage.gaps]
    return words


def hints(showing: str, width: int, filtered: bool) -> list[Word]:
    """The last line: the keys that work here, as many as fit, the most useful first."""
    if showing == "sockets":
        keys = [
            ("r", "remedy"),
            ("c", "copy"),
            ("/", "filter"),
            ("s", "sort"),
            ("3", "processes"),
            ("Enter", "details"),
        ]
        keys += [("d", "copy all"), ("Space", "mark"), ("e", "explain"), ("o", "columns"), ("p", "pause")]
    else:
        keys = [("Enter", "its sockets"), ("←→", "fold"), ("c", "copy"), ("/", "filter"), ("s", "sort")]
        keys += [("2", "sockets"), ("e", "explain"), ("p", "pause")]
    if filtered:
        keys.insert(2, ("Esc", "show all"))
    last = [("?", "help"), ("q", "quit")]
    room = width - sum(len(key) + len(what) + 3 for key, what in last) - 1
    words = [Word(" ")]
    for key, what in keys:
        taken = len(key) + len(what) + 3
        if taken > room:
            continue
        room -= taken
        words += [Word(key, "key"), Word(f" {what}  ")]
    for key, what in last:
        words += [Word(key, "key"), Word(f" {what}  ")]
    return words


def sort_choices(showing: str) -> list[tuple[str, str]]:
    """(name, meaning) of every order."""
    if showing == "processes":
        return [(name, _TREE_SORTS.get(name, f"how many are in {name}")) for name in process_tree.SORTS]
    columns = {**SCREEN, **COLUMNS}
    return [
        (ATTENTION, "what most likely needs somebody first"),
        *((column.name, column.help) for column in columns.values()),
    ]


def step_interval(interval: float, factor: float) -> float:
    """The next longer or shorter of the usual intervals."""
    if factor > 1:
        return next((step for step in _INTERVALS if step > interval * 1.01), interval)
    return next((step for step in reversed(_INTERVALS) if step < interval * 0.99), interval)


def help_paragraphs(bindings: Sequence[Binding]) -> list[Paragraph]:
    """The help screen: keys, filter, marks, columns."""
    text = [Paragraph(f"sockui {__version__}: what is wrong with the connections on this host", "title"), Paragraph("")]
    text += [Paragraph("Keys", "title")]
    text += [
        Paragraph("", spans=((f"  {keys:<14}", "command"), (meaning, "")))
        for keys, meaning in (
            ("↑↓ j k", "move"),
            ("PgUp PgDn", "a page"),
            ("g G", "first, last"),
            ("← → h l", "scroll the columns; in the tree fold and unfold"),
            ("Tab", "next pane: counts, table, explanation"),
            *((key_name(binding.key), binding.description) for binding in bindings if binding.show),
            (":", "every command by name"),
            ("? q", "this help; quit"),
        )
    ]
    text += [Paragraph(""), Paragraph("Filter", "title")]
    text += [
        Paragraph("", spans=((f"  {example:<38}", "command"), (meaning, ""))) for example, meaning in query.help_text()
    ]
    text += [Paragraph(""), Paragraph("Ages", "title")]
    text += [
        Paragraph("The kernel keeps no time of the last change of state. sockui bounds it by the fields it keeps:"),
        Paragraph("42m exact; ≥42m at least; ≤3h at most; 2m-5m between; empty: nothing bounds it.", lead="  "),
        Paragraph("Once sockui has seen the change itself, its own clock counts."),
        Paragraph(""),
        Paragraph("Marks", "title"),
        Paragraph("* marked   + new since the last poll   × ended (struck through for a few seconds)", lead="  "),
        Paragraph(""),
        Paragraph("Columns", "title"),
    ]
    text += [Paragraph(column.help, lead=f"  {column.title:<9} ") for column in (*SCREEN.values(), *COLUMNS.values())]
    return text
