"""How long each socket has been in its present state, as an interval with a source.

Owns the bounds that the kernel's own fields give (TCP-FACTS table B.2). Must not remember anything
between polls: that is ``tracker``, which narrows these bounds with what it saw itself.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray


class AgeSource(IntEnum):
    """What an age rests on; the lower-case name is the JSON value."""

    NONE = 0
    OBSERVED = 1  # sockui saw the change of state
    TIMER = 2  # the running timer
    LAST_ACK = 3  # time since the last segments
    BUSY = 4  # time with anything unacknowledged
    RETRANSMITS = 5  # retransmission totals
    FIRST_SEEN = 6  # nothing but how long sockui has watched


AGE = np.dtype([("min_ms", "i8"), ("max_ms", "i8"), ("source", "u1")], align=True)
"""min_ms: at least, ms (never unknown, 0 if nothing is). max_ms: at most, ms; -1 nothing bounds it. source: AgeSource."""

AgeArray: TypeAlias = "NDArray[Any]"
"""A 1-d array of dtype :data:`AGE`, aligned with the sockets it belongs to."""
