"""Netlink messages that the kernel really sent, and the same mutated.

Owns the capture and the mutation. Must not know who reads them.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import struct
from random import Random
from typing import NamedTuple

from sockui.collector import endings, inet_diag
from sockui.collector.linux import DUMPS, FEWER_DUMPS
from sockui.collector.netlink import NETLINK_SOCK_DIAG, RECEIVE
from sockui.model import Protocol
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
