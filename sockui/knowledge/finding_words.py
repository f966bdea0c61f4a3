"""Reads the words of findings: one TOML file per rule, and what follows from a process's threads.

Owns which keys these files have, and by which names a rule is found. Must not know sockets: names of conditions and
values of placeholders come from ``view``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from sockui.knowledge.files import File
from sockui.knowledge.words import (
    Belief,
    CauseWords,
    DoNot,
    StepWords,
    Variant,
    belief,
    cause,
    check_ladder,
    names,
    sources,
    step,
    variants,
)

_CLAIMS = ("costs", "summary", "severity", "false_positives", "turn", "ends", "causes", "steps", "do_not")
"""What else a finding's file may give a source of."""


@dataclass(frozen=True, slots=True)
class EvidenceWords:
    """One line of a finding's evidence; left out if a placeholder has no value, or a condition does not hold."""

    name: str
    text: str
    when: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Weight:
    """What a finding knows about a cause that its socket's situation names."""

    cause: str  # how the cause's text begins
    likely: tuple[str, ...]  # the numbers speak for it if there are some and all of them hold
    unless: tuple[str, ...]  # it is ruled out if one of them holds


@dataclass(frozen=True, slots=True)
class Without:
    """A command of its socket's situation that does not fit a finding of which every condition of ``when`` holds."""

    command: str  # as the situation has it, with placeholders
    when: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FindingWords:
    """What a rule finds and what to do; its oldest socket's situation adds causes, steps and what not to do."""

    rule: str  # "R02"
    situations: tuple[str, ...]  # those that add their words; none: the finding is not about single sockets
    title: tuple[Variant, ...]  # without placeholders
    summary: tuple[Variant, ...]
    first: tuple[Variant, ...]  # what to do first: a sentence, its beginning small
    severity: str
    costs: str  # what it costs; "" what the states of its sockets do
    fires: str  # with the thresholds' names as placeholders
    false_positives: tuple[str, ...]
    aged: str  # what its sockets' age is of: "In CLOSE_WAIT"; "" they have none that matters
    filter: tuple[Variant, ...]  # in the filter language, without process and endpoint; () it has no sockets
    anyone: bool  # its sockets are not all of the process that it names
    filter_ages: tuple[str, ...]  # fields that are at least as large as the newest socket's age
    evidence: tuple[EvidenceWords, ...]
    settings: tuple[str, ...]  # sysctls that matter
    turn: tuple[Variant, ...]  # () the socket's
    ends: tuple[Variant, ...]  # () the socket's
    weights: tuple[Weight, ...]
    without: tuple[Without, ...]
    causes: tuple[CauseWords, ...]
    steps: tuple[StepWords, ...]
    do_not: tuple[DoNot, ...]
    beliefs: tuple[Belief, ...]
    see: tuple[str, ...]  # names of other topics
    sources: Mapping[str, str]  # what is claimed -> where that is known from


@dataclass(frozen=True, slots=True)
class ThreadWords:
    """What follows from what a process's threads wait in, whatever the finding."""

    first: tuple[Variant, ...]
    weights: tuple[Weight, ...]
    causes: tuple[CauseWords, ...]
    steps: tuple[StepWords, ...]


@cache
def finding(name: str) -> FindingWords:
    """Read the words of a rule by its file, ``close_wait_read``. Raises ValueError naming the file and the slip."""
    file = File.open("findings", name)
    words = FindingWords(
        rule=file.text("rule"),
        situations=file.texts("situations", ()),
        title=variants(file, "title"),
        summary=variants(file, "summary"),
        first=variants(file, "first"),
        severity=file.text("severity"),
        costs=file.text("costs", ""),
        fires=file.text("fires"),
        false_positives=file.texts("false_positives"),
        aged=file.text("aged", ""),
        filter=variants(file, "filter", may_miss=True),
        anyone=file.flag("anyone"),
        filter_ages=file.texts("filter_ages", ()),
        evidence=tuple(_evidence(table) for table in file.tables("evidence")),
        settings=file.texts("settings", ()),
        turn=variants(file, "turn", with_party=True, may_miss=True),
        ends=variants(file, "ends", may_miss=True),
        weights=_weights(file),
        without=tuple(_without(table) for table in file.tables("without")),
        causes=tuple(cause(table) for table in file.tables("causes")),
        steps=tuple(step(table) for table in file.tables("steps")),
        do_not=tuple(DoNot(table.text("what"), table.done("why")) for table in file.tables("do_not")),
        beliefs=tuple(belief(table) for table in file.tables("beliefs")),
        see=file.texts("see", ()),
        sources=sources(file, ("fires",), _CLAIMS),
    )
    file.end()
    check_ladder(file.name, words.steps)
    if not words.situations and not (words.turn and words.ends and words.costs):
        raise ValueError(f"{file.name}: without situations it needs turn, ends and costs of its own")
    return words


@cache
def rules() -> Mapping[str, str]:
    """Every rule that has words, ``R02``, with the name of its file."""
    found = {finding(name).rule: name for name in names("findings")}
    return dict(sorted(found.items()))


@cache
def threads() -> ThreadWords:
    """Read what follows from a process's threads. Raises ValueError naming the file and the slip in it."""
    file = File.open(".", "threads")
    words = ThreadWords(
        first=variants(file, "first"),
        weights=_weights(file),
        causes=tuple(cause(table) for table in file.tables("causes")),
        steps=tuple(step(table) for table in file.tables("steps")),
    )
    file.end()
    return words


def _evidence(table: File) -> EvidenceWords:
    words = EvidenceWords(table.text("name"), table.text("text"), table.texts("when", ()), table.texts("unless", ()))
    table.end()
    return words


def _without(table: File) -> Without:
    words = Without(table.text("command"), table.texts("when", ()))
    table.end()
    return words


def _weights(file: File) -> tuple[Weight, ...]:
    found = []
    for table in file.tables("weights"):
        found.append(Weight(table.text("cause"), table.texts("likely", ()), table.texts("unless", ())))
        table.end()
    return tuple(found)
