"""Pages in Markdown (CommonMark, which GitHub and GitLab show).

Owns how a page looks there, and that every character of it shows as itself. Commands stand in fences.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from itertools import groupby

from sockui.handbook.book import Book, anchor, pieces
from sockui.knowledge.topics import Topic
from sockui.view.format import escape
from sockui.view.page import Block, Page

_MARKUP = re.compile(r"[\\`*_{}\[\]<>#|~$&]|(?<=:)//|(?<=www)\.")  # and what GitHub makes a link of
_AT_START = re.compile(r"[-+=]|(?<=\d)[.)]")
_NUMBER = re.compile(r"\d+[.)]")


def page(only: Page) -> str:
    """One page; what it names has no link, for there is nothing to link to."""
    return "\n\n".join(_page(only, 1, ())) + "\n"


def book(whole: Book) -> str:
    """Title, contents with links, pages with links to each other."""
    parts = [f"# {_shown(whole.title)}", *map(_shown, whole.about), "## Contents"]
    contents = []
    for title, chapters in whole.parts.items():
        contents.append(f"- {_shown(title)}")
        contents += [f"  - [{_shown(each.page.title)}](#{anchor(each.topic)})" for each in chapters]
    parts.append("\n".join(contents))
    for title, chapters in whole.parts.items():
        parts.append(f"## {_shown(title)}")
        for each in chapters:
            parts.append(f'<a id="{anchor(each.topic)}"></a>')  # a heading's own anchor differs between renderers
            parts += _page(each.page, 3, whole.topics - {each.topic})
    return "\n\n".join(parts) + "\n"


def _page(shown: Page, level: int, linked: Collection[Topic]) -> Iterator[str]:
    """Paragraphs, which an empty line goes between."""
    yield f"{'#' * level} {_shown(shown.title)}"
    for section in shown.sections:
        if section.title:
            yield f"{'#' * (level + 1)} {_shown(section.title)}"
        for kind, blocks in groupby(section.blocks, lambda block: block.kind):
            yield from _blocks(kind, list(blocks), linked)


def _blocks(kind: str, blocks: list[Block], linked: Collection[Topic]) -> Iterator[str]:
    """Paragraphs of neighbours of one kind."""
    match kind:
        case "point":
            yield "\n".join(line for block in blocks for line in _point(block, linked))
        case "table":
            yield _fence("\n".join(escape(block.text) for block in blocks))
        case "command":
            for block in blocks:
                if block.below:  # outside of the fence: what stands in it is pasted, also where # is no comment
                    yield f"{_shown(block.below[0][0].upper() + block.below[0][1:])}:"
                yield _fence(escape(block.text))
        case "fact":
            yield from (f"**{_linked(f'{block.label}:', linked)}** {_linked(block.text, linked)}" for block in blocks)
        case _:
            yield from (_linked(block.text, linked) for block in blocks)


def _point(block: Block, linked: Collection[Topic]) -> Iterator[str]:
    yield f"- {_linked(block.text, linked)}"
    yield from (f"  - {_linked(each, linked)}" for each in block.below)


def _fence(text: str) -> str:
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def _linked(words: str, linked: Collection[Topic]) -> str:
    """A text with links to what it names."""
    found = "".join(
        _literal(piece) if topic is None else f"[{_literal(piece)}](#{anchor(topic)})"
        for piece, topic in pieces(escape(words).strip(), linked)
    )
    return _started(found)


def _shown(words: str) -> str:
    return _started(_literal(escape(words).strip()))


def _literal(words: str) -> str:
    return _MARKUP.sub(lambda match: "\\" + match[0], words)


def _started(words: str) -> str:
    """A text that begins no list and underlines nothing."""
    if _NUMBER.match(words):
        return re.sub(r"[.)]", lambda match: "\\" + match[0], words, count=1)
    return "\\" + words if words[:1] in tuple("-+=") else words
