"""Everything that can be explained, by every name that people use for it.

Owns the list of topics, how one is found by name, and where a text names one. Must not say anything about a topic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from sockui.knowledge import finding_words, notes, systems, words

_ORDER = (
    *("listen", "syn_sent", "syn_recv", "established", "fin_wait1", "fin_wait2", "closing", "time_wait"),
    *("close_wait", "last_ack", "close", "unconn", "bound_inactive", "unaccepted", "orphan", "half_open"),
)
"""The states of TCP in the order of a connection's life, then what people also call states."""


@dataclass(frozen=True, slots=True)
class Topic:
    """Something that has a page."""

    kind: str  # "state", "option", "error", "finding" or "setting"
    name: str  # of its file; of a setting the setting's
    title: str  # as people write it: "CLOSE_WAIT", "SO_LINGER", "R02 close-wait-read", "net.ipv4.tcp_fin_timeout"


@cache
def topics() -> tuple[Topic, ...]:
    """Every topic: states, options, errors, findings, then settings, those of Linux first."""
    found = [Topic("state", name, words.state(name).name) for name in sorted(words.names("states"), key=_ORDER.index)]
    for kind in notes.KINDS:
        found += [Topic(kind[:-1], name, notes.note(kind, name).name) for name in words.names(kind)]
    for rule, name in finding_words.rules().items():
        found.append(Topic("finding", name, f"{rule} {name.replace('_', '-')}"))
    settings = dict.fromkeys(setting.name for each in systems.systems() for setting in each.settings)
    return (*found, *(Topic("setting", name, name) for name in settings))


def find(text: str) -> Topic | None:
    """The topic that a text names in any spelling: ``close-wait``, ``FIN_WAIT_2``, ``r02``, ``tcp_fin_timeout``."""
    return _by_name().get(_plain(text))


def spellings() -> Iterator[str]:
    """The names of topics as people write them, for a suggestion after a slip."""
    for topic in topics():
        yield topic.title
        yield from _others(topic)


def links(text: str) -> Iterator[tuple[int, int, Topic]]:
    """Where a text names a topic: first character, one after the last, the topic; names as they are written only."""
    for match in _pattern().finditer(text):
        yield match.start(), match.end(), _by_name()[_plain(match.group())]


@cache
def _by_name() -> dict[str, Topic]:
    found: dict[str, Topic] = {}
    for topic in topics():
        for name in (topic.title, *_others(topic)):
            found.setdefault(_plain(name), topic)
    return found


@cache
def _pattern() -> re.Pattern[str]:
    """Names that can stand in a sentence: in capitals, with an underscore, a dot or parentheses."""
    every = {name for topic in topics() for name in (topic.title, *_others(topic))}
    written = [name for name in every if name.isupper() or "_" in name or name.endswith("()")]
    ordered = sorted(written, key=len, reverse=True)
    return re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, ordered))})(?![\w-])")


def _others(topic: Topic) -> tuple[str, ...]:
    """The names of a topic besides its title."""
    match topic.kind:
        case "state":
            return (topic.name, *words.state(topic.name).names)
        case "option" | "error":
            return (topic.name, *notes.note(f"{topic.kind}s", topic.name).names)
        case "finding":
            return (topic.title.split()[0], topic.name)
        case _:
            known = [each for one in systems.systems() for each in one.settings if each.name == topic.name]
            return (topic.name.rsplit(".", 1)[-1], *(name for each in known for name in each.names))


def _plain(name: str) -> str:
    return re.sub(r"[-_ ]", "", name.lower())
