"""From what is shown to the pages of knowledge, from page to page by links and search, and back."""

from __future__ import annotations

import base64
import dataclasses

import pytest
from textual.widgets import Input

from sockui.knowledge import topics
from sockui.knowledge.topics import Topic
from sockui.model import State
from sockui.tui.help_screen import HelpScreen, HitRows
from sockui.tui.pane import Pane
from sockui.tui.table import Table
from sockui.view import pages
from sockui.view.page import plain
from tests.tui.scenes import Screen, Start, snapshot, sock

TWO = (sock(1, State.CLOSE_WAIT), sock(2, State.LISTEN), sock(3, State.ESTABLISHED, 812))


def pane(screen: Screen) -> Pane:
    return screen.app.screen.query_one(Pane)


def shown(screen: Screen) -> str:
    """Which screen is on top."""
    return type(screen.app.screen).__name__


def chosen(screen: Screen) -> Topic | None:
    """The topic of the chosen link."""
    place = pane(screen).position[1]
    return place[0] if place is not None else None


def painted(screen: Screen, style: str) -> list[str]:
    """What is painted in a style of the pane, link by link."""
    wanted = pane(screen).get_component_rich_style(f"pane--{style}")
    strips = map(pane(screen).render_line, range(pane(screen).size.height))
    return [segment.text for strip in strips for segment in strip if segment.style == wanted]


def copied(screen: Screen) -> str:
    return base64.b64decode("".join(screen.terminal)[7:-1]).decode()


def hits(screen: Screen) -> list[str]:
    rows = screen.app.screen.query_one("#found", Table).rows
    assert isinstance(rows, HitRows)
    return [hit.topic.title for hit in rows.hits]


async def searched(screen: Screen, text: str) -> None:
    """Type a search and wait until every page was read."""
    await screen.press(*text)
    await screen.app.workers.wait_for_complete()
    await screen.pilot.pause()


# --- to a page ------------------------------------------------------------------------------------


async def test_i_opens_the_page_of_the_state_under_the_cursor_and_escape_leaves(start: Start) -> None:
    async with start(snapshot(10, *TWO)) as screen:
        await screen.press("i")
        assert screen.bar("#title") == " CLOSE_WAIT"
        assert "Whose turn" in pane(screen).text
        await screen.press("escape")
        assert screen.app.screen is screen.app.main
        screen.app.main.query_one("#states").focus()
        await screen.press("right", "i")
        assert screen.bar("#title") == " ESTABLISHED", "the count that the arrow keys have come to"


async def test_i_opens_the_page_of_a_findings_rule_and_of_a_processs_oldest_stuck_socket(start: Start) -> None:
    async with start(snapshot(10, *TWO)) as screen:
        await screen.press("1", "i")
        assert "R02 close-wait-read" in screen.bar("#title")
        await screen.press("q", "3", "i")
        assert screen.bar("#title") == " CLOSE_WAIT"
        await screen.press("q", "down", "i")
        assert screen.app.screen is screen.app.main, "nothing of that process is stuck"
        assert "There is no page about this" in screen.bar("#status")


async def test_values_on_a_page_are_those_of_the_host_that_is_shown(start: Start) -> None:
    shot = snapshot(10, sock(1, State.FIN_WAIT2))
    host = dataclasses.replace(shot.host, sysctls={"net.ipv4.tcp_fin_timeout": "4711"})
    async with start(dataclasses.replace(shot, host=host)) as screen:
        await screen.press("i")
        assert "4711" in pane(screen).text


# --- links ----------------------------------------------------------------------------------------


async def test_links_are_followed_and_come_back_from_to_the_same_place(start: Start) -> None:
    async with start(snapshot(10, *TWO), size=(80, 12)) as screen:
        await screen.press("i")
        first = pane(screen).text
        await screen.press("pagedown", "tab", "n")
        topic, place = chosen(screen), pane(screen).position
        assert topic is not None
        assert topic.title != "CLOSE_WAIT"
        assert place[0] > 0
        assert len(painted(screen, "here")) == 1, "the chosen one, and in view"
        await screen.press("enter")
        assert screen.bar("#title") == f" CLOSE_WAIT › {topic.title}"
        assert pane(screen).position == (0, None)
        await screen.press("tab", "right")
        assert screen.bar("#title").count("›") == 2
        await screen.press("left", "backspace")
        assert (screen.bar("#title"), pane(screen).text, pane(screen).position) == (" CLOSE_WAIT", first, place)
        await screen.press("enter", "tab", "enter", "q")
        assert screen.app.screen is screen.app.main, "q leaves at once"


async def test_every_link_leads_to_another_page_and_n_goes_through_all_of_them(start: Start) -> None:
    async with start(snapshot(10, *TWO), size=(80, 24)) as screen:
        await screen.press("i")
        own = topics.find("CLOSE_WAIT")
        text = pane(screen).text
        expected = [topic for line in text.splitlines() for *_, topic in topics.links(line) if topic != own]
        seen = []
        for _ in expected:
            await screen.pilot.press("n")
            seen.append(chosen(screen))
        assert seen == expected
        place = pane(screen).position
        await screen.press("n")
        assert pane(screen).position == place, "beyond the last there is none"
        await screen.press("N")
        assert chosen(screen) == expected[-2]


async def test_links_are_underlined_and_what_is_scrolled_out_is_not_followed(start: Start) -> None:
    async with start(snapshot(10, *TWO), size=(80, 24)) as screen:
        await screen.press("i")
        assert pane(screen).get_component_rich_style("pane--link").underline
        assert "R01" in painted(screen, "link")
        await screen.press("n")
        assert chosen(screen) is not None
        await screen.press("G")
        assert chosen(screen) is None
        await screen.press("enter")
        assert screen.bar("#title") == " CLOSE_WAIT"


async def test_a_press_on_a_link_follows_it(start: Start) -> None:
    async with start(snapshot(10, *TWO), size=(80, 24)) as screen:
        await screen.press("i")
        lines = [pane(screen).render_line(y).text for y in range(pane(screen).size.height)]
        y = next(y for y, line in enumerate(lines) if "R01" in line)
        await screen.pilot.click("#page", offset=(1 + lines[y].index("R01") + 1, y))
        assert "› R01" in screen.bar("#title")


async def test_links_of_the_explanation_are_there_while_it_has_the_focus(start: Start) -> None:
    async with start(snapshot(10, *TWO), size=(100, 40)) as screen:
        assert painted(screen, "link") == []
        await screen.press("tab")
        assert screen.app.focused is pane(screen)
        assert painted(screen, "link") != []
        assert "Enter open it" in screen.bar("#hints")
        await screen.press("tab")
        topic = chosen(screen)
        assert topic is not None
        await screen.poll(snapshot(12, *TWO))
        assert chosen(screen) == topic, "it stays through a poll"
        await screen.press("enter")
        assert screen.bar("#title") == f" {topic.title}"
        await screen.press("escape", "escape")
        assert type(screen.app.focused).__name__ == "Table"
        assert painted(screen, "link") == []


async def test_no_link_is_looked_for_before_somebody_reads(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(text: str) -> None:
        raise AssertionError(text)

    monkeypatch.setattr(topics, "links", fail)
    monkeypatch.setattr(topics, "topics", fail)
    async with start(snapshot(10, *TWO)) as screen:
        await screen.poll(snapshot(12, *TWO))
        await screen.press("down", "1", "2", "3")


async def test_all_about_a_socket_and_the_remedy_have_links_too(start: Start) -> None:
    async with start(snapshot(10, *TWO), size=(100, 40)) as screen:
        for key in ("enter", "r"):
            await screen.press("2", key, "n")
            topic = chosen(screen)
            assert topic is not None, key
            await screen.press("enter")
            assert screen.bar("#title") == f" {topic.title}"
            await screen.press("escape", "escape")
            assert screen.app.screen is screen.app.main


async def test_the_arrow_keys_choose_the_step_whose_command_is_copied(start: Start) -> None:
    async with start(snapshot(10, *TWO), size=(80, 24)) as screen:
        await screen.press("r")
        steps = screen.app.screen._subject.page().steps  # type: ignore[attr-defined]
        await screen.press("down", "c")
        await screen.app.workers.wait_for_complete()
        assert copied(screen) == steps[1].command
        await screen.press(*["down"] * (len(steps) + 30))
        assert pane(screen).text.splitlines()[-1].strip() in "".join(
            pane(screen).render_line(y).text for y in range(pane(screen).size.height)
        ), "what stands below the last step can be read"


# --- the page -------------------------------------------------------------------------------------


async def test_c_copies_the_page(start: Start) -> None:
    async with start(snapshot(10, *TWO)) as screen:
        await screen.press("i", "c")
        await screen.app.workers.wait_for_complete()
        topic = topics.find("CLOSE_WAIT")
        assert topic is not None
        assert copied(screen) == plain(pages.page(topic, screen.app.main.view.update.snapshot.host))  # type: ignore[union-attr]


async def test_a_trail_that_does_not_fit_says_its_end(start: Start) -> None:
    async with start(snapshot(10, *TWO), size=(60, 24)) as screen:
        await screen.press("i")
        for name in ("R02", "net.ipv4.tcp_fin_timeout", "TIME_WAIT", "FIN_WAIT2"):
            screen.app.explain(topics.find(name))  # type: ignore[arg-type]
        await screen.pilot.pause()
        assert screen.bar("#title").startswith(" … ›")
        assert screen.bar("#title").endswith("› FIN_WAIT2")


@pytest.mark.parametrize("size", [(80, 24), (40, 8), (1, 1)])
async def test_every_page_can_be_shown(start: Start, size: tuple[int, int]) -> None:
    async with start(snapshot(10, *TWO), size=(80, 24)) as screen:
        await screen.press("i")
        await screen.pilot.resize_terminal(*size)
        for topic in topics.topics():
            screen.app.explain(topic)
        await screen.pilot.pause()
        if size[0] > 1:
            assert all(len(line) <= size[0] for line in pane(screen).text.splitlines())


# --- search ---------------------------------------------------------------------------------------


async def test_the_help_is_there_until_something_is_typed(start: Start) -> None:
    async with start(snapshot(10, *TWO)) as screen:
        await screen.press("question_mark")
        text = pane(screen).text
        for key in ("  i  ", "  D  ", "next link"):
            assert key in text
        assert pane(screen).display
        top = pane(screen).position[0]
        await screen.press("pagedown", "down")
        assert pane(screen).position[0] > top
        await screen.press("q")
        assert not pane(screen).display
        assert shown(screen) == "HelpScreen", "letters are typed"
        await screen.press("escape")
        assert pane(screen).display
        await screen.press("escape")
        assert screen.app.screen is screen.app.main
        await screen.press("question_mark", "question_mark")
        assert screen.app.screen is screen.app.main


async def test_a_search_finds_names_at_once_and_texts_when_all_is_read(start: Start) -> None:
    async with start(snapshot(10, *TWO)) as screen:
        await screen.press("question_mark")
        await searched(screen, "time wait")
        assert hits(screen)[0] == "TIME_WAIT"
        await screen.press("escape")
        await searched(screen, "descriptor leak")
        assert "CLOSE_WAIT" in hits(screen)
        table = screen.app.screen.query_one("#found", Table)
        line = table.render_line(1 + hits(screen).index("CLOSE_WAIT")).text
        assert "descriptor" in line or "leak" in line
        await screen.press("escape")
        await searched(screen, "no such words")
        assert hits(screen) == []
        assert "No page has  no such words" in table.render_line(2).text


async def test_before_all_is_read_it_says_so(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HelpScreen, "_read", lambda _self: None)
    async with start(snapshot(10, *TWO)) as screen:
        await screen.press("question_mark", *"last ack")
        assert hits(screen)[0] == "LAST_ACK"
        assert "searching" in screen.bar("#title")
        await screen.press(*"descriptor")
        assert "Searching" in screen.app.screen.query_one("#found", Table).render_line(2).text


async def test_what_is_found_is_opened_and_come_back_from(start: Start) -> None:
    async with start(snapshot(10, *TWO)) as screen:
        await screen.press("question_mark")
        await searched(screen, "close wait")
        second = hits(screen)[1]
        await screen.press("down", "enter")
        assert screen.bar("#title") == f" {second}"
        await screen.press("escape")
        assert screen.app.screen.query_one(Input).value == "close wait"


async def test_from_a_page_what_is_found_follows_on(start: Start) -> None:
    async with start(snapshot(10, *TWO)) as screen:
        for key in ("slash", "question_mark"):
            await screen.press("i", key)
            await searched(screen, "timewait")
            await screen.press("enter")
            assert screen.bar("#title") == " CLOSE_WAIT › TIME_WAIT"
            await screen.press("escape")
            assert screen.bar("#title") == " CLOSE_WAIT"
            await screen.press("escape")
            assert screen.app.screen is screen.app.main


async def test_the_palette_explains_by_any_name(start: Start) -> None:
    async with start(snapshot(10, *TWO)) as screen:
        for typed, title in (
            ("explain finwait2", "FIN_WAIT2"),
            ("expl estblished", "ESTABLISHED"),
            ("fin-wait-2", "FIN_WAIT2"),
            ("fin wait 2", "FIN_WAIT2"),
            ("R02", "R02 close-wait-read"),
        ):
            await screen.press("colon", *typed)
            await screen.app.workers.wait_for_complete()
            await screen.pilot.pause()
            await screen.press("enter")
            await screen.pilot.pause()
            assert shown(screen) == "PageScreen", typed
            assert screen.bar("#title").strip() == title
            await screen.press("q")
