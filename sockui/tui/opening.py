"""The first screen: the frame of the main one, before what reads, judges and shows sockets is loaded.

Owns what the bars say as long as nothing was read, and the keys that are typed until then. Must load nothing but
Textual: it is what the program paints before it pays for the rest.
"""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.screen import Screen

from sockui.tui.bar import Bar, Word
from sockui.tui.hints import hints

TITLE = Word(" sockui ", "strong")


def title() -> list[Word]:
    """The first line before the first poll."""
    return [TITLE, Word(" reading sockets…", "dim")]


def status() -> list[Word]:
    """The status line before the first poll."""
    return [Word(" Reading sockets from the kernel…", "dim")]


class Opening(Screen[None]):
    """The bars of the main screen around nothing yet."""

    def __init__(self, showing: str, filtered: bool) -> None:
        """``showing`` is the view that comes, ``filtered`` whether it begins with a filter."""
        super().__init__()
        self.typed: list[events.Key] = []  # for the screen that comes
        self._showing = showing
        self._filtered = filtered

    def compose(self) -> ComposeResult:
        yield Bar(id="top")
        yield Bar(id="states")
        yield Container()
        yield Bar(id="status")
        yield Bar(id="hints")

    def on_mount(self) -> None:
        self.query_one("#top", Bar).say(title())
        self.query_one("#status", Bar).say(status())

    def on_resize(self) -> None:
        words = hints(self._showing, self.app.size.width, self._filtered)
        self.query_one("#hints", Bar).say(words)

    def on_key(self, event: events.Key) -> None:
        event.stop()
        self.typed.append(event)
