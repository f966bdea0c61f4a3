"""The app on given snapshots, without a thread and without a terminal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sockui.clipboard import Clipboard
from sockui.config import Config
from sockui.model import Snapshot
from sockui.tui.app import SockuiApp
from tests.tui.scenes import Replay, Screen, Start, diagnosis


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start the app on given snapshots, without a thread and without a terminal."""

    @asynccontextmanager
    async def begin(
        *shots: Snapshot, size: tuple[int, int] = (100, 30), config: Config | None = None, filter_text: str = ""
    ) -> AsyncIterator[Screen]:
        waiting: list[Snapshot] = []
        written: list[str] = []

        environ = {"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}
        clipboard = Clipboard("auto", environ, written.append, directory=tmp_path)
        config_ = config or Config(view="sockets")
        app = SockuiApp(config_, lambda: Replay(waiting), filter_text, clipboard, diagnosis(), start_polling=False)
        async with app.run_test(size=size) as pilot:
            await app.begun.wait()
            screen = Screen(app, pilot, waiting, written)
            for shot in shots:
                await screen.poll(shot)
            yield screen

    return begin
