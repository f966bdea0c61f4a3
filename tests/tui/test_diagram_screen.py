"""The diagram of the states: counted at each poll, walked with the arrow keys, and left for a page or for sockets."""

from __future__ import annotations

from sockui.model import Protocol, State
from sockui.tui.pane import Pane
from tests.tui.scenes import Screen, Start, snapshot, sock

TWO = (sock(1, State.CLOSE_WAIT), sock(2, State.LISTEN), sock(3, State.ESTABLISHED, 812))


def picture(screen: Screen) -> str:
    return screen.app.screen.query_one("#picture", Pane).text


async def test_the_diagram_counts_at_each_poll_and_begins_at_the_sockets_state(start: Start) -> None:
    async with start(snapshot(10, *TWO), size=(80, 24)) as screen:
        await screen.press("D")
        assert "[CLOSE_WAIT 1]" in picture(screen)
        assert "LISTEN 1" in picture(screen)
        await screen.poll(snapshot(12, *TWO, sock(7, State.CLOSE_WAIT), sock(8, State.FIN_WAIT2)))
        assert "[CLOSE_WAIT 2]" in picture(screen)
        assert "FIN_WAIT2 1" in picture(screen)
        lines = [screen.app.screen.query_one("#picture", Pane).render_line(y).text for y in range(15)]
        assert "CLOSE 0" in lines[-1], "all of it is on the screen"
        assert screen.app.screen.query_one("#page").size.height >= 6


async def test_the_diagram_is_walked_and_each_state_explained(start: Start) -> None:
    async with start(snapshot(10, *TWO), size=(80, 24)) as screen:
        await screen.press("D", "up")
        assert "[ESTABLISHED 1]" in picture(screen)
        page = screen.app.screen.query_one("#page", Pane)
        words = page.text.splitlines()[0]
        await screen.press("j", "h", "down")
        assert "[FIN_WAIT2 0]" in picture(screen)
        assert page.text.splitlines()[0] != words
        assert "Whose turn" in page.text
        await screen.press("enter")
        assert screen.bar("#title") == " FIN_WAIT2"
        await screen.press("escape")
        assert type(screen.app.screen).__name__ == "DiagramScreen"
        await screen.press("tab", "n")
        assert page.position[1] is not None
        await screen.press("escape", "l")
        assert "[CLOSING 0]" in picture(screen), "Esc went back to walking"
        await screen.press("escape")
        assert screen.app.screen is screen.app.main


async def test_from_the_diagram_to_the_sockets_in_a_state_and_back(start: Start) -> None:
    async with start(snapshot(10, *TWO), size=(80, 24)) as screen:
        for key in ("f", "space"):
            await screen.press("3", "D", key)
            assert screen.app.screen is screen.app.main
            assert screen.app.main.choices.showing == "sockets"
            assert screen.app.main.choices.filter.text == "state close-wait and protocol = tcp"
            await screen.press("escape")
            assert screen.app.main.choices.showing == "processes"


async def test_what_is_not_tcp_begins_where_most_are(start: Start) -> None:
    udp = sock(9, State.CLOSE, protocol=Protocol.UDP)
    async with start(snapshot(10, udp)) as screen:
        await screen.press("D")
        assert "[ESTABLISHED 0]" in picture(screen)
