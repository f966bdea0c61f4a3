"""What the bars of the main screen say.

Owns the words around the table: title, counts, status, key hints. Must not hold words about TCP (those are
``knowledge``) or touch widgets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sockui.diagnosis.finding import Finding, Findings, Severity
from sockui.model import Coverage, Snapshot, State, parse_state
from sockui.poller import Poll
from sockui.tracker import Life, Update
from sockui.tui import opening
from sockui.tui.bar import Word
from sockui.tui.choices import Choices
from sockui.tui.findings import SEVERITY_STYLES, process
from sockui.tui.news import Item, News
from sockui.tui.sockets import STATE_STYLES
from sockui.view import endings, meant, process_tree
from sockui.view import findings as said
from sockui.view import format as fmt
from sockui.view.column import distinct_pids
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


def top(
    poll: Poll | None,
    findings: Findings | None,
    known: News,
    interval: float,
    paused: bool,
    *,
    in_front: bool = True,
    overdue: bool = False,
    rate: float | None = None,
) -> list[Word]:
    """The first line: how bad it is, host, source, interval, and whether what is shown is old.

    ``in_front``: the terminal says that it is; where it does not nothing is painted. ``overdue``: a poll should have
    come by now. ``rate`` is what is written to it in bytes per second, None: not to be shown.
    """
    if poll is None:
        return opening.title()
    words = [opening.TITLE]
    if poll.update is None:
        return words
    snapshot = poll.update.snapshot
    first = severities(findings, known) if findings is not None else []
    text = text_of(snapshot)
    if paused and not text:  # before what may be long: it must be seen
        first.append(Word(" PAUSED, p goes on", "warn"))
    old = "no focus, no paint" if not in_front else "polls fail" if poll.error else "no poll since" if overdue else ""
    if old and not text:
        first.append(Word(f" AS OF {fmt.moment(snapshot.taken_at)[11:]}: {old}", "warn"))
    words += [*first, Word("  " if first else " ")]
    if text:
        return [*words, Word(text, "info"), *_notes(snapshot)]
    words.append(Word(fmt.escape(snapshot.host.name), "info"))
    if snapshot.host.namespace:
        words.append(Word(f" netns {fmt.escape(snapshot.host.namespace)}", "warn"))
    words.append(Word(f"  {snapshot.source}", "dim"))
    slowed = not paused and poll.interval > interval * 1.05
    slow = f", slowed to {poll.interval:.1f} s: a poll takes {poll.seconds:.2f} s" if slowed else ""
    words.append(Word(f"  every {interval:g} s{slow}", "warn" if slowed else "dim"))
    if rate is not None:
        words.append(Word(f"  {rate:,.0f} B/s", "dim"))
    return [*words, *_notes(snapshot)]


def _notes(snapshot: Snapshot) -> list[Word]:
    return [Word("  " + " ".join(snapshot.notes), "warn")] if snapshot.notes else []


def text_of(snapshot: Snapshot) -> str:
    """``text of db-1, taken 2026-11-21 03:05:00 UTC``; "" if this host was looked at, not a text."""
    if snapshot.source != "text":
        return ""
    of = f" of {fmt.escape(snapshot.host.name)}" if snapshot.host.name else ""
    return f"text{of}, taken {'at ' * (not snapshot.taken_at)}{fmt.moment(snapshot.taken_at)}"


def severities(findings: Findings, known: News) -> list[Word]:
    """``2 critical 1 warning``, without those that were acknowledged; pressed, it shows them. Empty: too early."""
    open_ = [item.severity for item in findings.items if not known.acknowledged(item)]
    words = [
        Word(f" {open_.count(severity)} {severity.name.lower()}", SEVERITY_STYLES[severity], "findings")
        for severity in (Severity.CRITICAL, Severity.WARNING)
        if severity in open_
    ]
    if len(open_) < len(findings.items):
        words.append(Word(f" {len(findings.items) - len(open_)} acknowledged", "dim", "findings"))
    if findings.left_out:
        words.append(Word(f" {findings.left_out} left out", "dim", "findings"))
    if not words and open_:
        return [Word(f" {len(open_)} info", "dim", "findings")]
    return words or ([Word(" no findings", "dim", "findings")] if findings.polls > 1 else [])


def news(known: News, announced: str, showing: str) -> list[Word]:
    """What the status line begins with when there is news of findings."""
    if showing == "findings":
        return [Word(f" {announced} ", "warn")] if announced else []
    number, worse = len(known.items), sum(item.worse for item in known.items)
    if not number:
        return []
    kind = "worse" if worse == number else "new or worse" if worse else "new"
    style = SEVERITY_STYLES[max(item.finding.severity for item in known.items)]
    noun = "findings" if number > 1 else "finding"
    return [Word(f" {number} {kind} {noun} (", style, "findings"), Word("1", "key"), Word(")", style)]


def announcement(findings: Findings, items: Sequence[Item]) -> str:
    """What the findings view says of news: the worst by name."""
    more = f", and {len(items) - 1} more" if len(items) > 1 else ""
    return f"{'Worse' if items[0].worse else 'New'}: {name(findings, items[0].finding)}{more}"


def name(findings: Findings, finding: Finding) -> str:
    """What a finding is called in a sentence: its title and its process."""
    return f"{said.title(finding)} {process(findings, finding)}".rstrip()


def calm(findings: Findings) -> str:
    """What the findings view says when nothing was found."""
    present = findings.update.life != Life.ENDED
    number, holders = int(np.count_nonzero(present)), len(distinct_pids(findings.update.sockets["pid"][present]))
    looked = f"{_plural(number, 'socket')} of {_plural(holders, 'process')} looked at"
    if findings.update.snapshot.source == "text" and findings.polls < 2:
        return f" Nothing found: {looked}. What grows or stays shows when a later text is given too."
    if findings.polls < 2:
        return f" Nothing found so far: {looked} once; what grows or stays shows from the next poll on."
    return f" Nothing is stuck: {looked} for {fmt.elapsed(findings.watched // 1 * 1000)}"


def _plural(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}{'es' if word.endswith('s') else 's'}"


def no_finding(findings: Findings, text: str) -> str:
    """What the findings view says when the filter lets none through."""
    return f"  None of {_plural(len(findings.items), 'finding')} has a socket that matches  {text}   (Esc shows all)"


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


def matching(view: TableView) -> tuple[int, int]:
    """How many sockets a filter lets through, and of how many; rows that ended and linger are not counted."""
    life = view.update.life
    return int(np.count_nonzero(life[view.rows] != Life.ENDED)), int(np.count_nonzero(life != Life.ENDED))


def nothing(view: TableView, text: str) -> str:
    """What an empty table says."""
    if text:
        guess = "" if len(view.rows) else meant.guessed(text)
        more = f"did you mean: {guess}" if guess else "(Esc shows all)"
        return f"  None of {view.total:,} sockets matches  {text}   {more}"
    place = "text" if view.update.snapshot.source == "text" else "network namespace"
    return f"  There is no TCP or UDP socket in this {place}."


def status(
    poll: Poll | None, view: TableView | None, choices: Choices, note: str, first: Sequence[Word] = ()
) -> list[Word]:
    """The last line but one: a failure, a note, or what is news (``first``), the filter and how complete all is."""
    if poll is not None and poll.error:
        reason = poll.error.split("\n")[0]
        stale = " What is shown is the last good poll." if view is not None else ""
        return [Word(f" {reason}{stale}", "bad")]
    if note:
        return [Word(f" {note}", "good")]
    if view is None:
        return opening.status()
    words = list(first)
    if choices.marked:
        words.append(Word(f" {len(choices.marked)} marked ", "key"))
    if choices.filter.text:
        words += [
            Word(f" {matching(view)[0]:,} match", "strong"),
            Word(f"  / {fmt.escape(choices.filter.text)} ", "info"),
        ]
    order = choices.order
    if choices.showing == "sockets" and order == Sort():
        words.append(Word(" by attention ·", "dim"))
    elif choices.showing != "findings" and order != process_tree.DEFAULT_SORT:  # its column may not be in sight
        words.append(Word(f" by {order.column_name}, {'falling' if order.reverse else 'rising'} ·", "dim"))
    return [*words, *unheard(view.update), *coverage(view.update.snapshot.coverage), *ended(view.update)]


def unheard(update: Update) -> list[Word]:
    """That endings were missed: the dump shows what is there, but not how the rest ended."""
    return [Word(f" at least {_plural(update.lost, 'ending')} not seen ·", "warn")] if update.lost else []


def ended(update: Update) -> list[Word]:
    """How many connections ended since the poll before, and how, if not by a plain close()."""
    text = endings.summary(update)
    return [Word(f" · {text}", "dim")] if text else []


def coverage(coverage: Coverage) -> list[Word]:
    """How many sockets have a name, how many cannot have one, and what would name the rest."""
    words = [Word(f" {coverage.sockets:,} sockets: {coverage.attributed:,} named", "dim")]
    if coverage.kernel:
        words.append(Word(f", {coverage.kernel:,} the kernel's", "dim"))
    if coverage.fix:  # what is missing can be had: say how, and first, for the line may be short
        missing = sum(gap.sockets for gap in coverage.gaps)
        how = [Word(f" {missing:,} cannot be named without root: ", "warn"), Word(coverage.fix, "key")]
        return [*how, Word(" ·", "dim"), *words]
    return words + [Word(f", {gap.sockets:,} {gap.reason}", "warn") for gap in coverage.gaps]


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
