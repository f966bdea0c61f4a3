"""Snapshot -> Update: which sockets are the same as before, new or gone, and since when in their state.

Owns identity across polls and the tracker's own clock. Must not read the kernel, judge or format.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from sockui.ages import AgeArray
from sockui.model import Snapshot, SocketArray


class Life(IntEnum):
    """Where a row stands in its life on the screen."""

    PRESENT = 0
    NEW = 1  # first seen in this poll, and not in the first poll of all
    MISSED = 2  # absent from one dump; dumps are not atomic, so this proves nothing yet
    ENDED = 3  # absent from two dumps in a row; stays for a few seconds


@dataclass(frozen=True, eq=False, slots=True)
class Update:
    """One poll, understood: rows are the snapshot's sockets, then those missed, then those that ended lately."""

    snapshot: Snapshot
    sockets: SocketArray  # (n,) SOCKET; rows of MISSED and ENDED sockets are as they were last seen
    ages: AgeArray  # (n,) AGE, at snapshot.monotonic
    life: NDArray[np.uint8]  # (n,) Life
    path: NDArray[np.uint64]  # (n,) states that were seen, 4 bits each, the present one in the lowest 4
    opened: int  # sockets that appeared since the previous poll
    closed: int  # sockets that ended since the previous poll
