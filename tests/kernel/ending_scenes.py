"""A network in which sockets end, what is heard of it, and the dumps around it."""

from __future__ import annotations

import contextlib
import ctypes
import select
import socket
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from sockui.collector import inet_diag
from sockui.collector.endings import EndingReader
from sockui.collector.linux import DUMPS
from sockui.model import SocketArray, State
from sockui.model.endings import Endings, How, settled
from tests.actions.scenes import Network, network, until

DROP_ALL = struct.pack("HBBI", 6, 0, 0, 0)  # classic BPF: return 0


def cookie(sock: socket.socket) -> int:
    number: int = struct.unpack("=Q", sock.getsockopt(socket.SOL_SOCKET, 57, 8))[0]  # SO_COOKIE
    return number


def deafen(sock: socket.socket) -> None:
    """Let nothing that is sent to a socket arrive: SO_ATTACH_FILTER."""
    program = ctypes.create_string_buffer(DROP_ALL)
    sock.setsockopt(socket.SOL_SOCKET, 26, struct.pack("@HxxxxxxP", 1, ctypes.addressof(program)))


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def readable(sock: socket.socket) -> None:
    """Wait until there is something to read: data, the end or an error."""
    assert select.select([sock], [], [], 10)[0]


class Scene:
    """A network, what is heard of its endings, and the dumps around them."""

    def __init__(self, net: Network) -> None:
        self.net = net
        self.reader = net(EndingReader)
        self.before: SocketArray | None = None
        self.heard: list[Endings] = []

    def pair(self, kind: str = "v4") -> tuple[socket.socket, socket.socket]:
        """A connection: who connected, who accepted."""
        accepted, connected = next(self.net.connect(kind))
        return connected, accepted

    def socket(self, *, listen: bool = False) -> socket.socket:
        made = self.net(socket.socket)
        if listen:
            made.bind(("127.0.0.1", 0))
            made.listen(5)
        return made

    def dump(self) -> SocketArray:
        decoder = inet_diag.Decoder()
        for family, protocol in DUMPS:
            self.net.destroyer.dump(family, protocol, decoder, inet_diag.ALL_STATES)
        return decoder.rows()

    def look(self) -> None:
        """The dump before the ending."""
        self.before = self.dump()

    def row(self, number: int) -> Any:
        """The row of a cookie in the dump at this moment, None if it is in none."""
        rows = self.dump()
        rows = rows[rows["cookie"] == number]
        return rows[0] if len(rows) else None

    def until_state(self, number: int, state: State) -> None:
        until(lambda: (row := self.row(number)) is not None and row["state"] == state)

    def ended(self, number: int) -> Ended:
        """Wait for the ending of a cookie."""
        until(lambda: self._find(number))
        endings = self._find(number)
        assert endings is not None
        (at,) = np.flatnonzero(endings.sockets["cookie"] == number)
        again = settled(endings, self.before, self.dump())
        return Ended(How(endings.facts["how"][at]), How(again.facts["how"][at]), endings.sockets[at], again.facts[at])

    def hear(self) -> set[int]:
        """Drain; every cookie heard of so far."""
        self.heard.append(self.reader.drain())
        return {number for each in self.heard for number in each.sockets["cookie"].tolist()}

    def _find(self, number: int) -> Endings | None:
        self.hear()
        return next((each for each in self.heard if (each.sockets["cookie"] == number).any()), None)


class Ended:
    def __init__(self, alone: How, settled: How, row: Any, fact: Any) -> None:
        self.alone, self.settled, self.row, self.fact = alone, settled, row, fact
        self.how = (alone, settled)


@contextlib.contextmanager
def ending_scene() -> Iterator[Scene]:
    """A scene in a network of its own."""
    with network() as net:
        made = Scene(net)
        try:
            yield made
        finally:
            made.reader.close()
