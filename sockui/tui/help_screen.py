"""The help, and the search over all knowledge: what is typed is searched for, nothing typed is the help.

Owns typing and choosing. Must not search (``view.topic_search``) or make the help's text (``help``).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input

from sockui.knowledge.topics import Topic
from sockui.tui.bar import Bar, Word
from sockui.tui.beside import beside
from sockui.tui.hinted_screen import HintedScreen, keys
from sockui.tui.library import Library
from sockui.tui.pane import Pane
from sockui.tui.table import Cell, Heading, Rows, Table
from sockui.tui.wrapping import Paragraph
from sockui.view import topic_search
from sockui.view.topic_search import Hit


class HitRows(Rows):
    """What was found, a topic a row, with the line of its page that has the words."""

    def __init__(self, hits: Sequence[Hit]) -> None:
        self.hits = hits

    def __len__(self) -> int:
        return len(self.hits)

    def headings(self, width: int) -> Sequence[Heading]:
        name = max(12, min(max((len(hit.topic.title) for hit in self.hits), default=0), width * 2 // 5))
        return Heading("topic", "Page", name, False), Heading("line", "says", max(8, width - name - 1), False)

    def key(self, index: int) -> Hashable:
        return self.hits[index].topic

    def find(self, key: Hashable) -> int | None:
        return next((index for index, hit in enumerate(self.hits) if hit.topic == key), None)

    def page(self, first: int, last: int, headings: Sequence[Heading]) -> Sequence[tuple[Sequence[Cell], str]]:
        room = headings[1].width
        return [(((hit.topic.title, "new"), (_around(hit, room), "")), "") for hit in self.hits[first:last]]


def _around(hit: Hit, room: int) -> str:
    """The line from its beginning, or from so far on that the word is in view."""
    if hit.at < room * 2 // 3:
        return hit.line
    start = hit.line.find(" ", hit.at - room // 3) + 1
    return f"…{hit.line[min(start, hit.at) :]}"


class HelpScreen(HintedScreen):
    """``opened`` is told which page was chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Clear the search, then leave"),
        Binding("up", "move('up')", "Up", show=False),
        Binding("down", "move('down')", "Down", show=False),
        Binding("pageup", "move('pageup')", "Page up", show=False),
        Binding("pagedown", "move('pagedown')", "Page down", show=False),
    ]

    class IndexRead(Message):
        """Every page can be searched now."""

    def __init__(self, library: Library, text: Sequence[Paragraph], opened: Callable[[Topic], None]) -> None:
        super().__init__()
        self._library = library
        self._text = text
        self._opened = opened

    def compose(self) -> ComposeResult:
        yield Bar(id="title")
        with Horizontal(id="search"):
            asked = Bar(id="asked")
            asked.say([Word(" Search: ", "key")])
            yield asked
            yield Input(placeholder="a state, option, error, sysctl, or any words", compact=True)
        yield Pane(id="text")
        yield Table(id="found")
        yield Bar(id="hints")

    def on_mount(self) -> None:
        self.query_one("#text").can_focus = self.query_one("#found").can_focus = False
        self.query_one(Pane).show(self._text)
        self._search("")
        self.query_one(Input).focus()

    @property
    def _typed(self) -> str:
        return self.query_one(Input).value.strip()

    def hints(self) -> Sequence[Word]:
        if self._typed:
            return keys(("Esc", "clear"), ("↑↓", "choose"), ("Enter", "open"))
        return keys(("Esc ?", "back"), ("↑↓ PgUp PgDn", "scroll"), ("a-z", "search all pages"))

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        if event.value == "?":  # the key that opened it; no binding gets what an input takes
            self.app.pop_screen()
        else:
            self._search(event.value.strip())

    def _search(self, text: str) -> None:
        """Show what is found, or the help if nothing is searched for."""
        ready = self._library.is_read
        if text and not ready:
            self._read()
        hits = self._library.index.search(text) if ready and text else topic_search.named(text)
        found = self.query_one("#found", Table)
        self.set_class(bool(text), "-searching")
        found.forget_cursor()
        found.empty_text = "  Searching…" if not ready else f"  No page has  {text}"
        found.show(HitRows(hits))
        number = f"{len(hits)} page{'' if len(hits) == 1 else 's'}{'' if ready else ', searching…'}"
        self.query_one("#title", Bar).say([Word(" Help", "strong"), Word(f"   {number}" if text else "", "dim")])
        self.hint()

    @work(exclusive=True)
    async def _read(self) -> None:
        await beside(lambda: self._library.index)  # reads every page, once
        self.post_message(self.IndexRead())

    @on(IndexRead)
    def _index_read(self) -> None:
        self._search(self._typed)

    @on(Input.Submitted)
    def _entered(self) -> None:
        table = self.query_one("#found", Table)
        if isinstance(table.rows, HitRows) and table.rows.hits:
            self._opened(table.rows.hits[table.cursor].topic)

    @on(Table.Entered)
    def _double_clicked(self) -> None:
        self._entered()

    def action_back(self) -> None:
        """Clear the search; without one, leave."""
        if self.query_one(Input).value:
            self.query_one(Input).value = ""
        else:
            self.app.pop_screen()

    def action_move(self, key: str) -> None:
        """Scroll the help, or choose among what was found."""
        by = -1 if key.endswith("up") else 1
        table, pane = self.query_one("#found", Table), self.query_one(Pane)
        if not self._typed:
            (pane.action_scroll_page if key.startswith("page") else pane.action_scroll)(by)
        elif key.startswith("page"):
            table.action_page(by)
        else:
            table.action_move(by)
