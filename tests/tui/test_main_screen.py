"""What keys do, and what stays where it was."""

from __future__ import annotations

import asyncio
import base64
import threading
from pathlib import Path

import pytest
from textual.notifications import Notification

from sockui.clipboard import Clipboard
from sockui.config import Config
from sockui.errors import NetlinkError
from sockui.model import Owner, Snapshot, State
from sockui.tui.app import SockuiApp
from sockui.tui.pane import Pane
from sockui.view import table_view
from sockui.view.format import moment
from tests.tui.scenes import PROCESSES, Replay, Start, diagnosis, process, snapshot, sock

TWO = (sock(1, State.CLOSE_WAIT), sock(2, State.LISTEN), sock(3, State.ESTABLISHED, 812))


async def test_the_first_poll_fills_the_screen(start: Start) -> None:
    async with start(snapshot(10, *TWO)) as screen:
        assert screen.bar("#top").startswith(" sockui  1 warning  web-3  netlink")
        assert "CLOSE_WAIT 1" in screen.bar("#states")
        assert "1 cannot be named without root: sudo sockui · 3 sockets: 2 named" in screen.bar("#status")
        header, first, *_ = screen.lines("#sockets")
        assert "State" in header
        assert "CLOSE_WAIT" in first
        assert "127.0.0.1:443" in first
        assert "java/4312" in first


async def test_a_filter_from_the_command_line_is_in_force_from_the_start(start: Start) -> None:
    async with start(snapshot(10, *TWO), filter_text="nginx") as screen:
        assert [line for line in screen.lines("#sockets") if "127.0.0.1" in line] == [screen.lines("#sockets")[1]]
        assert "nginx/812" in screen.lines("#sockets")[1]
        assert "Esc show all" in screen.bar("#hints")


async def test_the_cursor_stays_on_its_socket_when_rows_move(start: Start) -> None:
    async with start(snapshot(10, sock(5), sock(6), sock(7))) as screen:
        await screen.press("down", "down")
        key = screen.app.main.view.update.keys[screen.app.main.body.selected]  # type: ignore[union-attr]
        assert key == 7
        await screen.poll(snapshot(12, sock(1, State.CLOSE_WAIT), sock(2, State.CLOSE_WAIT), sock(5), sock(6), sock(7)))
        assert screen.app.main.body.table.cursor == 4
        assert screen.app.main.view.update.keys[screen.app.main.body.selected] == 7  # type: ignore[union-attr]


async def test_an_ended_socket_stays_struck_through_then_goes(start: Start) -> None:
    async with start(snapshot(10, sock(1), sock(2))) as screen:
        await screen.poll(snapshot(12, sock(2)))
        assert not any("×" in line for line in screen.lines("#sockets")), "one absence proves nothing"
        await screen.poll(snapshot(14, sock(2)))
        ended = next(line for line in screen.lines("#sockets") if ":10001" in line)
        assert ended.startswith("×")
        await screen.poll(snapshot(30, sock(2)))
        assert not any(":10001" in line for line in screen.lines("#sockets"))


async def test_a_new_socket_is_marked_for_one_poll(start: Start) -> None:
    async with start(snapshot(10, sock(1))) as screen:
        await screen.poll(snapshot(12, sock(1), sock(2)))
        assert next(line for line in screen.lines("#sockets") if ":10002" in line).startswith("+")
        await screen.poll(snapshot(14, sock(1), sock(2)))
        assert next(line for line in screen.lines("#sockets") if ":10002" in line).startswith(" ")


async def test_nothing_moves_under_a_finger(start: Start) -> None:
    async with start(snapshot(10, sock(5), sock(6))) as screen:
        before = screen.lines("#sockets")
        await screen.pilot.press("down")
        await screen.poll(snapshot(12, sock(1, State.CLOSE_WAIT), sock(5), sock(6)))
        assert [line for line in screen.lines("#sockets") if "CLOSE_WAIT" in line] == []
        assert screen.lines("#sockets") == before
        screen.app.main.finger_off()
        await screen.pilot.pause()
        assert "CLOSE_WAIT" in screen.lines("#sockets")[1]


async def test_a_key_shows_what_a_poll_has_put_in_order(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    async with start(snapshot(10, sock(5), sock(6))) as screen:
        await screen.pilot.press("down")
        await screen.poll(snapshot(12, sock(1, State.CLOSE_WAIT), sock(5), sock(6)))  # waits for the finger
        monkeypatch.delattr(table_view, "_ordered")  # it took long: on a busy host a key would wait for it
        await screen.press("slash", *":10001")
        assert "CLOSE_WAIT" in screen.lines("#sockets")[1]


async def test_nothing_moves_while_a_filter_is_typed(start: Start) -> None:
    async with start(snapshot(10, sock(5), sock(6))) as screen:
        await screen.press("slash")
        await screen.pilot.press(*"tcp")
        await screen.poll(snapshot(12, sock(1, State.CLOSE_WAIT), sock(5), sock(6)))
        assert "CLOSE_WAIT" not in "".join(screen.lines("#sockets"))
        screen.app.main.finger_off()
        await screen.pilot.pause()
        assert "CLOSE_WAIT" in screen.lines("#sockets")[1]


async def test_typing_a_filter_narrows_at_once_and_a_typo_keeps_the_last_good_view(start: Start) -> None:
    async with start(snapshot(10, *TWO)) as screen:
        await screen.press("slash", *"nginx")
        assert "nginx/812" in screen.lines("#sockets")[1]
        assert "java" not in "".join(screen.lines("#sockets"))
        assert "1 of 3 sockets" in screen.bar("#answer")
        await screen.press("space", "a", "n")
        assert "none of 3 sockets matches" in screen.bar("#answer")
        await screen.press("d", "space", "left_parenthesis")
        assert "nginx/812" in screen.lines("#sockets")[1]
        assert "^" in screen.bar("#answer")
        assert screen.app.main.choices.filter.text != screen.app.main.query_one("#filter Input").value  # type: ignore[attr-defined]
        await screen.press("enter")
        assert screen.app.main.query_one("#filter").has_class("-open"), "a wrong filter is not put in force"
        await screen.press("escape")
        assert len([line for line in screen.lines("#sockets") if "127.0.0.1" in line]) == 3


async def test_what_a_filter_lets_through_is_counted_anew_while_it_is_typed(start: Start) -> None:
    async with start(snapshot(10, *TWO)) as screen:
        await screen.press("slash", *"not state listen")
        assert screen.bar("#answer").strip() == "2 of 3 sockets"
        await screen.poll(snapshot(12, *TWO, sock(4)))
        assert screen.bar("#answer").strip() == "3 of 4 sockets"
        await screen.poll(snapshot(14, TWO[1]))
        await screen.poll(snapshot(16, TWO[1]))
        assert screen.bar("#answer").strip() == "0 of 1 sockets", "those that ended are there and are not counted"
        await screen.press("enter")
        assert " 0 match" in screen.bar("#status")


async def test_a_filter_is_edited_not_replaced_and_escape_goes_back_one_step(start: Start) -> None:
    async with start(snapshot(10, *TWO)) as screen:
        await screen.press("slash", *"java", "enter")
        await screen.press("space")
        assert "1 marked" in screen.bar("#status")
        await screen.press("slash", "backspace")
        assert screen.app.main.choices.filter.text == "jav"
        await screen.press("escape")
        assert screen.app.main.choices.filter.text == "java"
        await screen.press("escape")
        assert (screen.app.main.choices.marked, screen.app.main.choices.filter.text) == (set(), "java")
        await screen.press("escape")
        assert screen.app.main.choices.filter.text == ""


async def test_a_count_in_the_header_filters_and_again_shows_all(start: Start) -> None:
    async with start(snapshot(10, *TWO)) as screen:
        await screen.pilot.click("#states", offset=(3, 0))
        assert screen.app.main.choices.filter.text == "state close-wait and protocol = tcp"
        await screen.pilot.click("#states", offset=(3, 0))
        assert screen.app.main.choices.filter.text == ""
        screen.app.main.query_one("#states").focus()
        await screen.press("right", "enter")
        assert screen.app.main.choices.filter.text == "state established and protocol = tcp"


async def test_sorting_by_key_by_list_and_by_header(start: Start) -> None:
    sockets = [sock(cookie, recv_queue=queue) for cookie, queue in ((1, 5), (2, 500), (3, 50))]

    def queues() -> list[str]:
        return [line.split()[3] for line in screen.lines("#sockets")[1:4]]

    async with start(snapshot(10, *sockets)) as screen:
        header = screen.lines("#sockets")[0]
        await screen.pilot.click("#sockets", offset=(header.index("Recv-Q") + 2, 0))
        assert queues() == ["500", "50", "5"], "the biggest first"
        await screen.press("S")
        assert queues() == ["5", "50", "500"]
        assert "by recv_queue, rising" in screen.bar("#status"), "its title leaves no room for an arrow"
        await screen.press("s")
        assert type(screen.app.screen).__name__ == "SortPicker"
        await screen.press("enter")
        assert queues() == ["500", "50", "5"], "the present order chosen again is turned round"


async def test_the_process_tree_folds_and_leads_to_the_sockets(start: Start) -> None:
    async with start(snapshot(10, *TWO)) as screen:
        await screen.press("3")
        lines = [line.replace("└─ ", "").strip(" ▾") for line in screen.lines("#processes")[1:4]]
        assert [line.split()[0] for line in lines] == ["systemd", "java", "nginx"]
        await screen.press("h")  # the cursor begins where most sockets are
        assert not any("nginx" in line for line in screen.lines("#processes"))
        assert "CLOSE_WAIT" in screen.app.main.query_one("#explainer").text  # type: ignore[attr-defined]
        await screen.press("enter")
        assert screen.app.main.choices.filter.text == "pid = 4312,812"
        assert len([line for line in screen.lines("#sockets") if "127.0.0.1" in line]) == 3
        await screen.press("3", "l")
        assert any("nginx" in line for line in screen.lines("#processes"))


async def test_from_a_process_to_the_remedy_of_its_oldest_stuck_socket(start: Start) -> None:
    async with start(snapshot(10, *TWO)) as screen:
        await screen.press("3", "r")
        assert "What to do" in screen.bar("#title")
        assert "127.0.0.1:10001" in screen.app.screen.query_one("#steps").text  # type: ignore[attr-defined]
        await screen.press("escape", "C")
        await screen.app.workers.wait_for_complete()
        text = base64.b64decode("".join(screen.terminal)[7:-1]).decode()
        assert [line.split()[0] for line in text.splitlines()[1:3]] == ["Process", "▾"]


async def test_copying_says_only_what_is_known(start: Start) -> None:
    async with start(snapshot(10, *TWO), size=(200, 40)) as screen:
        await screen.press("c")
        await screen.app.workers.wait_for_complete()
        await screen.pilot.pause()
        assert "sent to the terminal (OSC 52), also in" in screen.bar("#status")
        sent = "".join(screen.terminal)
        assert sent.startswith("\x1b]52;c;")
        text = base64.b64decode(sent.removeprefix("\x1b]52;c;").removesuffix("\a")).decode()
        assert "CLOSE_WAIT" in text
        assert "127.0.0.1:443" in text
        assert "java" in text
        assert "web-3" in text


async def test_marked_rows_are_copied_together_and_as_a_table(start: Start) -> None:
    async with start(snapshot(10, *TWO), size=(200, 40)) as screen:
        await screen.press("space", "space", "C")
        await screen.app.workers.wait_for_complete()
        text = base64.b64decode("".join(screen.terminal)[7:-1]).decode()
        assert text.startswith("```\n")
        assert text.endswith("```")
        assert len(text.splitlines()) == 5, "fences, header and the two marked rows"


async def test_remediation_copies_the_command_under_the_cursor(start: Start) -> None:
    async with start(snapshot(10, *TWO)) as screen:
        await screen.press("r")
        assert type(screen.app.screen).__name__ == "RemedyScreen"
        await screen.press("j", "c")
        await screen.app.workers.wait_for_complete()
        command = base64.b64decode("".join(screen.terminal)[7:-1]).decode()
        assert command.startswith(("ss ", "ps ", "ls ", "lsof "))
        assert not command.endswith("\n")
        await screen.press("escape")
        assert screen.app.screen is screen.app.main


async def test_enter_shows_all_about_the_socket(start: Start) -> None:
    async with start(snapshot(10, *TWO)) as screen:
        await screen.press("enter")
        text = screen.app.screen.query_one("#text").text  # type: ignore[attr-defined]
        assert "last_ack_recv" in text
        assert "127.0.0.1:443" in text
        await screen.press("escape")


async def test_the_last_line_names_the_keys_that_work_where_the_focus_is(start: Start) -> None:
    async with start(snapshot(10, *TWO)) as screen:
        assert "r remedy" in screen.bar("#hints")
        await screen.press("slash")
        assert screen.bar("#hints").split() == ["Enter", "keep", "it", "Esc", "as", "it", "was", "before"]
        await screen.press("escape", "shift+tab")
        assert "Enter filter by it" in screen.bar("#hints")
        await screen.press("enter", "escape", "escape", "tab")  # filtered, not any more, back
        assert "Tab next link" in screen.bar("#hints")
        await screen.press("escape")
        assert "r remedy" in screen.bar("#hints")


async def test_a_notice_goes_with_the_next_key(start: Start) -> None:
    async with start(snapshot(10, *TWO)) as screen:
        screen.app._notifications.add(Notification("if it does not paste"))  # notify() is off in tests
        await screen.press("down")
        assert not len(screen.app._notifications)


async def test_pause_and_interval(start: Start) -> None:
    async with start(snapshot(10, *TWO)) as screen:
        await screen.press("p")
        assert screen.app.poller.paused
        assert "PAUSED" in screen.bar("#top")
        await screen.press("plus")
        assert "every 5 s" in screen.bar("#top"), "what it will be"
        await screen.press("p")
        assert (screen.app.poller.paused, screen.app.poller.interval) == (False, 5.0)
        await screen.press("minus", "minus")
        assert "every 1 s" in screen.bar("#top")


async def test_eighty_by_twenty_four_has_everything(start: Start) -> None:
    async with start(snapshot(10, *TWO), size=(80, 24)) as screen:
        header = screen.lines("#sockets")[0]
        assert all(title in header for title in ("State", "Age", "Recv-Q", "Send-Q", "Local", "Remote", "Process"))
        assert "The peer has closed" in screen.app.main.query_one("#explainer").text  # type: ignore[attr-defined]
        await screen.pilot.resize_terminal(40, 10)
        await screen.pilot.resize_terminal(1, 1)
        await screen.pilot.resize_terminal(200, 50)
        assert "127.0.0.1:10001" in "".join(screen.lines("#sockets"))


async def test_names_from_outside_stay_text(start: Start) -> None:
    evil = process(4312, "[/x]\x1b[31m\u202e")
    shot = snapshot(10, *TWO, processes=(PROCESSES[1], evil, PROCESSES[812]))
    async with start(shot) as screen:
        for key in ("3", "2", "r", "escape", "enter", "escape", "question_mark", "escape"):
            await screen.press(key)
            painted = "".join(strip.text for strip in screen.app.screen._compositor.render_strips())
            assert "\x1b" not in painted
            assert "\u202e" not in painted
        assert any(r"[/x]\e" in line for line in screen.lines("#sockets"))


def fail() -> Snapshot:
    raise NetlinkError("the kernel did not answer within 5 s")


async def test_a_failed_poll_keeps_what_was_there_and_says_so(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    async with start(snapshot(10, *TWO)) as screen:
        before = screen.lines("#sockets")
        monkeypatch.setattr(screen.app.poller._collector, "collect", fail)
        screen.app.poller.tick()
        await screen.pilot.pause()
        assert screen.lines("#sockets") == before
        assert "the kernel did not answer within 5 s" in screen.bar("#status")
        assert "last good poll" in screen.bar("#status")
        assert f"AS OF {moment(1.7e9 + 10)[11:]}: polls fail" in screen.bar("#top"), (
            "which no length of the reason hides"
        )


async def test_a_failed_poll_is_not_forgotten_for_a_good_one_that_waited(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start(snapshot(10, sock(5))) as screen:
        await screen.pilot.press("down")
        await screen.poll(snapshot(12, sock(1, State.CLOSE_WAIT), sock(5)))  # waits for the finger
        monkeypatch.setattr(screen.app.poller._collector, "collect", fail)
        screen.app.poller.tick()
        await screen.pilot.pause()
        screen.app.main.finger_off()
        await screen.pilot.pause()
        assert "CLOSE_WAIT" in screen.lines("#sockets")[1]
        assert f"AS OF {moment(1.7e9 + 12)[11:]}: polls fail" in screen.bar("#top")
        assert "the kernel did not answer within 5 s" in screen.bar("#status")


async def test_a_poll_that_does_not_come_back_is_said_in_the_first_line(tmp_path: Path) -> None:
    answer = threading.Event()

    class Hanging(Replay):
        def collect(self) -> Snapshot:
            if self.snapshots[0].monotonic == 12:
                answer.wait()
            return super().collect()

    async def until(words: str, *, there: bool) -> None:
        while (words in str(app.main.query_one("#top").render_line(0).text)) != there:
            await asyncio.sleep(0.01)

    shots = [snapshot(at, *TWO) for at in range(10, 300)]
    clipboard = Clipboard("auto", {}, lambda _: None, directory=tmp_path)
    config = Config(view="sockets", interval=0.1)
    app = SockuiApp(config, lambda: Hanging(shots), "", clipboard, diagnosis())
    async with app.run_test(size=(100, 30)), asyncio.timeout(20):
        await app.begun.wait()
        await until("no poll since", there=True)
        assert f"AS OF {moment(1.7e9 + 11)[11:]}" in app.main.query_one("#top").render_line(0).text
        answer.set()
        await until("no poll since", there=False)
        app.poller.paused = True


async def test_a_crash_of_the_poller_ends_the_program_with_its_error(start: Start) -> None:
    async def poll_once_too_often() -> None:
        async with start(snapshot(10, *TWO)) as screen:
            screen.app.poller.start()  # there is no snapshot left
            await screen.app._exception_event.wait()

    with pytest.raises(IndexError, match="pop from empty list"):
        await poll_once_too_often()


async def test_sockets_without_a_process_are_explained_in_the_process_view(start: Start) -> None:
    hidden = sock(9, State.CLOSE_WAIT, 0)
    hidden["owner"] = Owner.HIDDEN
    async with start(snapshot(10, *TWO, hidden)) as screen:
        await screen.press("3", "G")
        text = screen.app.main.query_one("#explainer", Pane).text
        assert text.startswith("processes that may not be read")
        assert "CLOSE_WAIT" in text
        assert "sudo sockui" in text
