"""One socket or process in words: what its state means here, since when, whose turn, what ends it, why, what first.

Owns the order and choice of what is said. The words are in ``knowledge``, the numbers in ``evidence``; must
not touch terminal or kernel.
"""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Collection
from dataclasses import dataclass, fields

import numpy as np

from sockui.diagnosis import situations
from sockui.diagnosis.situations import Situation
from sockui.diagnosis.thresholds import Thresholds
from sockui.errors import UsageError
from sockui.knowledge import finding_words, words
from sockui.model import Host, Owner, State, parse_state, state_name
from sockui.tracker import Life, Update
from sockui.view import endings, evidence, settings
from sockui.view.column import held_by
from sockui.view.facts import Facts
from sockui.view.format import (
    count,
    did_you_mean,
    elapsed,
    escape,
    local_endpoint,
    long_duration,
    protocol,
    remote_endpoint,
)
from sockui.view.remedy import fill, steps
from sockui.view.step import Step

WIDTH = 78
COMMAND_SHOWN = 200
"""Characters of a command line that are shown."""


@dataclass(frozen=True, slots=True)
class Cause:
    """A possible cause."""

    text: str
    tell: str  # how to tell
    supported: bool  # the evidence speaks for it


@dataclass(frozen=True, slots=True)
class Explanation:
    """One socket explained, in the order in which it is read."""

    situation: Situation
    heading: str  # state, protocol, local → remote
    title: str  # the situation in a few words
    sentence: str  # what it means here
    evidence: tuple[str, ...]  # short lines from this socket's numbers
    turn: str  # who has to act, and how
    ends: str  # what ends it, and when
    causes: tuple[Cause, ...]  # those that the numbers speak for first
    first: Step | None  # the first thing to do; None if there is nothing


@dataclass(frozen=True, slots=True)
class ProcessExplanation:
    """One process, or a subtree of processes, in its sockets."""

    heading: str  # "java 4312"
    facts: tuple[str, ...]  # user, unit, cgroup, start, command, descriptors, shared sockets
    totals: tuple[tuple[str, int], ...]  # state, sockets; the most first
    stuck: int  # sockets in which somebody has to act
    oldest: int  # row of the oldest of those; -1 none
    oldest_text: str  # the same as a line, "" none


def explain(update: Update, index: int) -> Explanation:
    """Explain the socket in row ``index`` of an update."""
    return explain_facts(Facts(update, index))


def explain_facts(facts: Facts) -> Explanation:
    """Explain a socket whose facts were gathered already."""
    row = facts.row
    heading = f"{facts.state} {protocol(row)} {local_endpoint(row)} → {remote_endpoint(row)}"
    ending = endings.of(facts)
    lines = evidence.lines(facts) if ending is None else endings.lines(facts, ending)
    situation = words.situation(facts.situation.name.lower())
    if facts.life == Life.ENDED:
        known = words.choose(words.state(State(int(row["state"])).name.lower()).ended, facts.conditions)
        sentence = (endings.sentence(facts, ending) if ending is not None else "") or fill(known.text, facts.values)
        return Explanation(
            facts.situation,
            heading,
            "It has ended",
            sentence,
            lines,
            "Nobody: it has ended.",
            "It has ended.",
            (),
            None,
        )
    turn = words.choose(situation.turn, facts.conditions)
    terse = settings.Values(facts.host, dict(facts.values))
    for name in ("holder", "listener"):  # "Our application: the application must" says it twice
        terse[name] = "it" if terse[name] in ("the application", "the listening application") else terse[name]
    ends = fill(words.choose(situation.ends, facts.conditions).text, facts.values)
    todo = steps(facts)
    return Explanation(
        situation=facts.situation,
        heading=heading,
        title=situation.title,
        sentence=fill(words.choose(situation.meaning, facts.conditions).text, facts.values),
        evidence=lines,
        turn=f"{turn.who[0].upper()}{turn.who[1:]}: {words.fill(turn.text, terse)}",
        ends=" ".join(part for part in (ends, _left(facts)) if part),
        causes=_causes(facts, situation),
        first=todo[0] if todo else None,
    )


def _causes(facts: Facts, situation: words.SituationWords) -> tuple[Cause, ...]:
    conditions, found = facts.conditions, []
    for cause in situation.causes:
        if set(cause.when) <= conditions and not set(cause.unless) & conditions:
            supported = bool(cause.likely) and set(cause.likely) <= conditions
            found.append(Cause(fill(cause.text, facts.values), fill(cause.tell, facts.values), supported))
    return tuple(sorted(found, key=lambda cause: not cause.supported))


def _left(facts: Facts) -> str:
    """How far away the time is that the settings give; empty where none runs or it is not known."""
    low, high = int(facts.age["min_ms"]), int(facts.age["max_ms"])
    if facts.situation == Situation.SYN_SENT and high >= 0:
        limit = settings.connect_fails_ms(facts.host)
    elif facts.stall and facts.stall.kind == "outage":
        limit, low = settings.unanswered_ms(facts.host, orphan=facts.orphan), facts.stall.min_ms
    else:
        return ""
    if limit is None:
        return ""
    left = limit - low if facts.gives_up is False else int(facts.row["timer_ms"])
    if left > 0:
        return f"About {long_duration(left)} until then."
    return f"That time is over; the next timeout {'ends it' if facts.gives_up else 'may end it'}."


def explain_process(update: Update, pid: int, subtree_pids: Collection[int]) -> ProcessExplanation:
    """Explain the sockets that any of ``subtree_pids`` (``pid`` among them) holds, and those their listeners keep."""
    sockets = update.sockets
    pids = np.fromiter({pid, *subtree_pids}, np.int32)
    rows = np.flatnonzero(held_by(update, pids) & (update.life != Life.ENDED))

    kinds = situations.classify(sockets, update.ages, rows)
    waits = np.isin(kinds, [int(kind) for kind in situations.STUCK])
    for at in np.flatnonzero((sockets["state"][rows] == State.LISTEN) & (sockets["recv_queue"][rows] > 0) & ~waits):
        waits[at] = {"waiting", "fds_used_up"} <= Facts(update, int(rows[at])).conditions
    stuck = rows[waits]
    oldest = int(stuck[np.argmax(update.ages["min_ms"][stuck])]) if len(stuck) else -1
    text = ""
    if oldest >= 0:
        low, high = int(update.ages["min_ms"][oldest]), int(update.ages["max_ms"][oldest])
        age = evidence.interval(low, high if high >= 0 else None) or "age not known"
        title = words.situation(Facts(update, oldest).situation.name.lower()).title
        text = f"{state_name(int(sockets['state'][oldest]))} {age}, {remote_endpoint(sockets[oldest])}: {title}"
    numbers = np.bincount(sockets["protocol"][rows].astype(np.intp) << 8 | sockets["state"][rows])
    totals = [(state_name(int(code) & 255, int(code) >> 8), int(numbers[code])) for code in np.flatnonzero(numbers)]
    facts = _process_facts(update, pid, len(pids), int(np.count_nonzero(sockets["holders"][rows] > 1)))
    waiting = int(np.count_nonzero(sockets["owner"][rows] == Owner.LISTENER))
    if waiting:
        facts.append(f"{evidence.number(waiting, 'connection')} not accepted yet")
    process = update.snapshot.processes.get(pid)
    heading = f"{escape(process.name)} {pid}" if process else f"process {pid}"
    ordered = tuple(sorted(totals, key=lambda total: (-total[1], total[0])))
    return ProcessExplanation(heading, tuple(facts), ordered, len(stuck), oldest, text)


def _process_facts(update: Update, pid: int, processes: int, shared: int) -> list[str]:
    process = update.snapshot.processes.get(pid)
    facts = []
    if process is None:
        facts.append("Nothing more is known of this process.")
    else:
        if process.user:
            facts.append(f"User {escape(process.user)}")
        if process.unit:
            facts.append(f"Unit {escape(process.unit)}")
        if process.cgroup:
            facts.append(f"Cgroup {escape(process.cgroup)}")
        running = int((update.snapshot.taken_at - process.started_at) * 1000)
        if process.started_at and running >= 0:
            facts.append(f"Started {elapsed(running)} ago")
        if process.cmdline:
            command = escape(shlex.join(process.cmdline))
            facts.append(f"Command {command if len(command) <= COMMAND_SHOWN else command[: COMMAND_SHOWN - 1] + '…'}")
        if process.fd_count is not None:
            share = f" of {count(process.fd_limit)}" if process.fd_limit else ""
            percent = f" ({process.fd_count * 100 // process.fd_limit} %)" if process.fd_limit else ""
            facts.append(f"{count(process.fd_count)}{share} descriptors open{percent}")
            if process.fd_limit and process.fd_count >= process.fd_limit:
                facts[-1] += ", at its limit: accept(), open() and socket() fail"
    if processes > 1:
        facts.append(f"With {evidence.number(processes - 1, 'process', 'processes')} below it")
    if shared:
        facts.append(f"{evidence.number(shared, 'socket')} with more than one holder")
    return facts


GENERIC = {
    "state": "this state",
    "holder": "the application",
    "its_fd": "its descriptor",
    "listener": "the listening application",
    "peer_app": "it",
    "peer_host": "the peer",
    "remote": "the peer",
    "in_timer": "when its timer ends",
    "in_timer_start": "When its timer ends",
    "timer": "some time",
    "idle": "a while",
    "unread_for": "a while",
    "give_up": "a time",
    "give_up_setting": "tcp_orphan_retries once closed, tcp_retries2 while held",
}
"""What stands for a socket's own values where no socket is meant."""


def explain_state(text: str, host: Host) -> str:
    """Explain a state in any spelling, with this host's settings, as plain text of 78 columns.

    Raises :class:`UsageError` with a suggestion for a name that is no state.
    """
    state = parse_state(text)
    if state is None:
        names = [known.name for known in State]
        hint = did_you_mean(text, names) or f"; states are {', '.join(names)}"
        raise UsageError(f'"{escape(text)}" is not a TCP state{hint}')
    known = words.state(state.name.lower())
    values = settings.Values(host, {**_Numbers(), **settings.times(host), **GENERIC})
    parts = [state.name + (" (UDP: UNCONN)" if state == State.CLOSE else ""), ""]
    parts += [_wrap(fill(known.sentence, values)), ""]
    for label, sentence in (
        ("Whose turn", known.turn),
        ("What ends it", known.ends),
        ("Settings", known.tunable),
        ("Costs", known.costs),
    ):
        parts.append(_wrap(f"{label}: {fill(sentence, values)}"))
    for label, edges in (("Entered from", known.entered_by), ("Left to", known.left_by)):
        parts += ["", f"{label}:", *(_wrap(f"{edge.state}: {edge.on}", "  ") for edge in edges)]
    parts += ["", "Cases:"]
    refusals: dict[str, str] = {}
    for name in known.situations:
        case = words.situation(name)
        meaning = fill(case.meaning[-1].text, values)
        parts += [_wrap(f"{case.title}.", "  "), _wrap(meaning, "    ")]
        parts += [_wrap(f"- {fill(cause.text, values)} {fill(cause.tell, values)}", "    ") for cause in case.causes]
        refusals.update({item.what: item.why for item in case.do_not})
    if refusals:
        parts += ["", "Do not use:", *(_wrap(f"{what}: {fill(why, values)}", "  ") for what, why in refusals.items())]
    parts += ["", _wrap(f"Sources: {'; '.join(known.references)}")]
    return "\n".join(parts)


def explain_finding(text: str, host: Host, limits: Thresholds | None = None) -> str:
    """Explain a rule, by its id or the name of its words, as plain text of 78 columns; "" if there is none.

    ``limits`` are the thresholds that it fires at, the defaults if None.
    """
    name = finding_words.find_finding(text)
    if name is None:
        return ""
    known = finding_words.finding(name)
    values = _Anything(host, {**_Numbers(), **settings.times(host), **GENERIC, **_OF_FINDING, **_limits(limits)})
    cases = [words.situation(situation) for situation in known.situations]
    turn = [f"{variant.who}: {words.fill(variant.text, values)}" for variant in known.turn]
    turn = turn or [f"{case.turn[-1].who}: {words.fill(case.turn[-1].text, values)}" for case in cases]
    ends = [variant.text for variant in known.ends or tuple(case.ends[-1] for case in cases)]
    parts = [f"{known.rule} {name.replace('_', '-')}", ""]
    parts += [_wrap(f"{variant.text}.") for variant in known.title] + [""]
    parts += [_wrap(fill(case.meaning[-1].text, values)) for case in cases]
    evidence_names = (known.aged, *(line.name for line in known.evidence), *(_EVIDENCE if known.filter else ()))
    for label, texts in (
        ("Fires", [known.fires]),
        ("Severity", [known.severity]),
        ("False positives", known.false_positives),
        ("Whose turn", [each[0].upper() + each[1:] for each in turn]),
        ("What ends it", ends),
        ("Evidence", [f"{', '.join(dict.fromkeys(filter(None, evidence_names)))}."]),
        ("Settings", [settings.shown(host, known.settings)]),
    ):
        parts += _labelled(label, [fill(each, values) for each in dict.fromkeys(texts) if each])
    causes = [*known.causes, *(cause for case in cases for cause in case.causes)]
    told = dict.fromkeys(f"- {fill(cause.text, values)} {fill(cause.tell, values)}" for cause in causes)
    parts += ["", "Causes:", *(_wrap(line, "  ") for line in told), "", "What to do:"]
    every = [*known.steps, *(step for case in cases for step in case.steps)]
    for rung in words.RUNGS:
        lines = dict.fromkeys(line for step in every if step.rung == rung for line in _generic(step, values))
        parts += [f"  {rung[0].upper()}{rung[1:]}:", *lines] if lines else []
    refusals = {fill(item.what, values): item.why for case in cases for item in case.do_not}
    refusals |= {fill(item.what, values): item.why for item in known.do_not}
    parts += ["", "Do not:", *(_wrap(f"{what}: {fill(why, values)}", "  ") for what, why in refusals.items())]
    parts += ["", _wrap("A finding has the commands, filled in. Thresholds and reasons: sockui --print-config.")]
    return "\n".join(parts)


_EVIDENCE = "number and trend", "process", "descriptors", "threads", "the other end if it is on this host"
"""Lines that every finding has if they are known."""


def _generic(step: words.StepWords, values: settings.Values) -> list[str]:
    """A step where no socket is meant: with its command if that has no hole and need not be wrapped."""
    line = _wrap(f"- {fill(step.text, values)}", "    ")
    command = f"        {step.command}"
    whole = step.command and not any(words.placeholders(step.command)) and len(command) <= WIDTH
    return [line, command] if whole else [line]


def _labelled(label: str, texts: list[str]) -> list[str]:
    """One text behind its label, or several as a list."""
    if len(texts) > 1:
        return [f"{label}:", *(_wrap(f"- {text}", "  ") for text in texts)]
    return [_wrap(f"{label}: {text}") for text in texts]


def _limits(limits: Thresholds | None) -> dict[str, str]:
    """The thresholds as words want them: a share in percent, seconds and numbers plain."""
    found = {}
    for threshold in fields(Thresholds):
        value = getattr(limits or Thresholds(), threshold.name)
        found[threshold.name] = f"{value * 100:g} %" if threshold.metadata["high"] <= 1 else f"{value:,g}"
    return found


_OF_FINDING = {
    "who": "the application",
    "at": "",
    "since": "",
    "place": "this endpoint",
    "others": "another process",
    "sockets": "sockets",
    "connections": "connections",
    "by_state": "sockets by state",
}
"""What stands for a finding's own values where none is meant."""


class _Anything(settings.Values):
    """Values where nothing is meant: a number that no text names one by one is N."""

    def __missing__(self, name: str) -> str:
        return super().__missing__(name) if "." in name else "N"


class _Numbers(dict[str, str]):
    """Stands for the numbers of a socket in a text that means none."""

    def __init__(self) -> None:
        names = "backlog rcvbuf mss retransmits backoff probes fds fd_limit time_waits"
        super().__init__(dict.fromkeys(names.split(), "N"))
        self.update(dict.fromkeys(("unread", "queued", "recv_queue"), "N bytes"), queued_are="N bytes are")
        self.update(dict.fromkeys(("unread_wait", "queued_wait"), "N bytes wait"), waiting="N wait", capacity="N fit")
        self.update(drops="N packets", syns="N SYNs")


def _wrap(text: str, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ")
