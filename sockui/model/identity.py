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

    The kernel's cookies are a counter that never reaches the top bit. The hash is over the 5-tuple and the
    inode, and over pid and descriptor where the inode is not known either.
    """
    keys: NDArray[np.uint64]
    keys, known = columns(sockets, "cookie", "known")
    without = np.flatnonzero(known & int(Known.COOKIE) == 0)
    for start in range(0, len(without), PIECE):
        rows = without[start : start + PIECE]
        keys[rows] = _hashes(Rows(sockets, rows)) | np.uint64(1 << 63)
    return keys


def _hashes(rows: Rows) -> NDArray[np.uint64]:
    inode = rows["known"] & int(Known.INODE) != 0
    without = (np.where(inode, 0, rows[name]) for name in ("pid", "fd"))
    return mixed((*map(rows.__getitem__, ENDS), np.where(inode, rows["inode"], 0), *without))


def standings(sockets: SocketArray) -> NDArray[np.uint64]:
    """One number for each row's state and connection: one descriptor can be connected again under its cookie."""
    stands = np.empty(len(sockets), np.uint64)
    for start in range(0, len(sockets), PIECE):
        rows = sockets[start : start + PIECE]
        peer = mixed(rows[name] for name in _PEER)
        peer[rows["protocol"] == Protocol.UDP] = 0  # one socket has many
        stands[start : start + PIECE] = mixed((peer, rows["state"]))
    return stands
