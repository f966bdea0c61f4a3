"""Search over all knowledge: by what topics are called, then by what their pages say.

Owns what is found and in which order. Must not read pages itself (they are given) or know the screen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from sockui.knowledge import topics
from sockui.knowledge.topics import Topic
from sockui.view.page import Page


@dataclass(frozen=True, slots=True)
class Hit:
    """A topic that was found."""

    topic: Topic
    line: str = ""  # of its page: the first that has most of the words; without one the first of all; "" not read yet
    at: int = 0  # where in it the first of the words begins, characters


def named(text: str) -> list[Hit]:
    """Topics by what they are called, no page is read: exactly so, then titles that begin so, then other names.

    Capitals, hyphens, underscores and spaces make no difference.
    """
    wanted = _bare(text)
    if not wanted:
        return []
    ranks: dict[Topic, int] = {}
    for name, topic in _names():
        title = _bare(topic.title)
        rank = 0 if topics.find(text) == topic else 1 if title.startswith(wanted) else 2 if wanted in title else 3
        if rank < 3 or wanted in name:
            ranks[topic] = min(rank, ranks.get(topic, rank))
    return [Hit(topic) for topic in sorted(ranks, key=ranks.__getitem__)]


class Index:
    """What every page says, ready to be searched."""

    def __init__(self, pages: Iterable[tuple[Topic, Page]]) -> None:
        self._lines = {topic: [(line, _fold(line)) for line in _lines(page)] for topic, page in pages}
        self._folded = {
            topic: "\n".join((_fold(topic.title), *(folded for _, folded in lines)))
            for topic, lines in self._lines.items()
        }

    def search(self, text: str) -> list[Hit]:
        """What is :func:`named` so, then the pages that have every word of the text, those with most of them first."""
        words = _fold(text).split()
        first = [hit.topic for hit in named(text)]
        counts = {
            topic: sum(map(page.count, words))
            for topic, page in self._folded.items()
            if topic not in first and all(word in page for word in words)
        }
        more = sorted(counts, key=lambda topic: -counts[topic]) if words else []
        return [self._hit(topic, words) for topic in (*first, *more) if topic in self._lines]

    def _hit(self, topic: Topic, words: list[str]) -> Hit:
        lines = self._lines[topic]
        line, _ = max(lines, key=lambda line: sum(word in line[1] for word in words), default=("", ""))
        found = _pattern(words).search(line)
        return Hit(topic, line, found.start() if found else 0)


def _lines(page: Page) -> Iterator[str]:
    for part in page.sections:
        if part.title:
            yield part.title
        for block in part.blocks:
            yield f"{block.label}: {block.text}" if block.label else block.text
            yield from block.below


@cache
def _names() -> tuple[tuple[str, Topic], ...]:
    """Every name of every topic; a title also where another topic is found by it."""
    titles = ((_bare(topic.title), topic) for topic in topics.topics())
    others = ((_bare(name), topics.find(name)) for name in topics.spellings())
    return (*titles, *((name, topic) for name, topic in others if topic is not None))


def _fold(text: str) -> str:
    return text.lower().replace("-", "").replace("_", "")


def _bare(text: str) -> str:
    return _fold(text).replace(" ", "")


def _pattern(words: Iterable[str]) -> re.Pattern[str]:
    """Any of folded words as it stands in a page."""
    return re.compile("|".join("[-_]*".join(map(re.escape, word)) for word in words) or "$", re.IGNORECASE)
