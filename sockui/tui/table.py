"""A table of any number of rows that paints only what changed.

Owns the cursor, scrolling, and which cells of the screen are painted again. Must not know what a row is:
a :class:`Rows` says so, and is asked only for the rows on the screen.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from sockui.view.format import fit


@dataclass(frozen=True, slots=True)
class Heading:
    """One column as it is laid out now."""

    name: str
    title: str
    width: int  # cells
    right: bool  # numbers stand right; a column without a title has no gap behind it


Cell = tuple[str, str]
"""Text without control characters, and the name of the style it is painted in ("" the row's own)."""


class Rows:
    """What a table shows; this one is empty. Every method is O(1) in the number of rows or nearly so."""

    def __len__(self) -> int:
        return 0

    def headings(self, width: int) -> Sequence[Heading]:
        """Lay the columns out in ``width`` cells."""
        return ()

    def key(self, index: int) -> Hashable:
        """Name the row, so that the cursor can stay on it."""
        return None

    def find(self, key: Hashable) -> int | None:
        """Where that row is now."""
        return None

    def page(self, first: int, last: int, headings: Sequence[Heading]) -> Sequence[tuple[Sequence[Cell], str]]:
        """Rows ``first`` to before ``last``: a cell for each heading, and the name of the whole row's style."""
        return ()


_Line = tuple[tuple[str, str, int], ...]  # (text padded to its width, style name, width)


class Table(Widget, can_focus=True):
    """The virtual table. ``show(rows)`` costs what is on the screen, not what is in ``rows``."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "table--header",
        "table--sorted",
        "table--cursor",
        "table--marked",
        "table--new",
        "table--ended",
        "table--dim",
        "table--good",
        "table--warn",
        "table--bad",
        "table--info",
    }
    DEFAULT_CSS = """
    Table {
        height: 1fr;
        background: $background;
        color: $foreground;
        & .table--header { background: $panel; color: $foreground; text-style: bold; }
        & .table--sorted { background: $panel; color: $accent; text-style: bold reverse; }
        & .table--cursor { background: $block-cursor-background; color: $block-cursor-foreground; }
        & .table--marked { text-style: bold; color: $accent; }
        & .table--new { text-style: bold; }
        & .table--ended { color: $text-muted; text-style: strike; }
        & .table--dim { color: $text-muted; }
        & .table--good { color: $text-success; }
        & .table--warn { color: $text-warning; }
        & .table--bad { color: $text-error; text-style: bold; }
        & .table--info { color: $text-primary; }
        &:blur .table--cursor { background: $surface-lighten-2; color: $foreground; text-style: underline; }
        &:ansi .table--cursor, &:nocolor .table--cursor { text-style: reverse; }
        &:ansi .table--header, &:nocolor .table--header { text-style: bold underline; }
        &:ansi .table--dim { color: ansi_default; text-style: dim; }
        &:ansi .table--ended { color: ansi_default; text-style: strike dim; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False),
        Binding("g,home", "first", "First", show=False),
        Binding("G,end", "last", "Last", show=False),
    ]

    cursor: reactive[int] = reactive(0, repaint=False, init=False)

    class CursorMoved(Message):
        """The cursor is on another row, or the row under it is another socket."""

        def __init__(self, table: Table) -> None:
            self.table = table
            super().__init__()

        @property
        def control(self) -> Table:
            return self.table

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, Table.CursorMoved) and message.table is self.table

    class Entered(Message):
        """A row was chosen with a second click on it."""

    class HeadingClicked(Message):
        """A column title was clicked."""

        def __init__(self, name: str) -> None:
            self.name = name
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows = Rows()
        self._top = 0
        self._key: Hashable = None
        self._headings: Sequence[Heading] = ()
        self._sorted = ""
        self._painted: list[_Line] = []
        self._laid_out_in = Size()  # the size for which that was done last
        self._styles: dict[str, Style] = {}
        self.empty_text = ""  # what stands in an empty table, and its style
        self.empty_style = "dim"

    # --- data -------------------------------------------------------------------------------------

    @property
    def rows(self) -> Rows:
        """What is shown."""
        return self._rows

    @property
    def top(self) -> int:
        """Index of the first row on the screen."""
        return self._top

    @property
    def page(self) -> int:
        """Rows that fit on the screen."""
        return max(1, self.size.height - 1)

    def show(self, rows: Rows, sorted_by: str = "") -> None:
        """Show other rows. The cursor stays on its row, at its place on the screen, if that row is still there."""
        self._rows = rows
        self._sorted = sorted_by
        count = len(rows)
        found = rows.find(self._key) if self._key is not None else None
        old = self.cursor
        place = old - self._top
        new = found if found is not None else min(old, max(0, count - 1))
        self._top = max(0, min(new - place, count - self.page))
        self.set_reactive(Table.cursor, new)
        self._keep_cursor_visible()
        before, self._key = self._key, rows.key(new) if count else None
        if before != self._key or new != old:
            self.post_message(self.CursorMoved(self))
        self._lay_out()
        self.repaint()

    def go_to(self, key: Hashable) -> bool:
        """Put the cursor on a row by its key; say whether it is there."""
        index = self._rows.find(key)
        if index is None:
            return False
        self.cursor = index
        return True

    def forget_cursor(self) -> None:
        """Begin at the top again with the rows shown next."""
        self._key = None
        self._top = 0
        self.set_reactive(Table.cursor, 0)

    # --- cursor -----------------------------------------------------------------------------------

    def validate_cursor(self, cursor: int) -> int:
        return max(0, min(cursor, len(self._rows) - 1))

    def watch_cursor(self) -> None:
        self._key = self._rows.key(self.cursor) if len(self._rows) else None
        self._keep_cursor_visible()
        self.repaint()
        self.post_message(self.CursorMoved(self))

    def _keep_cursor_visible(self) -> None:
        page = self.page
        if self.cursor < self._top:
            self._top = self.cursor
        elif self.cursor >= self._top + page:
            self._top = self.cursor - page + 1
        self._top = max(0, min(self._top, max(0, len(self._rows) - page)))

    def action_move(self, rows: int) -> None:
        """Move the cursor by rows."""
        self.cursor += rows

    def action_page(self, pages: int) -> None:
        """Move the cursor and the screen by pages."""
        self._top = max(0, min(self._top + pages * self.page, max(0, len(self._rows) - self.page)))
        self.cursor += pages * self.page

    def action_first(self) -> None:
        """Go to the first row."""
        self.cursor = 0

    def action_last(self) -> None:
        """Go to the last row."""
        self.cursor = len(self._rows) - 1

    # --- mouse ------------------------------------------------------------------------------------

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-3)

    def on_click(self, event: events.Click) -> None:
        if event.y == 0:
            x = 0
            for heading in self._headings:
                room = heading.width + bool(heading.title)
                if heading.name and x <= event.x < x + room:
                    self.post_message(self.HeadingClicked(heading.name))
                    return
                x += room
        elif self._top + event.y - 1 < len(self._rows):
            index = self._top + event.y - 1
            if index == self.cursor and event.chain > 1:
                self.post_message(self.Entered())
            self.cursor = index

    # --- painting ---------------------------------------------------------------------------------

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return container.height

    def on_resize(self) -> None:
        if self._laid_out_in == self.size:  # it was only out of sight
            return
        self._lay_out()
        self._keep_cursor_visible()
        self._painted = []
        self.repaint()

    def on_focus(self) -> None:
        self._forget_styles()

    def on_blur(self) -> None:
        self._forget_styles()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()

    def _forget_styles(self) -> None:
        self._styles.clear()
        self.refresh()

    def _lay_out(self) -> None:
        self._laid_out_in = self.size
        headings = self._rows.headings(self.size.width)
        if headings != self._headings:
            self._headings = headings
            self._painted = []

    def repaint(self) -> None:
        """Have those cells painted again whose text or style is not what is on the screen."""
        height = self.size.height
        lines = self._lines(self.size.width, height)
        before, self._painted = self._painted, lines
        if len(before) != height:
            self.refresh()
            return
        regions = []
        for y, (old, new) in enumerate(zip(before, lines, strict=True)):
            if old == new:
                continue
            changed = self._changed(old, new)  # one region a line: each costs a cursor move
            regions.append(Region(changed[0], y, changed[1] - changed[0], 1))
        if regions:
            self.refresh(*regions)

    def _changed(self, old: _Line, new: _Line) -> tuple[int, int]:
        """First cell that differs, and the one after the last."""
        if len(old) != len(new):
            return 0, self.size.width
        first, last, x = -1, 0, 0
        for was, cell in zip(old, new, strict=True):
            if was != cell:
                first = x if first < 0 else first
                last = x + cell[2]
            x += cell[2]
        return first, last

    def _lines(self, width: int, height: int) -> list[_Line]:
        """Lay out everything on the screen."""
        last = min(self._top + height - 1, len(self._rows))
        page = self._rows.page(self._top, last, self._headings) if last > self._top else ()
        lines = [self._header(width)]
        for index, (cells, row_style) in enumerate(page, self._top):
            override = "cursor" if index == self.cursor else row_style if row_style == "ended" else ""
            lines.append(self._row(cells, row_style, override, width))
        while len(lines) < height:
            text = self.empty_text if not page and len(lines) == 2 else ""
            lines.append(((fit(text, width, False), self.empty_style, width),))
        return lines[:height]

    def _row(self, cells: Sequence[Cell], row_style: str, override: str, width: int) -> _Line:
        line = []
        used = 0
        for heading, (text, style) in zip(self._headings, cells, strict=True):
            gap = " " if used + heading.width < width and heading.title else ""
            room = heading.width + len(gap)
            line.append((fit(text, heading.width, heading.right) + gap, override or style or row_style, room))
            used += room
        if used < width:
            line.append((" " * (width - used), override or row_style, width - used))
        return tuple(line)

    def _header(self, width: int) -> _Line:
        line = []
        used = 0
        for heading in self._headings:
            sorted_ = heading.name != "" and heading.name == self._sorted.removeprefix("-")
            title = heading.title
            if sorted_ and heading.width > cell_len(title):
                title += "▼" if self._sorted.startswith("-") else "▲"
            cell = heading.width + (1 if used + heading.width < width and heading.title else 0)
            line.append((fit(title, heading.width, heading.right).ljust(cell), "sorted" if sorted_ else "header", cell))
            used += cell
        if used < width:
            line.append((" " * (width - used), "header", width - used))
        return tuple(line)

    def render_line(self, y: int) -> Strip:
        if len(self._painted) != self.size.height:
            self._painted = self._lines(self.size.width, self.size.height)
        line = self._painted[y] if y < len(self._painted) else ()
        segments = [Segment(text, self._style(name)) for text, name, _ in line]
        return Strip(segments, self.size.width).simplify()

    def _style(self, name: str) -> Style:
        style = self._styles.get(name)
        if style is None:
            style = self.get_component_rich_style(f"table--{name}") if name else self.rich_style
            self._styles[name] = style
        return style
