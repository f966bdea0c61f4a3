"""The remediation page: what to do about a finding or a socket, step by step, least harm first.

Owns the cursor over the steps, and the way to actions. Must not hold advice: ``view`` makes it. It runs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from sockui.errors import ActionError
from sockui.tui import paragraphs
from sockui.tui.bar import Bar, Word
from sockui.tui.confirm_screen import ConfirmScreen
from sockui.tui.pane import Pane
from sockui.tui.pickers import ActPicker
from sockui.tui.text_screen import TextScreen

if TYPE_CHECKING:
    from sockui.tui.subject import Act, Subject


_HINTS = (
    Word(" Esc", "key"),
    Word(" back  "),
    Word("↑↓", "key"),
    Word(" step  "),
    Word("c", "key"),
    Word(" copy its command  "),
    Word("C", "key"),
    Word(" copy the page  "),
    Word("x", "key"),
    Word(" act  "),
    Word("PgUp PgDn", "key"),
)


class RemedyScreen(Screen[None]):
    """Steps with their commands; ``c`` copies the command under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,r", "app.pop_screen", "Back"),
        Binding("up,k", "step(-1)", "Previous step"),
        Binding("down,j", "step(1)", "Next step"),
        Binding("c,enter", "copy", "Copy the command"),
        Binding("C", "copy_all", "Copy the page"),
        Binding("x", "act", "Act: close sockets, signal the process"),
    ]

    def __init__(self, subject: Subject, *, allow_actions: bool) -> None:
        super().__init__()
        self._subject = subject
        self._allow_actions = allow_actions
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

    def say(self, note: str, style: str = "good") -> None:
        """Say something in the last line, until the next key."""
        self.query_one("#hints", Bar).say([Word(f" {note}", style)])

    def on_key(self) -> None:
        self.query_one("#hints", Bar).say(_HINTS)

    def renew(self) -> None:
        """Show the advice for what it is about as that is now."""
        page = self._subject.page()
        self._at = max(0, min(self._at, len(page.steps) - 1))
        self.query_one("#title", Bar).say([Word(f" What to do: {page.title}", "strong")])
        self.query_one(Pane).show(paragraphs.remedy(page), chosen=self._at)

    def action_step(self, by: int) -> None:
        """Go to the next or previous step."""
        steps = self._subject.page().steps
        self._at = max(0, min(self._at + by, len(steps) - 1))
        self.query_one(Pane).choose(self._at)

    def action_copy(self) -> None:
        """Copy the command of the step under the cursor, without a newline that would run it."""
        steps = self._subject.page().steps
        command = steps[self._at].command if steps else None
        self.app.post_message(TextScreen.CopyAsked(command or ""))

    def action_copy_all(self) -> None:
        """Copy the whole page."""
        self.app.post_message(TextScreen.CopyAsked(self._subject.text()))

    def action_act(self) -> None:
        """Choose an action; what it will hit is shown before anything is done."""
        acts = self._subject.acts()

        def chosen(index: int | None) -> None:
            if index is not None:
                self._ask(acts[index])

        if not acts:
            self.say("There is no socket and no process here to act on.", "warn")
        elif self._allow_actions:
            self.app.push_screen(ActPicker([act.text for act in acts]), chosen)
        else:
            self._ask(acts[0])  # says how to allow it

    def _ask(self, act: Act) -> None:
        try:
            plan = act.plan(self._allow_actions)
        except ActionError as error:
            self.say(f"{str(error)[0].upper()}{str(error)[1:]}", "warn")
        else:
            self.app.push_screen(ConfirmScreen(plan, allowed=self._allow_actions))
