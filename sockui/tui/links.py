"""Where lines of text name a topic of knowledge, and which of these places is chosen.

Owns finding, choosing and marking links. Must not scroll or open anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from rich.cells import cell_len

if TYPE_CHECKING:
    from sockui.knowledge.topics import Topic

Span = tuple[str, str]
"""Text and the name of its style (component class after ``pane--``, "" plain)."""
Line = tuple[tuple[Span, ...], int]
"""Spans, and the anchor of the paragraph that the line is of."""


@dataclass(frozen=True, slots=True)
class Link:
    """A place that names a topic."""

    line: int
    start: int  # characters into the line
    end: int
    topic: Topic


Place: TypeAlias = "tuple[Topic, int]"
"""A link by its topic, and how many links to the same topic stand before it: so it is found again in other lines."""


class Links:
    """The links in some lines."""

    def __init__(self) -> None:
        self.place: Place | None = None  # of the chosen one
        self._lines: Sequence[Line] = ()
        self._links: list[Link] = []

    @property
    def chosen(self) -> Link | None:
        """The chosen link, None if there is none."""
        if self.place is None:
            return None
        same = [link for link in self._links if link.topic == self.place[0]]
        return same[self.place[1]] if self.place[1] < len(same) else None

    def choose(self, link: Link) -> None:
        """Let this be the chosen one."""
        before = self._links[: self._links.index(link)]
        self.place = link.topic, sum(each.topic == link.topic for each in before)

    def take(self, lines: Sequence[Line], own: Topic | None) -> None:
        """Find the links in other lines, those to ``own`` left out."""
        from sockui.knowledge import topics  # once somebody reads: the program starts without

        self._lines = lines
        self._links = [
            Link(number, start, end, topic)
            for number, (spans, _) in enumerate(lines)
            for start, end, topic in topics.links("".join(text for text, _ in spans))
            if topic != own
        ]

    def step(self, by: int, first: int, last: int) -> Link | None:
        """Choose the next link (``by`` 1) or the one before (-1); where none is chosen, from lines ``first``..``last``.

        None, and nothing changes, if there is none in that direction.
        """
        chosen = self.chosen
        if chosen is not None:
            at = self._links.index(chosen) + by
        elif by > 0:
            at = next((number for number, link in enumerate(self._links) if link.line >= first), -1)
        else:
            at = next((number for number, link in reversed(list(enumerate(self._links))) if link.line <= last), -1)
        if not 0 <= at < len(self._links):
            return None
        self.choose(self._links[at])
        return self._links[at]

    def at(self, number: int, cell: int) -> Link | None:
        """The link that is painted in a cell of a line."""
        if not 0 <= number < len(self._lines):
            return None
        text = "".join(part for part, _ in self._lines[number][0])
        for link in self._links:
            if link.line == number and cell_len(text[: link.start]) <= cell < cell_len(text[: link.end]):
                return link
        return None

    def marked(self) -> list[Line]:
        """The lines with their links in the styles ``link`` and, of the chosen one, ``here``."""
        lines, chosen = list(self._lines), self.chosen
        for link in reversed(self._links):  # from the last: what stands before keeps its place
            spans, anchor = lines[link.line]
            style = "here" if link is chosen else "link"
            lines[link.line] = _styled(spans, link.start, link.end, style), anchor
        return lines


def _styled(spans: Sequence[Span], start: int, end: int, style: str) -> tuple[Span, ...]:
    """Give the characters ``start`` to before ``end`` a style."""
    parts: list[Span] = []
    at = 0
    for text, own in spans:
        cuts = sorted({0, len(text), *(min(max(edge - at, 0), len(text)) for edge in (start, end))})
        for first, last in pairwise(cuts):
            parts.append((text[first:last], style if start <= at + first < end else own))
        at += len(text)
    return tuple(parts)
