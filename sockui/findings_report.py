"""Headless output of findings: as text, JSON or Markdown, with what was looked at.

Owns these formats and which findings a filter shows. Must not judge, or word a finding: that is ``view.findings``.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np

from sockui import report
from sockui.ages import TIMEWAIT_MS
from sockui.diagnosis.finding import Finding, Findings, Severity
from sockui.diagnosis.trend import LEAST_SECONDS
from sockui.model import Protocol, State
from sockui.tracker import Life
from sockui.view.column import Mask, take
from sockui.view.columns import COLUMNS
from sockui.view.findings import Said, markdown, next_steps, say
from sockui.view.format import count, escape, moment
from sockui.view.markdown import code
from sockui.view.query import EVERYTHING, Query

FORMATS = ("text", "json", "markdown")
SHOWN = 100
"""Findings that text and Markdown have, the worst; nobody reads more, and each costs some ms to say. JSON has all."""
SOCKETS_SHOWN = 20
"""Sockets of a finding that JSON lists, the oldest; ``count`` tells how many there are."""
_UNCUT = 100  # cells of a line of text that is not for a terminal
_NAME = 25  # cells that names of evidence take at most before the values beside them give way
_MANY_TIME_WAIT = 10_000
"""So many make people look for something to tune (TCP-FACTS R23)."""


@dataclass(frozen=True, eq=False, slots=True)
class Selection:
    """The findings that a filter shows: those of which a socket matches; without a filter all of them."""

    findings: Findings
    query: Query
    items: tuple[Finding, ...]  # the worst first
    sockets: Mask  # (n,) rows of the update that are there and match

    @property
    def worst(self) -> Severity | None:
        """The severity of the worst finding shown; None if there is none."""
        return self.items[0].severity if self.items else None


def select(findings: Findings, query: Query = EVERYTHING) -> Selection:
    """Choose findings. One without sockets, which is about the whole host, is shown without a filter only."""
    mask = query.mask(findings.update) & (findings.update.life != Life.ENDED)
    items = findings.items
    if query != EVERYTHING:
        items = tuple(item for item in items if mask[item.rows].any())
    return Selection(findings, query, items, mask)


def write(selection: Selection, form: str, out: TextIO, width: int | None = None) -> None:
    """Write findings in one of ``FORMATS``; ``width`` is that of the terminal, None without one.

    Raises ValueError for an unknown format.
    """
    match form:
        case "text":
            _write_text(selection, out, width or _UNCUT)
        case "json":
            _write_json(selection, out)
        case "markdown":
            _write_markdown(selection, out)
        case _:
            raise ValueError(form)


# --- JSON ---------------------------------------------------------------------------------------------


def _write_json(selection: Selection, out: TextIO) -> None:
    findings = selection.findings
    whole = {
        **report.envelope(findings.update.snapshot),
        "watched_seconds": round(findings.watched, 1),
        "polls": findings.polls,
        "left_out": findings.left_out,
        "findings": [_object(findings, item) for item in selection.items],
    }
    out.write(json.dumps(whole, indent=2) + "\n")


def _object(findings: Findings, item: Finding) -> dict[str, Any]:
    said = say(findings, item)
    process = findings.update.snapshot.processes.get(item.pid)
    shown = take(findings.update, item.rows[:SOCKETS_SHOWN])
    return {
        "id": item.rule,
        "key": item.key,
        "severity": said.severity,
        "title": said.title,
        "summary": said.summary,
        "process": escape(process.name) if process else None,
        "pid": item.pid or None,
        "count": item.count,
        "oldest_seconds": _seconds(item.oldest_ms),
        "newest_seconds": _seconds(item.newest_ms),
        "trend_per_minute": _per_minute(item),
        "forecast": _forecast(item),
        "evidence": [{"name": name, "value": value} for name, value in said.evidence],
        "causes": [{"text": cause.text, "tell": cause.tell, "likely": cause.likely} for cause in said.causes],
        "remedy": [{"step": step.text, "command": step.command, "effect": step.effect or None} for step in said.steps],
        "do_not": [{"what": what, "why": why} for what, why in said.do_not],
        "explains": dict(item.explains),
        "sockets": list(report.objects(shown, tuple(COLUMNS.values()))),
    }


def _seconds(milliseconds: int | None) -> float | None:
    """Rounded down: it is at least so long."""
    return None if milliseconds is None else milliseconds // 100 / 10


def _per_minute(item: Finding) -> float | None:
    """The slope where it is certain, or where nothing changed; anything else is no number to alert on."""
    trend = item.trend
    return round(trend.per_minute, 2) if trend and (trend.certain or trend.first == trend.last) else None


def _forecast(item: Finding) -> dict[str, Any] | None:
    ahead, filled = item.forecast, item.draft.filled
    if ahead is None or filled is None:
        return None
    return {
        "what": filled[0],
        "used": round(ahead.used),
        "limit": round(ahead.limit),
        "seconds": round(ahead.seconds),
        "low_seconds": round(ahead.low_seconds),
        "high_seconds": None if ahead.high_seconds is None else round(ahead.high_seconds),
    }


# --- text ---------------------------------------------------------------------------------------------


def _write_text(selection: Selection, out: TextIO, width: int) -> None:
    findings = selection.findings
    for item in selection.items[:SHOWN]:
        out.write("\n".join(_lines(say(findings, item), width)) + "\n\n")
    if not selection.items:
        out.write("No findings.\n")
        for sentence in _why_nothing(selection):
            out.write(_wrapped(sentence, "", width) + "\n")
    out.write(_wrapped(_looked_at(selection), "", width) + "\n")


def _lines(said: Said, width: int) -> Iterator[str]:
    where = ", ".join(part for part in (said.process, said.where, said.age) if part)
    yield _wrapped(f"{said.severity.upper()} {said.id}: {said.title}", "", width)
    if where:
        yield _wrapped(where, "  ", width)
    yield _wrapped(said.summary, "  ", width)
    room = min(_NAME, max((len(name) for name, _ in said.evidence), default=0))
    for name, value in said.evidence:
        yield _wrapped(f"{name:<{room}}  {value}", "    ", width, more=room + 2)
    told = said.summary + " ".join(value for _, value in said.evidence)
    for label, text in (("Trend", said.trend), ("Forecast", said.forecast)):
        if text and text not in told:
            yield _wrapped(f"{label}: {text}", "  ", width)
    for number, step in enumerate(next_steps(said), 1):
        yield _wrapped(f"{number}. {step.text}" + (f" ({step.effect})" if step.effect else ""), "  ", width, more=3)
        if step.command:
            yield f"     {step.command}"  # whole, to be pasted
    if said.do_not:
        yield _wrapped(f"Not: {'; '.join(what for what, _ in said.do_not)}", "  ", width)


def _wrapped(text: str, indent: str, width: int, more: int = 0) -> str:
    return textwrap.fill(
        text,
        max(width, 40),
        initial_indent=indent,
        subsequent_indent=indent + " " * more,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )


def _why_nothing(selection: Selection) -> Iterator[str]:
    """What keeps "No findings." from being understood as more, or less, than it says."""
    findings, sockets = selection.findings, selection.findings.update.sockets
    waiting = (sockets["state"] == State.TIME_WAIT) & (sockets["protocol"] == Protocol.TCP) & selection.sockets
    number = int(np.count_nonzero(waiting))
    if number > _MANY_TIME_WAIT and findings.update.snapshot.host.is_linux:
        closes = number * 1000 // TIMEWAIT_MS
        yield (
            f"{count(number)} sockets in TIME_WAIT are normal: about {count(closes)} connections a second that this "
            f"host closed first, each remembered for {TIMEWAIT_MS // 1000} s."
        )
    source = findings.update.snapshot.source
    if source != "netlink":
        yield f"Most of what sockui finds cannot be seen {'in a text' if source == 'text' else 'through this source'}."
    if findings.polls < 2:
        yield "It was one look only: what shows in a change cannot be known from it."
    elif source != "text" and findings.watched < LEAST_SECONDS:
        yield "What shows in a change (drops, overflows, growth) may take longer to be seen: --for 10s."


def _looked_at(selection: Selection, mark: Callable[[str], str] = escape) -> str:
    """What was looked at; ``mark`` makes text from outside harmless."""
    findings = selection.findings
    snapshot = findings.update.snapshot
    pids = findings.update.sockets["pid"][findings.update.life != Life.ENDED]
    processes = np.count_nonzero(np.unique(pids))
    held = f"{_number(int(processes), 'known process', 'known processes')}"
    if snapshot.source == "text":
        looks = _number(findings.polls, "text") + (f" over {findings.watched:.0f} s" if findings.watched >= 1 else "")
        where = f"in {looks} of {mark(_host(selection))}"
    else:
        looks = "1 look" if findings.polls == 1 else f"{findings.polls} looks in {findings.watched:.0f} s"
        namespace = f" in the network namespace {mark(snapshot.host.namespace)}" if snapshot.host.namespace else ""
        where = f"{looks}, through {snapshot.source} on {mark(snapshot.host.name)}{namespace}"
    more = len(selection.items) - SHOWN
    parts = [f"{_number(more, 'more finding')}: a filter shows them, --format json all."] if more > 0 else []
    if findings.left_out:
        parts.append(f"{_number(findings.left_out, 'listener or port', 'listeners or ports')} more left out.")
    parts += [f"{_number(len(pids), 'socket')} of {held}, {where}, {moment(snapshot.taken_at)}."]
    if selection.query != EVERYTHING:
        hidden = len(findings.items) - len(selection.items)
        parts.append(f"{count(int(np.count_nonzero(selection.sockets)))} of them match the filter.")
        if hidden:
            parts.append(f"{_number(hidden, 'other finding')} without a socket that matches.")
    if snapshot.source == "text" and selection.items:
        parts.append(
            "The commands are for that host: its processes and sockets are not those of this one."
            if snapshot.host.is_linux
            else f"Commands are left out: they would be those of Linux, and this is {snapshot.host.system}."
        )
    return " ".join(parts)


def _number(number: int, noun: str, several: str = "") -> str:
    return f"{count(number)} {noun if number == 1 else several or noun + 's'}"


def _host(selection: Selection) -> str:
    return selection.findings.update.snapshot.host.name or "unknown host"


# --- Markdown -----------------------------------------------------------------------------------------


def _write_markdown(selection: Selection, out: TextIO) -> None:
    """A heading, then each finding as an incident channel shows it."""
    findings, host, when = selection.findings, _host(selection), moment(selection.findings.update.snapshot.taken_at)
    found = _number(len(selection.items), "finding") if selection.items else "No findings"
    out.write(f"**{found}** on {code(host)}, {when}\n")
    for item in selection.items[:SHOWN]:
        out.write("\n" + markdown(findings, item, host=host, moment=when).rstrip("\n") + "\n")
    about = [] if selection.items else [*_why_nothing(selection)]
    out.write("\n" + " ".join([*about, _looked_at(selection, code)]) + "\n")
