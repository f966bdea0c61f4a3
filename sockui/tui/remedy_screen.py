"""The remediation page: what to do about a finding or a socket, step by step, least harm first.

Owns the cursor over the steps, and the way to actions. Must not hold advice: ``view`` makes it. It runs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from sockui.errors import ActionError
from sockui.tui import paragraphs
from sockui.tui.bar import Bar, Word
from sockui.tui.confirm_screen import ConfirmScreen
from sockui.tui.hinted_screen import HintedScreen, keys
from sockui.tui.pane import Pane
from sockui.tui.pickers import ActPicker
from sockui.tui.text_screen import TextScreen

if TYPE_CHECKING:
    from sockui.tui.subject import Act, Subject


class RemedyScreen(HintedScreen):
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
        yield Bar(id="hints")

    def on_mount(self) -> None:
        self.renew()
        self.query_one(Pane).focus()

    def on_resize(self) -> None:
        self.query_one(Pane).choose(self._at)

    def hints(self) -> Sequence[Word]:
        act = () if self._subject.elsewhere() else (("x", "act"),)
        copies = ("c", "copy its command"), ("C", "copy page")
        return keys(("Esc", "back"), ("↑↓", "step"), *copies, *act, ("PgDn", "scroll"), ("Tab", "links"))

    def renew(self) -> None:
        page = self._subject.page()
        self._at = max(0, min(self._at, len(page.steps) - 1))
        self.query_one("#title", Bar).say([Word(f" What to do: {page.title}", "strong")])
        self.query_one(Pane).show(paragraphs.remedy(page), chosen=self._at)

    def action_step(self, by: int) -> None:
        """Go to the next or previous step; beyond the first and the last there is text to scroll."""
        pane, at = self.query_one(Pane), self._at + by
        if 0 <= at < len(self._subject.page().steps):
            self._at = at
            pane.choose(at)
        else:
            pane.action_scroll(by)

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
        if text := self._subject.elsewhere():
            self.say(f"Nothing can be done from here: this is a {text}.", "warn")
            return
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
