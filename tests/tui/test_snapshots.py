"""What the screens look like, each kept as a picture: accept a change with ``pytest --snapshot-update``, and look."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from sockui.clipboard import Clipboard
from sockui.config import Config
from sockui.model import Owner, State
from sockui.tui.app import SockuiApp
from tests.tui.scenes import Replay, snapshot, sock

Compare = Callable[..., bool]

SCENE = snapshot(
    10,
    sock(1, State.CLOSE_WAIT, recv_queue=301),
    sock(2, State.LISTEN, recv_queue=129),
    sock(3, State.ESTABLISHED, 812),
    sock(4, State.TIME_WAIT, 0, inode=0, owner=Owner.KERNEL, timer=3, timer_ms=20_000, holders=0),
    sock(5, State.ESTABLISHED, 0, owner=Owner.HIDDEN, holders=0, send_queue=4096),
)


@pytest.mark.parametrize(
    ("name", "size", "theme", "keys"),
    [
        ("small", (80, 24), "dark", ()),
        ("wide", (160, 40), "light", ("down",)),
        ("remedy", (100, 30), "ansi", ("down", "r")),
        ("processes", (110, 24), "dark", ("3", "down")),
        ("sort", (90, 26), "mono", ("s",)),
    ],
)
def test_screen(
    name: str,
    size: tuple[int, int],
    theme: str,
    keys: tuple[str, ...],
    snap_compare: Compare,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if theme == "mono":
        monkeypatch.setenv("NO_COLOR", "1")
    clipboard = Clipboard("file", {}, lambda _: None, directory=tmp_path)
    app = SockuiApp(Config(theme=theme), Replay([SCENE]), "", clipboard, start_polling=False)

    async def begin(pilot: Pilot[int]) -> None:
        app.poller.tick()
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=begin)
