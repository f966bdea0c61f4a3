"""Which situation each socket is in: its state, refined by what its own fields prove.

Owns the classification and its precedence (kind of socket, then window, timer, queues: TCP-FACTS G.1). Must
not judge how bad it is (the rules do) or hold words (``knowledge`` has one file per situation).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from sockui.ages import INITIAL_RTO_MS, AgeArray
from sockui.model import Known, Protocol, SocketArray, State, Timer
from sockui.model.sockets import PIECE, Rows, by_state
from sockui.once import once
from sockui.tracker import Life, Update

IDLE_MS = 60_000
"""An ESTABLISHED connection without data in either direction for this long is called idle."""
UNREAD_MS = 5_000
"""Data that has lain in the receive queue this long is called not read; less is the scheduler's or the network's."""
NO_TIMER_MS = 2_000
"""A FIN without a timer must have been so for this long: a dump may catch a socket between two timers."""
REVERTED = 3
"""So many more retransmissions than back-off steps mean that the kernel undid back-off (RFC 6069)."""

_V4_MAPPED = 0xFFFF
_ANY_V4 = _V4_MAPPED << 32


class Situation(IntEnum):
    """What a socket is in the middle of; the lower-case name is the file in ``knowledge/situations``.

    A bare state name is the state with nothing more proved, for instance because the source is psutil.
    """

    ESTABLISHED = 1
    ESTABLISHED_IDLE = 2
    ESTABLISHED_RETRANSMITTING = 3
    ESTABLISHED_UNREACHABLE = 4  # retransmits far above backoff: ICMP unreachable or no neighbour (RFC 6069)
    PEER_NOT_READING = 5  # the peer's window is closed
    NOT_READING = 6  # unread data has waited for our application
    ACCEPT_QUEUE = 7  # ESTABLISHED, not yet accepted
    SYN_SENT = 8
    SYN_SENT_LOCAL_QUEUE_FULL = 9  # to a listener of this host that is full
    SYN_RECV = 10
    SYN_RECV_DEFER_ACCEPT = 11
    SYN_RECV_QUEUE_FULL = 12
    FIN_WAIT1 = 13
    FIN_WAIT1_UNANSWERED = 14
    FIN_WAIT1_ZERO_WINDOW = 15
    FIN_WAIT1_NO_TIMER = 16  # our FIN is queued and nothing will send it; LAST_ACK and CLOSING too
    FIN_WAIT2 = 17
    FIN_WAIT2_HELD = 18
    FIN_WAIT2_ORPHAN = 19
    TIME_WAIT = 20
    CLOSE_WAIT = 21
    CLOSE_WAIT_UNREAD = 22
    CLOSE_WAIT_READ = 23
    CLOSE_WAIT_UNACCEPTED = 24
    CLOSE_WAIT_SENDING = 25
    LAST_ACK = 26
    LAST_ACK_ZERO_WINDOW = 27
    CLOSING = 28
    LISTEN = 29
    LISTEN_QUEUE_FULL = 30
    BOUND_INACTIVE = 31
    UDP_UNCONNECTED = 32
    UDP_CONNECTED = 33
    UDP_DROPS = 34


STUCK = frozenset(
    {
        Situation.ESTABLISHED_RETRANSMITTING,
        Situation.ESTABLISHED_UNREACHABLE,
        Situation.PEER_NOT_READING,
        Situation.NOT_READING,
        Situation.ACCEPT_QUEUE,
        Situation.SYN_SENT,
        Situation.SYN_SENT_LOCAL_QUEUE_FULL,
        Situation.SYN_RECV_QUEUE_FULL,
        Situation.FIN_WAIT1_UNANSWERED,
        Situation.FIN_WAIT1_ZERO_WINDOW,
        Situation.FIN_WAIT1_NO_TIMER,
        Situation.FIN_WAIT2_HELD,
        Situation.CLOSE_WAIT,
        Situation.CLOSE_WAIT_UNREAD,
        Situation.CLOSE_WAIT_READ,
        Situation.CLOSE_WAIT_UNACCEPTED,
        Situation.LAST_ACK_ZERO_WINDOW,
        Situation.LISTEN_QUEUE_FULL,
    }
)
"""Situations in which somebody has to act before anything moves."""

_PLAIN = np.zeros(256, np.uint8)
for _state in State:
    _PLAIN[_state] = Situation.BOUND_INACTIVE if _state == State.CLOSE else Situation[_state.name]


def classify(
    sockets: SocketArray, ages: AgeArray, ended: NDArray[np.bool_], rows: NDArray[np.intp] | None = None
) -> NDArray[np.uint8]:
    """Name the situation of every socket, or of some ``rows`` of them.

    ``sockets`` is (n,) SOCKET, ``ages`` (n,) AGE and ``ended`` (n,) bool of the same rows; the result (n,) or
    (len(rows),) :class:`Situation`, of a row that ended the one it was in when last seen. A field whose group is not
    in the row's ``known`` proves nothing. The listeners that a socket belongs to are looked for among all ``sockets``
    that have not ended.
    """
    if rows is None:
        situations = np.empty(len(sockets), np.uint8)
        for start in range(0, len(sockets), PIECE):
            places = np.arange(start, min(start + PIECE, len(sockets)))
            situations[start : start + PIECE] = classify(sockets, ages, ended, places)
        return situations
    chosen = np.asarray(rows, np.intp)
    every = Rows(sockets, chosen)
    states, protocols = every["state"], every["protocol"]
    situations = np.asarray(_PLAIN[states], np.uint8)
    handshakes: dict[int, NDArray[np.intp]] = {}
    for state, at in by_state(np.where(protocols == Protocol.UDP, _UDP, states)):
        few = every.only(at)
        if state in _REFINED:
            situations[at] = _REFINED[state](few, situations[at])
        elif state in _FIN_UNACKNOWLEDGED:
            situations[at] = _fin_unacknowledged(few, ages["min_ms"][chosen[at]], situations[at])
        else:
            handshakes[state] = at
    _handshakes(sockets, ended, every, handshakes, situations)
    return situations


@once
def of(update: Update) -> NDArray[np.uint8]:
    """(n,) the situation of every row of an update; 0 for a row that ended."""
    ended = update.life == Life.ENDED
    found = classify(update.sockets, update.ages, ended)
    found[ended] = 0
    return found


def has(sockets: SocketArray | Rows, group: Known) -> NDArray[np.bool_]:
    """Which rows know a group of fields; (n,) bool."""
    return np.asarray((sockets["known"] & int(group)) == int(group), np.bool_)


def unheld(sockets: SocketArray | Rows) -> NDArray[np.bool_]:
    """Which rows are known to be held by no descriptor; (n,) bool."""
    return np.asarray(has(sockets, Known.INODE) & (sockets["inode"] == 0))


def orphan(closed: Rows) -> NDArray[np.bool_]:
    """Which rows in FIN_WAIT2 were closed and are the kernel's alone; (n,) bool."""
    return np.asarray(has(closed, Known.MINI) | unheld(closed))


def queue_full(listening: Rows) -> NDArray[np.bool_]:
    """Which listeners have no room: more wait than the backlog (include/net/sock.h:sk_acceptq_is_full); (n,) bool."""
    return np.asarray(has(listening, Known.QUEUES) & (listening["recv_queue"] > listening["send_queue"]))


def zero_window(sockets: SocketArray | Rows) -> NDArray[np.bool_]:
    """Which rows have something to send that does not fit into the peer's window; (n,) bool.

    Either the window is known to be 0, or the persist timer runs and the window does not hold a segment
    (net/ipv4/tcp_output.c:tcp_snd_wnd_test). A persist timer beside a larger window has another, local cause.
    """
    windows = has(sockets, Known.WINDOWS)
    waiting = has(sockets, Known.QUEUES) & (sockets["send_queue"] > 0)
    persist = has(sockets, Known.TIMER) & (sockets["timer"] == Timer.PERSIST)
    closed = windows & (sockets["snd_wnd"] == 0)
    too_small = ~windows | (sockets["snd_wnd"] < sockets["snd_mss"])
    return np.asarray(waiting & (closed | (persist & too_small)))


def retransmitting(sockets: SocketArray | Rows) -> NDArray[np.bool_]:
    """Which rows wait for an acknowledgement that timed out at least once; (n,) bool."""
    on = has(sockets, Known.TIMER) & (sockets["timer"] == Timer.ON)
    return np.asarray(on & (sockets["retransmits"] > 0))


def back_off_undone(sockets: SocketArray | Rows) -> NDArray[np.bool_]:
    """Which retransmitting rows were told "unreachable" by a router or the neighbour table; (n,) bool.

    The kernel then takes back one step of back-off each time (net/ipv4/tcp_ipv4.c:tcp_ld_RTO_revert).
    ``retransmits`` is 8 bits wide, so ``total_rto`` counts where it can only mean the running episode.
    """
    count = sockets["retransmits"].astype(np.int32)
    single = has(sockets, Known.RTO_TOTALS) & (sockets["total_rto_recoveries"] == 1)
    count = np.where(single, np.maximum(count, sockets["total_rto"]), count)
    return np.asarray(has(sockets, Known.INFO) & (count >= sockets["backoff"].astype(np.int32) + REVERTED))


def _established(sockets: Rows, plain: NDArray[np.uint8]) -> NDArray[np.uint8]:
    info, queues = has(sockets, Known.INFO), has(sockets, Known.QUEUES)
    reading = queues & (sockets["recv_queue"] == 0)
    sending = queues & (sockets["send_queue"] > 0)
    since_received = sockets["last_data_recv"]
    quiet = np.minimum(sockets["last_data_sent"], since_received)
    situations = _first(
        plain,
        (queues & info & ~reading & (since_received >= UNREAD_MS), Situation.NOT_READING),
        (info & reading & ~sending & (quiet >= IDLE_MS), Situation.ESTABLISHED_IDLE),
    )
    busy = np.flatnonzero(sending)  # the columns below are read only where something is sent: few rows
    if len(busy):
        few = sockets.only(busy)
        retries = retransmitting(few)
        situations[busy] = _first(
            situations[busy],
            (zero_window(few), Situation.PEER_NOT_READING),
            (retries & back_off_undone(few), Situation.ESTABLISHED_UNREACHABLE),
            (retries, Situation.ESTABLISHED_RETRANSMITTING),
        )
    situations[unheld(sockets)] = Situation.ACCEPT_QUEUE
    return situations


def _close_wait(sockets: Rows, plain: NDArray[np.uint8]) -> NDArray[np.uint8]:
    queues = has(sockets, Known.QUEUES)
    running = np.isin(sockets["timer"], (Timer.ON, Timer.PERSIST)) & has(sockets, Known.TIMER)
    return _first(
        plain,
        (unheld(sockets), Situation.CLOSE_WAIT_UNACCEPTED),
        (running | (queues & (sockets["send_queue"] > 0)), Situation.CLOSE_WAIT_SENDING),
        (queues & (sockets["recv_queue"] > 0), Situation.CLOSE_WAIT_UNREAD),
        (queues, Situation.CLOSE_WAIT_READ),
    )


def _fin_wait2(sockets: Rows, plain: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return _first(
        plain,
        (orphan(sockets), Situation.FIN_WAIT2_ORPHAN),
        (has(sockets, Known.INODE), Situation.FIN_WAIT2_HELD),
    )


def _fin_unacknowledged(sockets: Rows, age: NDArray[np.int64], plain: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """FIN_WAIT1, LAST_ACK and CLOSING: our FIN has no acknowledgement."""
    queued = has(sockets, Known.QUEUES) & (sockets["send_queue"] > 0)
    off = has(sockets, Known.TIMER) & (sockets["timer"] == Timer.OFF)
    no_timer = unheld(sockets) & queued & off & (age >= NO_TIMER_MS)
    closed = zero_window(sockets)
    first_close = plain == Situation.FIN_WAIT1
    return _first(
        plain,
        (no_timer, Situation.FIN_WAIT1_NO_TIMER),
        (closed & first_close, Situation.FIN_WAIT1_ZERO_WINDOW),
        (closed & (plain == Situation.LAST_ACK), Situation.LAST_ACK_ZERO_WINDOW),
        (retransmitting(sockets) & first_close, Situation.FIN_WAIT1_UNANSWERED),
    )


def _udp(sockets: Rows, plain: NDArray[np.uint8]) -> NDArray[np.uint8]:
    connected = sockets["state"] == State.ESTABLISHED
    plain = np.where(connected, Situation.UDP_CONNECTED, Situation.UDP_UNCONNECTED).astype(np.uint8)
    return _first(plain, (has(sockets, Known.MEMORY) & (sockets["drops"] > 0), Situation.UDP_DROPS))


_UDP = 0xFF
"""Instead of a state, for every UDP socket."""
_REFINED: Mapping[int, Callable[[Rows, NDArray[np.uint8]], NDArray[np.uint8]]] = {
    State.ESTABLISHED: _established,
    State.CLOSE_WAIT: _close_wait,
    State.FIN_WAIT2: _fin_wait2,
    _UDP: _udp,
}
_FIN_UNACKNOWLEDGED = (State.FIN_WAIT1, State.LAST_ACK, State.CLOSING)


def _handshakes(
    sockets: SocketArray,
    ended: NDArray[np.bool_],
    every: Rows,
    by_state: Mapping[int, NDArray[np.intp]],
    situations: NDArray[np.uint8],
) -> None:
    """Refine LISTEN, SYN_SENT and SYN_RECV in place; the latter two depend on the listeners among all sockets.

    One that ended stays among them for a while with the queue it had, and takes no SYN any more.
    """
    none = np.empty(0, np.intp)
    at, receiving, asking = (by_state.get(state, none) for state in (State.LISTEN, State.SYN_RECV, State.SYN_SENT))
    if len(at):
        situations[at[queue_full(every.only(at))]] = Situation.LISTEN_QUEUE_FULL
    if not len(receiving) and not len(asking):
        return
    listening = Rows(sockets, np.flatnonzero((sockets["state"] == State.LISTEN) & ~ended))
    full = queue_full(listening)
    if len(receiving):
        few = every.only(receiving)
        # a SYN-ACK that was not repeated yet has at most the initial RTO to go
        deferred = has(few, Known.TIMER | Known.MINI) & (few["retransmits"] == 0) & (few["timer_ms"] > INITIAL_RTO_MS)
        own = _is_full(few["local_high"], few["local_low"], few["local_port"], listening, full)
        situations[receiving] = _first(
            situations[receiving], (deferred, Situation.SYN_RECV_DEFER_ACCEPT), (own, Situation.SYN_RECV_QUEUE_FULL)
        )
    if len(asking) and full.any():
        few = every.only(asking)
        high, low, port = few["remote_high"], few["remote_low"], few["remote_port"]
        here = _is_full(high, low, port, listening, full) & (
            ((high == 0) & (low >> np.uint64(24) == _V4_MAPPED << 8 | 127))
            | ((high == 0) & (low == 1))
            | ((high == few["local_high"]) & (low == few["local_low"]))
            | np.isin(endpoint_key(high, low, port), _keys(listening))
        )
        situations[asking[here]] = Situation.SYN_SENT_LOCAL_QUEUE_FULL


def _first(otherwise: NDArray[np.uint8], *choices: tuple[NDArray[np.bool_], Situation]) -> NDArray[np.uint8]:
    """The situation of the first mask that holds, row by row."""
    situations = otherwise.copy()
    for mask, situation in reversed(choices):
        situations[mask] = situation
    return situations


def endpoint_key(high: NDArray[np.uint64], low: NDArray[np.uint64], port: NDArray[np.uint16]) -> NDArray[np.uint64]:
    """One number per address and port, distinct but for a chance of 2^-64 a pair."""
    mixed = (high * np.uint64(0x9E3779B97F4A7C15)) ^ (high >> np.uint64(29))
    mixed = (mixed + low) * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    return np.asarray((mixed + port.astype(np.uint64)) * np.uint64(0x94D049BB133111EB))


def _keys(sockets: Rows) -> NDArray[np.uint64]:
    return endpoint_key(sockets["local_high"], sockets["local_low"], sockets["local_port"])


def _is_full(
    high: NDArray[np.uint64],
    low: NDArray[np.uint64],
    port: NDArray[np.uint16],
    listening: Rows,
    full: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Which local endpoints belong to a listener that is full: the exact address first, then the wildcards.

    Where SO_REUSEPORT put several listeners on one endpoint, one full one is enough.
    """
    answer = np.zeros(len(port), np.bool_)
    if not full.any():
        return answer
    every = _keys(listening)
    crowded = every[full]
    undecided = np.ones(len(port), np.bool_)
    v4 = (high == 0) & (low >> np.uint64(32) == _V4_MAPPED)
    nothing = np.zeros_like(high)
    wildcard = np.where(v4, np.uint64(_ANY_V4), np.uint64(0))
    for key in (
        endpoint_key(high, low, port),
        endpoint_key(nothing, wildcard, port),
        endpoint_key(nothing, nothing, port),
    ):
        answer |= undecided & np.isin(key, crowded)
        undecided &= ~np.isin(key, every)
    return answer
