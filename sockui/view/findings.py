"""A finding in words: title, evidence, causes, what to do; the filter that shows its sockets; Markdown for a channel.

Owns the wording of findings, from ``knowledge/findings``, with causes, steps and refusals of its oldest socket's
situation. Must not decide what is a finding.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from sockui.diagnosis.finding import Finding, Findings
from sockui.knowledge import finding_words, words
from sockui.knowledge.finding_words import FindingWords, Weight, Without
from sockui.knowledge.words import CauseWords, StepWords, Variant
from sockui.view import finding_evidence
from sockui.view import format as fmt
from sockui.view.explain import explain_facts
from sockui.view.facts import Facts
from sockui.view.finding_facts import FindingFacts, conditions, forecast_text, trend_text, where
from sockui.view.format import address, endpoint, escape
from sockui.view.markdown import code, ladder, told
from sockui.view.remedy import commands, fill, for_runtime, from_outside, in_order, steps
from sockui.view.runtime import runtime_words, theme_of
from sockui.view.shell import quote
from sockui.view.step import Step

_EVIDENCE_COPIED = 8
_REFUSALS_COPIED = 2
_AGES = {"1s": 1, "2s": 2, "5s": 5, "10s": 10, "30s": 30, "1m": 60, "2m": 120, "5m": 300, "10m": 600, "30m": 1800}
_AGES |= {"1h": 3600, "2h": 7200, "6h": 21_600, "1d": 86_400}
"""Seconds that a filter compares an age with: the greatest that is not above the newest socket's, so that the
filter of a leak stays the same while the leak goes on."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why it may be so."""

    text: str
    tell: str  # how to tell
    likely: bool  # the numbers speak for it


@dataclass(frozen=True, slots=True)
class Said:
    """A finding in words; every text is harmless to show, names from outside are escaped."""

    id: str  # the rule, "R02"
    severity: str  # "critical", "warning" or "info"
    title: str  # one line without the process: "CLOSE_WAIT: EOF read, not closed"
    summary: str  # who, what, since when, how it develops, what to do first
    process: str  # "java 4312", "" if no process of this host is meant or it is not known
    where: str  # ":8080", "10.0.0.5:5432", "" none
    age: str  # "9 min to 42 min", "≥ 42 min", "" unknown
    trend: str  # "+12/min for 9 min", "steady", "" too early to say
    forecast: str  # "out of file descriptors (812 of 1,024) in about 14 min", "" none
    evidence: tuple[tuple[str, str], ...]  # name, value: lines of the evidence table
    turn: str  # whose turn it is, a sentence
    ends: str  # what ends it and when, a sentence
    causes: tuple[Cause, ...]  # most likely first
    steps: tuple[Step, ...]  # the ladder, least harmful first
    do_not: tuple[tuple[str, str], ...]  # what, why
    filter: str  # shows its sockets; "" it has none


def say(findings: Findings, finding: Finding) -> Said:
    """Put a finding into words. Costs a few ms: for the one that is looked at, or for a report."""
    return _say(findings, finding, str)


def title(finding: Finding) -> str:
    """The title alone; cheap, for a table."""
    return words.choose(_words(finding).title, conditions(finding)).text


def age(finding: Finding) -> str:
    """Its age alone, for a table: that of its oldest socket; "" if that is not since when the fault is there."""
    if finding.oldest_ms is None or not _words(finding).aged:
        return ""
    return fmt.age(finding.oldest_ms, -1)


def filter_text(finding: Finding) -> str:
    """A filter that shows the sockets of a finding, in the filter language; "" if it has none.

    It chooses all of them. It chooses others too where the language cannot say what the rule asks: the peer's window
    (R04, R08, R18, R19), our own window (R20), how long a segment was not acknowledged, which of several listeners
    on one port a connection came through, which address of the host a listener has, and which process is the first
    of several that hold a socket.
    """
    known = _words(finding)
    if not known.filter or not len(finding.rows):
        return ""
    numbers = {name: str(value) for name, value in finding.draft.values.items()}
    parts = [words.fill(words.choose(known.filter, conditions(finding)).text, numbers)]
    values, end = finding.draft.values, finding.draft.endpoint
    if "source_high" in values:
        parts.append(f"src {_bracketed(address(int(values['source_high']), int(values['source_low']), 6))}")
    if end is not None and end.port and (end.local or not (end.high or end.low)):
        parts.append(f"sport = :{end.port}")
    elif end is not None and end.port:
        parts.append(f"dst {_bracketed(address(end.high, end.low, 6))} and dport = :{end.port}")
    if finding.pid and not known.anyone:
        parts.insert(0, f"pid = {finding.pid}")
    newest = next((text for text, age in reversed(_AGES.items()) if (finding.newest_ms or 0) >= age * 1000), "")
    parts += [f"{name} >= {newest}" for name in known.filter_ages if newest]
    return " and ".join(parts)


def markdown(findings: Findings, finding: Finding, *, host: str, moment: str) -> str:
    """A finding for an incident channel: title, impact, evidence, forecast, next three steps, host and time.

    Bullets and code spans only, which read well in Slack, Teams, GitHub and as plain text; at most 25 lines.
    """
    said = _say(findings, finding, code)
    found = [_head(findings, said, host, moment), *_meaning(said)]
    found += [f"- {name}: {value}" for name, value in said.evidence[:_EVIDENCE_COPIED]]
    likely = next((cause for cause in said.causes if cause.likely), None)
    found += [f"- Likely cause: {likely.text}"] if likely is not None else []
    found += [f"{number}. {told(step)}" for number, step in enumerate(next_steps(said), 1)]
    found += [f"- Do not: {what}. {why}" for what, why in said.do_not[:_REFUSALS_COPIED]]
    return "\n".join([*found, *_show(findings, said)])


def remedy_text(findings: Findings, finding: Finding, *, host: str, moment: str) -> str:
    """The remediation page of a finding: every step, numbered as there."""
    said = _say(findings, finding, code)
    head = _head(findings, said, host, moment)
    return "\n".join([head, f"- What: {said.summary}", "", *ladder(said.steps, said.do_not)])


def full(findings: Findings, finding: Finding, *, host: str, moment: str) -> str:
    """Everything that is known about a finding: all evidence, causes and steps."""
    said = _say(findings, finding, code)
    found = [_head(findings, said, host, moment), *_meaning(said), "", "Evidence"]
    found += [f"- {name}: {value}" for name, value in said.evidence]
    if said.causes:
        found += ["", "Possible causes, the likely ones first", *(f"- {each.text} {each.tell}" for each in said.causes)]
    return "\n".join([*found, "", "What to do", *ladder(said.steps, said.do_not), *_show(findings, said)])


def _head(findings: Findings, said: Said, host: str, moment: str) -> str:
    namespace = findings.update.snapshot.host.namespace
    inside = f" netns {code(namespace)}" if namespace else ""
    place = f"{code(host) if host else 'an unnamed host'}{inside}"
    return f"{said.severity.upper()} {said.title} ({said.id}) on {place} at {escape(moment)}"


def _meaning(said: Said) -> list[str]:
    return [f"- What: {said.summary}", f"- Whose turn: {said.turn}", f"- Ends: {said.ends}"]


def _show(findings: Findings, said: Said) -> list[str]:
    """The command that shows its sockets, if this host has them."""
    if not said.filter or findings.update.snapshot.source == "text":
        return []
    namespace = findings.update.snapshot.host.namespace
    program = f"sockui --netns {quote(namespace)}" if namespace else "sockui"
    return [f"- Show: {code(f'{program} {shlex.quote(said.filter)}')}"]


def _say(findings: Findings, finding: Finding, mark: Callable[[str], str]) -> Said:
    facts, known = FindingFacts(findings, finding, mark), _words(finding)
    oldest = facts.oldest if facts.oldest is not None and _situation(facts.oldest) in known.situations else None
    explained = explain_facts(oldest) if oldest is not None else None
    turn, ours = _turn(facts, known, explained.turn if explained is not None else "")
    acting = oldest.acting if oldest is not None else facts.process
    # what its threads do matters then, if they are those that were looked at
    ours = ours and acting is not None and acting.pid == finding.pid
    todo, refusals = _todo(facts, known, oldest, ours=ours)
    ends = _chosen(facts, known.ends) if known.ends else explained.ends if explained is not None else ""
    return Said(
        id=finding.rule,
        severity=finding.severity.name.lower(),
        title=title(finding),
        summary=_summary(facts, known, ours=ours),
        process=facts.who if finding.pid else "",
        where=where(finding.draft.endpoint),
        age=facts.age if finding_evidence.aged(facts, known) else "",
        trend=trend_text(finding),
        forecast=forecast_text(finding),
        evidence=finding_evidence.lines(facts, known),
        turn=turn,
        ends=ends,
        causes=_causes(facts, known, oldest, ours=ours),
        steps=todo,
        do_not=refusals,
        filter=filter_text(finding),
    )


def _words(finding: Finding) -> FindingWords:
    return finding_words.finding(finding_words.rules()[finding.rule])


def _situation(facts: Facts) -> str:
    return facts.situation.name.lower()


def _holds(item: StepWords | CauseWords, holding: Collection[str]) -> bool:
    return set(item.when) <= set(holding) and not set(item.unless) & set(holding)


def _chosen(facts: FindingFacts, variants: tuple[Variant, ...]) -> str:
    return fill(words.choose(variants, facts.conditions).text, facts.values)


def _summary(facts: FindingFacts, known: FindingWords, *, ours: bool) -> str:
    """Who, what and since when; how it develops; what to do first."""
    finding = facts.finding
    text = _chosen(facts, known.summary)
    found = [text[0].upper() + text[1:] if not finding.pid and text.startswith(facts.who) else text]
    slope, ahead = trend_text(finding), forecast_text(finding)
    if slope and finding.trend is not None and finding.trend.certain:
        found.append(f"{'Growing' if finding.trend.growing else 'Falling'}: {slope}{f'; {ahead}' if ahead else ''}.")
    elif ahead:
        found.append(f"At this rate {ahead}.")
    elif slope and finding.count > 1:  # steady
        found.append(f"{slope[0].upper()}{slope[1:]}.")
    first = known.first
    if ours and {"stopped", "traced"} & facts.conditions:
        first = finding_words.threads().first
    return " ".join([*found, f"First: {_chosen(facts, first)}"])


def _turn(facts: FindingFacts, known: FindingWords, of_socket: str) -> tuple[str, bool]:
    """Whose turn it is, and whether it is our application's."""
    if not known.turn:
        return of_socket, of_socket.startswith("Our application")
    chosen = words.choose(known.turn, facts.conditions)
    text = words.fill(chosen.text, facts.values)
    return f"{chosen.who[0].upper()}{chosen.who[1:]}: {text}", chosen.who == "our application"


def _causes(facts: FindingFacts, known: FindingWords, oldest: Facts | None, *, ours: bool) -> tuple[Cause, ...]:
    """Those that its threads show, those of its file, and those of the situation, weighed by what is known here."""
    holding = facts.conditions
    threads = finding_words.threads()
    looked = ours and "threads" in holding
    own = [item for item in (*(threads.causes if looked else ()), *known.causes) if _holds(item, holding)]
    found = [
        Cause(
            fill(item.text, facts.values),
            fill(item.tell, facts.values),
            bool(item.likely) and set(item.likely) <= holding,
        )
        for item in own
    ]
    weights = (*known.weights, *(threads.weights if looked else ()))
    for cause in explain_facts(oldest).causes if oldest is not None else ():
        likely = _weigh(cause.text, weights, facts)
        if likely is not None:
            found.append(Cause(cause.text, cause.tell, cause.supported or likely))
    return tuple(sorted(found, key=lambda cause: not cause.likely))


def _weigh(cause: str, weights: Collection[Weight], facts: FindingFacts) -> bool | None:
    """Whether what is known speaks for a cause; None: it is ruled out."""
    about = [weight for weight in weights if cause.startswith(weight.cause)]
    if any(set(weight.unless) & facts.conditions for weight in about):
        return None
    return any(weight.likely and set(weight.likely) <= facts.conditions for weight in about)


def _todo(
    facts: FindingFacts, known: FindingWords, oldest: Facts | None, *, ours: bool
) -> tuple[tuple[Step, ...], tuple[tuple[str, str], ...]]:
    """The ladder and what not to do; on each rung its threads' and its file's steps, its situation's, its program's."""
    looked = ours and "threads" in facts.conditions
    chosen = [*(finding_words.threads().steps if looked else ()), *known.steps]
    found = [_step(facts, item) for item in chosen if _complete(facts, item)]
    refusals = [(fill(item.what, facts.values), fill(item.why, facts.values)) for item in known.do_not]
    acting, about = (oldest.acting, oldest) if oldest is not None else (facts.process, facts.of_process)
    of_program: list[tuple[str, str]] = []
    tools: list[Step] = []
    if acting is not None and about is not None:
        own, of_program = for_runtime(acting, theme_of(facts.finding.rule), about)
        program = runtime_words(acting).name
        found += [replace(step, text=f"{program}: {step.text}") for step in own if step.rung == "fix in code"]
        tools = [step for step in own if step.rung != "fix in code"]  # they may have to be installed first
    if oldest is not None:
        unfit = {command for item in known.without if (command := _unfit(facts, oldest, item))}
        unfit |= {step.command for step in found if step.command}
        found += [step for step in steps(oldest) if step.command not in unfit]
        situation = words.situation(_situation(oldest))
        refusals += [(fill(item.what, oldest.values), fill(item.why, oldest.values)) for item in situation.do_not]
    found += tools
    every: dict[str, str] = {}
    for what, why in refusals + of_program:
        every.setdefault(what, why)
    return tuple(in_order(found)), tuple(every.items())


def _complete(facts: FindingFacts, item: StepWords) -> bool:
    possible = facts.host.is_linux or not item.command  # commands are those of Linux
    return possible and _holds(item, facts.conditions) and set(words.placeholders(item.command)) <= set(facts.known)


def _step(facts: FindingFacts, item: StepWords) -> Step:
    command = words.fill(item.command, facts.known)
    here = from_outside(command, facts.host.namespace)
    effect = f"{item.effect}, needs root" if item.root or here != command else item.effect
    return Step(item.rung, fill(item.text, facts.values), here or None, effect)


def _unfit(facts: FindingFacts, oldest: Facts, item: Without) -> str:
    """A command of the situation that does not fit, as it would stand there; "" it does not stand there."""
    known = commands(oldest)
    if not set(item.when) <= facts.conditions or not set(words.placeholders(item.command)) <= set(known):
        return ""
    return from_outside(words.fill(item.command, known), facts.host.namespace)


def next_steps(said: Said) -> list[Step]:
    """The first step to look, the first to mitigate and the first to fix it: what has to be known at once."""
    mitigate = [step for step in said.steps if step.rung.startswith("mitigate")]
    look, fix = ([step for step in said.steps if step.rung == rung] for rung in ("look", "fix in code"))
    return [rung[0] for rung in (look, mitigate, fix) if rung]


def _bracketed(host: str) -> str:
    """An address as filters want it: IPv6 in brackets."""
    return endpoint(host, 1).rpartition(":")[0]
