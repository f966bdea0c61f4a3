"""inet_diag messages: bytes <-> columns.

Owns the wire layout of ``NETLINK_SOCK_DIAG`` (include/uapi/linux/inet_diag.h, TCP-FACTS section C) and the
bulk decoding into :data:`sockui.model.SOCKET` rows. Must not do I/O.

How it decodes without a Python object per socket: messages of one length nearly always have the same
attributes at the same places. The attributes of the first message of a length are walked; every other one
is compared with it, header by header, in bulk; those that agree are copied column by column through one
structured view, and those that differ form the next group. A kernel with other lengths, a shorter or a
longer tcp_info or an attribute unknown here needs no other code.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sockui.model import SOCKET, Known, Protocol, SocketArray

NLMSG_ERROR = 2
NLMSG_DONE = 3
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 0x1
NLM_F_DUMP = 0x300
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

    ``family`` is AF_INET or AF_INET6, ``states`` a mask of ``1 << state``.
    """
    body = struct.pack("=BBBxI", family, protocol, EXTENSIONS, states) + bytes(40) + b"\xff" * 8
    return _NLMSGHDR.pack(HEADER + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, sequence, 0) + body


@dataclass(frozen=True, slots=True)
class Walk:
    """What a chunk of received messages holds."""

    runs: list[tuple[int, int, int]]  # (offset, length, count) of equally long socket messages in a row
    done: bool  # NLMSG_DONE was met
    errno: int  # from NLMSG_DONE or NLMSG_ERROR, 0 fine
    malformed: int  # messages whose length cannot be right; what follows them was given up


def walk(buffer: NDArray[np.uint8], used: int) -> Walk:
    """Find the messages in ``buffer[:used]``, as runs of equal length.

    Eight equal lengths in a row start a bulk comparison of the lengths that follow, so a dump of one kind
    of socket costs a few array operations, and a mixed one 0.3 µs a message.
    """
    runs: list[tuple[int, int, int]] = []
    data = buffer.data[:used]
    unpack = _LENGTH_TYPE.unpack_from
    position = 0
    start = step = count = 0
    length = -1  # of the run that goes on, -1 none
    while position + HEADER <= used:
        this, kind = unpack(data, position)
        if this == length and kind == SOCK_DIAG_BY_FAMILY:
            count += 1
            position += step
            if count & 7 == 0:
                more = _equal_lengths(buffer, position, used, length, step)
                count += more
                position += more * step
            continue
        if count:
            runs.append((start, length, count))
            count, length = 0, -1
        if this < HEADER or position + this > used:
            return Walk(runs, False, 0, 1)
        step = (this + 3) & ~3
        if kind == SOCK_DIAG_BY_FAMILY:
            if this < BODY:
                return Walk(runs, False, 0, 1)
            start, length, count = position, this, 1
        elif kind in (NLMSG_DONE, NLMSG_ERROR):
            code = struct.unpack_from("=i", data, position + HEADER)[0] if this >= HEADER + 4 else 0
            return Walk(runs, True, -code, 0)
        position += step
    if count:
        if position > used + 3:  # the last message of the run is cut off
            return Walk([*runs, (start, length, count - 1)] if count > 1 else runs, False, 0, 1)
        runs.append((start, length, count))
    return Walk(runs, False, 0, 0 if position >= used else 1)


def _equal_lengths(buffer: NDArray[np.uint8], position: int, used: int, length: int, step: int) -> int:
    """Count how many whole messages from ``position`` on have this length and are socket messages."""
    total = 0
    window = 32
    fits = (used - position) // step
    while total < fits:
        size = min(window, fits - total)
        words = np.ndarray((size,), "=u8", buffer, position + total * step, (step,))
        # nlmsg_len is the low word, nlmsg_type the next 16 bits; the flags above them do not matter
        equal = (words & np.uint64(0xFFFFFFFFFFFF)) == np.uint64(SOCK_DIAG_BY_FAMILY << 32 | length)
        if not equal.all():
            return total + int(equal.argmin())
        total += size
        window *= 4
    return total


class Decoder:
    """Collects decoded rows of any number of dumps into one growing array."""

    def __init__(self, capacity: int = 1024) -> None:
        """``capacity`` is the expected number of rows; more rows make it grow."""
        self._rows = np.zeros(capacity, SOCKET)  # memory that was not written yet is none
        self._count = 0
        self.malformed = 0  # messages whose attributes overran their length; their fixed part was kept

    def take(self, buffer: NDArray[np.uint8], runs: list[tuple[int, int, int]], protocol: Protocol) -> None:
        """Decode runs found by :func:`walk` in the same buffer. Rows keep the order of groups, not of messages."""
        scattered: dict[int, list[int]] = {}
        for offset, length, count in runs:
            step = (length + 3) & ~3
            if count < 8:
                scattered.setdefault(length, []).extend(range(offset, offset + count * step, step))
            else:
                self._messages(np.ndarray((count, length), np.uint8, buffer, offset, (step, 1)), length, protocol)
        for length, offsets in scattered.items():
            windows = np.ndarray((len(buffer) - length + 1, length), np.uint8, buffer, 0, (1, 1))
            self._messages(windows[np.array(offsets)], length, protocol)

    def rows(self) -> SocketArray:
        """Give away every row so far, one for each cookie (the last one read wins; the kernel's walk is not atomic)."""
        rows, self._rows, self._count = self._rows[: self._count], np.zeros(0, SOCKET), 0
        cookies = rows["cookie"]
        ordered = np.sort(cookies)
        if (ordered[1:] == ordered[:-1]).any():
            _, last = np.unique(cookies[::-1], return_index=True)
            rows = rows.take(np.sort(len(rows) - 1 - last))
        return rows

    def _messages(self, messages: NDArray[np.uint8], length: int, protocol: Protocol) -> None:
        """Decode (n, length) messages of one length, group by group of equal attribute layout."""
        while len(messages):
            layout, whole = _layout(messages[0], length)
            alike = _alike(messages, layout)
            group = messages if alike.all() else messages[alike]
            if not whole:
                self.malformed += len(group)
            plan = _plan(length, layout, protocol)
            self._append(group.view(plan.wire)[:, 0], plan)
            if len(group) == len(messages):
                return
            messages = messages[~alike]

    def _append(self, wire: NDArray[Any], plan: _Plan) -> None:
        first, last = self._count, self._count + len(wire)
        if last > len(self._rows):
            self._rows.resize(max(last, 2 * len(self._rows)), refcheck=False)  # memory of this size is not copied
        rows = self._rows[first:last]
        rows["fd"] = -1
        for name in plan.names:
            rows[name] = wire[name]
        for name, value in plan.constants:
            rows[name] = value
        if plan.ipv4:
            rows["local_low"] |= np.uint64(0xFFFF00000000)
            rows["remote_low"] |= np.uint64(0xFFFF00000000)
        self._count = last


_Layout = tuple[int, tuple[tuple[int, int, int], ...]]  # address family, ((attribute type, offset, size), ...)


def _layout(message: NDArray[np.uint8], length: int) -> tuple[_Layout, bool]:
    """Walk one message's attributes; the flag says whether all of them lay inside the message."""
    data = message.tobytes()
    attributes: list[tuple[int, int, int]] = []
    position = BODY
    while position + 4 <= length:
        size, kind = struct.unpack_from("=HH", data, position)
        if size < 4 or position + size > length:
            return (data[16], tuple(attributes)), False
        attributes.append((kind & 0x3FFF, position + 4, size - 4))
        position += (size + 3) & ~3
    return (data[16], tuple(attributes)), True


def _alike(messages: NDArray[np.uint8], layout: _Layout) -> NDArray[np.bool_]:
    """Which messages have the family and the attribute headers of the first one."""
    family, attributes = layout
    alike: NDArray[np.bool_] = messages[:, 16] == family
    for _, offset, _ in attributes:
        headers = messages[:, offset - 4 : offset].view("=u4")[:, 0]
        alike &= headers == headers[0]
    end = attributes[-1][1] + ((attributes[-1][2] + 3) & ~3) if attributes else BODY
    if end + 4 <= messages.shape[1]:  # the first message broke off here: only those that break off alike belong
        headers = messages[:, end : end + 4].view("=u4")[:, 0]
        alike &= headers == headers[0]
    return alike


@dataclass(frozen=True, slots=True)
class _Plan:
    """How messages of one layout become rows."""

    wire: np.dtype[Any]
    names: tuple[str, ...]
    constants: tuple[tuple[str, int], ...]
    ipv4: bool


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
    wire = np.dtype(
        {
            "names": list(fields),
            "formats": [code for code, _ in fields.values()],
            "offsets": [at for _, at in fields.values()],
            "itemsize": length,
        }
    )
    names = tuple(name for name in SOCKET.names or () if name in fields)
    constants = (("known", int(known)), ("protocol", int(protocol)), ("family", 6 if family == AF_INET6 else 4))
    return _Plan(wire, names, constants, family == AF_INET)
