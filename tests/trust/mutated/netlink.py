"""Mutated netlink messages: the decoder, the conversation around it, and the reader of endings.

Owns what a right answer is: every message decodes as it does alone, and the walk finds what a walk message by message
finds.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np

from sockui.collector import inet_diag
from sockui.collector.endings import EndingReader
from sockui.collector.netlink import DiagSocket
from sockui.errors import NetlinkError
from sockui.model import Protocol, SocketArray, empty_sockets
from sockui.model.endings import settled
from tests.trust.mutated.messages import captured, last, mutated


class Reference(NamedTuple):
    """A walk message by message, as nlmsg_ok() and NLMSG_NEXT() go."""

    places: list[tuple[int, int]]
    done: bool
    errno: int
    malformed: int


def walked(data: bytes) -> Reference:
    places: list[tuple[int, int]] = []
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        is_socket = kind in (inet_diag.TCPDIAG_GETSOCK, inet_diag.SOCK_DIAG_BY_FAMILY)
        if length < (88 if is_socket else 16) or at + length > len(data):
            return Reference(places, False, 0, 1)
        if is_socket:
            places.append((at, length))
        elif kind in (inet_diag.NLMSG_DONE, inet_diag.NLMSG_ERROR):
            code = struct.unpack_from("=i", data, at + 16)[0] if length >= 20 else 0
            return Reference(places, True, -code, 0)
        at += (length + 3) & ~3
    return Reference(places, False, 0, int(at < len(data)))


@functools.lru_cache(4096)
def alone(message: bytes, protocol: Protocol) -> tuple[int, bytes, int]:
    """Cookie, row and ``malformed`` of one message decoded by itself; its fixed part is checked against the bytes."""
    decoder = inet_diag.Decoder(1)
    buffer = np.frombuffer(message, np.uint8)
    one = np.array([0]), np.array([len(message)])
    decoder.take(buffer, inet_diag.Walk(*one, done=False, errno=0, malformed=0), protocol)
    (row,) = decoder.rows()
    state, timer = message[17], message[18]
    ports = struct.unpack_from(">2H", message, 20)
    interface, cookie, expires, received, sent, uid, inode = struct.unpack_from("=IQIIIII", message, 56)
    wanted = state, timer, *ports, interface, cookie, expires, received, sent, uid, inode
    names = [
        "state",
        "timer",
        "local_port",
        "remote_port",
        "interface",
        "cookie",
        "timer_ms",
        "recv_queue",
        "send_queue",
        "uid",
        "inode",
    ]
    assert tuple(int(row[name]) for name in names) == wanted, "the fixed part is what the message has"
    assert row["family"] == (6 if message[16] == inet_diag.AF_INET6 else 4)
    assert row["protocol"] == protocol
    return cookie, row.tobytes(), decoder.malformed


class Decoding:
    """The walk and the decoder, on a buffer as they get it."""

    what = "fuzz: the netlink decoder"
    unit = "mutated dumps"

    def __init__(self, scratch: Path) -> None:
        self._buffer = np.empty(1 << 16, np.uint8)
        self.messages = captured().dumps

    def case(self, random: Random) -> None:
        protocol = random.choice((Protocol.TCP, Protocol.TCP, Protocol.TCP, Protocol.UDP))
        data = b"".join(mutated(self.messages[protocol], random)) + random.choice((b"", last(0), last(1), last(0)[:18]))
        self._buffer[: len(data)] = np.frombuffer(data, np.uint8)
        found = inet_diag.walk(self._buffer, len(data))
        wanted = walked(data)
        places = list(zip(found.offsets.tolist(), found.lengths.tolist(), strict=True))
        assert (places, found.done, found.errno, found.malformed) == wanted, "the walk"
        decoder = inet_diag.Decoder(random.choice((0, 1, 64)))
        decoder.take(self._buffer, found, protocol)
        assert len(decoder) == len(places) <= len(data) / inet_diag.BODY
        each = [alone(data[at : at + length], protocol) for at, length in places]
        rows = decoder.rows()
        cookies = rows["cookie"].tolist()
        assert dict(zip(cookies, map(np.void.tobytes, rows), strict=True)) == {one[0]: one[1] for one in each}, (
            "the rows"
        )
        assert len(set(cookies)) == len(cookies), "one row for each cookie"
        assert decoder.malformed == sum(one[2] for one in each), "what was malformed is counted"


class Kernel:
    """Stands where a netlink socket is and plays back datagrams and errors, then has nothing more."""

    def __init__(self, play: Callable[[int], list[bytes | int]]) -> None:
        self._play = play
        self.answers: list[bytes | int] = []

    def send(self, request: bytes) -> int:
        (sequence,) = struct.unpack_from("=I", request, 8)
        self.answers = self._play(sequence)[::-1]
        return len(request)

    def recv_into(self, view: memoryview, size: int, flags: int) -> int:
        if not self.answers:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        answer = self.answers.pop()
        if isinstance(answer, int):
            raise OSError(answer, os.strerror(answer))
        room = min(size or len(view), len(view))
        view[: min(len(answer), room)] = answer[:room]
        return len(answer)  # MSG_TRUNC: as long as it was

    def getsockopt(self, *_: int) -> bytes:
        return struct.pack("=9I", *range(9))

    def close(self) -> None:
        pass


def datagrams(messages: list[bytes], random: Random) -> Iterator[bytes | int]:
    """Messages as they come in, with what may come between."""
    while messages:
        count = random.randint(1, 12)
        yield b"".join(messages[:count])
        messages = messages[count:]
        if random.random() < 0.1:
            yield random.choice((errno.ENOBUFS, errno.ENOBUFS, errno.EINTR, errno.ENOMEM, errno.EPERM))
        if random.random() < 0.05:
            yield random.choice((b"\x10\0\0\0", bytes(16), b"\xff" * 40_000, random.randbytes(100)))


class Conversation:
    """Whole dumps: datagrams, errors between them, tries again."""

    what = "fuzz: dumps as they come in, broken off and begun again"
    unit = "mutated conversations"

    def __init__(self, scratch: Path) -> None:
        self.messages = captured().dumps
        self._diag = DiagSocket()
        self._diag.close()

    def case(self, random: Random) -> None:
        protocol = random.choice(list(Protocol))
        whole = random.random() < 0.5  # every message as the kernel sent it; only what comes between is odd
        sent = 0
        tries: list[list[bytes]] = []

        def play(sequence: int) -> list[bytes | int]:
            nonlocal sent
            real = self.messages[protocol]
            tries.append(random.choices(real, k=random.randint(1, 30)) if whole else mutated(real, random))
            messages = [*tries[-1], last(random.choice((0, 0, 0, 2)))]
            number = struct.pack("=I", sequence)
            share = 1 if whole else 0.98
            messages = [each[:8] + number + each[12:] if random.random() < share else each for each in messages]
            answers = list(datagrams(messages, random))
            sent += sum(len(each) for each in answers if isinstance(each, bytes))
            return answers

        self._diag._socket = Kernel(play)  # type: ignore[assignment]
        decoder = inet_diag.Decoder(0)
        complete = False
        with contextlib.suppress(NetlinkError):
            self._diag.dump(socket.AF_INET, protocol, decoder, inet_diag.ALL_STATES)
            complete = True
        assert len(decoder) <= sent / inet_diag.BODY
        if whole:
            rows = decoder.rows()
            told = {alone(each, protocol)[:2] for messages in tries for each in messages}
            assert {(int(row["cookie"]), row.tobytes()) for row in rows} <= told, "no row that was not sent"
            assert decoder.malformed == 0
            if complete:
                assert {alone(each, protocol)[0] for each in tries[-1]} <= set(rows["cookie"].tolist()), "all of a dump"


class Hearing:
    """What ended: the reader of the destroy multicast, and the judgement of what it read."""

    what = "fuzz: endings as they are heard"
    unit = "mutated drains"

    def __init__(self, scratch: Path) -> None:
        self.messages = captured().endings
        self._before = [_decoded(each, protocol) for protocol, each in captured().dumps.items()]

    def case(self, random: Random) -> None:
        reader = EndingReader({})
        whole = random.random() < 0.5  # every message as the kernel sent it
        told = {
            protocol: random.choices(messages, k=random.randint(1, 30)) if whole else mutated(messages, random)
            for protocol, messages in self.messages.items()
        }
        played = {protocol: list(datagrams(messages, random)) for protocol, messages in told.items()}
        for protocol, each in played.items():
            kernel: Any = Kernel(lambda _: [])  # never sent to
            kernel.answers = each[::-1]
            reader._listeners[protocol] = kernel
            reader._drops[protocol] = 0
        sent = sum(len(one) for each in played.values() for one in each if isinstance(one, bytes))
        before, after = random.choice(self._before), random.choice(self._before)
        with contextlib.suppress(NetlinkError):
            heard = reader.drain()
            assert len(heard.sockets) == len(heard.facts) <= sent / inet_diag.BODY
            assert heard.lost >= 0
            if whole:
                ended = {alone(each, protocol)[0] for protocol, messages in told.items() for each in messages}
                assert set(heard.sockets["cookie"].tolist()) <= ended, "no ending that was not told"
                assert heard.lost or len(heard.sockets) == len(ended), "all of them, or it says that some are lost"
            judged = settled(heard, random.choice((None, before)), after, random.choice((None, 0.0)))
            assert len(judged.facts) == len(heard.facts)


def _decoded(messages: list[bytes], protocol: Protocol) -> SocketArray:
    if not messages:
        return empty_sockets()
    buffer = np.frombuffer(b"".join(messages), np.uint8)
    decoder = inet_diag.Decoder(len(messages))
    decoder.take(buffer, inet_diag.walk(buffer, len(buffer)), protocol)
    return decoder.rows()
