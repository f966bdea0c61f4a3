"""A screen full of text: all about one socket.

Owns showing and leaving it. Must not make the text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message

from sockui.tui.bar import Bar, Word
from sockui.tui.hinted_screen import HintedScreen, keys
from sockui.tui.pane import Pane
from sockui.tui.wrapping import Paragraph


class TextScreen(HintedScreen):
    """``refresh_text`` is asked again after every poll, so that what is shown stays true."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "app.pop_screen", "Back"),
        Binding("c", "copy", "Copy"),
    ]

    class CopyAsked(Message):
        """The text is to be copied."""

        def __init__(self, text: str) -> None:
            self.text = text
            super().__init__()

    def __init__(self, title: str, refresh_text: Callable[[], Sequence[Paragraph]], copied: Callable[[], str]) -> None:
        super().__init__()
        self._title = title
        self._refresh_text = refresh_text
        self._copied = copied

    def compose(self) -> ComposeResult:
        title = Bar(id="title")
        title.say([Word(f" {self._title}", "strong")])
        yield title
        yield Pane(id="text")
        yield Bar(id="hints")

    def hints(self) -> Sequence[Word]:
        return keys(("Esc", "back"), ("↑↓", "scroll"), ("Tab n N", "link"), ("Enter", "open it"), ("c", "copy"))

    def on_mount(self) -> None:
        pane = self.query_one(Pane)
        pane.show(self._refresh_text())
        pane.focus()

    def renew(self) -> None:
        self.query_one(Pane).show(self._refresh_text())

    def action_copy(self) -> None:
        """Copy the text."""
        self.app.post_message(self.CopyAsked(self._copied()))
