"""The diagram of the states of TCP, with how many sockets are in each now, to walk in.

Owns walking. Must not draw (``view.diagram``), count or filter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from sockui.knowledge import topics
from sockui.knowledge.topics import Topic
from sockui.model import State
from sockui.tui import paragraphs
from sockui.tui.bar import Bar, Word
from sockui.tui.hinted_screen import HintedScreen, keys
from sockui.tui.pane import Pane
from sockui.tui.text_screen import TextScreen
from sockui.view.diagram import beside, large
from sockui.view.page import Page, plain

WIDE = 130
"""Columns from which the page stands beside the picture instead of below it."""


class DiagramScreen(HintedScreen):
    """The page of the chosen state begins below the picture."""

    AUTO_FOCUS = ""  # the keys are for walking until Tab is pressed
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,D", "back", "Back"),
        Binding("left,h", "walk(-1, 0)", "To the left"),
        Binding("right,l", "walk(1, 0)", "To the right"),
        Binding("up,k", "walk(0, -1)", "Up"),
        Binding("down,j", "walk(0, 1)", "Down"),
        Binding("pageup", "scroll(-1)", "Page up"),
        Binding("pagedown", "scroll(1)", "Page down"),
        Binding("enter,i", "open", "The page of the state"),
        Binding("f,space", "filter", "The sockets in the state"),
        Binding("c", "copy", "Copy the page of the state"),
    ]

    def __init__(
        self,
        state: State,
        counts: Callable[[], Mapping[str, int]],
        page: Callable[[Topic], Page],
        opened: Callable[[Topic], None],
        filtered: Callable[[str], None],
        *,
        ascii_only: bool,
    ) -> None:
        """Begin at ``state``.

        ``counts`` gives how many there are in each state by name, ``opened`` and ``filtered`` are told what was chosen.
        """
        super().__init__()
        self._state = state
        self._counts = counts
        self._page = page
        self._opened = opened
        self._filtered = filtered
        self._ascii = ascii_only

    def compose(self) -> ComposeResult:
        yield Bar(id="title")
        with Container(id="walk"):
            yield Pane(id="picture", linked=False)
            yield Pane(id="page")
        yield Bar(id="hints")

    def on_mount(self) -> None:
        self.query_one("#picture").can_focus = False
        self.renew()
        self._explain()

    def on_resize(self) -> None:
        self.set_class(self.app.size.width >= WIDE, "-wide")

    def on_descendant_focus(self) -> None:
        self.hint()

    def on_descendant_blur(self) -> None:
        self.hint()

    def hints(self) -> Sequence[Word]:
        if self.focused is not None:
            return keys(("Esc", "walk"), ("Tab n N", "link"), ("Enter", "open it"), ("↑↓", "scroll"))
        number = self._counts().get(self._state.name, 0)
        sockets = [("f", f"its {number:,} sockets" if number > 1 else "its socket")] if number else []
        walk = ("Esc", "back"), ("←↓↑→", "walk"), ("Enter", "page")
        return keys(*walk, *sockets, ("PgDn", "more"), ("Tab", "links"))

    @property
    def _topic(self) -> Topic:
        found = topics.find(self._state.name)
        assert found is not None  # noqa: S101  every state has a page
        return found

    def renew(self) -> None:
        """Count again."""
        counts = self._counts()
        total = sum(counts.get(state.name, 0) for state in State)
        self.query_one("#title", Bar).say(
            [Word(" The states of TCP", "strong"), Word(f"   {total:,} TCP sockets", "dim")]
        )
        self.query_one("#picture", Pane).show(paragraphs.picture(large(self._state, counts, self._ascii)))

    def _explain(self) -> None:
        topic = self._topic
        self.query_one("#page", Pane).show(paragraphs.page(self._page(topic)), at=(0, None), own=topic)
        self.hint()

    def action_walk(self, right: int, down: int) -> None:
        """Go to the state that is next in a direction."""
        self._state = beside(self._state, right, down)
        self.renew()
        self._explain()

    def action_scroll(self, pages: int) -> None:
        """Scroll the page."""
        self.query_one("#page", Pane).action_scroll_page(pages)

    def action_open(self) -> None:
        """Open the page of the state."""
        self._opened(self._topic)

    def action_filter(self) -> None:
        """Show the sockets in the state."""
        self._filtered(self._state.name)

    def action_copy(self) -> None:
        """Copy the page of the state as text."""
        self.app.post_message(TextScreen.CopyAsked(plain(self._page(self._topic))))

    def action_back(self) -> None:
        """Go back to the picture, then leave."""
        if self.focused is not None:
            self.set_focus(None)
        else:
            self.app.pop_screen()
