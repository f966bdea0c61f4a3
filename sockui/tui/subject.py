"""The socket that a page is about, found again after every poll.

Owns finding it. Must not hold words or touch widgets.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sockui.tracker import Update
from sockui.tui import paragraphs
from sockui.tui.pane import Paragraph
from sockui.view import summary
from sockui.view.explain import explain
from sockui.view.remedy import Remedy, remedy


class Subject:
    """A socket by its identity. Once it has left the updates, the last one that had it is kept."""

    def __init__(self, newest: Callable[[], Update], index: int) -> None:
        """``newest`` gives the latest update; ``index`` is the socket's row in it."""
        self._newest = newest
        self._update = newest()
        self._index = index
        self._key = self._update.keys[index]

    def _now(self) -> tuple[Update, int]:
        update = self._newest()
        if update is not self._update:
            found = np.flatnonzero(update.keys == self._key)
            if len(found):
                self._update, self._index = update, int(found[0])
        return self._update, self._index

    def heading(self) -> str:
        """State, protocol and endpoints."""
        return explain(*self._now()).heading

    def remedy(self) -> Remedy:
        """What to do about it now."""
        return remedy(*self._now())

    def remedy_text(self) -> str:
        """The remediation page as Markdown."""
        return summary.remedy_text(*self._now())

    def full(self) -> str:
        """All that is known of it."""
        return summary.full(*self._now())

    def details(self) -> list[Paragraph]:
        """The same as paragraphs."""
        return paragraphs.details(self.full())
