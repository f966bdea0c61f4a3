"""A screen that follows the poller: takes polls, and shows them as the person at the keyboard has chosen.

Owns what is shown now, what waits while a finger is on the keys, and the bars. Must not know keys (``main_screen``),
read sockets or compute views: it asks ``view`` with the last :class:`Poll`.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.screen import Screen
from textual.timer import Timer

from sockui.config import Config
from sockui.diagnosis.finding import Findings, Severity
from sockui.errors import FilterError
from sockui.poller import Poll
from sockui.tracker import Update
from sockui.tui import opening, wording
from sockui.tui.bar import Bar, StateBar
from sockui.tui.body import Body
from sockui.tui.choices import AUTO, Choices
from sockui.tui.filter_bar import FilterBar
from sockui.tui.hints import Place, hints
from sockui.tui.news import News
from sockui.tui.pane import Pane
from sockui.view import process_tree, table_view
from sockui.view.query import Query
from sockui.view.table_view import TableView

if TYPE_CHECKING:
    from sockui.tui.app import SockuiApp

WIDE = 120
"""Columns from which the explanation stands beside the table instead of below it."""
QUIET_SECONDS = 0.6
"""A changed order waits until no key was pressed for so long: nothing moves under a finger."""
OVERDUE = 3
"""Intervals without a poll after which what is shown is said to be old."""


class LiveScreen(Screen[None]):
    """Findings, sockets or processes, with the explanation of what is under the cursor."""

    def __init__(self, config: Config, chosen: Query) -> None:
        super().__init__()
        self.poll: Poll | None = None
        self.view: TableView | None = None
        self.findings: Findings | None = None  # of the update of ``view``
        self.choices = Choices.of(config, chosen)
        self.news = News()
        self.body = Body(self.choices, self.news, config.explainer, config.ascii)
        self._undecided = config.view == AUTO and not chosen.text
        self._finger_on = False
        self._prepared: TableView | None = None  # of the last poll, as it was wanted when that was made
        self._waiting = False  # a poll came while a finger was on the keys
        self._note = ""
        self._announced = ""
        self._shows_rate = config.slow
        self._rate = 0.0  # bytes per second written to the terminal between the last two polls
        self._counted = (time.monotonic(), 0)  # when, and how many bytes had been written

    @property
    def sockui(self) -> SockuiApp:
        """The application, by its own type."""
        from sockui.tui.app import SockuiApp

        app = self.app
        assert isinstance(app, SockuiApp)  # noqa: S101  nothing else makes this screen
        return app

    # --- composition ------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield Bar(id="top")
        yield StateBar(id="states")
        yield FilterBar(id="filter")
        yield self.body
        yield Bar(id="status")
        yield Bar(id="hints")

    def on_mount(self) -> None:
        self._quiet = self.set_interval(QUIET_SECONDS, self.finger_off, pause=True)
        self._missing: Timer | None = None
        self._overdue = False
        self.show_top()
        self.query_one("#status", Bar).say(opening.status())
        self.switch(self.choices.showing)

    def on_resize(self) -> None:
        width = self.app.size.width
        self.set_class(width >= WIDE, "-wide")
        self.set_class(width >= 170, "-huge")
        self.show_hints()

    # --- results ----------------------------------------------------------------------------------

    def prepare(self, poll: Poll) -> tuple[Poll, TableView | None]:
        """Filter, sort and count a poll's sockets as they will be shown: in its thread, so that keys do not wait.

        A poll whose sockets cannot be filtered has failed.
        """
        if poll.update is None or poll.error:
            return poll, None
        try:
            view = table_view.build(poll.update, self.choices.filter, self.choices.sort, self.view)
        except FilterError as error:
            return dataclasses.replace(poll, error=error.hint), None
        if self.choices.showing == "processes":
            process_tree.count(view)
        return poll, view

    def take(self, poll: Poll, view: TableView | None) -> None:
        """Show a poll, or keep it until no finger is on the keys; ``view`` was built for what was wanted before."""
        if not self.body.ready:
            self.call_later(self.take, poll, view)
            return
        self.poll = poll
        self.expect_poll()
        self._count_bytes()
        if poll.error or view is None or poll.findings is None:
            self.show_top()
            self.show_status()
            return
        self._prepared = view
        if self.view is not None and self._finger_on:
            self._waiting = True
        else:
            self.build()

    def expect_poll(self) -> None:
        """Say in the first line that what is shown is old if no poll comes for long from now on."""
        if self._missing is not None:
            self._missing.stop()
        self._overdue = False
        if self.poll is not None and self.sockui.polling:
            self._missing = self.set_timer(OVERDUE * self.poll.interval, self._not_come)

    def _not_come(self) -> None:
        self._overdue = not self.sockui.poller.paused
        self.show_top()

    def finger_off(self) -> None:
        """No key was pressed for a while: what waited may be shown."""
        self._finger_on = False
        self._quiet.pause()
        waiting, self._waiting = self._waiting, False
        if waiting:
            self.build()

    def build(self) -> None:
        """Show the last update, filtered and sorted as is wanted now."""
        if self.poll is None or self.poll.update is None:
            return
        try:
            view = self.built(self.poll.update, self.choices.filter)
        except FilterError as error:
            self.say(error.hint)
        else:
            self._show(view)

    def built(self, update: Update, query: Query) -> TableView:
        """The last update filtered and sorted, from what is shown of it, or what the poller's thread made of it."""
        previous = self.view if self.view is not None and self.view.update is update else self._prepared
        return table_view.build(update, query, self.choices.sort, previous)

    def _show(self, view: TableView) -> None:
        self.view = view
        found = self.poll.findings if self.poll is not None else None
        if found is not None and found is not self.findings and found.update is view.update:
            self._learn(found)
        assert self.findings is not None  # noqa: S101  a view is built of an update, which was diagnosed
        self.body.show(view, self.findings)
        self.show_top()
        chosen = wording.state_of_filter(self.choices.filter.text)
        self.query_one("#states", StateBar).count(wording.state_counts(view), chosen)
        self.show_status()
        bar = self.query_one(FilterBar)
        if bar.shows(view.query.text):
            bar.answer(*wording.matching(view), shown=True)
        self.sockui.renew_screens()

    def _learn(self, findings: Findings) -> None:
        """Take the findings of another poll: what is news is said, and the first ones decide what is in view."""
        self.findings = findings
        self.show_hints()
        if self._undecided:
            found = any(item.severity >= Severity.WARNING for item in findings.items)
            self._undecided = not found and findings.polls < 2
            if found:
                self.choices.begin("findings")
                self.body.switch()
                self.show_hints()
        watched = self.choices.showing == "findings"
        announced = self.news.take(findings, watched)
        if announced:
            self._note = ""
            self._announced = wording.announcement(findings, announced) if watched else ""

    # --- bars -------------------------------------------------------------------------------------

    def show_top(self) -> None:
        """Say anew what the first line says."""
        poller = self.sockui.poller
        words = wording.top(
            self.poll,
            self.findings,
            self.news,
            poller.interval,
            poller.paused,
            in_front=self.sockui.in_front,
            overdue=self._overdue,
            rate=self._rate if self._shows_rate else None,
        )
        self.query_one("#top", Bar).say(words)

    def show_rate(self, shown: bool) -> None:
        """Say in the first line how many bytes a second are written to the terminal, or do not."""
        self._shows_rate = shown
        self.show_top()

    @property
    def shows_rate(self) -> bool:
        """Whether the first line says how many bytes a second are written."""
        return self._shows_rate

    def _count_bytes(self) -> None:
        (since, before), now = self._counted, (time.monotonic(), self.sockui.written)
        self._counted = now
        self._rate = (now[1] - before) / max(now[0] - since, 0.001)

    def show_status(self) -> None:
        """Say anew what the status line says."""
        news = wording.news(self.news, self._announced, self.choices.showing)
        self.query_one("#status", Bar).say(wording.status(self.poll, self.view, self.choices, self._note, news))

    def show_hints(self) -> None:
        """Say anew which keys work here."""
        place: Place = "filter" if self.query_one(FilterBar).is_open else "table"
        if isinstance(self.focused, Pane | StateBar):
            place = "text" if isinstance(self.focused, Pane) else "counts"
        empty = self.findings is not None and not self.findings.items
        words = hints(self.choices.showing, self.app.size.width, bool(self.choices.filter.text), place, empty)
        self.query_one("#hints", Bar).say(words)

    def on_descendant_focus(self) -> None:
        self.show_hints()

    def say(self, note: str) -> None:
        """Say something in the status line until the next key."""
        self._note = note
        self.show_status()

    # --- fingers ----------------------------------------------------------------------------------

    def switch(self, name: str) -> None:
        """Put a view on the screen."""
        self.choices.showing = name
        self.body.switch()
        self.show_hints()
        if self.view is not None:
            self._show(self.view)

    def on_key(self) -> None:
        """Remember that a finger is on the keys, and let go of what was said."""
        self._undecided = False
        self._finger_on = True
        self._quiet.reset()
        self._quiet.resume()
        if self._note or self._announced:
            self._note = self._announced = ""
            self.show_status()

    def on_mouse_down(self) -> None:
        """From here on the view is the person's choice."""
        self._undecided = False
