"""What the kernel tells of endings, and to whom: all of them, as many as fit, in one namespace, without privilege."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sockui.collector.endings import EndingReader
from sockui.model import Protocol, State
from sockui.model.endings import Endings, How, settled
from tests.actions.scenes import network, until
from tests.kernel.ending_scenes import Scene, cookie, ending_scene, readable

pytestmark = pytest.mark.kernel


@pytest.fixture
def scene() -> Iterator[Scene]:
    with ending_scene() as made:
        yield made


def test_the_end_of_a_mini_socket_is_not_told(scene: Scene) -> None:
    client, server = scene.pair()
    number = cookie(client)
    client.close()
    readable(server)
    server.close()
    scene.until_state(number, State.TIME_WAIT)
    scene.ended(number)
    local = scene.row(number)["local_port"]
    kill = ["ss", "-K", "state", "time-wait", "sport", "=", f":{local}"]
    scene.net(subprocess.run, kill, check=True, capture_output=True)
    until(lambda: scene.row(number) is None)
    marker = scene.socket()
    after = cookie(marker)
    marker.close()
    heard = len(scene.heard)
    scene.ended(after)
    assert not any((each.sockets["cookie"] == number).any() for each in scene.heard[heard:])


def test_the_lifetime_of_a_connection_without_data_lies_in_its_bounds(scene: Scene) -> None:
    begun = time.monotonic()
    client, _server = scene.pair()
    connected = time.monotonic()
    number = cookie(client)
    until(lambda: time.monotonic() > connected + 0.3)
    closing = time.monotonic()
    client.close()
    ended = scene.ended(number)
    at_least, at_most = 1000 * (closing - connected), 1000 * (time.monotonic() - begun)
    assert at_least - 20 <= ended.fact["lifetime_max_ms"]
    assert ended.fact["lifetime_min_ms"] <= at_most
    assert ended.fact["lifetime_max_ms"] - ended.fact["lifetime_min_ms"] <= 20
    assert ended.fact["read_after"] <= ended.fact["read_at"] <= time.monotonic()


def test_what_was_in_no_dump_lived_no_longer_than_since_it(scene: Scene) -> None:
    since = time.monotonic()
    scene.look()
    client, server = scene.pair()
    client.sendall(b"x")
    server.sendall(b"y")
    assert (client.recv(1), server.recv(1)) == (b"y", b"x")
    number = cookie(client)
    client.close()
    assert scene.ended(number).fact["lifetime_max_ms"] == -1  # no moment was claimed
    endings = next(each for each in scene.heard if (each.sockets["cookie"] == number).any())
    facts = settled(endings, scene.before, scene.dump(), since).facts[endings.sockets["cookie"] == number]
    assert 0 <= facts["lifetime_max_ms"][0] <= 1000 * (time.monotonic() - since) + 1


def test_two_thousand_connections_between_two_drains_are_all_there(scene: Scene) -> None:
    listener = scene.socket(listen=True)
    scene.look()
    scene.reader.drain()
    cookies: set[int] = set()

    def live_and_die() -> None:
        for _ in range(2000):
            with socket.create_connection(listener.getsockname()) as client, listener.accept()[0] as server:
                client.sendall(b"?")
                assert server.recv(1) == b"?"
                cookies.update((cookie(client), cookie(server)))

    scene.net(live_and_die)
    until(lambda: cookies <= scene.hear())
    assert len(cookies) == 4000
    assert scene.reader.capacity(Protocol.TCP) >= 20_000  # for ten thousand of them
    assert not any(each.lost for each in scene.heard)
    after = scene.dump()
    hows = np.concatenate([settled(each, scene.before, after).facts["how"] for each in scene.heard])
    assert set(hows.tolist()) <= {How.CLOSED, How.NORMAL}


def test_what_does_not_fit_is_counted_and_the_next_is_heard(scene: Scene) -> None:
    small = scene.net(EndingReader, {Protocol.TCP: 64 * 1024})

    def live_and_die(count: int) -> set[int]:
        cookies = set()
        for _ in range(count):
            with socket.socket() as sock:
                cookies.add(cookie(sock))
        return cookies

    try:
        for count in (1000, 500, 5):
            cookies = scene.net(live_and_die, count)
            until(lambda cookies=cookies: cookies <= scene.hear())  # type: ignore[misc]  # all told, none taken yet
            heard = [small.drain()]
            until(lambda heard=heard, count=count: _accounted(heard, small) >= count)  # type: ignore[misc]
            assert _accounted(heard, small) == count
            assert any(each.lost for each in heard) == (count > small.capacity(Protocol.TCP))
            assert {number for each in heard for number in each.sockets["cookie"].tolist()} <= cookies
    finally:
        small.close()


def _accounted(heard: list[Endings], reader: EndingReader) -> int:
    """How many endings were read or are known to be lost."""
    heard.append(reader.drain())
    return sum(len(each.sockets) + each.lost for each in heard)


def test_anybody_hears_roots_sockets_and_is_told_how_much_fits(scene: Scene) -> None:
    program = """
import os, sys
from sockui.collector.endings import EndingReader
from sockui.model import Protocol
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
reader = EndingReader()
print(reader.capacity(Protocol.TCP), flush=True)
sys.stdin.readline()
print(*reader.drain().sockets["cookie"].tolist())
"""
    with scene.net(subprocess.Popen, [sys.executable, "-c", program], stdin=-1, stdout=-1, text=True) as nobody:
        assert nobody.stdout is not None
        fits = int(nobody.stdout.readline())
        sock = scene.socket()
        number = cookie(sock)
        sock.close()
        scene.ended(number)  # so everybody has been told
        output, _ = nobody.communicate("\n")
    limit = int(Path("/proc/sys/net/core/rmem_max").read_text())
    assert fits == min(2 * limit, 32 << 20) // 1280
    assert fits <= scene.reader.capacity(Protocol.TCP)
    assert str(number) in output.split()


def test_another_namespace_is_not_heard(scene: Scene) -> None:
    ours = scene.socket()
    number = cookie(ours)
    with network() as other:
        theirs = other(socket.socket)
        foreign = cookie(theirs)
        theirs.close()
    ours.close()
    scene.ended(number)
    assert not any((each.sockets["cookie"] == foreign).any() for each in scene.heard)
