"""The line in which a filter is typed, and the line below that says what is wrong with it.

Owns typing. Must not parse or apply a filter: every change is posted, and the answer shown.
"""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input

from sockui.errors import FilterError
from sockui.tui.bar import Bar, Word

_EXAMPLES = "state close-wait and dport = :443    age > 5m    java"


class FilterBar(Vertical):
    """``/`` opens it; Enter keeps the filter, Esc goes back to the one before."""

    DEFAULT_CSS = """
    FilterBar {
        height: auto;
        display: none;
        &.-open { display: block; }
        & Horizontal { height: 1; }
        & #slash { width: 3; }
        & Input, & Input:focus { border: none; height: 1; padding: 0; background: $surface; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Back", show=False)]

    class Changed(Message):
        """The text is another."""

        def __init__(self, text: str) -> None:
            self.text = text
            super().__init__()

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, FilterBar.Changed)  # who types faster than is filtered wants the last text

    class Closed(Message):
        """Typing ended. ``text`` is the filter that stays, None the one before."""

        def __init__(self, text: str | None) -> None:
            self.text = text
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._input = Input(
            placeholder="state close-wait and dport = :443    age > 5m    java", compact=True, select_on_focus=False
        )
        self._answer = Bar(id="answer")
        self._wrong = False

    def compose(self) -> ComposeResult:
        with Horizontal():
            slash = Bar(id="slash")
            slash.say([Word(" / ", "key")])
            yield slash
            yield self._input
        yield self._answer

    @property
    def is_open(self) -> bool:
        """Whether a filter is being typed."""
        return self.has_class("-open")

    def shows(self, text: str) -> bool:
        """Whether this filter is being typed, as it is in force."""
        return self.is_open and not self._wrong and self._input.value == text

    def open(self, text: str) -> None:
        """Begin to type, from this text on."""
        self.add_class("-open")
        self._input.value = text
        self._input.cursor_position = len(text)
        self._input.focus()

    def close(self) -> None:
        """End typing."""
        self.remove_class("-open")

    def answer(self, matched: int, total: int, *, shown: bool) -> None:
        """Say how many sockets the filter lets through; ``shown``: some row, if only of one that ended."""
        self._wrong = False
        if shown:
            self._answer.say([Word(f"   {matched:,} of {total:,} sockets", "dim")])
        else:
            self._answer.say([Word(f"   none of {total:,} sockets matches (showing the last filter that did)", "warn")])

    def wrong(self, error: FilterError) -> None:
        """Point at the character that is wrong; the rows shown stay those of the last good filter."""
        self._wrong = True
        room = self.size.width - 5
        hint = f"{error.hint} (showing the last good filter)"
        column = min(max(0, error.position - int(self._input.scroll_offset.x)), max(0, room))
        if column + len(hint) + 2 > room:
            hint = error.hint
        if column + len(hint) + 2 <= room:
            words = [Word(" " * (3 + column) + "^ ", "bad"), Word(hint, "warn")]
        elif column > len(hint):
            words = [Word("   " + hint.rjust(column - 1), "warn"), Word(" ^", "bad")]
        else:
            words = [Word(f"   at character {error.position + 1}: ", "bad"), Word(hint, "warn")]
        self._answer.say(words)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        if self.is_open:
            self.post_message(self.Changed(event.value))

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        if not self._wrong:  # a wrong filter stays open until it is mended or given up
            self.post_message(self.Closed(event.value))

    def action_cancel(self) -> None:
        """Give up typing."""
        self.post_message(self.Closed(None))
