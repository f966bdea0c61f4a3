"""Every form that pages have.

Owns their names, as ``--format`` has them.
"""

from __future__ import annotations

from typing import Protocol

from sockui.handbook import html, man, markdown, text
from sockui.handbook.book import Book
from sockui.view.page import Page


class Form(Protocol):
    """What a module of a form has."""

    def page(self, only: Page) -> str:
        """One page as a document."""

    def book(self, whole: Book) -> str:
        """The handbook as a document."""


FORMS: dict[str, Form] = {"text": text, "markdown": markdown, "html": html, "man": man}
