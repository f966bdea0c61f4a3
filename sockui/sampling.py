"""A few polls, one after the other, and what they found: for a report, where nobody stays to look.

Owns when is looked again and what Ctrl-C means. Must not print: ``wait`` shows what is to be shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from sockui.diagnosis.finding import Findings
from sockui.errors import CollectError
from sockui.poller import Poller

CLOSEST = 1.0
"""Seconds between two polls: what must hold in both (a handshake's timer set anew) may hold for less by chance."""
_POINTS = 5
"""What a trend needs, ``diagnosis.trend``."""


def sample(
    poller: Poller, seconds: float, wait: Callable[[float, float], None], clock: Callable[[], float] = time.monotonic
) -> Findings:
    """Look now, after ``seconds``, and in between as often as the poller's interval says, or a trend needs.

    ``wait`` gets how long to wait and how much is left in all, seconds; ``clock`` is in seconds. A KeyboardInterrupt
    after the first poll ends it early. A poll that fails is left out; raises :class:`CollectError` if fewer than two
    succeed.
    """
    poll = poller.tick()
    if poll.findings is None:
        raise CollectError(poll.error)
    found, last = poll.findings, clock() + seconds
    try:
        while True:
            left = max(0.0, last - clock())
            looks = max(1, round(left / min(poll.interval, max(CLOSEST, seconds / _POINTS))))
            wait(left / looks, left)
            poll = poller.tick()
            found = poll.findings or found
            if looks == 1 or clock() >= last:
                break
    except KeyboardInterrupt:
        return found
    if found.polls < 2:
        raise CollectError(poll.error)
    return found
