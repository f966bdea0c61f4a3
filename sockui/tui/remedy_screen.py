"""The remediation page: what to do about one socket, step by step, least harm first.

Owns the cursor over the steps. Must not hold advice: ``view.remedy`` makes it. It runs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from sockui.tui import paragraphs
from sockui.tui.bar import Bar, Word
from sockui.tui.pane import Pane
from sockui.tui.text_screen import TextScreen

if TYPE_CHECKING:
    from sockui.tui.subject import Subject


_HINTS = (
    Word(" Esc", "key"),
    Word(" back  "),
    Word("↑↓", "key"),
    Word(" step  "),
    Word("c", "key"),
    Word(" copy its command  "),
    Word("C", "key"),
    Word(" copy the page  "),
    Word("PgUp PgDn", "key"),
    Word(" scroll"),
)


class RemedyScreen(Screen[None]):
    """Steps with their commands; ``c`` copies the command under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,r", "app.pop_screen", "Back"),
        Binding("up,k", "step(-1)", "Previous step"),
        Binding("down,j", "step(1)", "Next step"),
        Binding("c,enter", "copy", "Copy the command"),
        Binding("C", "copy_all", "Copy the page"),
    ]

    def __init__(self, subject: Subject) -> None:
        super().__init__()
        self._subject = subject
        self._at = 0

    def compose(self) -> ComposeResult:
        yield Bar(id="title")
        yield Pane(id="steps")
        hints = Bar(id="hints")
        hints.say(_HINTS)
        yield hints

    def on_mount(self) -> None:
        self.renew()
        self.query_one(Pane).focus()

    def on_resize(self) -> None:
        self.query_one(Pane).choose(self._at)

    def say(self, note: str) -> None:
        """Say something in the last line, until the next key."""
        self.query_one("#hints", Bar).say([Word(f" {note}", "good")])

    def on_key(self) -> None:
        self.query_one("#hints", Bar).say(_HINTS)

    def renew(self) -> None:
        """Show the advice for what the socket is now."""
        remedy = self._subject.remedy()
        self._at = max(0, min(self._at, len(remedy.steps) - 1))
        self.query_one("#title", Bar).say([Word(f" What to do: {remedy.title}", "strong")])
        pane = self.query_one(Pane)
        pane.show(paragraphs.remedy(remedy, self._subject.heading()), chosen=self._at)

    def action_step(self, by: int) -> None:
        """Go to the next or previous step."""
        steps = self._subject.remedy().steps
        self._at = max(0, min(self._at + by, len(steps) - 1))
        self.query_one(Pane).choose(self._at)

    def action_copy(self) -> None:
        """Copy the command of the step under the cursor, without a newline that would run it."""
        steps = self._subject.remedy().steps
        command = steps[self._at].command if steps else None
        self.app.post_message(TextScreen.CopyAsked(command or ""))

    def action_copy_all(self) -> None:
        """Copy the whole page."""
        self.app.post_message(TextScreen.CopyAsked(self._subject.remedy_text()))
