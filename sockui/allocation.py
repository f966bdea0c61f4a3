"""How freed memory goes back to the system while polling for hours.

Owns what is asked of glibc's malloc(3). Must not allocate or know what for.
"""

from __future__ import annotations

import contextlib
import ctypes

LARGE = 1 << 20
"""Bytes from which on an array is mapped on its own, and given back when it is freed.

Left alone, glibc raises this limit to the largest array ever freed (up to 32 MiB): each poll's arrays then leave holes
of many sizes in the heap of each thread, and resident memory creeps up though nothing is kept. At 24,000 sockets with
500 ending a second: 104 MiB after 84 s, 87 with this, for 11.5 s of CPU time instead of 11.3 (one run each).
"""
_M_MMAP_THRESHOLD = -3  # malloc.h; mallopt(3)


def give_large_arrays_back() -> None:
    """From now on. Where the C library has no mallopt, nothing happens."""
    with contextlib.suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE)


def give_holes_back() -> None:
    """Now, once: what is free between what is kept. Where the C library has no malloc_trim(3), nothing happens.

    The arrays below ``LARGE`` leave holes in the heap of the thread that polls, and that heap grows by and by. At
    100,000 sockets with 1,000 replaced a second it held 10 MiB and had 30 MiB after half a minute, 36 after eight;
    given back once a minute it had 32 all the time. It takes 4 ms of CPU time there.
    """
    with contextlib.suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
