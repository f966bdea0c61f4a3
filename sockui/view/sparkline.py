"""A series of counts as one line of text.

Owns the characters. Must not decide what is counted or over which time (``diagnosis.history`` does).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.:-=+*#"


def sparkline(values: ArrayLike, width: int, *, ascii_only: bool = False) -> str:
    """Draw (n,) counts in exactly ``width`` characters, the newest at the right end.

    Scaled from 0 to the greatest: only 0 has the lowest character, only what is near the greatest the highest.
    NaN, and what is missing where there are fewer counts than characters, is a space. Of more counts than
    characters the greatest of each stretch is shown.
    """
    counts = np.asarray(values, np.float64)
    if len(counts) > width > 0:
        counts = np.fmax.reduceat(counts, np.arange(width) * len(counts) // width)
    counts = counts[:width]
    known = ~np.isnan(counts)
    greatest = counts[known].max(initial=0.0)
    share = np.where(known, counts, 0.0) / greatest if greatest > 0 else np.zeros(len(counts))
    levels = np.ceil(np.clip(share, 0.0, 1.0) * (len(_BLOCKS) - 1)).astype(np.intp)
    characters = np.array(list(_ASCII if ascii_only else _BLOCKS))
    return "".join(np.where(known, characters[levels], " ").tolist()).rjust(width)
