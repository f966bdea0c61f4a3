"""Which socket a row is: the number that names it from poll to poll, and one for what it stands in.

Owns making these numbers. Must not remember any: that is ``tracker``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sockui.model.sockets import ENDS, PIECE, Known, Protocol, Rows, SocketArray, columns, mixed

_PEER = ("remote_port", "local_port", "remote_low", "remote_high")


def identities(sockets: SocketArray) -> NDArray[np.uint64]:
    """Name each socket by a number: its cookie, or where there is none a hash with the top bit set.

    The kernel's cookies are a counter that never reaches the top bit. The hash is over the 5-tuple and the inode; where
    that is not known either, of a socket without a peer over pid and descriptor too: a connection has its ends for
    itself, whoever holds it. Rows that nothing tells apart (SO_REUSEPORT in a text) are numbered.
    """
    keys: NDArray[np.uint64]
    keys, known = columns(sockets, "cookie", "known")
    without = np.flatnonzero(known & int(Known.COOKIE) == 0)
    for start in range(0, len(without), PIECE):
        rows = without[start : start + PIECE]
        keys[rows] = _hashes(Rows(sockets, rows)) | np.uint64(1 << 63)
    if len(without):
        keys[without] = _numbered(keys[without])
    return keys


def _hashes(rows: Rows) -> NDArray[np.uint64]:
    inode = rows["known"] & int(Known.INODE) != 0
    named = inode | ((rows["protocol"] == Protocol.TCP) & (rows["remote_port"] != 0))
    holder = (np.where(named, 0, rows[name]) for name in ("pid", "fd"))
    return mixed((*map(rows.__getitem__, ENDS), np.where(inode, rows["inode"], 0), *holder))


def _numbered(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The same with those that come again changed: the second, third ... of equal ones, in the order of the rows."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    first = np.append(True, ordered[1:] != ordered[:-1])
    again = np.flatnonzero(~first)
    if not len(again):
        return hashes
    number = again - np.maximum.accumulate(np.where(first, np.arange(len(first)), 0))[again]
    changed = hashes.copy()
    changed[order[again]] = mixed((ordered[again], number.astype(np.uint64))) | np.uint64(1 << 63)
    return changed


def standings(sockets: SocketArray) -> NDArray[np.uint64]:
    """One number for each row's state and connection: one descriptor can be connected again under its cookie."""
    stands = np.empty(len(sockets), np.uint64)
    for start in range(0, len(sockets), PIECE):
        rows = sockets[start : start + PIECE]
        peer = mixed(rows[name] for name in _PEER)
        peer[rows["protocol"] == Protocol.UDP] = 0  # one socket has many
        stands[start : start + PIECE] = mixed((peer, rows["state"]))
    return stands
