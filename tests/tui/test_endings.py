"""What the screen says of sockets whose end the kernel told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sockui.config import Config
from sockui.model import Endings, Known, Snapshot, SocketArray, State
from sockui.model.endings import judged
from tests.tui.scenes import Start, snapshot, sock

TOLD = Known.QUEUES | Known.TIMER | Known.COOKIE | Known.INFO | Known.COUNTERS | Known.WINDOWS
WIDE = (160, 30)


def gone(cookie: int) -> SocketArray:
    """The kernel's last word on a connection that gave up after six retransmissions, and was never in a dump."""
    counted = {"known": TOLD, "rtt": 500, "snd_wnd": 64_000, "segs_in": 3, "send_queue": 9, "retransmits": 6}
    return sock(cookie, State.CLOSE, pid=0, owner=0, holders=0, inode=0, **counted)


def told(shot: Snapshot, *ended: SocketArray, lost: int = 0) -> Snapshot:
    rows = np.concatenate([*ended, shot.sockets[:0]])
    return replace(shot, endings=Endings(rows, judged(rows, shot.monotonic - 2, shot.monotonic), lost))


async def test_what_no_dump_showed_is_struck_through_with_how_it_ended(start: Start) -> None:
    config = Config(view="sockets", columns=("state", "remote", "ended"))
    async with start(snapshot(10, sock(1)), size=WIDE, config=config) as screen:
        assert "ended" not in screen.bar("#status")
        await screen.poll(told(snapshot(12, sock(1)), gone(2)))
        (line,) = [line for line in screen.lines("#sockets") if ":10002" in line]
        assert line.startswith("×")
        assert line.endswith("unanswered")
        assert screen.bar("#status").endswith("1 ended in 2.0 s: 1 unanswered")
        await screen.poll(snapshot(14, sock(1)))
        assert "ended" not in screen.bar("#status")


async def test_what_was_not_heard_is_said(start: Start) -> None:
    async with start(snapshot(10, sock(1)), size=WIDE) as screen:
        await screen.poll(told(snapshot(12, sock(1)), lost=1200))
        assert "at least 1,200 endings not seen" in screen.bar("#status")
        await screen.poll(snapshot(14, sock(1)))
        assert "not seen" not in screen.bar("#status")
