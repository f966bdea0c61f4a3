"""One line of the screen: words in styles, some of which can be pressed.

Owns painting and pressing of a line. Must not know what the words say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget


@dataclass(frozen=True, slots=True)
class Word:
    """A piece of a line."""

    text: str
    style: str = ""  # component class after ``bar--``; "" plain
    press: str = ""  # what pressing it stands for; "" nothing


class Bar(Widget):
    """A line of words; repainted only when its words change."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "bar--strong",
        "bar--dim",
        "bar--good",
        "bar--warn",
        "bar--bad",
        "bar--info",
        "bar--key",
        "bar--chosen",
        "bar--focused",
    }
    DEFAULT_CSS = """
    Bar {
        height: 1;
        background: $panel;
        color: $foreground;
        & .bar--strong { text-style: bold; }
        & .bar--dim { color: $text-muted; }
        & .bar--good { color: $text-success; }
        & .bar--warn { color: $text-warning; }
        & .bar--bad { color: $text-error; text-style: bold; }
        & .bar--info { color: $text-primary; }
        & .bar--key { color: $accent; text-style: bold; }
        & .bar--chosen { color: $accent; text-style: bold underline; }
        & .bar--focused { text-style: reverse; }
        &:ansi .bar--dim { color: ansi_default; text-style: dim; }
    }
    """

    class Pressed(Message):
        """A word was pressed."""

        def __init__(self, bar: Bar, press: str) -> None:
            self.bar = bar
            self.press = press
            super().__init__()

        @property
        def control(self) -> Bar:
            return self.bar

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._words: Sequence[Word] = ()

    @property
    def words(self) -> Sequence[Word]:
        """What the line says."""
        return self._words

    @property
    def text(self) -> str:
        """What the line says, as text."""
        return "".join(word.text for word in self._words)

    def say(self, words: Sequence[Word]) -> None:
        """Show other words."""
        if list(words) != list(self._words):
            self._words = words
            self.refresh()

    def on_click(self, event: events.Click) -> None:
        x = 0
        for word in self._words:
            x += cell_len(word.text)
            if event.x < x:
                if word.press:
                    self.post_message(self.Pressed(self, word.press))
                return

    def render_line(self, y: int) -> Strip:
        base = self.rich_style
        segments = [
            Segment(word.text, self.get_component_rich_style(f"bar--{word.style}") if word.style else base)
            for word in self._words
        ]
        line, width = Strip(segments), self.size.width
        if line.cell_length > width > 0:  # a number that was cut off would be another number
            line = Strip.join([line.crop(0, width - 1), Strip([Segment("…", base)])])
        return line.adjust_cell_length(width, base)


class StateBar(Bar, can_focus=True):
    """The counts by state. Focused, the arrow keys go from one to the next and Enter presses it."""

    BINDINGS: ClassVar = [
        ("left,h", "step(-1)", "Previous"),
        ("right,l", "step(1)", "Next"),
        ("enter,space", "press", "Filter"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._counts: Sequence[tuple[str, int, str]] = ()
        self._chosen = ""
        self._at = 0
        self._focused = False

    def count(self, counts: Sequence[tuple[str, int, str]], chosen: str) -> None:
        """Show (word, count, style); ``chosen`` is the word that is filtered by, "" none."""
        self._counts, self._chosen = counts, chosen
        self._at = max(0, min(self._at, len(counts) - 1))
        words = []
        for index, (state, number, style) in enumerate(counts):
            look = "focused" if self._focused and index == self._at else "chosen" if state == chosen else style
            words.append(Word(f"{state} {number:,}", look, state))
        self.say(self._that_fit(words))

    def _that_fit(self, words: Sequence[Word]) -> list[Word]:
        """Those around the focused one that fit, and how many more there are at the right."""
        room = max(self.size.width, 20) - 9
        first = 0
        while first < self._at and sum(len(word.text) + 2 for word in words[first : self._at + 1]) > room:
            first += 1
        line = [Word("… " if first else " ", "dim")]
        for number, word in enumerate(words[first:], first):
            room -= len(word.text) + 2
            if room < 0:
                return [*line, Word(f"+{len(words) - number} more", "dim", word.press)]
            line += [word, Word("  ")]
        return line

    @property
    def at(self) -> str:
        """The word of the count that the arrow keys have come to, "" if there is none."""
        return self._counts[self._at][0] if self._counts else ""

    def on_resize(self) -> None:
        self.count(self._counts, self._chosen)

    def on_focus(self) -> None:
        self._focused = True
        self.count(self._counts, self._chosen)

    def on_blur(self) -> None:
        self._focused = False
        self.count(self._counts, self._chosen)

    def action_step(self, by: int) -> None:
        """Go to the next or previous count."""
        self._at += by
        self.count(self._counts, self._chosen)

    def action_press(self) -> None:
        """Press the count."""
        if self._counts:
            self.post_message(self.Pressed(self, self.at))
