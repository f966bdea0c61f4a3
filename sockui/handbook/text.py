"""Pages as plain text.

Owns what stands between the pages of the handbook; a page is ``view.page.plain``.
"""

from __future__ import annotations

import textwrap

from sockui.handbook.book import Book
from sockui.view.page import WIDTH, Page, plain


def page(only: Page) -> str:
    """One page."""
    return plain(only) + "\n"


def book(whole: Book) -> str:
    """Title, contents, pages below a rule each."""
    lines = [whole.title, *("\n" + textwrap.fill(each, WIDTH) for each in whole.about), "\nContents:"]
    for title, chapters in whole.parts.items():
        lines += [f"\n  {title}:", *(f"    {chapter.page.title}" for chapter in chapters)]
    for title, chapters in whole.parts.items():
        for chapter in chapters:
            lines.append(f"\n{'-' * WIDTH}\n{title}: {plain(chapter.page)}")
    return "\n".join(lines) + "\n"
