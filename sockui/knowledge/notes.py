"""Reads the words about socket options and calls, and about errors: one TOML file each.

Owns which keys such a file has. Must not know sockets or hosts: placeholders are the names of sysctls only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from sockui.knowledge.files import File
from sockui.knowledge.words import Belief, CauseWords, DoNot, StepWords, belief, cause, check_ladder, step

KINDS = ("options", "errors")


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim and where it is known from."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class NoteWords:
    """What an option, a call or an error means."""

    name: str  # as it is written: "SO_LINGER", "listen() backlog"
    names: tuple[str, ...]  # other names: "TCP_KEEPIDLE"
    sentence: str
    turn: str  # whose turn it is; "" where nobody waits
    ends: str  # what ends the trouble, or what the option changes of what ends a state; ""
    costs: str  # the price; ""
    problem: str  # when it is one, and when not
    claims: tuple[Claim, ...]  # of an option what it does; of an error which call gives it, and when
    causes: tuple[CauseWords, ...]  # the likeliest first
    steps: tuple[StepWords, ...]
    do_not: tuple[DoNot, ...]
    beliefs: tuple[Belief, ...]
    settings: tuple[str, ...]  # sysctls that matter
    see: tuple[str, ...]  # names of other topics
    sources: Mapping[str, str]  # what is claimed -> where that is known from


@cache
def note(kind: str, name: str) -> NoteWords:
    """Read the words of an option or error, ``options``, ``so_linger``. Raises ValueError naming file and slip."""
    file = File.open(kind, name)
    words = NoteWords(
        name=file.text("name"),
        names=file.texts("names", ()),
        sentence=file.text("sentence"),
        turn=file.text("turn", ""),
        ends=file.text("ends", ""),
        costs=file.text("costs", ""),
        problem=file.text("problem"),
        claims=tuple(Claim(table.text("text"), table.done("source")) for table in file.tables("claims")),
        causes=tuple(cause(table) for table in file.tables("causes")),
        steps=tuple(step(table) for table in file.tables("steps")),
        do_not=tuple(DoNot(table.text("what"), table.done("why")) for table in file.tables("do_not")),
        beliefs=tuple(belief(table) for table in file.tables("beliefs")),
        settings=file.texts("settings", ()),
        see=file.texts("see", ()),
        sources=file.named_texts("sources"),
    )
    file.end()
    check_ladder(file.name, words.steps)
    return words
