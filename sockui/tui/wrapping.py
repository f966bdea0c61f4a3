"""Text laid out in lines of a width.

Owns where lines end. Must not know what the text says; it never interprets markup.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len

from sockui.tui.links import Line, Span
from sockui.view import shell


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A piece of text that is wrapped to the pane's width."""

    text: str
    style: str = ""
    lead: str = ""  # stands before the first line; the others are indented as far
    lead_style: str = "dim"
    breaks: Literal["words", "shell", "edge"] = "words"  # where lines end; "edge" keeps all spaces, as tables need
    spans: tuple[Span, ...] = ()  # instead of ``text``: one line, cut at the edge
    anchor: int = -1  # the step that this paragraph belongs to, for a cursor; -1 none


def wrap(paragraphs: Sequence[Paragraph], width: int) -> list[Line]:
    """Lay paragraphs out in lines of at most ``width`` cells."""
    lines: list[Line] = []
    width = max(width, 8)
    for paragraph in paragraphs:
        if paragraph.spans:
            lines.append((paragraph.spans, paragraph.anchor))
            continue
        indent = " " * cell_len(paragraph.lead)
        room = max(width - len(indent), 8)
        for number, piece in enumerate(_pieces(paragraph, room)):
            lead = paragraph.lead if number == 0 else indent
            lines.append((((lead, paragraph.lead_style), (piece, paragraph.style)), paragraph.anchor))
    return lines


def _pieces(paragraph: Paragraph, room: int) -> Iterable[str]:
    match paragraph.breaks:
        case "words":
            return textwrap.wrap(paragraph.text, room, break_on_hyphens=False) or [""]
        case "shell":
            return shell.lines(paragraph.text, room)
        case "edge":
            lines = paragraph.text.split("\n")
            return [line[at : at + room] for line in lines for at in range(0, max(len(line), 1), room)]


def plain(paragraphs: Sequence[Paragraph], width: int = 78) -> str:
    """Lay paragraphs out as text without styles."""
    lines = ("".join(text for text, _ in spans).rstrip() for spans, _ in wrap(paragraphs, width))
    return "\n".join(lines)
