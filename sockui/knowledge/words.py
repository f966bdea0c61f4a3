"""Reads the words: one TOML file per state, situation and runtime, read when first asked for and then kept.

Owns which keys a file has (one that is not expected, or a claim without its source, is an error, so a slip is found
by the first reader) and the filling of ``{placeholders}``. Must not know sockets: names of conditions and values of
placeholders come from ``view``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from sockui.knowledge.files import File

PARTIES = (
    "our application",
    "the peer's application",
    "our kernel",
    "the peer's kernel",
    "the network",
    "nobody",
)
"""Whose turn it can be."""

RUNGS = ("look", "mitigate without loss", "mitigate with loss", "fix in code", "prevent")
"""The ladder of a remedy, from the least to the most harmful, then what lasts."""

EFFECTS = ("reads", "changes settings", "drops connections")
"""What a command does, from the least to the most harmful."""

THEMES = (
    "close_wait",
    "fin_wait2",
    "accept",
    "not_reading",
    "peer_not_reading",
    "syn_sent",
    "retransmitting",
    "idle",
    "ports",
    "time_wait",
    "fd",
    "udp_drops",
)
"""What a runtime's tools and usual bugs are about: faults that the program itself can cause or cure."""

STATE_CLAIMS = ("sentence", "turn", "ends", "tunable", "costs", "problem")
"""What a state's file says, each with its source."""

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_.]*)\}")


@dataclass(frozen=True, slots=True)
class Variant:
    """A text that holds if every condition of ``when`` does."""

    text: str
    when: tuple[str, ...] = ()
    who: str = ""  # only in a turn: one of PARTIES


@dataclass(frozen=True, slots=True)
class Edge:
    """One arrow of the state diagram (RFC 9293 figure 5 and what Linux adds)."""

    state: str  # the other end: a state's name
    on: str  # the packet or call that causes it, and what is sent
    source: str


@dataclass(frozen=True, slots=True)
class Belief:
    """What many people believe and is wrong."""

    belief: str
    truth: str  # with the evidence
    source: str


@dataclass(frozen=True, slots=True)
class CauseWords:
    """A possible cause; left out unless every condition of ``when`` and none of ``unless`` holds."""

    text: str
    tell: str  # how to tell
    when: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    likely: tuple[str, ...] = ()  # the numbers speak for it if there are some and all of them hold


@dataclass(frozen=True, slots=True)
class StepWords:
    """One step of a remedy; shown if every condition of ``when`` and none of ``unless`` holds."""

    rung: str  # one of RUNGS
    text: str
    command: str = ""
    effect: str = ""  # one of EFFECTS; with a command only
    root: bool = False  # the command needs root
    when: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DoNot:
    """What not to do, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class StateWords:
    """What is true of a state on Linux, whatever the socket."""

    name: str  # as netstat spells it: "CLOSE_WAIT"; of what is no state of TCP, as people call it: "half-open"
    names: tuple[str, ...]  # other names
    sentence: str
    turn: str
    ends: str
    tunable: str
    costs: str
    problem: str  # whether it is one, from how many and how old
    waits: str  # a clause: what a socket in this state waits for
    entered_by: tuple[Edge, ...]
    left_by: tuple[Edge, ...]
    ended: tuple[Variant, ...]  # what is known when a socket last seen in this state is gone
    situations: tuple[str, ...]  # the situations that this state can be in
    beliefs: tuple[Belief, ...]
    see: tuple[str, ...]  # names of other topics
    sources: Mapping[str, str]  # what is claimed -> where that is known from


@dataclass(frozen=True, slots=True)
class SituationWords:
    """What a situation means, whose turn it is, what ends it, why, and what to do."""

    title: str
    meaning: tuple[Variant, ...]
    turn: tuple[Variant, ...]
    ends: tuple[Variant, ...]
    causes: tuple[CauseWords, ...]
    steps: tuple[StepWords, ...]
    do_not: tuple[DoNot, ...]
    sources: Mapping[str, str]  # what is claimed -> where that is known from


@dataclass(frozen=True, slots=True)
class ToolWords:
    """A step that only this kind of program has."""

    themes: tuple[str, ...]  # what it is for, of THEMES
    rung: str  # one of RUNGS
    text: str
    command: str
    effect: str  # one of EFFECTS
    root: bool  # the command needs root


@dataclass(frozen=True, slots=True)
class RuntimeWords:
    """How to look into a kind of program, and the mistakes its programs usually make."""

    name: str  # as people say it: "Java (JVM)"
    tools: tuple[ToolWords, ...]  # in the order of the ladder
    usual_bug: Mapping[str, str]  # theme -> the usual mistake and its fix; only where there is a typical one
    do_not: tuple[DoNot, ...]


@cache
def state(name: str) -> StateWords:
    """Read the words of a state, ``close_wait``. Raises ValueError naming the file and the slip in it."""
    file = File.open("states", name)
    words = StateWords(
        name=file.text("name", name.upper()),
        names=file.texts("names", ()),
        sentence=file.text("sentence"),
        turn=file.text("turn"),
        ends=file.text("ends"),
        tunable=file.text("tunable"),
        costs=file.text("costs"),
        problem=file.text("problem"),
        waits=file.text("waits"),
        entered_by=tuple(_edge(table, "from") for table in file.tables("entered_by")),
        left_by=tuple(_edge(table, "to") for table in file.tables("left_by")),
        ended=variants(file, "ended"),
        situations=file.texts("situations"),
        beliefs=tuple(belief(table) for table in file.tables("beliefs")),
        see=file.texts("see"),
        sources=sources(file, STATE_CLAIMS),
    )
    file.end()
    return words


@cache
def situation(name: str) -> SituationWords:
    """Read the words of a situation, ``close_wait_unread``. Raises ValueError naming the file and the slip in it."""
    file = File.open("situations", name)
    words = SituationWords(
        title=file.text("title"),
        meaning=variants(file, "meaning"),
        turn=variants(file, "turn", with_party=True),
        ends=variants(file, "ends"),
        causes=tuple(cause(table) for table in file.tables("causes")),
        steps=tuple(step(table) for table in file.tables("steps")),
        do_not=tuple(DoNot(table.text("what"), table.done("why")) for table in file.tables("do_not")),
        sources=sources(file, ("meaning", "ends"), ("turn", "causes", "steps", "do_not")),
    )
    file.end()
    check_ladder(file.name, words.steps)
    return words


@cache
def runtime(name: str) -> RuntimeWords:
    """Read the words of a runtime, ``jvm``. Raises ValueError naming the file and the slip in it."""
    file = File.open("runtimes", name)
    bugs = [(_themes(table), table.done("text")) for table in file.tables("usual_bugs")]
    words = RuntimeWords(
        name=file.text("name"),
        tools=tuple(_tool(table) for table in file.tables("tools")),
        usual_bug={theme: text for themes, text in bugs for theme in themes},
        do_not=tuple(DoNot(table.text("what"), table.done("why")) for table in file.tables("do_not")),
    )
    file.end()
    if sum(len(themes) for themes, _ in bugs) != len(words.usual_bug):
        raise ValueError(f"{file.name}: two usual bugs for one theme")
    check_ladder(file.name, words.tools)
    return words


@cache
def names(kind: str) -> tuple[str, ...]:
    """List the files of a kind, ``states`` or ``findings``, without suffix, sorted."""
    folder = resources.files("sockui.knowledge") / kind
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


def placeholders(text: str) -> Iterator[str]:
    """Every placeholder's name in a text."""
    return (match.group(1) for match in _PLACEHOLDER.finditer(text))


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put values into a text. Raises KeyError naming a placeholder without one."""
    return _PLACEHOLDER.sub(lambda match: values[match.group(1)], text)


def choose(variants: tuple[Variant, ...], conditions: Collection[str]) -> Variant:
    """The first variant whose every condition holds; the last one has none."""
    return next(variant for variant in variants if all(name in conditions for name in variant.when))


def variants(file: File, key: str, *, with_party: bool = False, may_miss: bool = False) -> tuple[Variant, ...]:
    """Take one or more texts with conditions, or none if they ``may_miss``; the last must hold without one."""
    found = []
    for table in file.tables(key):
        who = table.one_of("who", PARTIES) if with_party else ""
        found.append(Variant(table.text("text"), table.texts("when", ()), who))
        table.end()
    if not (found or may_miss) or (found and found[-1].when):
        raise ValueError(f"{file.name}: the last of {key} must have no condition")
    return tuple(found)


def cause(table: File) -> CauseWords:
    """Take a cause."""
    words = CauseWords(
        text=table.text("text"),
        tell=table.text("tell"),
        when=table.texts("when", ()),
        unless=table.texts("unless", ()),
        likely=table.texts("likely", ()),
    )
    table.end()
    return words


def step(table: File) -> StepWords:
    """Take a step."""
    words = StepWords(
        rung=table.one_of("rung", RUNGS),
        text=table.text("text"),
        command=table.text("command", ""),
        effect=table.one_of("effect", ("", *EFFECTS), ""),
        root=table.flag("root"),
        when=table.texts("when", ()),
        unless=table.texts("unless", ()),
    )
    table.end()
    if bool(words.command) != bool(words.effect):
        raise ValueError(f"{table.name}: a command needs its effect, and only a command has one")
    return words


def belief(table: File) -> Belief:
    """Take a wrong belief."""
    return Belief(table.text("belief"), table.text("truth"), table.done("source"))


def sources(file: File, required: Collection[str], others: Collection[str] = ()) -> dict[str, str]:
    """Take where claims are known from: one of each that is ``required``, and of ``others`` where there is one."""
    found = file.named_texts("sources")
    if missing := [claim for claim in required if not found.get(claim)]:
        raise ValueError(f"{file.name}: no source of {', '.join(missing)}")
    if unknown := [claim for claim, source in found.items() if claim not in (*required, *others) or not source]:
        raise ValueError(f"{file.name}: {', '.join(unknown)} in [sources] is no claim, or has no source")
    return found


def _edge(table: File, end: str) -> Edge:
    return Edge(table.text(end), table.text("on"), table.done("source"))


def _tool(table: File) -> ToolWords:
    words = ToolWords(
        themes=_themes(table),
        rung=table.one_of("rung", RUNGS),
        text=table.text("text"),
        command=table.text("command"),
        effect=table.one_of("effect", EFFECTS),
        root=table.flag("root"),
    )
    table.end()
    return words


def _themes(table: File) -> tuple[str, ...]:
    themes = table.texts("themes")
    if not themes or not set(themes) <= set(THEMES):
        raise ValueError(f"{table.name}: themes must be some of {', '.join(THEMES)}")
    return themes


def check_ladder(name: str, steps: Sequence[StepWords | ToolWords]) -> None:
    """Raise ValueError if steps are not in the order of RUNGS."""
    order = [RUNGS.index(step.rung) for step in steps]
    if order != sorted(order):
        raise ValueError(f"{name}: steps are not in the order of the ladder: {', '.join(RUNGS)}")
