"""How sockets ended: the types, and what the kernel's last message about a socket proves.

Owns :class:`How`, :data:`ENDING`, :class:`Endings` and the two judgements: :func:`judged` from the message alone,
:func:`settled` beside the dumps before and after it. Must not read the kernel (``collector.endings``) or word anything.

The kernel sends one message for each *full* socket that it frees (net/core/sock_diag.c:sock_diag_broadcast_destroy).
It always says CLOSE, and neither why (``sk_err``) nor who held it. Measured on Linux 6.18; ``rq``, ``wq`` are
recv_queue, send_queue; ``D`` is :func:`_syn_and_fin`, for a connection that we made (one that we accepted: 1 less):

====================================================  =============================================  ==============
ending                                                what the message shows                         judged
====================================================  =============================================  ==============
we closed first: FIN_WAIT2 (closed) or TIME_WAIT      D=2, wq=0; rq=1 if the FIN came with the ACK   CLOSED (1)
shutdown(), the peer closes, close()                  D=2, wq=0, rq=1, more if data was not read     CLOSED
the peer closed first: LAST_ACK acknowledged          D=2, wq=0, rq=0 or 1 (end of file not read)    CLOSED (2)
both at once: CLOSING                                 D=2, wq=0, rq=1                                CLOSED
reset by the peer when it had acknowledged our FIN    D=2, wq=0: as if it had closed                 CLOSED
reset by the peer                                     D=1, wq=0                                      RESET (2, 3)
close() with unread data: we reset                    D=1, wq=0, rq: the unread bytes                RESET (2, 3)
``ss -K``, then close()                               D=1, wq=0                                      RESET (2, 3)
reset by the peer before it acknowledged everything   wq>0, retransmits=0, probes=0                  RESET (3)
data or FIN unanswered until the kernel gave up       wq>0, retransmits: the attempts                UNANSWERED (4)
reset while retransmitting                            the same                                       UNANSWERED
keepalive unanswered                                  wq=0, probes: the attempts                     UNANSWERED
gave up an orphan behind a closed window              wq>0, snd_wnd=0, retransmits=0, probes=0       UNKNOWN
SO_LINGER 0; listener closed with it in its queue     remote port 0, counters zero, min_rtt kept     DISCONNECTED
connect() refused, not blocking                       wq=1, min_rtt=2^32-1, segs_in>0                REFUSED
connect() unanswered, unreachable, or closed before   wq=1, min_rtt=2^32-1, segs_in=0                NO_ANSWER
connect() failed, blocking, for whatever reason       remote port 0, counters zero, min_rtt=2^32-1   CONNECT_FAILED
a listener, bound or unused socket was closed         remote port and address 0                      NO_CONNECTION
UDP                                                   no tcp_info; rq: memory of unread datagrams    NO_CONNECTION
====================================================  =============================================  ==============

(1) goes on as a mini-socket under its cookie, FIN_WAIT2 or TIME_WAIT: ``ENDING.mini`` says so once settled. NORMAL if
it is TIME_WAIT, or if the dump before shows that the peer's FIN had come. (2) D=1 with wq=0 is the one or the other:
UNKNOWN until settled, which knows who connected. (3) RESET_BY_PEER, RESET_HERE where the dump before has the socket
and the segments since then leave no other sender. (4) TIMED_OUT if by the same count no RST came or went.

No message at all: minis ending (TIME_WAIT, orphan FIN_WAIT2, SYN_RECV), kernel sockets, RAW. A socket that was reset
or timed out sends it only when its last descriptor is closed; orphans at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sockui.model.sockets import Known, Protocol, SocketArray, State, empty_sockets


class How(IntEnum):
    """How a socket ended, as far as it is proven."""

    UNKNOWN = 0
    NO_CONNECTION = 1  # there was none to end: UDP, a listener, a socket that was only bound or never used
    CLOSED = 2  # our FIN, and all data before it, was acknowledged; of the peer's FIN nothing is known
    NORMAL = 3  # CLOSED, and the peer's FIN had come
    RESET = 4  # our FIN never sent, or not acknowledged, and nothing waited for an answer: a RST, or ss -K
    RESET_BY_PEER = 5  # no RST went out since the dump before, so one came in
    RESET_HERE = 6  # nothing came in since the dump before: close() with unread data, or ss -K
    DISCONNECTED = 7  # torn down by a call here (net/ipv4/tcp.c:tcp_disconnect): close() with SO_LINGER 0, a listener
    # that was closed with it in its queue, or connect() that found the new connection reset already
    UNANSWERED = 8  # ended when ``retransmits`` retransmissions or ``probes`` probes were unanswered: gave up, or a RST
    TIMED_OUT = 9  # gave up after ``retransmits`` retransmissions, nothing had come
    REFUSED = 10  # the SYN was answered, but not with a SYN-ACK: a RST
    NO_ANSWER = 11  # no segment ever came: timed out, unreachable, or close() before either
    CONNECT_FAILED = 12  # a blocking connect() gave an error; the kernel has cleared what would say which


ENDING = np.dtype(
    [
        ("how", "u1"),  # How
        ("mini", "u1"),  # State of the mini-socket that goes on under the cookie, TIME_WAIT or FIN_WAIT2; 0 none, ended
        ("lifetime_min_ms", "i8"),  # from handshake to close(): at least
        ("lifetime_max_ms", "i8"),  # at most; -1 nothing bounds it
        ("read_after", "f8"),  # CLOCK_MONOTONIC, s: the drain before; the kernel sends from a work queue, ms late
        ("read_at", "f8"),  # CLOCK_MONOTONIC, s: the drain that read it; it had ended by then
    ],
    align=True,
)
"""What is known of one ending, beside its SOCKET row."""

EndingArray: TypeAlias = "NDArray[Any]"
"""A 1-d array of dtype :data:`ENDING`."""

_NEVER = 0xFFFF_FFFF  # tcpi_min_rtt before the first measurement (net/ipv4/tcp.c:tcp_init_sock)
_NEEDED = int(Known.COUNTERS | Known.WINDOWS)  # tcp_info without these (kernel < 5.4) is not judged
_INFO = int(Known.INFO | Known.COUNTERS | Known.WINDOWS | Known.RTO_TOTALS)
_UNSPECIFIED = (0, 0xFFFF_0000_0000)  # last 64 bits of :: and of ::ffff:0.0.0.0
_JIFFY_MS = 10  # times are counted in jiffies, 10 ms at the coarsest (HZ=100)
_ALIKE = np.uint64(1 << 16)  # cookies are a counter: of the many few are equal in their last bits to some few
_COUNTER_MS = 1 << 32  # the kernel's ms begin again at 0


@dataclass(frozen=True, eq=False, slots=True)
class Endings:
    """What one drain read: the sockets that were freed since the one before."""

    sockets: SocketArray  # (n,) SOCKET, state CLOSE (UDP: 1 if connected), each cookie once; no owner, uid or inode
    facts: EndingArray  # (n,) ENDING
    lost: int = 0  # endings that did not fit and are not here, at least; 0: all are here. The next dump shows the rest

    @classmethod
    def none(cls, lost: int = 0) -> Endings:
        """No ending read."""
        return cls(empty_sockets(), np.empty(0, ENDING), lost)


def judged(sockets: SocketArray, read_after: float, read_at: float) -> EndingArray:
    """Judge (n,) SOCKET rows, as the kernel's messages gave them, by the message alone: (n,) ENDING.

    Clears in place what the kernel left as garbage, and takes from ``known`` what a message cannot say.
    """
    facts = np.zeros(len(sockets), ENDING)
    facts["lifetime_max_ms"] = -1
    facts["read_after"], facts["read_at"] = read_after, read_at
    sockets["known"] &= ~np.uint16(Known.MINI | Known.INODE | Known.UID)
    tcp = sockets["protocol"] == Protocol.TCP
    facts["how"][~tcp] = How.NO_CONNECTION
    readable = tcp & (sockets["known"] & _NEEDED == _NEEDED)
    cleared = readable & (sockets["remote_port"] == 0)  # never connected, or tcp_disconnect() was here
    addressed = (sockets["remote_high"] != 0) | ~np.isin(sockets["remote_low"], _UNSPECIFIED)
    answered = (sockets["min_rtt"] != _NEVER) | (sockets["rtt"] > 0) | (sockets["snd_wnd"] > 0)
    facts["how"][cleared] = np.where(answered[cleared], How.DISCONNECTED, How.CONNECT_FAILED)
    facts["how"][cleared & ~addressed] = How.NO_CONNECTION
    attempt = readable & ~cleared & ~answered
    facts["how"][attempt] = np.where(sockets["segs_in"][attempt] > 0, How.REFUSED, How.NO_ANSWER)
    rows = np.flatnonzero(readable & ~cleared & answered)
    facts["how"][rows] = _ended(sockets[rows], np.full(len(rows), -1, np.int8))
    _bound_lifetimes(sockets, facts, rows)

    sockets["send_queue"][cleared | ~tcp] = 0  # what is left of the sequence numbers; of UDP's memory, less 1
    sockets["notsent_bytes"][cleared] = 0
    sockets["known"][cleared] &= ~np.uint16(_INFO)
    for name in ("last_data_sent", "last_data_recv", "last_ack_recv"):
        sockets[name][cleared | attempt] = 0  # time since boot
    return facts


def settled(
    endings: Endings, before: SocketArray | None, after: SocketArray, unseen_since: float | None = None
) -> Endings:
    """Judge again, beside what the dump before the drain and the one after it show.

    ``before`` and ``after`` are whole dumps, (m,) SOCKET, ``before`` None if there was none. ``unseen_since`` is
    the moment, CLOCK_MONOTONIC in seconds, since when an ending that is not in ``before`` can at most have lived;
    dumps are not atomic, so this is for the caller to claim.

    Whether we connected or accepted, which some judgements need, is read off the row in ``before``. Without one the
    local port says it: accepted if that was listened on in either dump, or by a listener that ended in this drain.
    (A connection and its listener that both come and go between two dumps, and end on different sides of a drain,
    would be taken for one that we made.)
    """
    sockets, facts = endings.sockets, endings.facts.copy()
    if not len(sockets):
        return endings
    first = before is None
    before = empty_sockets() if before is None else before
    at_before, at_after = _positions(sockets, before), _positions(sockets, after)
    rows = np.flatnonzero(at_after >= 0)
    rows = rows[after["known"][at_after[rows]] & int(Known.MINI) != 0]
    facts["mini"][rows] = after["state"][at_after[rows]]

    connection = (sockets["known"] & _NEEDED == _NEEDED) & (sockets["protocol"] == Protocol.TCP)
    rows = np.flatnonzero(connection & np.isin(facts["how"], (How.UNKNOWN, How.CLOSED, How.RESET, How.UNANSWERED)))
    new, seen = sockets[rows], at_before[rows] >= 0
    old = empty_sockets(len(rows))
    old[seen] = before[at_before[rows[seen]]]
    same = (old["local_port"] == new["local_port"]) & (old["remote_port"] == new["remote_port"])
    old[~same] = empty_sockets(1)  # a descriptor that was connected again: another connection, under the same cookie
    active = np.full(len(rows), -1, np.int8)
    if not first and not endings.lost:
        listened = np.isin(new["local_port"], _listened(endings, before, after))
        active[~seen & ~listened] = 1
        active[listened] = 0
    readable = old["known"] & _NEEDED == _NEEDED
    syn = _syn_and_fin(old)
    whole = readable & np.isin(old["state"], (State.ESTABLISHED, State.CLOSE_WAIT)) & ((syn == 0) | (syn == 1))
    active[whole] = syn[whole]  # there was no FIN yet, so what is counted is the SYN
    active[old["state"] == State.SYN_SENT] = 1
    active[old["state"] == State.SYN_RECV] = 0
    how = _ended(new, active)

    came = new["segs_in"] - old["segs_in"]  # modulo 2^32, as the kernel counts
    sent = new["segs_out"] - old["segs_out"]
    more = sent != new["total_retrans"] - old["total_retrans"]  # more than retransmissions: a RST may be among it
    how[readable & (how == How.RESET) & (came > 0) & ~more] = How.RESET_BY_PEER
    how[readable & (how == How.RESET) & (came == 0) & more] = How.RESET_HERE
    silent = np.isin(old["state"], (State.LAST_ACK, State.CLOSING))  # ss -K ends these without a RST
    waited = (new["send_queue"] > 0) & (new["retransmits"] > 0)
    how[readable & (how == How.UNANSWERED) & waited & (came == 0) & ~more & ~silent] = How.TIMED_OUT
    finished = np.isin(old["state"], (State.CLOSE_WAIT, State.LAST_ACK, State.CLOSING))
    how[(how == How.CLOSED) & (finished | (facts["mini"][rows] == State.TIME_WAIT))] = How.NORMAL
    facts["how"][rows] = how

    if unseen_since is not None:
        most = np.ceil(1000 * (facts["read_at"] - unseen_since)).astype(np.int64)
        least, known = facts["lifetime_min_ms"], facts["lifetime_max_ms"]
        lived = connection & ~np.isin(facts["how"], (How.REFUSED, How.NO_ANSWER))  # else there was no handshake
        tighter = lived & (at_before < 0) & (most >= least) & ((known < 0) | (known > most))
        facts["lifetime_max_ms"][tighter] = most[tighter]
    return replace(endings, facts=facts)


def _ended(rows: SocketArray, active: NDArray[np.int8]) -> NDArray[np.uint8]:
    """How connections that were established ended. ``active``: 1 we connected, 0 accepted, -1 not known."""
    counted = _syn_and_fin(rows)
    fin = (counted == 2) | (counted == 1) & (active == 0)
    no_fin = (counted == 0) | (counted == 1) & (active == 1)
    contradiction = (counted < 0) | (counted > 2) | (counted == 2) & (active == 0) | (counted == 0) & (active == 1)
    waits = rows["send_queue"] > 0
    unanswered = waits & (rows["retransmits"] > 0) | (rows["probes"] > 0)
    how = np.full(len(rows), How.UNKNOWN, np.uint8)
    open_window = ~waits | (rows["snd_wnd"] > 0)  # behind a closed one the kernel gives up on orphans without a count
    how[(waits | no_fin) & ~contradiction & open_window & (rows["segs_in"] > 0)] = How.RESET
    how[unanswered] = How.UNANSWERED
    how[~waits & fin & ~contradiction] = How.CLOSED
    return how


def _syn_and_fin(rows: SocketArray) -> NDArray[np.int64]:
    """How many of our SYN (if we connected) and FIN were sent: (n,) int64; other numbers than 0, 1, 2 are nonsense.

    Both take a place in the sequence numbers and carry no byte: sent is what was acknowledged, and what is queued
    (write_seq - snd_una) less what was not sent. The SYN of an accepted connection is not in bytes_acked.
    """
    signed = {name: rows[name].astype(np.int64) for name in ("bytes_acked", "send_queue", "notsent_bytes")}
    bytes_once = (rows["bytes_sent"] - rows["bytes_retrans"]).astype(np.int64)
    return np.asarray(signed["bytes_acked"] + signed["send_queue"] - signed["notsent_bytes"] - bytes_once)


def _bound_lifetimes(sockets: SocketArray, facts: EndingArray, rows: NDArray[np.intp]) -> None:
    """Bound the time from the handshake on, which starts the clocks of the last data and the last ACK."""
    connections = sockets[rows]
    least = np.zeros(len(rows), np.int64)
    for name in ("last_data_sent", "last_data_recv", "last_ack_recv", "total_rto_time"):
        np.maximum(least, connections[name], out=least)
    np.maximum(least, connections["busy_time"].astype(np.int64) // 1000, out=least)
    facts["lifetime_min_ms"][rows] = np.maximum(least - _JIFFY_MS, 0)
    since = np.where(connections["bytes_sent"] == 0, connections["last_data_sent"], connections["last_data_recv"])
    exact = (connections["bytes_sent"] == 0) | (connections["bytes_received"] == 0)
    exact &= facts["read_at"][rows] * 1000 < _COUNTER_MS
    most = np.maximum(since.astype(np.int64), least) + _JIFFY_MS
    facts["lifetime_max_ms"][rows[exact]] = most[exact]


def _listened(endings: Endings, before: SocketArray, after: SocketArray) -> NDArray[np.uint16]:
    """TCP ports that were listened on; a listener's ending looks like that of any socket without a peer."""
    ended = (endings.facts["how"] == How.NO_CONNECTION) & (endings.sockets["protocol"] == Protocol.TCP)
    ports = [endings.sockets["local_port"][ended]]
    ports += [dump["local_port"][dump["state"] == State.LISTEN] for dump in (before, after)]
    return np.concatenate(ports)


def _positions(sockets: SocketArray, dump: SocketArray) -> NDArray[np.intp]:
    """Where in a dump each cookie stands, -1 nowhere. The few are sorted; of the many, those alike are looked up."""
    order = np.argsort(sockets["cookie"])
    ordered = sockets["cookie"][order]
    alike = np.zeros(_ALIKE, np.bool_)
    alike[ordered % _ALIKE] = True
    cookies = np.ascontiguousarray(dump["cookie"])
    rows = np.flatnonzero(alike[cookies % _ALIKE])
    at = np.minimum(np.searchsorted(ordered, cookies[rows]), len(ordered) - 1)
    same = (ordered[at] == cookies[rows]) & (dump["known"][rows] & int(Known.COOKIE) != 0)
    found = np.full(len(sockets), -1, np.intp)
    found[order[at[same]]] = rows[same]
    return found
