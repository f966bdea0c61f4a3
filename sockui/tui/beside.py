"""Work that takes its time, beside the screen.

Owns where it is done: in a thread, or at once where none may be started. Must not know what it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")


async def beside(work: Callable[[], _T]) -> _T:
    """Do it in a thread of its own. Where the limits of this host allow no more of them the screen waits for it."""
    pool = ThreadPoolExecutor(1)  # asyncio's own would need another thread to end it
    try:
        job = pool.submit(work)
    except RuntimeError:  # no thread was started
        return work()
    finally:
        pool.shutdown(wait=False)
    return await asyncio.wrap_future(job)
