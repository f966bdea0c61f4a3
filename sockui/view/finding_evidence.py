"""What proves a finding, one line each: its rule's numbers, and what is known of processes, ends and change.

Owns the choice of these lines and those that no file in ``knowledge/findings`` has. Must not name causes or remedies.
"""

from __future__ import annotations

import numpy as np

from sockui.knowledge import finding_words, words
from sockui.knowledge.finding_words import FindingWords
from sockui.model import Call, Known, Owner, State, Threads
from sockui.tracker import Life
from sockui.view import evidence, settings
from sockui.view.evidence import number
from sockui.view.finding_facts import FindingFacts, forecast_text, trend_text
from sockui.view.format import count, elapsed, escape, local_endpoint, remote_endpoint

_STATES = {
    "R": "running",
    "S": "sleeping (S)",
    "D": "in the kernel (D)",
    "T": "stopped (T)",
    "t": "traced (t)",
    "Z": "ended (Z)",
    "I": "idle (I)",
}
_DECISIVE = "TtD"
"""Run states that explain by themselves why nothing moves; they are named first."""
_CALLS = 3
_RULES = 4


def lines(facts: FindingFacts, known: FindingWords) -> tuple[tuple[str, str], ...]:
    """(name, value) of everything that speaks for it; a line without a value is left out."""
    finding = facts.finding
    rows = finding.rows
    found = [("Sockets", _sockets(facts)) if len(rows) > 1 else ("Socket", _socket(facts))]
    if aged(facts, known):
        found.append((known.aged, facts.age))
    found += _of_rule(facts, known)
    found += [
        ("Trend", _trend(facts)),
        ("Forecast", forecast_text(finding, exact=True)),
        ("Process", _process(facts, known)),
        ("Descriptors", _descriptors(facts)),
        ("Threads", threads_text(finding.threads, stopped=finding.stopped) if finding.threads is not None else ""),
        ("Held by", f"{facts.holders_text}: each must close()" if facts.holders else ""),
        ("Other end, on this host", _other_end(facts)),
        ("Explains", _explains(facts)),
        (
            "Oldest socket" if facts.age else "One of them",
            _socket(facts) if len(rows) > 1 and aged(facts, known) else "",
        ),
        ("First found", _found(facts)),
        ("Settings", settings.shown(facts.host, known.settings)),
    ]
    return tuple((name, value) for name, value in found if value)


def aged(facts: FindingFacts, known: FindingWords) -> bool:
    """Whether its sockets' age is that of the fault: not, if they are merely those of a process."""
    oldest = facts.oldest
    return bool(known.aged) and oldest is not None and oldest.situation.name.lower() in known.situations


def threads_text(threads: Threads, *, stopped: bool) -> str:
    """``3 threads: sleeping (S); 2 in recvfrom(fd 12), 1 in futex``; what decides comes first."""
    states = sorted(threads.states.items(), key=lambda item: (item[0] not in _DECISIVE, -item[1]))
    only = len(states) == 1
    parts = [
        _STATES.get(letter, letter) if only else f"{held} {_STATES.get(letter, letter)}" for letter, held in states
    ]
    seen = number(threads.total, "thread")
    if threads.read < threads.total:
        seen += f" (the first {threads.read} looked at)"
    text = f"{seen}: {', '.join(parts)}"
    if stopped:
        text = f"Stands still: {text}"
    where = _waits(threads)
    return f"{text}; {where}" if where else text


def _waits(threads: Threads) -> str:
    """What the threads sleep in: system calls if they are known, else kernel functions."""
    if threads.calls_known:
        named = {_call(call): held for call, held in threads.calls.items() if call.name}
        if named:
            return _most(named)
    if threads.wchans_known:
        return _most({escape(name): held for name, held in threads.wchans.items() if name})
    asleep = set(threads.states) - {"R", "Z"}
    return "what they wait in may not be seen (needs root)" if asleep and not threads.calls_known else ""


def _call(call: Call) -> str:
    return f"{call.name}(fd {call.fd})" if call.fd is not None else call.name


def _most(named: dict[str, int]) -> str:
    order = sorted(named.items(), key=lambda item: -item[1])
    more = sum(held for _, held in order[_CALLS:])
    shown = [f"{count(held)} in {name}" for name, held in order[:_CALLS]]
    return ", ".join(shown + ([f"{count(more)} elsewhere"] if more else []))


def _of_rule(facts: FindingFacts, known: FindingWords) -> list[tuple[str, str]]:
    found = []
    for line in known.evidence:
        holds = set(line.when) <= facts.conditions and not set(line.unless) & facts.conditions
        if holds and all(name in facts.values or name in facts.host.sysctls for name in words.placeholders(line.text)):
            found.append((line.name, words.fill(line.text, facts.values)))
    return found


def _sockets(facts: FindingFacts) -> str:
    """How many, and of how many of the process in that state: the others may be too young, or another finding's."""
    draft, sockets = facts.finding.draft, facts.update.sockets
    if not draft.states or not draft.pid:
        return count(len(draft.rows))
    there = (sockets["pid"] == draft.pid) & np.isin(sockets["state"], draft.states) & (facts.update.life != Life.ENDED)
    total = int(np.count_nonzero(there & (sockets["owner"] == Owner.PROCESS)))
    states = ", ".join(state.name for state in draft.states)
    more = f" of {count(total)} in {states} of the process" if total > len(draft.rows) else ""
    return f"{count(len(draft.rows))}{more}"


def _trend(facts: FindingFacts) -> str:
    text, draft = trend_text(facts.finding, exact=True), facts.finding.draft
    if not text or not draft.states or not draft.pid:
        return text
    return f"{text} (all {', '.join(state.name for state in draft.states)} of the process)"


def _process(facts: FindingFacts, known: FindingWords) -> str:
    process = facts.process
    if process is None:
        return _nobody(facts) if known.situations and not known.anyone else ""
    parts = [facts.name(process.pid)]
    if process.user:
        parts.append(f"user {facts.mark(escape(process.user))}")
    if process.unit:
        parts.append(f"unit {facts.mark(escape(process.unit))}")
    running = int((facts.update.snapshot.taken_at - process.started_at) * 1000)
    if process.started_at and running >= 0:
        parts.append(f"started {elapsed(running)} ago")
    return ", ".join(parts)


def _nobody(facts: FindingFacts) -> str:
    """Why no process is named."""
    if facts.oldest is None or facts.finding.pid:
        return ""
    owners, numbers = np.unique(facts.update.sockets["owner"][facts.finding.rows], return_counts=True)
    if len(owners) == 1 and facts.finding.processes > 1:
        return f"{count(facts.finding.processes)}, each with some of them"
    if len(owners) == 1:
        return "; ".join(evidence.owner(facts.oldest))
    named = {
        Owner.KERNEL: "of the kernel alone",
        Owner.HIDDEN: "of processes that may not be read",
        Owner.UNFOUND: "of no process in sight",
        Owner.LISTENER: "not accepted yet",
        Owner.PROCESS: f"of {number(facts.finding.processes, 'process', 'processes')}",
    }
    return ", ".join(
        f"{count(held)} {named.get(owner, 'of unknown processes')}"
        for owner, held in zip(owners.tolist(), numbers.tolist(), strict=True)
    )


def _descriptors(facts: FindingFacts) -> str:
    process = facts.process
    if process is None or process.fd_count is None:
        return ""
    if not process.fd_limit:
        return f"{count(process.fd_count)} open"
    return f"{count(process.fd_count)} of {count(process.fd_limit)} ({process.fd_count * 100 // process.fd_limit} %)"


def _other_end(facts: FindingFacts) -> str:
    if not facts.others:
        return ""
    together = number(sum(facts.finding.others.values()), "socket")
    peer = facts.oldest.peer if facts.oldest is not None else None
    if peer is None or peer.pid not in facts.finding.others:
        return f"{facts.others} ({together})"
    row, alone = peer.row, len(facts.finding.rows) == 1
    unread = evidence.unread_bytes(row) if evidence.knows(row, Known.QUEUES) else 0
    text = f"{facts.others} ({together}){',' if alone else '; of the oldest'} in {peer.state}"
    if unread:
        return f"{text}, {number(unread, 'byte')} unread"
    if row["state"] not in (State.CLOSE_WAIT, State.FIN_WAIT2):
        return text
    return f"{text}, waiting for {words.state(State(int(row['state'])).name.lower()).waits}"


def _explains(facts: FindingFacts) -> str:
    """What other rules would have said of sockets that this finding explains."""
    explained = sorted(facts.finding.explains.items(), key=lambda item: -item[1])
    total = sum(held for _, held in explained)
    if not total:
        return ""
    titles = {rule: _title(rule) for rule, _ in explained[:_RULES]}
    shown = "; ".join(f"{count(held)} of {rule} ({titles[rule]})" for rule, held in explained[:_RULES])
    return f"{number(total, 'socket')}: {shown}"


def _title(rule: str) -> str:
    return finding_words.finding(finding_words.rules()[rule]).title[-1].text


def _socket(facts: FindingFacts) -> str:
    if facts.oldest is None:
        return ""
    row = facts.oldest.row
    ends = facts.mark(f"{local_endpoint(row)} → {remote_endpoint(row)}")
    held = f", fd {row['fd']}" if row["owner"] == Owner.PROCESS and row["fd"] >= 0 else ""
    return f"{facts.oldest.state} {ends}{held}"


def _found(facts: FindingFacts) -> str:
    seconds = facts.update.snapshot.monotonic - facts.finding.since
    if seconds < 60:
        return ""
    worse = f", worse since ({number(facts.finding.worse, 'time')})" if facts.finding.worse else ""
    return f"{elapsed(seconds * 1000)} ago{worse}"
