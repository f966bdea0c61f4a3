"""A page to read: sections of paragraphs, facts, points and commands, without saying how it looks.

Owns the form that pages have in common, and how one looks as plain text. Must not know what a page says (``pages``,
``port``), nor other forms (``handbook``) or the terminal.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Literal

WIDTH = 78
"""Columns of a page as plain text."""


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a section.

    ``text``: a paragraph. ``fact``: a paragraph behind its ``label``. ``point``: one of a list, with ``below`` what
    belongs to it. ``command``: a command that can be pasted as it stands, ``below`` says what it does ("reads").
    ``table``: a line whose columns stand as they are.
    """

    kind: Literal["text", "fact", "point", "command", "table"]
    text: str
    label: str = ""
    below: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """Blocks below a title; "" for what stands before every title."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """What there is to know about one thing."""

    title: str
    sections: tuple[Section, ...]


def text(words: str) -> Block:
    """A paragraph."""
    return Block("text", words)


def fact(label: str, words: str) -> Block:
    """A paragraph behind its label."""
    return Block("fact", words, label)


def point(words: str, *below: str) -> Block:
    """One of a list; what is empty of ``below`` is left out."""
    return Block("point", words, "", tuple(filter(None, below)))


def command(line: str, effect: str) -> Block:
    """A command and what it does: "reads", "changes settings, as root"."""
    return Block("command", line, "", (effect,) if effect else ())


def section(title: str, *blocks: Block) -> tuple[Section, ...]:
    """A section, or none if it would be empty."""
    return (Section(title, blocks),) if blocks else ()


def plain(page: Page) -> str:
    """Lay a page out as text of 78 columns; commands and tables are never broken."""
    lines = [page.title]
    for part in page.sections:
        lines += ["", f"{part.title}:"] if part.title else [""]
        indent = "  " if part.title else ""
        lines += [line for block in part.blocks for line in _plain(block, indent)]
    return "\n".join(lines)


def _plain(block: Block, indent: str) -> list[str]:
    if block.kind == "table":
        return [f"{indent}{block.text}"]
    if block.kind == "command":
        effect = f"   # {block.below[0]}" if block.below else ""
        line = f"{indent}    {block.text}"
        return [line + effect] if len(line + effect) <= WIDTH else [line, *(f"{indent}   {effect}",) * bool(effect)]
    lead = {"fact": f"{block.label}: ", "point": "- "}.get(block.kind, "")
    lines = [_wrap(lead + block.text, indent)]
    return lines + [_wrap(each, indent + "    ") for each in block.below]


def _wrap(words: str, indent: str) -> str:
    return textwrap.fill(words, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False)
