"""inet_diag messages: bytes <-> columns.

Owns the wire layout of ``NETLINK_SOCK_DIAG`` (include/uapi/linux/inet_diag.h, TCP-FACTS section C) and the
bulk decoding into :data:`sockui.model.SOCKET` rows. Must not do I/O.

How it decodes without a Python object per socket: messages of one length nearly always have the same
attributes at the same places. The attributes of the first message of a length are walked; every other one
is compared with it, header by header, in bulk; those that agree are copied through one structured view, fields
that lie next to each other in the message and in the row as one block, and those that differ form the next
group. A kernel with other lengths, a shorter or a longer tcp_info or an attribute unknown here needs no other code.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sockui.model import SOCKET, Known, Protocol, SocketArray, State, empty_sockets
from sockui.model.sockets import Rows

NLMSG_ERROR = 2
NLMSG_DONE = 3
TCPDIAG_GETSOCK = 18
SOCK_DIAG_BY_FAMILY = 20
_SOCKETS = (TCPDIAG_GETSOCK, SOCK_DIAG_BY_FAMILY)
NLM_F_REQUEST = 0x1
NLM_F_DUMP = 0x300
AF_UNSPEC = 0
AF_INET = 2
AF_INET6 = 10

HEADER = 16  # struct nlmsghdr
BODY = 88  # nlmsghdr + struct inet_diag_msg: where the attributes begin

INET_DIAG_INFO = 2
INET_DIAG_SKMEMINFO = 7
INET_DIAG_SHUTDOWN = 8
INET_DIAG_CGROUP_ID = 21
EXTENSIONS = 1 << (INET_DIAG_INFO - 1) | 1 << (INET_DIAG_SKMEMINFO - 1)

ALL_STATES = 0x2FFE
"""Every state, and bit 13: bound sockets that neither listen nor are connected (kernel >= 6.7, else ignored)."""

_NLMSGHDR = struct.Struct("=IHHII")
_LENGTH_TYPE = struct.Struct("=IH")
_ROW = np.dtype((np.void, SOCKET.itemsize))
_TCP_INFO_KNOWN = Known.INFO | Known.COUNTERS | Known.WINDOWS | Known.RTO_TOTALS
_V4_MAPPED = np.uint64(0xFFFF_0000_0000)  # of ::ffff:0.0.0.0, the last 64 bits


_MESSAGE = {  # struct inet_diag_msg, offsets from nlmsghdr
    "state": ("u1", 17),
    "timer": ("u1", 18),
    "retransmits": ("u1", 19),
    "local_port": (">u2", 20),
    "remote_port": (">u2", 22),
    "interface": ("=u4", 56),
    "cookie": ("=u8", 60),
    "timer_ms": ("=u4", 68),
    "recv_queue": ("=u4", 72),
    "send_queue": ("=u4", 76),
    "uid": ("=u4", 80),
    "inode": ("=u4", 84),
}
_ADDRESSES = {  # one 16-byte field each; IPv4 uses its first 4 bytes
    AF_INET: {"local_low": (">u4", 24), "remote_low": (">u4", 40)},
    AF_INET6: {
        "local_high": (">u8", 24),
        "local_low": (">u8", 32),
        "remote_high": (">u8", 40),
        "remote_low": (">u8", 48),
    },
}
_SKMEMINFO = {"rmem_alloc": 0, "rcvbuf": 4, "sndbuf": 12, "wmem_queued": 20, "drops": 32}
_TCP_INFO = {  # struct tcp_info: type and offset
    "ca_state": ("u1", 1),
    "retransmits": ("u1", 2),
    "probes": ("u1", 3),
    "backoff": ("u1", 4),
    "rto": ("=u4", 8),
    "snd_mss": ("=u4", 16),
    "unacked": ("=u4", 24),
    "lost": ("=u4", 32),
    "retrans": ("=u4", 36),
    "last_data_sent": ("=u4", 44),
    "last_data_recv": ("=u4", 52),
    "last_ack_recv": ("=u4", 56),
    "pmtu": ("=u4", 60),
    "rtt": ("=u4", 68),
    "rttvar": ("=u4", 72),
    "snd_cwnd": ("=u4", 80),
    "total_retrans": ("=u4", 100),
    "bytes_acked": ("=u8", 120),
    "bytes_received": ("=u8", 128),
    "segs_out": ("=u4", 136),
    "segs_in": ("=u4", 140),
    "notsent_bytes": ("=u4", 144),
    "min_rtt": ("=u4", 148),
    "data_segs_out": ("=u4", 156),
    "busy_time": ("=u8", 168),
    "rwnd_limited": ("=u8", 176),
    "sndbuf_limited": ("=u8", 184),
    "bytes_sent": ("=u8", 200),
    "bytes_retrans": ("=u8", 208),
    "snd_wnd": ("=u4", 228),
    "rcv_wnd": ("=u4", 232),
    "total_rto": ("=u2", 240),
    "total_rto_recoveries": ("=u2", 242),
    "total_rto_time": ("=u4", 244),
}
_TCP_INFO_GROUPS = (  # tcp_info has at least this many bytes: these fields are there
    (104, Known.INFO),
    (216, Known.COUNTERS),
    (236, Known.WINDOWS),
    (248, Known.RTO_TOTALS),
)


def request(family: int, protocol: int, states: int, sequence: int) -> bytes:
    """Build a dump request: nlmsghdr, then struct inet_diag_req_v2 (72 bytes).

    ``family`` is AF_INET or AF_INET6, ``states`` a mask of ``1 << state``. AF_UNSPEC asks for the TCP sockets of both
    in one walk, which takes three quarters of two: that only the older struct inet_diag_req (76 bytes) can.
    """
    anything = bytes(40) + b"\xff" * 8  # struct inet_diag_sockid
    if family == AF_UNSPEC:
        kind, body = TCPDIAG_GETSOCK, struct.pack("=3xB48sII", EXTENSIONS, anything, states, 0)
    else:
        kind, body = SOCK_DIAG_BY_FAMILY, struct.pack("=BBBxI48s", family, protocol, EXTENSIONS, states, anything)
    return _NLMSGHDR.pack(HEADER + len(body), kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, 0) + body


@dataclass(frozen=True, eq=False, slots=True)
class Walk:
    """What a chunk of received messages holds."""

    offsets: NDArray[np.intp]  # (n,) where each socket message begins, ascending
    lengths: NDArray[np.intp]  # (n,) bytes of each, without what pads it to a multiple of 4
    done: bool  # NLMSG_DONE was met
    errno: int  # from NLMSG_DONE or NLMSG_ERROR, 0 fine
    malformed: int  # messages whose length cannot be right; what follows them was given up


def walk(buffer: NDArray[np.uint8], used: int) -> Walk:
    """Find the messages in ``buffer[:used]``, a dozen array operations for all the socket messages in a row."""
    words = buffer[: used & ~3].view("=u4")
    found = [np.empty(0, np.intp)]
    done, code, malformed = False, 0, 0
    position = 0
    while position + HEADER <= used and not done:
        length, kind = _LENGTH_TYPE.unpack_from(buffer.data, position)
        if length < (BODY if kind in _SOCKETS else HEADER) or position + length > used:
            malformed = 1
            break
        if kind in _SOCKETS:
            found.append(_in_a_row(words, position // 4, used))
            position = 4 * int(found[-1][-1])
            length = int(words[position // 4])
        elif kind in (NLMSG_DONE, NLMSG_ERROR):
            done = True
            code = struct.unpack_from("=i", buffer.data, position + HEADER)[0] if length >= HEADER + 4 else 0
        position += (length + 3) & ~3
    heads = np.concatenate(found)
    return Walk(4 * heads, words[heads].astype(np.intp), done, -code, malformed or int(position < used and not done))


def _in_a_row(words: NDArray[np.uint32], first: int, used: int) -> NDArray[np.intp]:
    """Word offsets of the whole socket messages that follow one another from the one at ``first`` on.

    Its type, flags, sequence number and port are looked for everywhere. What begins where the one before ends is a
    message, the first is one, and so all are; the same words within a message are data.
    """
    kind, sequence, port = words[first + 1 : first + 4]
    heads: NDArray[np.intp] = first + np.flatnonzero(words[first + 1 : -2] == kind)
    heads = heads[(words[heads + 2] == sequence) & (words[heads + 3] == port)]
    while True:
        lengths = words[heads].astype(np.intp)
        ends = heads + ((lengths + 3) >> 2)
        whole = (lengths >= BODY) & (4 * heads + lengths <= used)
        good = whole[:-1] & whole[1:] & (ends[:-1] == heads[1:])
        if good.all():
            return heads
        at = int(good.argmin())  # the last one before what is wrong
        beyond = int(np.searchsorted(heads, ends[at]))
        if beyond == at + 1:  # not data within it: something else comes next
            return heads[: at + 1]
        heads = np.delete(heads, slice(at + 1, beyond))


class Decoder:
    """Collects decoded rows of any number of dumps into one growing array."""

    def __init__(self, capacity: int = 1024) -> None:
        """``capacity`` is the expected number of rows; more rows make it grow."""
        self._rows = np.empty(capacity, SOCKET)  # memory that was not written yet is none
        self._read: list[NDArray[np.intp]] = []  # for each row, in parts, how many bytes had been read before it
        self._bytes = 0
        self._count = 0
        self.malformed = 0  # messages whose attributes overran their length; their fixed part was kept

    def __len__(self) -> int:
        """How many messages were decoded since the rows were given away."""
        return self._count

    def take(self, buffer: NDArray[np.uint8], found: Walk, protocol: Protocol) -> None:
        """Decode what :func:`walk` found in the same buffer. Rows keep the order of groups, not of messages."""
        counts = np.bincount(found.lengths)
        for length in np.flatnonzero(counts).tolist():
            offsets = found.offsets
            if counts[length] < len(offsets):
                offsets = offsets[found.lengths == length]
            places = np.ndarray((len(buffer) - length + 1,), (np.void, length), buffer, 0, (1,))
            self._messages(places[offsets], self._bytes + offsets, protocol)
        self._bytes += len(buffer)

    def rows(self) -> SocketArray:
        """Give away every row so far, one for each cookie (the last one read wins; the kernel's walk is not atomic)."""
        room = self._rows["protocol"][self._count :]  # what ended is written there (model.sockets.appended)
        room[: self._count // 64 + 1024] = 0
        rows, self._rows, self._count = self._rows[: self._count], np.empty(0, SOCKET), 0
        read, self._read = self._read, []
        ordered = np.sort(rows["cookie"])
        if (ordered[1:] == ordered[:-1]).any():
            order = np.argsort(np.concatenate(read))[::-1]
            _, last = np.unique(rows["cookie"][order], return_index=True)
            rows = rows.take(np.sort(order[last]))
        return rows

    def _messages(self, messages: NDArray[np.void], read: NDArray[np.intp], protocol: Protocol) -> None:
        """Decode (n,) messages of one length, group by group of equal attribute layout."""
        length = messages.itemsize
        while len(messages):
            layout, whole = _layout(messages[0].tobytes())
            alike = _alike(messages, layout)
            others = None if alike.all() else ~alike
            group, of_group = (messages, read) if others is None else (messages[alike], read[alike])
            if not whole:
                self.malformed += len(group)
            self._append(group, of_group, _plan(length, layout, protocol))
            if others is None:
                return
            messages, read = messages[others], read[others]

    def _append(self, messages: NDArray[np.void], read: NDArray[np.intp], plan: _Plan) -> None:
        first, last = self._count, self._count + len(messages)
        if last > len(self._rows):
            self._rows.resize(max(last, 2 * len(self._rows)), refcheck=False)  # memory of this size is not copied
        self._rows[first:last].view(_ROW)[:] = plan.template
        wire, rows = messages.view(plan.wire), self._rows[first:last].view(plan.row)
        for name in plan.names:
            rows[name] = wire[name]
        if plan.ipv4:
            rows["local_low"] |= _V4_MAPPED
            rows["remote_low"] |= _V4_MAPPED
        if plan.known & Known.COUNTERS:
            _forget_cleared(self._rows[first:last])
        self._count = last
        self._read.append(read)


def _forget_cleared(rows: SocketArray) -> None:
    """Take tcp_info from ``known`` where it is that of a socket torn down while it was read.

    The kernel reads the state, then waits for the socket's lock (net/ipv4/tcp.c:tcp_get_info). tcp_disconnect(), as of
    close() with SO_LINGER 0, leaves counters of zero and as the last data's age that of the host. Handshakes set both
    times (tcp_finish_connect), also restored ones.
    """
    cleared = np.flatnonzero(rows["segs_in"] == 0)
    told = Rows(rows, cleared)
    garbage = (told["last_data_recv"] > told["last_data_sent"]) & (told["state"] != State.CLOSE)
    rows["known"][cleared[garbage]] &= ~np.uint16(_TCP_INFO_KNOWN)


_Layout = tuple[int, tuple[tuple[int, int, int], ...]]  # address family, ((attribute type, offset, size), ...)


def _layout(data: bytes) -> tuple[_Layout, bool]:
    """Walk one message's attributes; the flag says whether all of them lay inside the message."""
    attributes: list[tuple[int, int, int]] = []
    position, length = BODY, len(data)
    while position + 4 <= length:
        size, kind = struct.unpack_from("=HH", data, position)
        if size < 4 or position + size > length:
            return (data[16], tuple(attributes)), False
        attributes.append((kind & 0x3FFF, position + 4, size - 4))
        position += (size + 3) & ~3
    return (data[16], tuple(attributes)), True


def _alike(messages: NDArray[np.void], layout: _Layout) -> NDArray[np.bool_]:
    """Which messages have the family and the attribute headers of the first one."""
    _, attributes = layout
    alike = _equal(messages, "u1", 16)
    for _, offset, _ in attributes:
        alike &= _equal(messages, "=u4", offset - 4)
    end = attributes[-1][1] + ((attributes[-1][2] + 3) & ~3) if attributes else BODY
    if end + 4 <= messages.itemsize:  # the first message broke off here: only those that break off alike belong
        alike &= _equal(messages, "=u4", end)
    return alike


def _equal(messages: NDArray[np.void], code: str, offset: int) -> NDArray[np.bool_]:
    """Which messages have what the first one has at an offset."""
    values = np.ndarray(messages.shape, code, messages, offset, messages.strides)
    return np.asarray(values == values[0])


@dataclass(frozen=True, slots=True)
class _Plan:
    """How messages of one layout become rows: what has the same name in ``wire`` and in ``row`` is copied."""

    wire: np.dtype[Any]
    row: np.dtype[Any]  # SOCKET's itemsize, fields that are copied as one block under the name of their first
    names: tuple[str, ...]
    template: NDArray[np.void]  # (1,) what is the same for all rows, and 0 for the fields that are not told
    ipv4: bool
    known: Known  # of all rows


@lru_cache(maxsize=256)
def _plan(length: int, layout: _Layout, protocol: Protocol) -> _Plan:
    """Choose the fields that this layout has, and the ``known`` groups that they make up."""
    family, attributes = layout
    fields = {**_MESSAGE, **_ADDRESSES.get(family, _ADDRESSES[AF_INET6])}
    known = Known.QUEUES | Known.TIMER | Known.INODE | Known.COOKIE
    kinds = {kind for kind, _, _ in attributes}
    if protocol == Protocol.TCP and INET_DIAG_SHUTDOWN not in kinds:
        known |= Known.MINI  # only mini-sockets come without it (inet_diag_msg_attrs_fill is not called for them)
    else:
        known |= Known.UID
    for kind, offset, size in attributes:
        if kind == INET_DIAG_SHUTDOWN and size >= 1:
            fields["shutdown"] = ("u1", offset)
        elif kind == INET_DIAG_CGROUP_ID and size >= 8:
            fields["cgroup"] = ("=u8", offset)
            known |= Known.CGROUP
        elif kind == INET_DIAG_SKMEMINFO and size >= 36:
            fields.update({name: ("=u4", offset + at) for name, at in _SKMEMINFO.items()})
            known |= Known.MEMORY
        elif kind == INET_DIAG_INFO and protocol == Protocol.TCP:
            fields.update(
                {
                    name: (code, offset + at)
                    for name, (code, at) in _TCP_INFO.items()
                    if at + np.dtype(code).itemsize <= size
                }
            )
            for least, group in _TCP_INFO_GROUPS:
                if size >= least:
                    known |= group
    blocks = _blocks(fields)
    names = tuple(block.name for block in blocks)
    wire = _dtype(names, [(block.wire, block.wire_at) for block in blocks], length)
    row = _dtype(names, [(block.row, block.row_at) for block in blocks], SOCKET.itemsize)
    template = empty_sockets(1)
    template["known"], template["protocol"] = int(known), protocol
    template["family"] = 6 if family == AF_INET6 else 4
    return _Plan(wire, row, names, template.view(_ROW), family == AF_INET, known)


def _dtype(names: tuple[str, ...], places: list[tuple[Any, int]], itemsize: int) -> np.dtype[Any]:
    formats, offsets = zip(*places, strict=True)
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": itemsize})


def _place(name: str) -> int:
    """Where a field begins in a row."""
    fields: Any = SOCKET.fields
    return int(fields[name][1])


class _Block(NamedTuple):
    """One field, or several that lie next to each other in both the message and the row."""

    name: str  # of the first
    wire: Any  # dtype
    wire_at: int
    row: Any
    row_at: int


def _blocks(fields: dict[str, tuple[str, int]]) -> list[_Block]:
    """What to copy; fields of another byte order or size in the message are converted one by one."""
    blocks: list[_Block] = []
    for name in sorted(fields, key=_place):
        code, at = fields[name]
        block = _Block(name, np.dtype(code), at, SOCKET[name], _place(name))
        if blocks and block.wire == block.row and blocks[-1].wire == blocks[-1].row:
            before, size = blocks[-1], blocks[-1].row.itemsize
            if (before.wire_at + size, before.row_at + size) == (at, block.row_at):
                joined = np.dtype((np.void, size + block.row.itemsize))
                blocks[-1] = before._replace(wire=joined, row=joined)
                continue
        blocks.append(block)
    return blocks
