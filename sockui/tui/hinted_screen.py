"""What the screens above the main one have in common: a last line with the keys, which can say something instead.

Owns that line. Must not know what a screen shows.
"""

from __future__ import annotations

from collections.abc import Sequence

from textual.screen import Screen

from sockui.tui.bar import Bar, Word


def keys(*pairs: tuple[str, str]) -> tuple[Word, ...]:
    """``Esc back  c copy`` as words, of keys and what they do."""
    return tuple(word for key, what in pairs for word in (Word(f" {key}", "key"), Word(f" {what} ")))


class HintedScreen(Screen[None]):
    """A screen that composes a :class:`Bar` called ``hints``."""

    def hints(self) -> Sequence[Word]:
        """Which keys work now."""
        raise NotImplementedError

    def on_mount(self) -> None:
        self.hint()

    def hint(self) -> None:
        """Say which keys work."""
        self.query_one("#hints", Bar).say(self.hints())

    def say(self, note: str, style: str = "good") -> None:
        """Say something in the last line, until the next key."""
        self.query_one("#hints", Bar).say([Word(f" {note}", style)])

    def on_key(self) -> None:
        self.hint()

    def renew(self) -> None:
        """Show what there is to say now; called after every poll."""
