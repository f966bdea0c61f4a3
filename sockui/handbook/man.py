"""Pages as man pages: roff with the macros of man(7), in ASCII.

Owns how a page looks there, and that no character of it is roff. What a text names is not marked: there is nothing to
follow in a man page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from sockui import __version__
from sockui.handbook.book import Book
from sockui.view.format import escape
from sockui.view.page import Block, Page, Section, fact, section, text

_WIDE = 60  # columns; a longer label stands in its paragraph, not before it
# groff_char(7): typed as they stand, these come out as other characters.
_GLYPHS = {"\\": r"\(rs", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq"}


def page(only: Page) -> str:
    """One page, of section 7."""
    lines = [_head(only.title, 7, "explained by sockui")]
    lines += [line for each in only.sections for line in _section(each, "SH")]
    return "\n".join(lines) + "\n"


def book(whole: Book) -> str:
    """sockui(7): a section for each page."""
    contents = (
        fact(title, ", ".join(chapter.page.title for chapter in chapters)) for title, chapters in whole.parts.items()
    )
    parts = section("DESCRIPTION", *map(text, whole.about)) + section("CONTENTS", *contents)
    lines = [_head("sockui", 7, "states, socket options, errors, findings and settings of TCP")]
    lines += [line for each in parts for line in _section(each, "SH")]
    for chapters in whole.parts.values():
        for chapter in chapters:
            lines.append(f'.SH "{_shown(chapter.page.title)}"')
            lines += [line for each in chapter.page.sections for line in _section(each, "SS")]
    lines += _section(Section("SEE ALSO", (text("sockui(1), ss(8), tcp(7), socket(7), udp(7), ip(7)"),)), "SH")
    return "\n".join(lines) + "\n"


def document(name: str, number: int, about: str, sections: Iterable[Section]) -> str:
    """A man page of any section: ``sockui``, 1, what stands behind its name."""
    lines = [_head(name, number, about)]
    lines += [line for each in sections for line in _section(each, "SH")]
    return "\n".join(lines) + "\n"


def _head(name: str, number: int, about: str) -> str:
    """Title and NAME; without a date, so that the same sources make the same page.

    Words are not hyphenated, they may be names: .nh, and HY is what groff's .EE goes back to.
    """
    title = f'.TH "{_shown(name.upper())}" {number} "" "sockui {_shown(__version__)}"'
    setup = ".nr HY 0\n.nh\n.ad l\n.fchar \\[u2026] ...\n"  # the last for ASCII, which has no ellipsis
    return f"{title}\n{setup}.SH NAME\n{_line(name)} \\- {_shown(about)}"


def _section(shown: Section, macro: str) -> Iterator[str]:
    if shown.title:
        yield f'.{macro} "{_shown(shown.title)}"'
    for block in shown.blocks:
        yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    match block.kind:
        case "point":
            yield from (r".IP \(bu 2", _line(block.text))
            for each in block.below:
                yield from (".br", _line(each))
        case "command":
            yield from (f".PP\n{_line(each[0].upper() + each[1:])}:" for each in block.below)
            yield f".RS 4\n.EX\n{_line(block.text)}\n.EE\n.RE"
        case "table":
            yield f".EX\n{_line(block.text)}\n.EE"
        case "fact" if len(block.label) <= _WIDE:
            yield f".TP 7\n\\fB{_shown(block.label)}\\fR\n{_line(block.text)}"
        case "fact":
            yield f".PP\n\\fB{_shown(block.label)}:\\fR\n{_line(block.text)}"
        case _:
            yield f".PP\n{_line(block.text)}"


def _line(words: str) -> str:
    r"""A line of text: ``\&`` before it, where it would be a request, or empty and so a paragraph."""
    shown = _shown(words)
    return rf"\&{shown}" if shown[:1] in ("", ".", " ") else shown


def _shown(words: str) -> str:
    r"""A text in ASCII: ``\[u2265]`` for what is not."""
    literal = re.sub(r"[\\\-'`^~\"]", lambda match: _GLYPHS[match[0]], escape(words))
    return re.sub(r"[^ -~]", lambda match: rf"\[u{ord(match[0]):04X}]", literal)
