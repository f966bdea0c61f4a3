"""The pages of knowledge for the host that is shown, and the search over them.

Owns reading them, and loading what makes them, when one is first asked for: the program starts without. Must not know
what they say or how they look.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from sockui.diagnosis.thresholds import Thresholds
from sockui.model import Host
from sockui.view.format import escape

if TYPE_CHECKING:
    from sockui.knowledge.topics import Topic
    from sockui.view.page import Page
    from sockui.view.topic_search import Index


class Library:
    """Pages by topic."""

    def __init__(self, host: Callable[[], Host], limits: Thresholds) -> None:
        """``host`` gives the one shown now; ``limits`` are the thresholds that findings fire at."""
        self._host = host
        self._limits = limits

    def page(self, topic: Topic) -> Page:
        """The page of a topic, with the values of the host; of a text from another system for that system.

        Where it is not certain which system that is, the page says that it tells of Linux.
        """
        from sockui.knowledge import systems
        from sockui.view import pages
        from sockui.view.page import section, text

        host = self._host()
        system = systems.find_system(host.system)
        page = pages.page(topic, host, self._limits, system)
        if system is not None or host.is_linux:
            return page
        note = f"This page tells of Linux; what is shown is of {escape(host.system) or 'an unknown system'}."
        return replace(page, sections=section("", text(note)) + page.sections)

    @cached_property
    def index(self) -> Index:
        """The search over all pages. The first use reads all of them, some tenths of a second: not while painting."""
        from sockui.knowledge import topics
        from sockui.view.topic_search import Index

        return Index((topic, self.page(topic)) for topic in topics.topics())

    @property
    def is_read(self) -> bool:
        """Whether the index is there."""
        return "index" in self.__dict__
