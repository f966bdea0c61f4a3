"""How long sockets have not moved: waiting for accept(), an acknowledgement, the peer's window, or a read.

Owns these intervals (TCP-FACTS B.2). Must not judge them, and never reads a field that a row does not know.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sockui.diagnosis.situations import has, retransmitting, unheld, zero_window
from sockui.model import Known, Protocol, SocketArray, State, Timer
from sockui.model.sockets import PIECE, Rows


class Wait(IntEnum):
    """What a socket waits for; the lower-case name is what the words call it."""

    NOTHING = 0
    ACCEPT = 1  # for accept(); exact
    ZERO_WINDOW = 2  # for room in the peer's window: no data could leave
    OUTAGE = 3  # for the acknowledgement that it repeats for
    NOT_READING = 4  # for our application to read what came


STALL = np.dtype([("wait", "u1"), ("min_ms", "i8"), ("max_ms", "i8")], align=True)
"""wait: :class:`Wait`. min_ms: at least, ms. max_ms: at most, ms; -1 nothing bounds it."""

_SPEAKING = (State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT1, State.FIN_WAIT2, State.CLOSING, State.LAST_ACK)
_FIN_RECEIVED = (State.CLOSE_WAIT, State.LAST_ACK, State.CLOSING)


def stalls(sockets: SocketArray, rows: NDArray[np.intp] | None = None) -> NDArray[Any]:
    """Since when each socket has not moved; ``sockets`` is (n,) SOCKET, the result (n,) or (len(rows),) STALL.

    Those of another protocol or state, or whose fields are not known, wait for nothing. The first that holds
    counts: accept, window, acknowledgement, read.
    """
    rows = np.arange(len(sockets)) if rows is None else np.asarray(rows, np.intp)
    found = np.zeros(len(rows), STALL)
    found["max_ms"] = -1
    for start in range(0, len(rows), PIECE):
        _fill_in(found[start : start + PIECE], Rows(sockets, rows[start : start + PIECE]))
    return found


def _fill_in(found: NDArray[Any], chosen: Rows) -> None:
    """The same for some sockets."""
    states = chosen["state"]
    known = has(chosen, Known.INFO | Known.TIMER | Known.QUEUES) & (chosen["protocol"] == Protocol.TCP)
    known &= np.isin(states, _SPEAKING)
    sent, received, heard = (
        chosen[name].astype(np.int64) for name in ("last_data_sent", "last_data_recv", "last_ack_recv")
    )
    busy = np.where(has(chosen, Known.COUNTERS), (chosen["busy_time"] // np.uint64(1000)).astype(np.int64), -1)

    unread = chosen["recv_queue"].astype(np.int64) - np.isin(states, _FIN_RECEIVED) > 0
    closed = has(chosen, Known.WINDOWS) & (chosen["rcv_wnd"] == 0)
    _fill(
        found,
        known & unread & (states != State.FIN_WAIT2),
        Wait.NOT_READING,
        np.where(closed, received, 0),
        received,
    )
    least, most = _outage(chosen, heard, busy)
    _fill(found, known & retransmitting(chosen), Wait.OUTAGE, least, most)
    persist = chosen["timer"] == Timer.PERSIST  # a window probe is not data
    least = np.where(persist | (busy < 0), sent, np.minimum(sent, busy))
    _fill(found, known & zero_window(chosen), Wait.ZERO_WINDOW, least, np.where(persist, sent, busy))
    waiting = np.isin(states, (State.ESTABLISHED, State.CLOSE_WAIT)) & unheld(chosen)
    _fill(found, known & waiting, Wait.ACCEPT, sent, sent)


def waited(least: NDArray[np.int64], most: NDArray[np.int64]) -> NDArray[Any]:
    """Intervals that something else than a stall tells; ``least`` and ``most`` are (n,) ms, the result (n,) STALL."""
    found = np.zeros(len(least), STALL)
    found["min_ms"], found["max_ms"] = least, most
    return found


def only_episode(sockets: SocketArray | Rows) -> NDArray[np.bool_]:
    """Which rows' totals of timeouts count the running episode alone; (n,) bool."""
    return np.asarray(has(sockets, Known.RTO_TOTALS) & (sockets["total_rto_recoveries"] == 1))


def _fill(
    found: NDArray[Any], mask: NDArray[np.bool_], wait: Wait, least: NDArray[np.int64], most: NDArray[np.int64]
) -> None:
    found["wait"][mask] = wait
    found["min_ms"][mask] = least[mask]
    found["max_ms"][mask] = most[mask]


def _outage(
    sockets: Rows, heard: NDArray[np.int64], busy: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """From the back-off schedule, or the total if this is the first episode.

    Back-off that was undone (RFC 6069) makes the schedule too short, never too long. The peer's last
    acknowledgement bounds it unless it came later than the loss began: then only one direction is cut.
    """
    rto = sockets["rto"].astype(np.int64) // 1000
    backoff = np.minimum(sockets["backoff"], 62)
    least = rto - (rto >> backoff) + np.maximum(rto - sockets["timer_ms"].astype(np.int64), 0)
    least = np.where(only_episode(sockets), np.maximum(least, sockets["total_rto_time"]), least)
    far = np.iinfo(np.int64).max
    most = np.minimum(np.where(heard >= least, heard, far), np.where((busy >= 0) & (busy >= least), busy, far))
    return least, np.where(most == far, -1, most)
