"""Text to read: scrolled, repainted line by line; where it names a topic, that can be followed.

Owns scrolling and the keys for links. Must not know what the text says, nor open anything (what is followed
is posted); it never interprets markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from sockui.tui.links import Line, Links, Place
from sockui.tui.wrapping import Paragraph, plain, wrap
from sockui.view.format import fit

if TYPE_CHECKING:
    from sockui.knowledge.topics import Topic


Position: TypeAlias = "tuple[int, Place | None]"
"""How far a pane is scrolled, in lines, and its chosen link."""


def _changed(old: tuple[Line, bool], new: tuple[Line, bool], width: int) -> tuple[int, int]:
    """First cell in which two lines differ, and the one after the last: a number in prose need not cost the line."""
    if old[0][1] != new[0][1] or old[1] != new[1]:
        return 0, width
    before, after = ([(c, style) for text, style in line[0][0] for c in text] for line in (old, new))
    if any(cell_len(c) != 1 for c, _ in before + after):
        return 0, width
    differs = [at for at, (was, now) in enumerate(zip(before, after, strict=False)) if was != now]
    if len(before) != len(after):
        return min([*differs[:1], len(before), len(after), width - 1]), width
    return (differs[0], differs[-1] + 1) if differs else (0, 0)


class Pane(Widget, can_focus=True):
    """Scrollable text. ``show(paragraphs)`` repaints only the lines that differ.

    While it has the focus, names of topics in it are links: Tab chooses one, Enter posts :class:`Followed`. The chosen
    one is always in view; once it is scrolled out, none is chosen.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "pane--title",
        "pane--strong",
        "pane--dim",
        "pane--good",
        "pane--warn",
        "pane--bad",
        "pane--info",
        "pane--command",
        "pane--chosen",
        "pane--link",
        "pane--here",
    }
    DEFAULT_CSS = """
    Pane {
        background: $background;
        color: $foreground;
        & .pane--title { text-style: bold; color: $accent; }
        & .pane--strong { text-style: bold; }
        & .pane--dim { color: $text-muted; }
        & .pane--good { color: $text-success; }
        & .pane--warn { color: $text-warning; }
        & .pane--bad { color: $text-error; text-style: bold; }
        & .pane--info { color: $text-primary; }
        & .pane--command { color: $text-primary; text-style: bold; }
        & .pane--chosen { background: $block-cursor-background; color: $block-cursor-foreground; }
        & .pane--link { color: $text-primary; text-style: underline; }
        & .pane--here { background: $block-cursor-background; color: $block-cursor-foreground; text-style: bold; }
        &:ansi .pane--chosen, &:nocolor .pane--chosen { text-style: reverse; }
        &:ansi .pane--here, &:nocolor .pane--here { text-style: bold reverse; }
        &:ansi .pane--dim { color: ansi_default; text-style: dim; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "line(-1)", "Up", show=False),
        Binding("down,j", "line(1)", "Down", show=False),
        Binding("pageup", "scroll_page(-1)", "Page up", show=False),
        Binding("pagedown", "scroll_page(1)", "Page down", show=False),
        Binding("g,home", "scroll(-1000000)", "Top", show=False),
        Binding("G,end", "scroll(1000000)", "Bottom", show=False),
        Binding("tab,n", "link(1)", "Next link", show=False),
        Binding("shift+tab,N", "link(-1)", "Previous link", show=False),
        Binding("enter,right,l", "follow", "Open the link", show=False),
    ]

    class Followed(Message):
        """A link was followed."""

        def __init__(self, topic: Topic) -> None:
            self.topic = topic
            super().__init__()

    def __init__(self, *, id: str | None = None, linked: bool = True) -> None:
        """``linked`` False: nothing in it is a link, Tab leaves it at once."""
        super().__init__(id=id)
        self._linked = linked
        self._paragraphs: Sequence[Paragraph] = ()
        self._lines: list[Line] = []
        self._links = Links()
        self._own: Topic | None = None
        self._shown: list[Line] = []  # ``_lines`` with their links marked
        self._painted: list[tuple[Line, bool]] = []
        self._laid_out_in = Size()  # the size for which that was done last
        self._styles: dict[str, Style] = {}
        self._top = 0
        self._chosen = -1
        self._painted_chosen = -1

    @property
    def text(self) -> str:
        """Everything that the pane holds, as wrapped now."""
        return plain(self._paragraphs, self.size.width - 1)

    @property
    def position(self) -> Position:
        """Where reading has come to."""
        return self._top, self._links.place

    def show(
        self,
        paragraphs: Sequence[Paragraph],
        *,
        at: Position | None = None,
        chosen: int = -1,
        own: Topic | None = None,
    ) -> None:
        """Show other text, from where it was read before, or ``at`` another place.

        ``chosen`` is the anchor under the cursor. ``own`` is what the text is about: it has no links to that.
        """
        self._paragraphs = paragraphs
        self._chosen = chosen
        self._own = own
        if at is not None:
            self._top, self._links.place = at
        self._lay_out()

    def choose(self, anchor: int) -> None:
        """Move the cursor to an anchor and into view."""
        self._chosen = anchor
        at = [number for number, (_, belongs) in enumerate(self._lines) if belongs == anchor]
        if at:
            self._links.place = None  # one cursor is enough
            self._bring_into_view(at[0], at[-1])
        self._mark()

    def _bring_into_view(self, first: int, last: int) -> None:
        height = max(self.size.height, 1)
        if last >= self._top + height:
            self._top = last - height + 1
        if first < self._top:
            self._top = first

    def _lay_out(self) -> None:
        self._laid_out_in = self.size
        self._lines = wrap(self._paragraphs, self.size.width - 1) if self.size.width else []
        self._top = max(0, min(self._top, len(self._lines) - max(self.size.height, 1)))
        self._mark(anew=True)

    def _mark(self, *, anew: bool = False) -> None:
        """Mark the links if they can be followed now, and paint what that changes."""
        if self._linked and self.has_focus and self.size.width:
            if anew:
                self._links.take(self._lines, self._own)
            here = self._links.chosen
            if here is not None and not self._top <= here.line < self._top + self.size.height:
                self._links.place = None
            self._shown = self._links.marked()
        else:
            self._shown = self._lines
        self._paint()

    def _visible(self, y: int) -> tuple[Line, bool]:
        number = self._top + y
        line = self._shown[number] if number < len(self._shown) else ((), -1)
        more = y == self.size.height - 1 and number + 1 < len(self._shown)
        return line, more

    def _paint(self) -> None:
        lines = [self._visible(y) for y in range(self.size.height)]
        before, self._painted = self._painted, lines
        moved = self._painted_chosen != self._chosen
        self._painted_chosen = self._chosen
        if len(before) != len(lines) or moved:
            self.refresh()
            return
        regions = []
        for y, (old, new) in enumerate(zip(before, lines, strict=True)):
            if old != new:
                first, last = _changed(old, new, self.size.width)
                if first < last:
                    regions.append(Region(first, y, last - first, 1))
        if regions:
            self.refresh(*regions)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(wrap(self._paragraphs, width - 1))

    def on_resize(self) -> None:
        if self._laid_out_in != self.size:  # else it was only out of sight
            self._painted = []
            self._lay_out()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()

    def _style(self, name: str) -> Style:
        style = self._styles.get(name)
        if style is None:
            style = self.get_component_rich_style(f"pane--{name}") if name else self.rich_style
            self._styles[name] = style
        return style

    def watch_has_focus(self, has_focus: bool) -> None:
        super().watch_has_focus(has_focus)
        self._mark(anew=True)

    def action_line(self, by: int) -> None:
        """Scroll by a line; where steps are chosen, the screen says what that is."""
        if self._chosen >= 0:
            raise SkipAction
        self.action_scroll(by)

    def action_scroll(self, lines: int) -> None:
        """Scroll by lines."""
        self._top = max(0, min(self._top + lines, len(self._lines) - self.size.height))
        self._mark()

    def action_scroll_page(self, pages: int) -> None:
        """Scroll by pages."""
        self.action_scroll(pages * max(1, self.size.height - 1))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_scroll(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_scroll(-3)

    def action_link(self, by: int) -> None:
        """Choose the next link or the one before; beyond the last, go to the next pane if there is one."""
        here = self._links.step(by, self._top, self._top + self.size.height - 1)
        if here is None:
            raise SkipAction
        self._bring_into_view(here.line, here.line)
        self._mark()

    def action_follow(self) -> None:
        """Follow the chosen link; without one the key is the screen's."""
        here = self._links.chosen
        if here is None:
            raise SkipAction
        self.post_message(self.Followed(here.topic))

    def on_click(self, event: events.Click) -> None:
        at = event.get_content_offset(self)
        link = self._links.at(self._top + at.y, at.x) if at is not None and self.has_focus else None
        if link is not None:
            self._links.choose(link)
            self._mark()
            self.action_follow()

    def render_line(self, y: int) -> Strip:
        (spans, anchor), more = self._visible(y)
        width = self.size.width
        chosen = self._style("chosen") if anchor >= 0 and anchor == self._chosen else None
        base = chosen or self._style("")
        segments = []
        for text, style in spans:
            own = self._style(style) if style else base
            if chosen is not None and style != "here":
                own = chosen + Style(underline=style == "link")
            segments.append(Segment(text, own))
        strip = Strip(segments).adjust_cell_length(width, base)
        if more:  # the text goes on below
            mark = Segment(fit("↓", 1, False), self._style("title"))
            strip = Strip.join([strip.crop(0, width - 1), Strip([mark], 1)])
        return strip.simplify()
