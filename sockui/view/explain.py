"""One socket or process in words: what its state means here, since when, whose turn, what ends it, why, what first.

Owns the order and choice of what is said. The words are in ``knowledge``, the numbers in ``evidence``; must
not touch terminal or kernel.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from sockui.diagnosis import situations
from sockui.diagnosis.situations import Situation
from sockui.knowledge import systems, words
from sockui.model import Owner, State, state_name
from sockui.tracker import Life, Update
from sockui.view import endings, evidence, settings
from sockui.view.column import held_by
from sockui.view.facts import Facts
from sockui.view.format import (
    count,
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
        ends=_elsewhere(facts) or " ".join(part for part in (ends, _left(facts)) if part),
        causes=_causes(facts, situation),
        first=todo[0] if todo else None,
    )


def _elsewhere(facts: Facts) -> str:
    """What ends it on a system that is not Linux and has other times; "" on Linux, and where no time counts."""
    if facts.host.is_linux or int(facts.row["state"]) in (State.LISTEN, State.CLOSE):
        return ""
    system = systems.find_system(" ".join(word for word in facts.host.system.split() if not word[0].isdigit()))
    known = next((each.text for each in system.ends if each.state == facts.state.lower()), "") if system else ""
    command = f"sockui explain {facts.state} --os {system.key if system else 'NAME'}"
    return f"{known} More: {command}" if known else f"That differs by system: {command}"


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
    elif {"half_accepted", "queue_full"} <= facts.conditions:
        return ""  # the listener forgets it long before
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

    waits = np.isin(situations.of(update)[rows], [int(kind) for kind in situations.STUCK])
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
