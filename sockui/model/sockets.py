"""The socket row: one numpy record per socket, its fields named as the kernel or ``ss`` names them.

Owns :data:`SOCKET` and the small enumerations its codes refer to. Must not decode bytes (that is
``collector``) or format text (that is ``view``).

A field holds a meaningful value only if the row's ``known`` has the field's group; sources differ in
what they can say, and 0 is a value, not "unknown".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum, IntFlag
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray


class State(IntEnum):
    """TCP states, numbered as in include/net/tcp_states.h, spelt as netstat and psutil spell them."""

    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECV = 3  # full and mini (the kernel's TCP_NEW_SYN_RECV, 12, is reported as 3)
    FIN_WAIT1 = 4
    FIN_WAIT2 = 5
    TIME_WAIT = 6
    CLOSE = 7  # UDP: not connected, shown as UNCONN; TCP: bound, neither listening nor connected
    CLOSE_WAIT = 8
    LAST_ACK = 9
    LISTEN = 10
    CLOSING = 11


class Protocol(IntEnum):
    """IP protocol numbers."""

    TCP = 6
    UDP = 17


class Timer(IntEnum):
    """The timer that runs, ``idiag_timer`` (net/ipv4/inet_diag.c:inet_sk_diag_fill)."""

    OFF = 0
    ON = 1  # retransmission, reordering or tail loss probe
    KEEPALIVE = 2
    TIMEWAIT = 3
    PERSIST = 4  # zero-window probes
    DELACK = 5


class Shutdown(IntFlag):
    """Which directions are shut, ``sk_shutdown``: 1 after the peer's FIN, 2 after ours."""

    RECEIVE = 1
    SEND = 2


class Known(IntFlag):
    """Which groups of fields the source could fill for a row."""

    QUEUES = 1 << 0  # recv_queue, send_queue
    TIMER = 1 << 1  # timer, timer_ms, retransmits
    UID = 1 << 2  # uid; never set on mini-sockets, whose 0 means unknown
    INODE = 1 << 3  # inode (0 is known too: the kernel alone holds the socket)
    COOKIE = 1 << 4  # cookie
    MEMORY = 1 << 5  # rmem_alloc .. drops (SK_MEMINFO)
    INFO = 1 << 6  # ca_state .. total_retrans of tcp_info
    WINDOWS = 1 << 7  # snd_wnd, rcv_wnd (newer tcp_info)
    RTO_TOTALS = 1 << 8  # total_rto, total_rto_recoveries, total_rto_time (kernel >= 6.7)
    CGROUP = 1 << 9  # cgroup
    COUNTERS = 1 << 11  # min_rtt .. sndbuf_limited of tcp_info (kernel >= 4.19)
    MINI = 1 << 10  # not a group: the row is a mini-socket (TIME_WAIT, orphan FIN_WAIT2, SYN_RECV request)


class Owner(IntEnum):
    """Whose socket it is, and how far that is known."""

    UNKNOWN = 0  # not looked up, or the source cannot say
    PROCESS = 1  # ``pid`` holds it by descriptor ``fd``
    LISTENER = 2  # not accepted yet: ``pid`` and ``fd`` are its listener's
    KERNEL = 3  # no process: the application closed it, or it is a mini-socket
    HIDDEN = 4  # a process of another user holds it; which one cannot be seen with these privileges
    UNFOUND = 5  # every process could be read and none in sight holds it (other PID namespace, kernel service)


SOCKET = np.dtype(
    [
        # --- who says it: the same for all rows that one message layout brings ----------------------
        ("known", "u2"),  # Known
        ("protocol", "u1"),  # Protocol
        ("family", "u1"),  # 4 or 6, of the socket (a v4-mapped connection of a v6 socket says 6)
        ("fd", "i4"),  # descriptor of the holder ``pid``; -1 none
        ("pid", "i4"),  # a holder (the lowest pid), or the listener's for OWNER LISTENER; 0 none
        # --- struct inet_diag_msg (include/uapi/linux/inet_diag.h), its end in its order --------------
        ("interface", "u4"),  # idiag_if, interface index the socket is bound to, 0 none
        ("cookie", "u8"),  # idiag_cookie, unique until reboot, kept across every state
        ("timer_ms", "u4"),  # ms until the timer fires; may stay 0 for up to 2 s ("due")
        ("recv_queue", "u4"),  # bytes; LISTEN: connections waiting for accept(); counts the peer's FIN as 1
        ("send_queue", "u4"),  # bytes; LISTEN: backlog; counts our FIN or SYN as 1
        ("uid", "u4"),
        ("inode", "u4"),
        ("state", "u1"),  # State
        ("timer", "u1"),  # Timer
        ("shutdown", "u1"),  # Shutdown
        ("owner", "u1"),  # Owner
        ("local_port", "u2"),
        ("remote_port", "u2"),
        ("holders", "u2"),  # number of (pid, fd) pairs that refer to the socket
        ("remote_low", "u8"),  # remote address, last 64 bits; what is read most ends here: it is a cache line
        ("remote_high", "u8"),  # remote address, first 64 bits; IPv4 is held as ::ffff:a.b.c.d
        ("local_low", "u8"),
        ("local_high", "u8"),
        ("cgroup", "u8"),  # cgroup2 id at creation (attribute CGROUP_ID); 0 none
        # --- SK_MEMINFO (include/uapi/linux/sock_diag.h) ------------------------------------------
        ("rmem_alloc", "u4"),  # bytes of memory charged for receiving
        ("rcvbuf", "u4"),  # bytes
        ("sndbuf", "u4"),  # bytes
        ("wmem_queued", "u4"),  # bytes
        ("drops", "u4"),  # packets dropped at this socket; LISTEN: SYNs and ACKs for which there was no room
        # --- tcp_info (include/uapi/linux/tcp.h), without the tcpi_ prefix, in its order ---------------
        ("ca_state", "u1"),
        ("retransmits", "u1"),  # u8, wraps; for a mini SYN_RECV idiag_retrans
        ("probes", "u1"),  # unanswered window or keepalive probes
        ("backoff", "u1"),
        ("rto", "u4"),  # µs
        ("snd_mss", "u4"),  # bytes
        ("unacked", "u4"),  # segments; LISTEN: repeats recv_queue
        ("lost", "u4"),  # segments
        ("retrans", "u4"),  # segments retransmitted and not yet acknowledged
        ("last_data_sent", "u4"),  # ms since; garbage in SYN_SENT and LISTEN
        ("last_data_recv", "u4"),  # ms since; the same
        ("last_ack_recv", "u4"),  # ms since; the same
        ("pmtu", "u4"),  # bytes
        ("rtt", "u4"),  # µs, smoothed
        ("rttvar", "u4"),  # µs
        ("snd_cwnd", "u4"),  # segments
        ("total_retrans", "u4"),  # segments since the connection began
        ("data_segs_out", "u4"),  # out of order: so the next is aligned
        ("bytes_acked", "u8"),
        ("bytes_received", "u8"),  # counts the peer's FIN as 1
        ("segs_out", "u4"),
        ("segs_in", "u4"),
        ("notsent_bytes", "u4"),  # queued and not sent once; counts the FIN
        ("min_rtt", "u4"),  # µs
        ("busy_time", "u8"),  # µs during which anything, data or FIN, was queued or unacknowledged
        ("rwnd_limited", "u8"),  # µs limited by the peer's window
        ("sndbuf_limited", "u8"),  # µs
        ("bytes_sent", "u8"),  # includes retransmitted bytes
        ("bytes_retrans", "u8"),
        ("snd_wnd", "u4"),  # bytes the peer lets us send (0: it does not read)
        ("rcv_wnd", "u4"),  # bytes we let the peer send (0: we do not read)
        ("total_rto", "u2"),  # retransmission timeouts since the connection began
        ("total_rto_recoveries", "u2"),  # episodes of them
        ("total_rto_time", "u4"),  # ms spent in them, the running one included
    ],
    align=True,
)
"""One socket. See the comments for units and sources; DESIGN section 4 for the JSON names.

Fields that lie next to each other in the kernel's structures do so here: a dump is copied in few blocks.
"""

SocketArray: TypeAlias = "NDArray[Any]"
"""A 1-d array of dtype :data:`SOCKET`, or of a :func:`layout` that leaves out what a source never tells."""

PIECE = 1 << 13
"""Rows to work on at once where all are gone through: their columns stay in the processor's cache, and are small."""

ENDS = ("protocol", "family", "local_high", "local_low", "remote_high", "remote_low", "local_port", "remote_port")
"""Fields that name a connection."""

_SPELLINGS = {
    "ESTAB": State.ESTABLISHED,
    "SYNSENT": State.SYN_SENT,
    "SYNRECV": State.SYN_RECV,
    "SYNRCVD": State.SYN_RECV,
    "SYNRECEIVED": State.SYN_RECV,
    "NEWSYNRECV": State.SYN_RECV,
    "LISTENING": State.LISTEN,
    "CLOSED": State.CLOSE,
    "UNCONN": State.CLOSE,
    "UNCONNECTED": State.CLOSE,
    "NONE": State.CLOSE,
}


def parse_state(text: str) -> State | None:
    """Read a state in any spelling (``close-wait``, ``FIN_WAIT_2``, ``ESTAB``, ``SYN_RCVD``); None if unknown."""
    word = "".join(character for character in text.upper() if character not in "-_ ")
    for state in State:
        if word == state.name.replace("_", ""):
            return state
    return _SPELLINGS.get(word)


def state_name(state: int, protocol: int = Protocol.TCP) -> str:
    """Spell a state as the contract does; UDP's CLOSE is ``UNCONN``."""
    if state == State.CLOSE and protocol == Protocol.UDP:
        return "UNCONN"
    return State(state).name


def layout(names: Iterable[str]) -> np.dtype[Any]:
    """Rows with room for some fields of :data:`SOCKET` only: the others are read as 0 and must not be written.

    All these lie in one place, the first 8 bytes of the row.
    """
    offsets, size = {}, 8
    for name in sorted(names, key=lambda name: -SOCKET[name].itemsize):  # so that each is aligned
        offsets[name], size = size, size + SOCKET[name].itemsize
    every = SOCKET.names or ()
    return np.dtype(
        {
            "names": every,
            "formats": [SOCKET[name] for name in every],
            "offsets": [offsets.get(name, 0) for name in every],
            "itemsize": (size + 7) & ~7,
        }
    )


class Rows:
    """Some rows of a socket array, gathered one column at a time: copying whole rows costs ten times as much."""

    def __init__(self, sockets: SocketArray, rows: NDArray[np.intp]) -> None:
        self._sockets = sockets
        self._rows = rows
        self._columns: dict[str, NDArray[Any]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._columns:
            self._columns[name] = self._sockets[name][self._rows]
        return self._columns[name]

    def only(self, places: NDArray[np.intp]) -> Rows:
        """Some of these rows, by their place among these."""
        return Rows(self._sockets, self._rows[places])


def columns(sockets: SocketArray, *names: str) -> list[NDArray[Any]]:
    """Copies of some columns of all rows, made together: what lies in one cache line is fetched once."""
    copies = [np.empty(len(sockets), sockets.dtype[name]) for name in names]
    for start in range(0, len(sockets), PIECE):
        rows = sockets[start : start + PIECE]
        for copy, name in zip(copies, names, strict=True):
            copy[start : start + PIECE] = rows[name]
    return copies


def by_state(states: NDArray[np.uint8]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Each state that is among some, and which of them have it, ascending."""
    order = np.argsort(states, kind="stable")  # by radix
    begin = 0
    for state, number in enumerate(np.bincount(states).tolist()):
        if number:
            yield state, order[begin : begin + number]
            begin += number


def mixed(columns: Iterable[NDArray[Any]]) -> NDArray[np.uint64]:
    """One number for the values of each row in some columns; that of others is the same once in 2^64."""
    result: NDArray[np.uint64] = np.zeros(1, np.uint64)
    for column in columns:
        result = (result ^ column.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        result ^= result >> np.uint64(29)
    return result


def appended(sockets: SocketArray, others: Sequence[SocketArray]) -> SocketArray:
    """``sockets`` and then ``others``: written behind a dump's rows if these begin an array that has room.

    That spares a copy of all rows. Room is what nobody wrote to: rows without a protocol.
    """
    first, last = len(sockets), len(sockets) + sum(map(len, others))
    whole = sockets.base
    if isinstance(whole, np.ndarray) and all(part.dtype == whole.dtype for part in (sockets, *others)):
        begins = whole.ctypes.data == sockets.ctypes.data and whole.strides == sockets.strides
        if begins and len(whole) >= last and not whole["protocol"][first:last].any():
            np.concatenate(others, out=whole[first:last])
            return np.asarray(whole[:last])
    return joined((sockets, *others))


def joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """One array of several; the rows of two texts may be laid out differently.

    Records are joined as bytes: numpy copies them field by field otherwise, which takes eight times as long.
    """
    layouts = {part.dtype for part in parts}
    layout = layouts.pop() if len(layouts) == 1 else SOCKET
    same = [part.astype(layout, copy=False).view((np.void, layout.itemsize)) for part in parts]
    return np.concatenate(same).view(layout)


def empty_sockets(count: int = 0) -> SocketArray:
    """Make ``count`` zeroed rows with ``fd`` -1, as an unattributed socket has it."""
    rows = np.zeros(count, SOCKET)
    rows["fd"] = -1
    return rows
