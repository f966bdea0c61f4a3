"""What the screens look like, each kept as a picture: accept a change with ``pytest --snapshot-update``, and look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from textual.pilot import Pilot

from sockui.clipboard import Clipboard
from sockui.config import Config
from sockui.model import Owner, Snapshot, State
from sockui.tui.app import SockuiApp
from tests.tui.scenes import Replay, diagnosis, snapshot, sock

Compare = Callable[..., bool]

SCENE = (
    sock(1, State.CLOSE_WAIT, recv_queue=301),
    sock(2, State.LISTEN, recv_queue=129),
    sock(3, State.ESTABLISHED, 812),
    sock(4, State.TIME_WAIT, 0, inode=0, owner=Owner.KERNEL, timer=3, timer_ms=20_000, holders=0),
    sock(5, State.ESTABLISHED, 0, owner=Owner.HIDDEN, holders=0, send_queue=4096),
)
LEAK = [sock(20 + number, State.CLOSE_WAIT, 812, local_port=8080) for number in range(12)]
LISTENER = sock(9, State.LISTEN, 812, local_port=8080)
GROWING = [snapshot(10 + 2 * poll, *SCENE, LISTENER, *LEAK[: 4 + poll]) for poll in range(9)]
CALM = [snapshot(at, *SCENE[2:4]) for at in (10, 16)]


@dataclass(frozen=True)
class Picture:
    """What is shown, how large, and which keys are pressed before it is taken."""

    size: tuple[int, int]
    config: Config
    shots: Sequence[Snapshot]
    keys: tuple[str, ...] = ()


ONE = [snapshot(10, *SCENE)]
PICTURES = {
    "small": Picture((80, 24), Config(view="sockets"), ONE),
    "wide": Picture((160, 40), Config(view="sockets", theme="light"), ONE, ("down",)),
    "remedy": Picture((100, 30), Config(view="sockets", theme="ansi"), ONE, ("down", "r")),
    "processes": Picture((110, 24), Config(view="sockets"), ONE, ("3", "down")),
    "sort": Picture((90, 26), Config(view="sockets", theme="mono"), ONE, ("s",)),
    "findings-small": Picture((80, 24), Config(), GROWING),
    "findings-wide": Picture((120, 36), Config(theme="light"), GROWING, ("down", "a")),
    "findings-huge": Picture((200, 50), Config(theme="mono", ascii=True), GROWING, ("down",)),
    "findings-alone": Picture((80, 24), Config(theme="ansi", explainer=False), GROWING),
    "calm": Picture((80, 24), Config(view="findings"), CALM),
    "finding-remedy": Picture((80, 24), Config(), GROWING, ("r",)),
    "act": Picture((80, 24), Config(allow_actions=True), GROWING, ("r", "x")),
    "confirm": Picture((80, 24), Config(allow_actions=True), GROWING, ("down", "r", "x", "enter")),
}


@pytest.mark.parametrize("name", PICTURES)
def test_screen(name: str, snap_compare: Compare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = PICTURES[name]
    if picture.config.theme == "mono":
        monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sockui.actions.plan.may_destroy", lambda: True)
    clipboard = Clipboard("file", {}, lambda _: None, directory=tmp_path)
    shots = list(picture.shots)
    app = SockuiApp(picture.config, lambda: Replay(shots), "", clipboard, diagnosis(), start_polling=False)

    async def begin(pilot: Pilot[int]) -> None:
        await app.begun.wait()
        for _ in picture.shots:
            app.poller.tick()
            await pilot.pause()
        await pilot.press(*picture.keys)
        await pilot.pause()

    assert snap_compare(app, terminal_size=picture.size, run_before=begin)
