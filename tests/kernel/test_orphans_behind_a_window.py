"""When a closed socket behind a zero window ends, with real sockets under short settings: the words hold."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sockui.diagnosis.situations import Situation
from sockui.knowledge import lifetimes
from sockui.model import State, Timer
from sockui.view.explain import Explanation, explain
from sockui.view.format import long_duration
from tests.actions.scenes import until
from tests.kernel.ending_scenes import Scene, cookie, ending_scene

pytestmark = pytest.mark.kernel

SETTINGS = Path("/proc/sys/net/ipv4")
LONGEST = 1000  # ms
SHRUNK = 2000  # bytes of receive buffer


@pytest.fixture
def scene() -> Iterator[Scene]:
    with ending_scene() as made:
        change(made, tcp_rto_max_ms=str(LONGEST))
        yield made


def change(scene: Scene, **settings: str) -> None:
    for name, value in settings.items():
        if not (SETTINGS / name).exists():
            pytest.skip(f"this kernel has no net.ipv4.{name}: it takes minutes")
        scene.net((SETTINGS / name).write_text, value)


def fill(client: socket.socket) -> None:
    client.setblocking(False)
    try:
        while True:
            client.send(bytes(1 << 16))
    except BlockingIOError:
        pass


def explained(scene: Scene, number: int) -> Explanation:
    update = scene.net.update()
    (at,) = np.flatnonzero(update.sockets["cookie"] == number)
    return explain(update, int(at))


def closed(scene: Scene, timer: Timer, *, half: bool = False) -> tuple[int, socket.socket]:
    """A client that filled the window and closed, when its timer runs; its cookie and its peer."""
    client, server = scene.pair()
    if timer == Timer.ON:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SHRUNK)  # less than what the peer was promised
    fill(client)
    number = cookie(client)
    until(lambda: waits(scene.row(number), timer))
    if half:
        server.shutdown(socket.SHUT_WR)
        scene.until_state(number, State.CLOSE_WAIT)
    client.close()
    assert waits(scene.row(number), timer)
    return number, server


def rto(scene: Scene, number: int) -> int:
    return int(scene.row(number)["rto"]) // 1000


def last(scene: Scene, number: int) -> tuple[int, int]:
    """The back-off at which the kernel gives it up, and the longest wait."""
    return lifetimes.last_back_off(rto(scene, number), 0, LONGEST), LONGEST


def waits(row: Any, timer: Timer) -> bool:
    return bool(row["timer"] == timer and row["snd_wnd"] < row["snd_mss"] and row["retransmits"] + row["backoff"] > 0)


@pytest.mark.parametrize("half", [False, True], ids=["FIN_WAIT1", "LAST_ACK"])
def test_the_peer_answers_until_the_back_off_is_long_enough(scene: Scene, half: bool) -> None:
    number, _server = closed(scene, Timer.PERSIST, half=half)
    known = explained(scene, number)
    assert known.situation == (Situation.LAST_ACK_ZERO_WINDOW if half else Situation.FIN_WAIT1_ZERO_WINDOW)
    assert " s after the window closed or some seconds later, if that is over at the next probe" in known.ends
    assert known.ends.startswith(long_duration(lifetimes.probed(rto(scene, number), *last(scene, number))))
    until(lambda: scene.row(number) is None)


@pytest.mark.parametrize("settings", [{"tcp_retries2": "1"}, {"tcp_retries2": "4", "tcp_orphan_retries": "5"}])
def test_it_stays_where_the_settings_keep_the_back_off_short(scene: Scene, settings: dict[str, str]) -> None:
    change(scene, **settings)
    number, _server = closed(scene, Timer.PERSIST)
    most = int(settings["tcp_retries2"])
    until(lambda: scene.row(number)["backoff"] == most)
    probed = int(scene.row(number)["segs_out"])
    needed = f"{last(scene, number)[0]} (RTO {rto(scene, number)} ms)"
    if "tcp_orphan_retries" in settings:
        needed = "5 (tcp_orphan_retries=5)"
    known = explained(scene, number)
    assert known.ends.startswith(
        f"Never while the peer answers window probes: that takes a back-off of {needed}, above tcp_retries2={most}."
    )
    assert "Gives up" not in "\n".join(known.evidence)
    until(lambda: scene.row(number)["segs_out"] >= probed + 4)  # more probes than it would have had to the end
    assert scene.row(number)["backoff"] == most
    change(scene, tcp_retries2="15")
    until(lambda: scene.row(number) is None)


def test_one_that_both_sides_closed_stays_too(scene: Scene) -> None:
    change(scene, tcp_retries2="1")
    number, server = closed(scene, Timer.PERSIST)
    server.shutdown(socket.SHUT_WR)
    scene.until_state(number, State.CLOSING)
    assert explained(scene, number).ends.startswith("Never while the peer answers window probes")
    change(scene, tcp_retries2="15")
    assert "Behind the closed window it ends about " in explained(scene, number).ends
    until(lambda: scene.row(number) is None)


def test_behind_a_window_that_shrank_repeats_are_counted(scene: Scene) -> None:
    change(scene, tcp_orphan_retries="2", tcp_retries2="2")
    number, _server = closed(scene, Timer.ON)
    known = explained(scene, number)
    assert known.situation is Situation.FIN_WAIT1_ZERO_WINDOW
    assert known.ends.startswith("At the first timeout after 1.4 s (tcp_orphan_retries=2): the peer shrank its window")
    until(lambda: scene.row(number) is None)
