"""A page of knowledge: read, its links followed, and back again.

Owns the trail of pages. Must not make pages (``library``) or lay them out (``paragraphs``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from sockui.knowledge.topics import Topic
from sockui.tui import paragraphs
from sockui.tui.bar import Bar, Word
from sockui.tui.hinted_screen import HintedScreen, keys
from sockui.tui.pane import Pane, Position
from sockui.tui.text_screen import TextScreen
from sockui.view.page import Page, plain

_START: Position = 0, None


@dataclass(slots=True)
class _Visit:
    """A page on the trail."""

    topic: Topic
    page: Page
    position: Position = _START  # where it was left


class PageScreen(HintedScreen):
    """Begins with a topic; ``go`` follows on to others."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,left,h,backspace", "back", "Back to the page before"),
        Binding("q", "app.pop_screen", "Leave"),
        Binding("c", "copy", "Copy the page"),
        Binding("slash,question_mark", "search", "Search"),
    ]

    def __init__(self, page: Callable[[Topic], Page], topic: Topic) -> None:
        super().__init__()
        self._page = page
        self._trail = [_Visit(topic, page(topic))]

    def compose(self) -> ComposeResult:
        yield Bar(id="title")
        yield Pane(id="page")
        yield Bar(id="hints")

    def on_mount(self) -> None:
        self.query_one(Pane).focus()
        self._show()

    def hints(self) -> Sequence[Word]:
        back = "back" if len(self._trail) > 1 else "leave"
        leave = [("q", "leave")] if len(self._trail) > 1 else []
        return keys(
            ("Esc", back), ("Tab n N", "link"), ("Enter →", "open it"), ("↑↓", "scroll"), ("/", "search"),
            ("c", "copy"), *leave,
        )  # fmt: skip

    def on_resize(self) -> None:
        self._say_trail()

    def go(self, topic: Topic) -> None:
        """Follow on to another page; this one is come back to where it was left."""
        self._trail[-1].position = self.query_one(Pane).position
        self._trail.append(_Visit(topic, self._page(topic)))
        self._show()

    def action_back(self) -> None:
        """Go back one page; from the first, leave."""
        self._trail.pop()
        if self._trail:
            self._show()
        else:
            self.app.pop_screen()

    def action_copy(self) -> None:
        """Copy the page as text."""
        self.app.post_message(TextScreen.CopyAsked(plain(self._trail[-1].page)))

    def action_search(self) -> None:
        """Search all pages; what is found follows on."""
        from sockui.tui.app import SockuiApp

        assert isinstance(self.app, SockuiApp)  # noqa: S101  nothing else makes this screen
        self.app.search(self._found)

    def _found(self, topic: Topic) -> None:
        self.app.pop_screen()  # the search
        self.go(topic)

    def _show(self) -> None:
        here = self._trail[-1]
        self.query_one(Pane).show(paragraphs.page(here.page), at=here.position, own=here.topic)
        self._say_trail()
        self.hint()

    def _say_trail(self) -> None:
        """Say the trail, its end first if not all of it fits."""
        titles = [visit.page.title for visit in self._trail]
        room = self.app.size.width - 4
        before = " › ".join((*titles[:-1], ""))
        while titles[:-1] and cell_len(before) + cell_len(titles[-1]) > room:
            del titles[0]
            before = " › ".join(("…", *titles[:-1], ""))
            if len(titles) == 1:
                break
        self.query_one("#title", Bar).say([Word(f" {before}", "dim"), Word(titles[-1], "strong")])
