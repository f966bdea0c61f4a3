"""A screen full of text: all about one socket, or the help.

Owns showing and leaving it. Must not make the text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen

from sockui.tui.bar import Bar, Word
from sockui.tui.pane import Pane, Paragraph

_HINTS = (
    Word(" Esc", "key"),
    Word(" back  "),
    Word("↑↓", "key"),
    Word(" scroll  "),
    Word("c", "key"),
    Word(" copy"),
)


class TextScreen(Screen[None]):
    """``refresh_text`` is asked again after every poll, so that what is shown stays true."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter,question_mark", "app.pop_screen", "Back"),
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
        hints = Bar(id="hints")
        hints.say(
            [
                Word(" Esc", "key"),
                Word(" back  "),
                Word("↑↓", "key"),
                Word(" scroll  "),
                Word("c", "key"),
                Word(" copy"),
            ]
        )
        yield hints

    def on_mount(self) -> None:
        pane = self.query_one(Pane)
        pane.show(self._refresh_text(), from_top=True)
        pane.focus()

    def say(self, note: str) -> None:
        """Say something in the last line, until the next key."""
        self.query_one("#hints", Bar).say([Word(f" {note}", "good")])

    def on_key(self) -> None:
        self.query_one("#hints", Bar).say(_HINTS)

    def renew(self) -> None:
        """Show what there is to say now."""
        self.query_one(Pane).show(self._refresh_text())

    def action_copy(self) -> None:
        """Copy the text."""
        self.app.post_message(self.CopyAsked(self._copied()))
