"""The help screen.

Owns its words about keys, marks and ages. Must not hold words about TCP (those are ``knowledge``), the filter
language or the columns (``view``).
"""

from __future__ import annotations

from collections.abc import Sequence

from textual.binding import Binding

from sockui import __version__
from sockui.tui.wording import key_name
from sockui.tui.wrapping import Paragraph
from sockui.view import query
from sockui.view.columns import COLUMNS, SCREEN


def help_paragraphs(bindings: Sequence[Binding]) -> list[Paragraph]:
    """The help screen: keys, filter, marks, columns."""
    text = [Paragraph(f"sockui {__version__}: what is wrong with the connections on this host", "title"), Paragraph("")]
    text += [Paragraph("Keys", "title")]
    text += [
        Paragraph(meaning, lead=f"  {keys:<14}", lead_style="command")
        for keys, meaning in (
            ("↑↓ j k", "move"),
            ("PgUp PgDn", "a page"),
            ("g G", "first, last"),
            ("← → h l", "scroll the columns; in the tree fold and unfold"),
            ("Tab", "to the explanation"),
            ("Shift-Tab", "to the counts of the states; Enter filters by one"),
            ("Tab n N Enter", "in a text: next link, next and previous link, open it"),
            *((key_name(binding.key), binding.description) for binding in bindings if binding.show),
            (":", "every command, and every page of knowledge, by name"),
            ("?", "this help; then type: search over every page"),
            ("q", "quit"),
        )
    ]
    text += [Paragraph(""), Paragraph("Filter", "title")]
    text += [
        Paragraph(meaning, lead=f"  {example:<38}", lead_style="command") for example, meaning in query.help_text()
    ]
    text += [Paragraph(""), Paragraph("Ages", "title")]
    text += [
        Paragraph("The kernel keeps no time of the last change of state. sockui bounds it by the fields it keeps:"),
        Paragraph("42m exact; ≥42m at least; ≤3h at most; 2m-5m between; empty: nothing bounds it.", lead="  "),
        Paragraph("Once sockui has seen the change itself, its own clock counts."),
        Paragraph(""),
        Paragraph("Findings", "title"),
        Paragraph("CRITICAL needs somebody at once, WARNING somebody today, INFO nobody now.", lead="  "),
        Paragraph("a acknowledged: last until it gets worse or doubles   + new, or worse", lead="  "),
        Paragraph("Trend: each character is 5 s or more, from the left; the highest is the greatest count.", lead="  "),
        Paragraph(""),
        Paragraph("Marks of sockets", "title"),
        Paragraph("* marked   + new since the last poll   × ended (struck through for a few seconds)", lead="  "),
        Paragraph(""),
        Paragraph("Columns", "title"),
    ]
    text += [Paragraph(column.help, lead=f"  {column.title:<9} ") for column in (*SCREEN.values(), *COLUMNS.values())]
    return text
