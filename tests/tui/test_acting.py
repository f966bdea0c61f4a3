"""From the remediation page to an action: never without leave, never without a look and a word."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sockui.actions import Outcome, Plan, plan_close
from sockui.config import Config
from sockui.errors import NetlinkError
from sockui.model import Process, State
from sockui.tui import confirm_screen
from sockui.tui.confirm_screen import ConfirmScreen
from sockui.tui.pickers import ActPicker
from sockui.tui.remedy_screen import RemedyScreen
from tests.tui.scenes import PROCESSES, Screen, Start, process, snapshot, sock

LEAK = (sock(1, State.CLOSE_WAIT), sock(2, State.CLOSE_WAIT), sock(3, State.LISTEN), sock(4))
ALLOWED = Config(view="findings", allow_actions=True)
DONE = Outcome(("2 sockets are closed.", "java 4312 keeps the descriptors."), True, 2, 0, 0, 0, None, Path("/x.log"))


@dataclass
class Done:
    """What would have been done."""

    acted: list[tuple[Plan, str, bool]] = field(default_factory=list)
    outcome: Outcome | Exception = DONE

    def run(self, plan: Plan, word: str, _destroyer: object, *, allowed: bool) -> Outcome:
        self.acted.append((plan, word, allowed))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class Closed:
    def close(self) -> None:
        pass


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> Done:
    """Nothing is really done, and this user may do it."""
    found = Done()
    monkeypatch.setattr(confirm_screen, "run", found.run)
    monkeypatch.setattr(confirm_screen, "Destroyer", Closed)
    monkeypatch.setattr("sockui.actions.plan.may_destroy", lambda: True)
    return found


def page(screen: Screen) -> str:
    return screen.app.screen.query_one("Pane").text  # type: ignore[attr-defined,no-any-return]


async def answered(screen: Screen) -> None:
    await screen.app.workers.wait_for_complete()
    await screen.pilot.pause()


async def test_without_leave_it_says_how_to_get_it(start: Start, done: Done) -> None:
    for config in (Config(view="findings"), Config(view="sockets")):
        async with start(snapshot(10, *LEAK), config=config) as screen:
            await screen.press("r", "x")
            assert isinstance(screen.app.screen, RemedyScreen)
            assert "Actions are off: start sockui with --allow-actions" in screen.bar("#hints")
            await screen.press("enter", "y")
    assert done.acted == []


async def test_closing_all_sockets_of_a_finding(start: Start, done: Done) -> None:
    async with start(snapshot(10, *LEAK), config=ALLOWED, size=(80, 24)) as screen:
        await screen.press("r", "x")
        assert isinstance(screen.app.screen, ActPicker)
        await screen.press("enter")
        assert isinstance(screen.app.screen, ConfirmScreen)
        assert "Close 2 sockets?" in screen.bar("#title")
        for part in ("2 CLOSE_WAIT", "java 4312", "127.0.0.1:10001", "127.0.0.1:10002", "Know before"):
            assert part in page(screen)
        assert "Type close 2 and Enter" in screen.bar("#asked")
        await screen.press("y", "enter")
        assert done.acted == []
        assert "the word is close 2" in screen.bar("#hints")
        await screen.press("tab", "y", "tab")
        assert done.acted == []
        await screen.press("backspace", *"close 2", "enter")
        await answered(screen)
        ((plan, word, allowed),) = done.acted
        assert sorted(plan.targets["cookie"].tolist()) == [1, 2]
        assert (word, allowed) == ("close 2", True)
        assert "2 sockets are closed." in page(screen)
        assert "keeps the descriptors" in page(screen)
        assert "/x.log" in page(screen)
        await screen.press("c")
        await screen.app.workers.wait_for_complete()
        assert "2 sockets are closed." in base64.b64decode("".join(screen.terminal)[7:-1]).decode()
        await screen.press("y", "enter", "escape")
        assert isinstance(screen.app.screen, RemedyScreen)
        assert len(done.acted) == 1, "never twice"


async def test_closing_one_socket_takes_a_key_of_its_own(start: Start, done: Done) -> None:
    config = Config(view="sockets", allow_actions=True)
    async with start(snapshot(10, *LEAK), config=config, filter_text="dport = :10004") as screen:
        await screen.press("r", "x", "enter", "enter", "enter")
        assert isinstance(screen.app.screen, ConfirmScreen)
        assert done.acted == [], "Enter alone does nothing"
        assert "y do it" in screen.bar("#hints")
        await screen.press("y")
        await answered(screen)
        await screen.press("y")
        await answered(screen)
        assert [plan.targets["cookie"].tolist() for plan, _, _ in done.acted] == [[4]], "and never twice"


async def test_a_socket_leads_to_its_finding_and_its_process(start: Start, done: Done) -> None:
    config = Config(view="sockets", allow_actions=True)
    async with start(snapshot(10, *LEAK), config=config, filter_text="dport = :10001") as screen:
        await screen.press("r", "x", "down", "enter")
        assert "Close 2 sockets?" in screen.bar("#title")
        await screen.press("escape", "x", "down", "down", "enter")
        assert "Send SIGTERM to java 4312?" in screen.bar("#title")
    assert done.acted == []


async def test_without_leave_nothing_is_asked_of_the_kernel_even_then(start: Start, done: Done) -> None:
    async with start(snapshot(10, *LEAK)) as screen:
        assert screen.app.main.view is not None
        plan = plan_close(screen.app.main.view.update, np.array([3]), allowed=True)
        screen.app.push_screen(ConfirmScreen(plan, allowed=False))
        await screen.pilot.pause()
        await screen.press("y")
        await answered(screen)
        assert [allowed for _, _, allowed in done.acted] == [False], "so that run() refuses"


async def test_signalling_asks_for_the_name(start: Start, done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sockui.actions.plan._signal_obstacle", lambda *_: "")  # the process is made up
    async with start(snapshot(10, *LEAK), config=ALLOWED) as screen:
        await screen.press("r", "x", "G", "down", "down", "down", "enter")
        assert "Send SIGKILL to java 4312?" in screen.bar("#title")
        assert "4 sockets" in page(screen) or "1 LISTEN" in page(screen)
        await screen.press(*"java", "enter")
        await answered(screen)
        ((plan, word, _),) = done.acted
        assert plan.process == PROCESSES[4312]
        assert plan.signal is not None
        assert plan.signal.name == "SIGKILL"
        assert word == "java"


async def test_what_cannot_be_done_says_why_and_takes_no_word(
    start: Start, done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sockui.actions.plan.may_destroy", lambda: False)
    async with start(snapshot(10, *LEAK), config=ALLOWED) as screen:
        await screen.press("r", "x", "enter")
        assert "It cannot be done" in page(screen)
        assert "CAP_NET_ADMIN" in page(screen)
        await screen.press(*"close 2", "enter")
    assert done.acted == []


async def test_a_refusal_of_the_kernel_is_told(start: Start, done: Done) -> None:
    done.outcome = NetlinkError("the kernel did not answer within 5 s")
    async with start(snapshot(10, *LEAK), config=ALLOWED) as screen:
        await screen.press("r", "x", "enter", *"close 2", "enter")
        await answered(screen)
        assert "Nothing was done" in page(screen)
        assert "the kernel did not answer within 5 s" in page(screen)


async def test_names_from_outside_stay_text_in_a_plan(start: Start, done: Done) -> None:
    evil: Process = process(4312, "[/x]\x1b[31m\u202e")
    shot: Any = snapshot(10, *LEAK, processes=(PROCESSES[1], evil, PROCESSES[812]))
    async with start(shot, config=ALLOWED) as screen:
        for keys in (("r", "x"), ("enter",), ("escape", "x", "down", "enter")):
            await screen.press(*keys)
            painted = "".join(strip.text for strip in screen.app.screen._compositor.render_strips())
            assert "\x1b" not in painted
            assert "\u202e" not in painted
            assert r"[/x]\e" in painted
