"""The line to the terminal: what is written to it, and when it may be painted on.

Owns counting bytes, asking the terminal how far it has come, and holding paints back. Must not know what is painted.

Nothing on this side tells how much a terminal has still to show: TIOCOUTQ of a pseudo terminal is 0, and behind ssh the
slow line is far away. So the terminal itself is asked, after a paint, where its cursor is (ECMA-48 8.3.35, DSR 6): it
answers when it has come to the question. Until then nothing is painted, and what changes meanwhile becomes one paint.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from typing import Any

from textual import events
from textual.app import App
from textual.driver import Driver as AnyDriver
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer

from sockui.tui.driver import Driver
from sockui.tui.ordered import OrderedApp

QUESTION = "\x1b[6n"
WORTH_ASKING = 1000
"""Bytes of a paint from which the terminal is asked how far it has come even if no key was pressed."""
PATIENCE = 10.0
"""Seconds after which an answer is taken for lost."""
LATE = 2.0
"""Seconds after which an answer is late: a paint that takes so long is as long as the usual interval."""
LATE_IN_A_ROW = 2  # make a line slow: one alone may be a network that stood still
LEAVING = 1.0
"""Seconds that an answer on its way is waited for before the terminal is given back: the shell would take it for
something typed."""


class CountingDriver(Driver):
    """The terminal; knows how much was written to it, and how long an answer took."""

    written = 0
    """Bytes written so far."""

    def __init__(self, app: App[Any], **options: Any) -> None:
        super().__init__(app, **options)
        self._nothing_asked = threading.Event()
        self._nothing_asked.set()
        self._asked = 0.0
        self.took: float | None = None  # seconds of the last answer; None: there was none yet

    def write(self, data: str) -> None:
        self.written += len(data) if data.isascii() else len(data.encode(errors="replace"))
        super().write(data)

    def ask(self) -> None:
        """Ask the terminal for an answer once it has shown what was written."""
        self._asked = time.monotonic()
        self._nothing_asked.clear()
        self.write(QUESTION)
        self.flush()

    def process_message(self, message: Message) -> None:
        """Note when an answer comes; called in the thread that reads, which no paint delays."""
        if isinstance(message, events.CursorPosition) and not self._nothing_asked.is_set():
            self.took = time.monotonic() - self._asked
            self._nothing_asked.set()
        super().process_message(message)

    def disable_input(self) -> None:
        if not self.exit_event.is_set():
            self._nothing_asked.wait(max(0.0, self._asked + LEAVING - time.monotonic()))
            self._nothing_asked.set()
        super().disable_input()


class PacedApp(OrderedApp):
    """An app that paints as fast as its terminal shows it, and only while the terminal is in front.

    Keys are always taken; only paints wait. A terminal that neither answers nor reports its focus is painted at once.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.in_front = True
        self._holding = ExitStack()  # what holds paints back; empty: nothing
        self._held = False
        self._lost = False  # something was painted while held: Textual drops that
        self._pressed = False  # a key came since the last paint
        self._waiting: Timer | None = None  # for an answer
        self._answers = False  # the terminal has answered before
        self._late = 0

    def get_driver_class(self) -> type[AnyDriver]:
        return CountingDriver

    @property
    def written(self) -> int:
        """Bytes written to the terminal so far."""
        return self._driver.written if isinstance(self._driver, CountingDriver) else 0

    # --- what the line tells ----------------------------------------------------------------------

    def line_is_slow(self) -> None:
        """Paint less: answers came late, one after the other. For the application to fill in."""

    def key_came(self) -> None:
        """A key, or the mouse, is about to be handled. For the application to fill in."""

    def focus_changed(self) -> None:
        """Say whether the terminal is in front; before the last paint, or the next. For the application to fill in."""

    # --- asking -----------------------------------------------------------------------------------

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        """Paint, and ask the terminal to tell when it has shown it."""
        before = self.written
        self._lost = self._lost or (self._held and renderable is not None)
        super()._display(screen, renderable)
        size = self.written - before
        worth = size and (self._pressed or size >= WORTH_ASKING)
        if worth and self._waiting is None and isinstance(self._driver, CountingDriver):
            self._pressed = False
            self._waiting = self.set_timer(PATIENCE, self._give_up)
            self._driver.ask()
        if renderable is not None:
            self._pace()

    def on_cursor_position(self) -> None:
        """Go on painting: the terminal has shown what it was asked about."""
        if self._waiting is None or not isinstance(self._driver, CountingDriver):
            return
        self._stop_waiting()
        self._answers = True
        self._late = self._late + 1 if (self._driver.took or 0) >= LATE else 0
        if self._late == LATE_IN_A_ROW:
            self.line_is_slow()
        self._pace()

    def _give_up(self) -> None:
        """Paint without an answer, until there is one again."""
        self._stop_waiting()
        self._answers = False
        self._pace()

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key | events.MouseDown | events.MouseScrollDown | events.MouseScrollUp):
            self._pressed = True
            self.key_came()
            if not self.in_front:  # who types is looking
                self._come_to_front()
        await super().on_event(event)

    # --- focus ------------------------------------------------------------------------------------

    def on_app_blur(self, event: events.AppBlur) -> None:
        """Paint once more, which says so, and rest."""
        event.prevent_default()  # Textual would take the focus from the table, and paint all of it without
        self.in_front = False
        self.focus_changed()  # what that paints is the last paint: ``_display`` rests after it

    def on_app_focus(self, event: events.AppFocus) -> None:
        """Paint what changed meanwhile."""
        event.prevent_default()
        if not self.in_front:
            self._come_to_front()

    def _come_to_front(self) -> None:
        self.in_front = True
        self.focus_changed()
        self._pace()

    # --- holding ----------------------------------------------------------------------------------

    def _pace(self) -> None:
        """Hold paints back, or let go."""
        hold = not self.in_front or (self._waiting is not None and self._answers)
        if hold == self._held:
            return
        self._held = hold
        if hold:
            self._holding.enter_context(self.batch_update())
            return
        self._holding.close()
        if self._lost:
            self._lost = False
            self.screen.refresh()
        self.screen.check_idle()
