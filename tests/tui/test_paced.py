from __future__ import annotations

from typing import Any

from textual import events

from sockui.config import Config
from sockui.model import State
from tests.tui.scenes import Screen, Start, snapshot, sock


class Paints:
    """How often something was painted since it was asked last."""

    def __init__(self, screen: Screen) -> None:
        self._count = 0
        screen.app.post_display_hook = self._painted  # type: ignore[method-assign]

    def _painted(self) -> None:
        self._count += 1

    def since(self) -> int:
        count, self._count = self._count, 0
        return count


async def report(screen: Screen, event: events.Event) -> None:
    screen.app.post_message(event)
    await screen.pilot.pause()
    await screen.pilot.pause()


async def test_a_terminal_that_is_not_in_front_is_not_painted_and_then_all_at_once(start: Start) -> None:
    async with start(snapshot(10, sock(1), sock(2)), config=Config(view="sockets", sort="inode")) as screen:
        paints = Paints(screen)
        await screen.poll(snapshot(12, sock(1), sock(2, recv_queue=7)))
        assert paints.since(), "nothing is held back where nothing was reported"
        await report(screen, events.AppBlur())
        assert paints.since(), "it says since when it shows nothing new"
        assert "no focus, no paint" in screen.bar("#top")
        focused = screen.app.main.focused
        for at in (14, 16, 18):
            await screen.poll(snapshot(at, sock(1, recv_queue=at), sock(3, State.CLOSE_WAIT)))
        assert not paints.since()
        await report(screen, events.AppFocus())
        assert paints.since()
        assert "no focus" not in screen.bar("#top")
        assert "CLOSE_WAIT" in "".join(screen.lines("#sockets"))
        assert screen.app.main.focused is focused, "the cursor is where it was"


async def test_who_types_is_looking_whatever_the_terminal_reported(start: Start) -> None:
    async with start(snapshot(10, sock(1), sock(2))) as screen:
        await report(screen, events.AppBlur())
        paints = Paints(screen)
        await screen.press("down")
        assert screen.app.in_front
        assert paints.since()


async def test_a_screen_that_opens_unseen_is_painted_whole_when_it_is_seen(start: Start) -> None:
    async with start(snapshot(10, sock(1), sock(2))) as screen:
        await report(screen, events.AppBlur())
        screen.app.action_help()
        await screen.pilot.pause()
        painted: set[int] = set()
        app, display = screen.app, screen.app._display

        def spy(screen: Any, renderable: Any) -> None:
            if app.in_front:  # Textual drops what comes before
                painted.update(y for y, _, _ in getattr(renderable, "spans", ()))
                painted.update(renderable.region.line_range if hasattr(renderable, "region") else ())
            display(screen, renderable)

        app._display = spy  # type: ignore[method-assign]
        await report(screen, events.AppFocus())
        assert painted == set(range(30)), "what stood there before is gone from every line"


async def test_a_slow_line_is_said_and_painted_less(start: Start) -> None:
    async with start(snapshot(10, sock(1))) as screen:
        assert "B/s" not in screen.bar("#top")
        screen.app.line_is_slow()
        await screen.pilot.pause()
        assert "painted every 5 s" in screen.bar("#status")
        assert screen.app.poller.interval == 5
        assert screen.app.native_ansi_color
        assert "B/s" in screen.bar("#top")
        await screen.press("j")
        assert "Slow line" not in screen.bar("#status"), "said once"
