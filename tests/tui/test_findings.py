"""The findings view: what is listed, in which order, what its keys do, and what is news."""

from __future__ import annotations

import base64
import dataclasses
import re
from functools import partial

import pytest
from textual.widget import Widget

from sockui.config import Config
from sockui.diagnosis.finding import Severity
from sockui.model import Owner, Protocol, Snapshot, State
from sockui.tui.bar import Bar
from sockui.tui.pane import Pane
from sockui.tui.remedy_screen import RemedyScreen
from tests.tui.scenes import PROCESSES, Screen, Start, process, snapshot, sock

AUTO = Config()
LEAK = (sock(1, State.CLOSE_WAIT), sock(2, State.CLOSE_WAIT), sock(3, State.LISTEN))
OTHER = sock(9, State.CLOSE_WAIT, 812, local_port=8080)
CALM = (
    sock(3, State.LISTEN),
    sock(4),
    sock(5, State.TIME_WAIT, 0, inode=0, owner=Owner.KERNEL, timer=3, timer_ms=9000),
)
FULL = sock(3, State.LISTEN, recv_queue=129)  # nobody accepts: critical


def rows(screen: Screen) -> list[str]:
    """The lines of the findings table that hold a finding."""
    return [line for line in screen.lines("#findings")[1:] if line]


def details(screen: Screen) -> str:
    return screen.app.main.query_one("#explainer").text  # type: ignore[attr-defined,no-any-return]


def copied(screen: Screen) -> str:
    return base64.b64decode("".join(screen.terminal)[7:-1]).decode()


async def test_it_opens_with_the_findings_if_something_needs_somebody(start: Start) -> None:
    async with start(snapshot(10, *LEAK), config=AUTO) as screen:
        assert screen.app.main.choices.showing == "findings"
        (line,) = rows(screen)
        assert line.split()[0] == "WARNING"
        assert "java 4312" in line
        assert "≥59s" in line
        assert "1 warning" in screen.bar("#top")


async def test_it_opens_with_the_findings_of_the_second_poll(start: Start) -> None:
    async with start(snapshot(10, *CALM), config=AUTO) as screen:
        assert screen.app.main.choices.showing == "sockets"
        await screen.poll(snapshot(12, *LEAK))
        assert screen.app.main.choices.showing == "findings"
        assert "New" not in screen.bar("#status"), "what it opens with is no news"


async def test_the_view_never_changes_after_a_key_nor_after_two_polls_nor_with_a_filter(start: Start) -> None:
    async with start(snapshot(10, *CALM), config=AUTO) as screen:
        await screen.press("down")
        await screen.poll(snapshot(12, *LEAK))
        assert screen.app.main.choices.showing == "sockets"
        assert "1 new finding (1)" in screen.bar("#status")
    async with start(snapshot(10, *CALM), snapshot(12, *CALM), snapshot(14, *LEAK), config=AUTO) as screen:
        assert screen.app.main.choices.showing == "sockets"
    async with start(snapshot(10, *LEAK), config=AUTO, filter_text="java") as screen:
        assert screen.app.main.choices.showing == "sockets"
    async with start(snapshot(10, *CALM), config=Config(view="findings")) as screen:
        assert screen.app.main.choices.showing == "findings"


async def test_the_worst_stands_first_and_the_cursor_stays_on_its_finding(start: Start) -> None:
    async with start(snapshot(10, *LEAK, OTHER), config=AUTO) as screen:
        assert [line.split()[0] for line in rows(screen)] == ["WARNING", "WARNING"]
        await screen.press("down")
        before = screen.app.main.body.selected_finding
        assert before is not None
        await screen.poll(snapshot(12, *LEAK[:2], FULL, OTHER))
        assert rows(screen)[0].split()[0] == "CRITICAL"
        assert screen.app.main.body.table.cursor > 1
        after = screen.app.main.body.selected_finding
        assert after is not None
        assert after.key == before.key
        assert "1 critical" in screen.bar("#top")


async def test_the_details_have_everything(start: Start) -> None:
    async with start(snapshot(10, *LEAK), config=AUTO, size=(100, 60)) as screen:
        text = details(screen)
        for part in ("WARNING", "java 4312", "Turn", "Ends", "Possible causes", "First", "What not to do"):
            assert part in text
        assert "Sockets by state" in text
        assert re.search("^CLOSE_WAIT +2  █$", text, re.MULTILINE)


async def test_enter_shows_its_sockets_and_escape_comes_back(start: Start) -> None:
    async with start(snapshot(10, *LEAK, OTHER), config=AUTO) as screen:
        await screen.press("slash", *"java", "enter")
        assert len(rows(screen)) == 1
        await screen.press("enter")
        assert screen.app.main.choices.showing == "sockets"
        sockets = [line for line in screen.lines("#sockets") if "127.0.0.1" in line]
        assert len(sockets) == 2
        assert all("CLOSE_WAIT" in line and "java/4312" in line for line in sockets)
        await screen.press("escape")
        assert (screen.app.main.choices.showing, screen.app.main.choices.filter.text) == ("findings", "java")
        await screen.press("escape")
        assert len(rows(screen)) == 2


async def test_enter_stays_within_the_filter(start: Start) -> None:
    async with start(snapshot(10, *LEAK, OTHER), config=AUTO) as screen:
        await screen.press("slash", *"dport = :10001", "enter", "enter")
        assert [line.split()[6] for line in screen.lines("#sockets")[1:] if line] == ["127.0.0.1:10001"]


async def test_escape_does_not_come_back_once_another_filter_or_view_was_chosen(start: Start) -> None:
    async with start(snapshot(10, *LEAK, OTHER), config=AUTO) as screen:
        await screen.press("enter", "slash", *" and java", "enter", "escape")
        assert (screen.app.main.choices.showing, screen.app.main.choices.filter.text) == ("sockets", "")
        await screen.press("escape")
        assert screen.app.main.choices.showing == "findings", "where it began"


async def test_a_filter_leaves_findings_with_a_matching_socket(start: Start) -> None:
    async with start(snapshot(10, *LEAK, OTHER), config=AUTO) as screen:
        await screen.press("slash", *"sport = :8080")
        assert len(rows(screen)) == 1
        assert "nginx 812" in rows(screen)[0]
        await screen.press("enter")
        assert "2 warning" in screen.bar("#top"), "how bad it is does not depend on the filter"
        await screen.press("slash", *([("backspace")] * 13), *"state listen", "enter")
        assert "None of 2 findings has a socket that matches" in rows(screen)[0]


@pytest.mark.parametrize("key", ["c", "d"])
async def test_copying_a_finding_as_markdown(start: Start, key: str) -> None:
    async with start(snapshot(10, *LEAK), config=AUTO) as screen:
        await screen.press(key)
        await screen.app.workers.wait_for_complete()
        text = copied(screen)
        assert "java" in text
        assert "web-3" in text
        assert "2023-11-14 22:13:30 UTC" in text
        assert "CLOSE_WAIT" in text


async def test_copying_the_remediation_page_copies_the_steps_that_it_shows(start: Start) -> None:
    async with start(snapshot(10, *LEAK), config=AUTO, size=(120, 60)) as screen:
        await screen.press("r", "C")
        await screen.app.workers.wait_for_complete()
        pane = screen.app.screen.query_one(Pane)
        shown = re.findall(r"(?m)^ +(\d+) (\w+ \w+)", pane.text)
        steps = re.findall(r"(?m)^(\d+)\. [A-Z][a-z ]+: (\w+ \w+)", copied(screen))
        assert steps == shown
        assert len(steps) > 3


async def test_copying_the_table_of_findings(start: Start) -> None:
    async with start(snapshot(10, *LEAK, OTHER), config=AUTO) as screen:
        await screen.press("C")
        await screen.app.workers.wait_for_complete()
        lines = copied(screen).splitlines()
        assert lines[1].split()[:3] == ["Severity", "Finding", "Process"]
        assert len(lines) == 5, "fences, titles and two findings"


async def test_the_remediation_of_a_finding_and_after_it_is_gone(start: Start) -> None:
    async with start(snapshot(10, *LEAK), config=AUTO) as screen:
        await screen.press("r")
        assert isinstance(screen.app.screen, RemedyScreen)
        page = screen.app.screen.query_one("#steps")
        assert "What to do" in screen.bar("#title")
        assert "What not to do" in page.text  # type: ignore[attr-defined]
        await screen.press("c")
        await screen.app.workers.wait_for_complete()
        assert "4312" in copied(screen), "the command of the first step"
        await screen.poll(snapshot(12, *CALM))
        await screen.poll(snapshot(14, *CALM))
        assert "not find this any more" in page.text  # type: ignore[attr-defined]
        assert "What not to do" in page.text  # type: ignore[attr-defined]
        await screen.press("escape")
        assert screen.app.main.choices.showing == "findings"


async def test_acknowledged_ones_stand_last_until_they_double(start: Start) -> None:
    async with start(snapshot(10, *LEAK, OTHER), config=AUTO) as screen:
        assert "java 4312" in rows(screen)[0]
        await screen.press("a")
        assert rows(screen)[1].startswith("a")
        assert "java 4312" in rows(screen)[1]
        assert "nginx 812" in rows(screen)[0]
        selected = screen.app.main.body.selected_finding
        assert selected is not None
        assert selected.pid == 812, "the next one is looked at"
        assert "1 warning 1 acknowledged" in screen.bar("#top")
        assert "Acknowledged until it gets worse: CLOSE_WAIT" in screen.bar("#status")
        await screen.poll(snapshot(12, *LEAK, sock(6, State.CLOSE_WAIT), OTHER))
        assert rows(screen)[1].startswith("a"), "three are not yet twice two"
        await screen.poll(snapshot(14, *LEAK, sock(6, State.CLOSE_WAIT), sock(7, State.CLOSE_WAIT), OTHER))
        assert rows(screen)[0].startswith("+")
        assert "java 4312" in rows(screen)[0]
        assert "Worse: CLOSE_WAIT" in screen.bar("#status")
        assert "java 4312" in screen.bar("#status")
        assert "2 warning" in screen.bar("#top")


async def test_acknowledging_can_be_taken_back(start: Start) -> None:
    async with start(snapshot(10, *LEAK, OTHER), config=AUTO) as screen:
        await screen.press("a", "G", "a")
        assert "java 4312" in rows(screen)[0]
        assert not any(line.startswith("a") for line in rows(screen))
        await screen.press("2", "a")
        assert "1 shows them" in screen.bar("#status")


async def test_acknowledged_ones_come_back_when_their_severity_rises(start: Start) -> None:
    growing = [sock(3, State.LISTEN), *(sock(20 + number, State.CLOSE_WAIT) for number in range(9))]
    async with start(snapshot(10, *growing), config=AUTO) as screen:
        await screen.press("a")
        for number in range(1, 6):
            more = [sock(40 + each, State.CLOSE_WAIT) for each in range(number)]
            await screen.poll(snapshot(10 + 2 * number, *growing, *more))
        finding = screen.app.main.body.selected_finding
        assert finding is not None
        assert finding.severity == Severity.CRITICAL, "it grew at three polls"
        assert finding.count == 14, "by less than double"
        assert not screen.app.main.news.acknowledged(finding)


async def test_a_new_finding_is_announced_without_moving_anything(start: Start) -> None:
    async with start(snapshot(10, *CALM), snapshot(12, *CALM), config=AUTO) as screen:
        await screen.press("down")
        focused, cursor = screen.app.main.focused, screen.app.main.body.table.cursor
        await screen.poll(snapshot(14, *CALM, OTHER))
        assert "1 new finding (1)" in screen.bar("#status")
        assert screen.app.main.focused is focused
        assert screen.app.main.body.table.cursor == cursor + 1, (
            "its socket went to the top, the cursor stayed with its own"
        )
        await screen.poll(snapshot(16, *CALM, OTHER))
        assert "1 new finding (1)" in screen.bar("#status"), "until somebody has looked"
        await screen.press("1")
        assert rows(screen)[0].startswith("+")
        assert "new finding" not in screen.bar("#status")
        await screen.poll(snapshot(18, *CALM, OTHER))
        await screen.poll(snapshot(20, *CALM, OTHER))
        assert rows(screen)[0].startswith(" ")
        await screen.press("2")
        assert "new finding" not in screen.bar("#status")


async def test_pressing_how_bad_it_is_shows_the_findings(start: Start) -> None:
    async with start(snapshot(10, *LEAK), config=Config(view="sockets")) as screen:
        await screen.pilot.click("#top", offset=(screen.bar("#top").index("1 warning"), 0))
        assert screen.app.main.choices.showing == "findings"
        await screen.press("escape")
        assert screen.app.main.choices.showing == "sockets"


async def test_nothing_found_is_calm(start: Start) -> None:
    async with start(snapshot(10, *CALM), config=Config(view="findings")) as screen:
        assert "Nothing found so far: 3 sockets of 1 process looked at once" in "".join(rows(screen))
        await screen.poll(snapshot(16, *CALM))
        assert "Nothing is stuck: 3 sockets of 1 process looked at for 6 s" in "".join(rows(screen))
        assert "no findings" in screen.bar("#top")
        text = details(screen)
        assert "1 in TIME_WAIT: that is normal." in text
        assert re.search("^LISTEN +1  ██$", text, re.MULTILINE)
        for key in ("enter", "r", "c", "d", "a", "C", "s", "S", "space", "o", "left", "e", "e", "tab"):
            await screen.press(key)
            assert screen.app.screen is screen.app.main, key
        await screen.poll(snapshot(18, *LEAK))
        assert "WARNING" in rows(screen)[0]


async def test_findings_have_their_own_order(start: Start) -> None:
    async with start(snapshot(10, *LEAK, OTHER), config=AUTO) as screen:
        before = rows(screen)
        await screen.press("s")
        assert "the worst first" in screen.bar("#status")
        await screen.press("S")
        await screen.pilot.click("#findings", offset=(30, 0))
        assert rows(screen) == before
        assert screen.app.main.choices.tree_sort.column_name == "sockets"


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 50), (40, 10), (1, 1)])
async def test_every_size(start: Start, size: tuple[int, int]) -> None:
    async with start(snapshot(10, *LEAK, OTHER), config=AUTO, size=size) as screen:
        await screen.press("down", "tab", "down", "e", "e")
        if size[0] >= 80:
            assert all(word in rows(screen)[0] for word in ("WARNING", "java 4312", " 2 ", "≥59s"))
            assert "Turn" in details(screen)


async def test_names_from_outside_stay_text_in_findings(start: Start) -> None:
    evil = process(4312, "[/x]\x1b[31m\u202e")
    shot = snapshot(10, *LEAK, processes=(PROCESSES[1], evil, PROCESSES[812]))
    async with start(shot, config=AUTO, size=(120, 40)) as screen:
        for key in ("r", "escape", "2", "1"):
            await screen.press(key)
            painted = "".join(strip.text for strip in screen.app.screen._compositor.render_strips())
            assert "\x1b" not in painted
            assert "\u202e" not in painted
        assert r"[/x]\e" in rows(screen)[0]


async def test_a_refresh_without_a_change_paints_nothing(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def later(shot: Snapshot, seconds: float) -> Snapshot:
        sockets = shot.sockets.copy()
        return dataclasses.replace(
            shot, sockets=sockets, taken_at=shot.taken_at + seconds, monotonic=shot.monotonic + seconds,
            boottime=shot.boottime + seconds,
        )  # fmt: skip

    first = snapshot(10, *LEAK, OTHER)
    async with start(first, later(first, 1), config=AUTO, size=(120, 36)) as screen:
        painted: list[Widget] = []
        main = screen.app.main
        for widget in (main.body.table, *main.query(Bar), main.query_one(Pane)):
            monkeypatch.setattr(widget, "refresh", partial(painted.append, widget))
        await screen.poll(later(first, 2))
        assert painted == []


async def test_udp_alone_is_no_finding(start: Start) -> None:
    async with start(snapshot(10, sock(1, State.CLOSE, protocol=Protocol.UDP)), config=AUTO) as screen:
        assert screen.app.main.choices.showing == "sockets"


async def test_a_line_that_is_cut_off_says_so(start: Start) -> None:
    """Half a number would be another number."""
    async with start(snapshot(10, *LEAK), size=(30, 24), config=AUTO) as screen:
        await screen.poll(snapshot(12, *LEAK, OTHER, FULL))
        bar = screen.app.main.query_one("#status", Bar)
        assert len(bar.text) > 30
        assert bar.render_line(0).text == f"{bar.text[:29]}…"
