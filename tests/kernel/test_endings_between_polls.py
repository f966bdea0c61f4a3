"""What ends between two polls is shown by the next one, as ended and how; real sockets, collector and tracker."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from sockui.collector import linux
from sockui.collector.endings import EndingReader
from sockui.collector.linux import NetlinkCollector
from sockui.errors import NetlinkError
from sockui.model import How, Owner, Protocol, State
from sockui.tracker import UNSEEN_KEPT, Life, Tracker, Update
from tests.actions.scenes import until
from tests.kernel.ending_scenes import Scene, cookie, deafen, ending_scene, readable, reset

pytestmark = pytest.mark.kernel

Poll = Callable[[], Update]


@pytest.fixture
def scene() -> Iterator[Scene]:
    """Its reader listens before the collector does, and so is told after it: what it has heard is there to be read."""
    with ending_scene() as made:
        yield made


@pytest.fixture
def collector(scene: Scene) -> Iterator[NetlinkCollector]:
    made = scene.net(NetlinkCollector)
    yield made
    made.close()


@pytest.fixture
def poll(scene: Scene, collector: NetlinkCollector) -> Poll:
    tracker = Tracker(linger=60.0)
    return lambda: tracker.update(scene.net(collector.collect))


def row(update: Update, number: int) -> int:
    (found,) = np.flatnonzero(update.sockets["cookie"] == number)
    return int(found)


def fate(update: Update, number: int) -> tuple[Life, How | None]:
    at = row(update, number)
    place = int(update.ending_places(np.array([at]))[0])
    return Life(int(update.life[at])), None if place < 0 else How(int(update.endings["how"][place]))


@pytest.mark.parametrize(("question", "how"), [(b"", How.RESET_BY_PEER), (b"question", How.RESET)])
def test_reset_is_shown_by_the_next_poll_with_its_owner_and_last_counters(
    scene: Scene, poll: Poll, question: bytes, how: How
) -> None:
    client, server = scene.pair()
    number = cookie(client)
    before = poll()
    held_by = int(before.sockets["pid"][row(before, number)])
    client.sendall(question)
    if question:
        readable(server)
        assert server.recv(100) == question
    reset(server)
    readable(client)
    client.close()
    scene.ended(number)
    update = poll()
    assert fate(update, number) == (Life.ENDED, how)
    ended = update.sockets[row(update, number)]
    assert (ended["state"], ended["owner"], ended["pid"]) == (State.ESTABLISHED, Owner.PROCESS, held_by)
    assert ended["bytes_sent"] == len(question)
    assert update.hows[how] >= 1
    again = poll()
    assert fate(again, number) == (Life.ENDED, how)
    assert (again.closed, again.hows.sum()) == (0, 0)


def test_closed_by_both_is_shown_by_the_next_poll(scene: Scene, poll: Poll) -> None:
    client, server = scene.pair()
    of_client, of_server = cookie(client), cookie(server)
    client.close()
    readable(server)
    scene.ended(of_client)
    poll()
    server.close()
    scene.ended(of_server)
    update = poll()
    assert fate(update, of_server) == (Life.ENDED, How.NORMAL)
    assert (update.closed, update.hows.sum()) == (1, 1)


def test_timed_out_is_shown_by_the_next_poll(scene: Scene, poll: Poll) -> None:
    client, server = scene.pair()
    number = cookie(client)
    deafen(server)
    client.setsockopt(socket.IPPROTO_TCP, 18, 1500)  # TCP_USER_TIMEOUT, ms
    client.sendall(b"hello?")
    until(lambda: scene.row(number)["retransmits"] >= 1)
    poll()
    readable(client)
    client.close()
    scene.ended(number)
    update = poll()
    assert fate(update, number) == (Life.ENDED, How.TIMED_OUT)
    assert update.sockets["send_queue"][row(update, number)] == 6


def test_what_goes_on_as_a_mini_socket_has_not_ended(scene: Scene, poll: Poll) -> None:
    client, server = scene.pair()
    number = cookie(client)
    poll()
    client.close()
    readable(server)
    scene.ended(number)
    update = poll()
    assert (fate(update, number), update.closed) == ((Life.PRESENT, None), 0)
    assert update.hows[How.CLOSED] == 1
    server.close()
    scene.until_state(number, State.TIME_WAIT)
    update = poll()
    assert fate(update, number) == (Life.PRESENT, None)
    assert update.sockets["state"][row(update, number)] == State.TIME_WAIT


def test_a_listener_that_closes_has_ended_at_once(scene: Scene, poll: Poll) -> None:
    listener = scene.socket(listen=True)
    number = cookie(listener)
    poll()
    listener.close()
    scene.ended(number)
    update = poll()
    assert (fate(update, number), update.closed) == ((Life.ENDED, How.NO_CONNECTION), 1)


def test_two_thousand_connections_between_two_polls_are_counted_and_the_newest_are_rows(
    scene: Scene, poll: Poll
) -> None:
    listener = scene.socket(listen=True)
    poll()
    poll()
    cookies: set[int] = set()

    def live_and_die() -> None:
        for _ in range(2000):
            with socket.create_connection(listener.getsockname()) as client, listener.accept()[0] as server:
                client.sendall(b"?")
                assert server.recv(1) == b"?"
                cookies.update((cookie(client), cookie(server)))

    scene.net(live_and_die)
    until(lambda: cookies <= scene.hear())
    update = poll()
    assert (update.hows.sum(), update.lost) == (4000, 0)
    assert update.hows[[How.CLOSED, How.NORMAL]].sum() == 4000
    ended = np.flatnonzero(update.life == Life.ENDED)
    assert len(ended) == len(update.endings) == UNSEEN_KEPT
    assert set(update.sockets["cookie"][ended].tolist()) <= cookies
    assert (update.endings["lifetime_max_ms"] >= 0).all(), "they were in neither dump"
    quiet = poll()
    assert (quiet.hows.sum(), quiet.closed, len(quiet.endings)) == (0, 0, UNSEEN_KEPT)


def test_what_did_not_fit_is_said(scene: Scene, collector: NetlinkCollector, poll: Poll) -> None:
    assert collector._endings is not None
    collector._endings.close()
    collector._endings = scene.net(EndingReader, {Protocol.TCP: 64 * 1024})
    room = collector._endings.capacity(Protocol.TCP)
    poll()
    cookies = set()

    def open_and_close() -> None:
        for _ in range(3 * room):
            with socket.socket() as sock:
                cookies.add(cookie(sock))

    scene.net(open_and_close)
    until(lambda: cookies <= scene.hear())
    assert poll().lost > 0


def test_what_a_poll_heard_that_then_failed_is_said_by_the_next(
    scene: Scene, collector: NetlinkCollector, poll: Poll, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise NetlinkError("no memory", 12)

    client, server = scene.pair()
    numbers = {cookie(client), cookie(server)}
    poll()
    reset(client)
    readable(server)
    server.close()
    until(lambda: numbers <= scene.hear())
    with monkeypatch.context() as broken:
        broken.setattr(collector._diag, "dump", fail)
        with pytest.raises(NetlinkError, match="no memory"):
            poll()
    assert poll().lost == 2
    assert poll().lost == 0


def test_where_it_may_not_listen_it_reads_all_the_same_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> EndingReader:
        raise NetlinkError("hearing what ends is refused here", 1)

    monkeypatch.setattr(linux, "EndingReader", refuse)
    with ending_scene() as scene:
        collector = scene.net(NetlinkCollector)
        try:
            snapshot = scene.net(collector.collect)
        finally:
            collector.close()
    assert snapshot.notes == ("How sockets end is not known: hearing what ends is refused here.",)
    assert len(snapshot.endings.sockets) == 0
