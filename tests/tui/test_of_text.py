"""What the screen says of a text: it is of another moment, often of another host; nothing is done about it here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from sockui.model import Host, Snapshot, State
from sockui.tui.pane import Pane
from tests.tui.scenes import Start, snapshot, sock

TWO = (sock(1, State.CLOSE_WAIT), sock(2, State.LISTEN), sock(3, State.ESTABLISHED, 812))


def of_text(at: float, system: str = "Linux", taken_at: float = 1.7e9) -> Snapshot:
    shot = snapshot(at, *TWO)
    return dataclasses.replace(shot, source="text", host=Host("db-1", system), taken_at=taken_at)


async def test_a_text_is_not_called_paused_nor_can_it_be_polled(start: Start) -> None:
    async with start(of_text(10), size=(140, 30)) as screen:
        screen.app.poller.paused = True
        screen.app.main.show_top()
        assert "text of db-1, taken 2023-11-14 22:13:20 UTC" in screen.bar("#top")
        assert "PAUSED" not in screen.bar("#top")
        assert "every" not in screen.bar("#top")
        for key in ("p", "plus", "minus"):
            await screen.press(key)
            assert "There is nothing to poll: this is a text of db-1" in screen.bar("#status")
        assert screen.app.poller.paused


async def test_the_remedy_of_a_text_is_for_that_host_and_nothing_is_done_here(start: Start) -> None:
    async with start(of_text(10, taken_at=0.0), size=(140, 30)) as screen:
        for view in ("1", "2"):
            await screen.press(view, "r")
            assert type(screen.app.screen).__name__ == "RemedyScreen"
            text = " ".join(screen.app.screen.query_one(Pane).text.split())
            assert (
                "This is a text of db-1, taken at an unknown time: the commands are for its host, not for this one."
                in text
            )
            assert "act" not in screen.bar("#hints")
            await screen.press("x")
            assert "Nothing can be done from here: this is a text of db-1" in screen.bar("#hints")
            assert "allow-actions" not in screen.bar("#hints")
            await screen.press("escape")


@pytest.mark.parametrize(
    ("system", "told"),
    [
        ("Linux", lambda text: "tells of Linux" not in text),
        ("HP-UX", lambda text: "HP-UX" in text and "tells of Linux" not in text),
        ("macOS, FreeBSD or AIX", lambda text: "tells of Linux; what is shown is of macOS, FreeBSD or AIX" in text),
    ],
)
async def test_a_page_says_of_which_system_it_tells(start: Start, system: str, told: Callable[[str], bool]) -> None:
    async with start(of_text(10, system)) as screen:
        await screen.press("2", "i")
        assert told(" ".join(screen.app.screen.query_one(Pane).text.split()))
