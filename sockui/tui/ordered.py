"""The order of what is typed: a key does what it does before the next one is looked at.

Owns keys, clicks and pastes on their way from the terminal to the widget that has the focus. Must not know what any of
them means.

Textual hands a key to the widget that has the focus when the key is read, and asks what the key is bound to when it has
bubbled up from there. On a slow line keys come in bursts: the letters of a filter that are read with the ``/`` before
them would go to the table as commands, and a screen would be closed before it was made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from textual import events
from textual.app import App
from textual.message_pump import MessagePump

NEVER_WAITS = "ctrl+c"


class OrderedApp(App[int]):
    """An app that forwards what is typed one by one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._typed: deque[events.Event] = deque()
        self._at_work = False  # what was forwarded last has not done all it does

    async def on_event(self, event: events.Event) -> None:
        typed = isinstance(event, events.InputEvent | events.Paste) and not event.is_forwarded
        if not typed or (isinstance(event, events.Key) and event.key == NEVER_WAITS):
            await super().on_event(event)
            return
        self._typed.append(event)
        await self._forward()

    async def _forward(self) -> None:
        """Forward the next one, unless the one before is still at work."""
        if self._at_work or not self._typed:
            return
        self._at_work = True
        event = self._typed.popleft()
        first = self._first(event)
        await super().on_event(event)
        way = [each for each in (first.ancestors_with_self if first else ()) if each is not self]
        self._follow(way * 2)  # again, behind what it made one of them send on: Enter has a filter close its line

    def _first(self, event: events.Event) -> Any:
        """The widget that an event is forwarded to."""
        if isinstance(event, events.MouseEvent):
            return next((each for each, _ in self.screen.get_widgets_at(event.x, event.y)), self.screen)
        return self.focused or self.screen

    def _follow(self, way: Sequence[MessagePump]) -> None:
        """Go behind it the way that it bubbles: what comes back from a widget comes after what it did."""
        for number, pump in enumerate(way):
            if pump.call_later(self._follow, way[number + 1 :]):  # not if it is being closed
                return
        self.call_later(self.call_later, self._look)  # behind what it bubbled to here, and what that left for later

    def _look(self) -> None:
        """Wait for a screen that it opened: a screen takes messages when it is made."""
        if not self.screen.call_later(self.call_later, self._done):
            self.call_later(self._done)

    async def _done(self) -> None:
        self._at_work = False
        await self._forward()
