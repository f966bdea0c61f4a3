"""Mutated netlink messages: the decoder, the conversation around it, and the reader of endings.

Owns the capture of real messages, their mutation, and what a right answer is: every message decodes as it does alone,
and the walk finds what a walk message by message finds.
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

from sockui.collector import endings, inet_diag
from sockui.collector.endings import EndingReader
from sockui.collector.linux import DUMPS, FEWER_DUMPS
from sockui.collector.netlink import NETLINK_SOCK_DIAG, RECEIVE, DiagSocket
from sockui.errors import NetlinkError
from sockui.model import Protocol, SocketArray, empty_sockets
from sockui.model.endings import settled
from tests.actions.scenes import Network

LENGTHS = (0, 1, 4, 15, 16, 17, 20, 72, 87, 88, 89, 92, 96, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF)
SHORT = (0, 1, 2, 3, 4, 5, 7, 8, 12, 35, 36, 40, 103, 104, 215, 216, 236, 248, 280, 0x3FFF, 0x8000, 0xFFFF)
NOOP, OVERRUN = 1, 4
EINTR_FLAG = 0x10  # NLM_F_DUMP_INTR


class Captured(NamedTuple):
    """What the kernel said, message by message."""

    dumps: dict[Protocol, list[bytes]]
    endings: dict[Protocol, list[bytes]]


@functools.cache
def captured() -> Captured:
    """Messages about sockets of every kind, in a namespace of our own; without root about those of this one."""
    if os.geteuid() != 0:
        return Captured({Protocol.TCP: _dump(FEWER_DUMPS[:1]), Protocol.UDP: _dump(DUMPS[2:])}, {})
    with contextlib.closing(Network()) as net, contextlib.ExitStack() as opened:
        heard = net(lambda: {protocol: endings._listen(protocol, 1 << 20) for protocol in Protocol})
        _make_sockets(net, opened)
        dumps = {
            Protocol.TCP: net(_dump, FEWER_DUMPS[:1]) + net(_dump, DUMPS[:2]),
            Protocol.UDP: net(_dump, DUMPS[2:]),
        }
    return Captured(dumps, {protocol: _heard(each) for protocol, each in heard.items()})


def _make_sockets(net: Network, opened: contextlib.ExitStack) -> None:
    """Sockets in the states that are quickly made."""
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"), (socket.AF_INET6, "::")):
        mapped = host == "::"
        listener = net(socket.create_server, (host, 0), family=family, dualstack_ipv6=mapped, backlog=1)
        to = ("127.0.0.1" if mapped else host, listener.getsockname()[1])
        pairs = []
        for _ in range(4):
            client = net(socket.create_connection, to)
            pairs.append((client, opened.enter_context(listener.accept()[0])))
        pairs[0][0].send(b"unread")
        pairs[1][0].shutdown(socket.SHUT_WR)  # FIN_WAIT2 and CLOSE_WAIT
        pairs[2][0].close()
        pairs[2][1].close()  # TIME_WAIT
        for _ in range(4):  # two wait for accept(), the others in SYN_SENT
            waiting = net(socket.socket, socket.AF_INET if mapped else family)
            waiting.setblocking(False)
            waiting.connect_ex(to)
        bound = net(socket.socket, family)
        bound.bind((host, 0))
        for connected in (False, True):
            datagrams = net(socket.socket, family, socket.SOCK_DGRAM)
            datagrams.bind((host, 0))
            if connected and not mapped:
                datagrams.connect((host, 9))


def _dump(dumps: tuple[tuple[socket.AddressFamily, Protocol], ...]) -> list[bytes]:
    messages: list[bytes] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as diag:
        diag.settimeout(5)
        for family, protocol in dumps:
            diag.send(inet_diag.request(family, protocol, inet_diag.ALL_STATES, 7))
            while True:
                some = split(diag.recv(RECEIVE))
                messages += [each for each in some if kind_of(each) not in (inet_diag.NLMSG_DONE,)]
                if kind_of(some[-1]) == inet_diag.NLMSG_DONE:
                    break
    return messages


def _heard(listener: socket.socket) -> list[bytes]:
    messages: list[bytes] = []
    with contextlib.suppress(TimeoutError), listener:
        listener.settimeout(0.5)
        while True:
            messages += split(listener.recv(RECEIVE))
    return messages


def split(data: bytes) -> list[bytes]:
    """Whole messages as the kernel sends them, each with its padding."""
    found = []
    while data:
        length = (struct.unpack_from("=I", data)[0] + 3) & ~3
        found.append(data[:length])
        data = data[length:]
    return found


def kind_of(message: bytes) -> int:
    """nlmsg_type."""
    return int(struct.unpack_from("=H", message, 4)[0])


def last(code: int, kind: int = inet_diag.NLMSG_DONE, length: int = 20, sequence: int = 7) -> bytes:
    """A message that ends a dump."""
    return struct.pack("=IHHIIi", length, kind, 2, sequence, 0, -code) + bytes(
        16 if kind == inet_diag.NLMSG_ERROR else 0
    )


# --- mutation -----------------------------------------------------------------------------------------


def mutated(messages: list[bytes], random: Random) -> list[bytes]:
    """Some of ``messages``, a few of them damaged, out of order, or between messages that do not belong there."""
    chosen = random.choices(messages, k=random.randint(5, 12))
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(chosen))
        one, kind = chosen[at], random.randrange(14)
        if kind < 8:
            chosen[at] = _damaged(one, random)
        elif kind == 8:
            chosen.insert(at, random.choice(chosen))
        elif kind == 9:
            other = random.randrange(len(chosen))
            chosen[at], chosen[other] = chosen[other], one
        elif kind == 10:
            other_one, cut = random.choice(chosen), random.randrange(0, 400, random.choice((1, 4)))
            chosen[at] = one[:cut] + other_one[cut:]
        elif kind == 11:
            what = random.choice((inet_diag.NLMSG_DONE, inet_diag.NLMSG_ERROR))
            chosen.insert(at, last(random.choice((0, 1, 2, 4095, -1)), what, random.choice((16, 18, 20, 36))))
        elif kind == 12:
            what = random.choice((NOOP, OVERRUN, 0, 20, 21, 0xFFFF))
            chosen.insert(at, struct.pack("=IHHII", 16, what, random.choice((0, 2, EINTR_FLAG)), 7, 0))
        else:
            chosen[at] = one[: random.randrange(len(one) + 1)]
    return chosen


def _damaged(one: bytes, random: Random) -> bytes:
    data = bytearray(one)
    if len(data) < 4:
        return one
    kind = random.randrange(8)
    at = random.randrange(len(data))
    if kind == 0:
        data[at] ^= 1 << random.randrange(8)
    elif kind == 1:
        length = random.choice((*LENGTHS, max(len(data) + random.randint(-9, 9), 0)))
        struct.pack_into("=I", data, 0, length)
    elif kind in (2, 3):
        headers = _headers(data)
        if headers:
            where = random.choice(headers)
            if kind == 2:
                struct.pack_into("=H", data, where, random.choice((*SHORT, random.randrange(400))))
            else:
                struct.pack_into(
                    "=H", data, where + 2, random.choice((2, 7, 8, 15, 21, 22, 0x8002, 0x4007, random.randrange(40)))
                )
    elif kind == 4:
        data[at : at + 4] = random.choice((b"\xff" * 4, b"\0" * 4, random.randbytes(4)))
    elif kind == 5:  # longer or shorter, and it says so
        data[at:at] = random.randbytes(random.choice((1, 4, 8, 60)))
        struct.pack_into("=I", data, 0, len(data))
    elif kind == 6:
        del data[at : at + random.choice((1, 4, 8, 60))]
        if len(data) >= 4:
            struct.pack_into("=I", data, 0, len(data))
        data += bytes(-len(data) % 4)
    elif len(data) >= 20:
        data[random.choice((4, 6, 8, 12, 16, 17, 18))] = random.choice((0, 1, 2, 3, 10, 17, 18, 20, 255))
    return bytes(data)


def _headers(data: bytearray) -> list[int]:
    found = []
    at = inet_diag.BODY
    while at + 4 <= len(data):
        found.append(at)
        at += max((struct.unpack_from("=H", data, at)[0] + 3) & ~3, 4)
    return found


# --- what is right ------------------------------------------------------------------------------------


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
