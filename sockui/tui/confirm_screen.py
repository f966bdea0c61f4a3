"""Before an action: exactly what will be hit, and the word to type. After it: what came of it.

Owns asking and waiting. Must not choose what is hit or say what it costs: a :class:`Plan` does.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input

from sockui.actions import Outcome, Plan, run
from sockui.collector.destroy import Destroyer
from sockui.errors import SockuiError
from sockui.tui import paragraphs
from sockui.tui.bar import Bar, Word
from sockui.tui.beside import beside
from sockui.tui.hinted_screen import HintedScreen
from sockui.tui.pane import Pane
from sockui.tui.text_screen import TextScreen

if TYPE_CHECKING:
    from collections.abc import Sequence

_BACK = (Word(" Esc", "key"), Word(" back, nothing is done  "))
_SCROLL = (Word("↑↓", "key"), Word(" scroll"))


class ConfirmScreen(HintedScreen):
    """Shows a plan; the word and Enter carry it out, ``y`` does where no word is asked for."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "Back"),
        Binding("y", "yes", "Do it"),
        Binding("c", "copy", "Copy what came of it"),
        Binding("up", "scroll(-1)", "Up", show=False),
        Binding("down", "scroll(1)", "Down", show=False),
        Binding("pageup", "scroll(-10)", "Page up", show=False),
        Binding("pagedown", "scroll(10)", "Page down", show=False),
    ]

    def __init__(self, plan: Plan, *, allowed: bool) -> None:
        """``allowed`` is ``Config.allow_actions``: without it nothing is done whatever is typed."""
        super().__init__()
        self._plan = plan
        self._allowed = allowed
        self._under_way = False
        self._outcome: Outcome | None = None

    def compose(self) -> ComposeResult:
        yield Bar(id="title")
        yield Pane(id="plan", linked=False)  # a word is typed here
        if self._plan.word and not self._plan.obstacle:
            with Horizontal(id="word"):
                asked = Bar(id="asked")
                asked.say([Word(" Type ", "warn"), Word(self._plan.word, "key"), Word(" and Enter: ", "warn")])
                asked.styles.width = len(asked.text)
                yield asked
                yield Input(compact=True)
        yield Bar(id="hints")

    def on_mount(self) -> None:
        self.query_one("#title", Bar).say([Word(f" {self._plan.title}?", "strong")])
        self.query_one(Pane).show(paragraphs.plan(self._plan))
        self.hint()
        self.query_one(Input if self.query(Input) else Pane).focus()

    def hints(self) -> Sequence[Word]:
        if self._under_way:
            return [Word(" Under way; it is looked at again for some seconds", "warn")]
        if self._outcome is not None:
            return [Word(" Esc", "key"), Word(" back  "), *_SCROLL, Word("  c", "key"), Word(" copy")]
        if self._plan.obstacle or self._plan.word:
            return [*_BACK, *_SCROLL]
        return [Word(" y", "key"), Word(" do it  ", "warn"), *_BACK, *_SCROLL]

    def action_scroll(self, lines: int) -> None:
        """Scroll the plan while the word is typed."""
        self.query_one(Pane).action_scroll(lines)

    def action_back(self) -> None:
        """Leave, but not while something is under way."""
        if not self._under_way:
            self.dismiss()

    def action_yes(self) -> None:
        """Carry the plan out, if it asks for no word."""
        if not self._plan.word:
            self._begin("")

    def action_copy(self) -> None:
        """Copy what came of it."""
        if self._outcome is not None:
            self.app.post_message(TextScreen.CopyAsked("\n".join((self._plan.title, *self._outcome.sentences))))

    @on(Input.Submitted)
    def _typed(self, event: Input.Submitted) -> None:
        if event.value.strip() == self._plan.word:
            self._begin(event.value)
        else:
            self.query_one("#hints", Bar).say([Word(f" Nothing was done: the word is {self._plan.word}", "warn")])

    def _begin(self, word: str) -> None:
        if self._under_way or self._outcome is not None or self._plan.obstacle:
            return
        self._under_way = True
        self.query("#word").remove()
        self.query_one(Pane).focus()
        self.hint()
        self._run(word)

    @work(group="act")
    async def _run(self, word: str) -> None:
        try:
            outcome = await beside(partial(self._act, word))
        except SockuiError as error:
            self._ended(None, str(error))
        else:
            self._ended(outcome, "")

    def _act(self, word: str) -> Outcome:
        destroyer = Destroyer()
        try:
            return run(self._plan, word, destroyer, allowed=self._allowed)
        finally:
            destroyer.close()

    def _ended(self, outcome: Outcome | None, error: str) -> None:
        self._under_way, self._outcome = False, outcome
        self.query_one("#title", Bar).say([Word(f" {self._plan.title}", "strong")])
        self.query_one(Pane).show(paragraphs.outcome(outcome, error), at=(0, None))
        self.hint()
