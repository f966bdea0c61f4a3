"""The handbook: every page that there is, in parts; where a text of one page names another.

Owns which pages, in which order, below which titles. Must not know how they look (``text``, ``markdown``, ``html``,
``man``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

from sockui import __version__
from sockui.diagnosis.thresholds import Thresholds
from sockui.knowledge import topics
from sockui.knowledge.systems import SystemWords
from sockui.knowledge.topics import Topic
from sockui.model import Host
from sockui.view import pages, settings
from sockui.view.page import Page

_PARTS = {
    "state": "States",
    "option": "Socket options and calls",
    "error": "Errors",
    "finding": "Findings",
    "setting": "Settings",
}


@dataclass(frozen=True, slots=True)
class Chapter:
    """A page, and what it is about."""

    topic: Topic
    page: Page


@dataclass(frozen=True)
class Book:
    """Pages in parts; ``about`` are the paragraphs between its title and its contents."""

    title: str
    about: tuple[str, ...]
    parts: dict[str, tuple[Chapter, ...]]

    @cached_property
    def topics(self) -> frozenset[Topic]:
        """What has a page in it, and so can be linked."""
        return frozenset(chapter.topic for chapters in self.parts.values() for chapter in chapters)


def handbook(host: Host, limits: Thresholds | None = None, system: SystemWords | None = None) -> Book:
    """Every page, as :func:`sockui.view.pages.page` makes it; a ``host`` without a name stands for one of defaults."""
    told = host if host.name else settings.usual(host)
    chapters = [Chapter(topic, pages.page(topic, told, limits, system)) for topic in topics.topics()]
    parts = {
        title: found
        for kind, title in _PARTS.items()
        if (found := tuple(chapter for chapter in chapters if chapter.topic.kind == kind))
    }
    return Book(f"sockui {__version__}: handbook", _about(host, system), parts)


def _about(host: Host, system: SystemWords | None) -> tuple[str, ...]:
    what = "What states of TCP, options, errors, findings and settings mean, what ends a state, and what to do."
    if system is not None and system.key != pages.LINUX:
        return what, f"Settings are those of {system.name}."
    if host.name:
        return what, f"Values of settings are those of {host.name}, {host.system}, when this was printed."
    return what, "Values are the defaults of Linux; sockui explain --all prints it with those of the host it runs on."


def anchor(topic: Topic) -> str:
    """The id of a topic's page within the book."""
    return f"{topic.kind}-{re.sub(r'[^a-z0-9_]+', '-', topic.name.lower())}"


def pieces(words: str, linked: Collection[Topic]) -> Iterator[tuple[str, Topic | None]]:
    """Cut a text where it names one of ``linked``: a piece and the topic that it names, None if it names none."""
    done = 0
    for start, end, topic in topics.links(words):
        if topic in linked:
            yield words[done:start], None
            yield words[start:end], topic
            done = end
    yield words[done:], None
