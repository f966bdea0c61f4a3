"""Connections that wait for accept(): nobody holds them yet, their listener's process will.

Owns which listener a connection came through. Must not read anything.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sockui.model import Known, Owner, Protocol, SocketArray, State

_QUEUED_STATES = (State.ESTABLISHED, State.CLOSE_WAIT, State.SYN_RECV)  # SYN_RECV: TCP Fast Open
_WILDCARDS = (0, 0xFFFF << 32)  # low halves of :: and ::ffff:0.0.0.0


def fill_queued(sockets: SocketArray, candidates: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Give connections that wait for accept() their listener's columns; ``owner`` of each listener without a pid.

    A child has its listener's family, and its device if the listener is bound to one. Of several listeners
    that fit, one with the same address goes before a wildcard, one bound to a device before one that is not,
    and in a SO_REUSEPORT group, where the kernel does not tell, the one with the longest queue.
    """
    rows = np.flatnonzero(candidates)
    rows = rows[np.isin(sockets["state"][rows], _QUEUED_STATES) & ((sockets["known"][rows] & Known.MINI) == 0)]
    rows = rows[sockets["protocol"][rows] == Protocol.TCP]
    if not len(rows):
        return np.empty(0, np.uint8)
    rows = rows[np.argsort(sockets["local_port"][rows])]
    ports = sockets["local_port"][rows].astype(np.int64)
    listening = np.flatnonzero(sockets["state"] == State.LISTEN)
    listening = listening[np.isin(sockets["local_port"][listening], ports)]
    specific = (sockets["local_high"][listening] != 0) | ~np.isin(sockets["local_low"][listening], _WILDCARDS)
    order = np.lexsort((sockets["recv_queue"][listening], sockets["interface"][listening] != 0, specific))
    listener = np.full(len(rows), -1, np.intp)
    for index, own_address in zip(listening[order].tolist(), specific[order].tolist(), strict=True):
        row = sockets[index]
        first, last = np.searchsorted(ports, [int(row["local_port"]), int(row["local_port"]) + 1])
        group = rows[first:last]
        fits = sockets["family"][group] == row["family"]
        if own_address:
            fits &= sockets["local_high"][group] == row["local_high"]
            fits &= sockets["local_low"][group] == row["local_low"]
        if row["interface"]:
            fits &= sockets["interface"][group] == row["interface"]
        listener[first:last][fits] = index  # a better one comes later and overwrites it
    rows, listener = rows[listener >= 0], listener[listener >= 0]
    for name in ("pid", "fd", "holders"):
        sockets[name][rows] = sockets[name][listener]
    sockets["owner"][rows] = Owner.LISTENER
    unnamed: NDArray[np.uint8] = sockets["owner"][listener[sockets["pid"][listener] == 0]]
    return unnamed
