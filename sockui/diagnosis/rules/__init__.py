"""The rules of TCP-FACTS section G, each a small pure function from a census to drafts of findings.

Owns the list of them. A rule decides when, how bad and about which rows; it must hold no words and do no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sockui.diagnosis.census import Census
from sockui.diagnosis.finding import Draft
from sockui.diagnosis.rules import capacity, closing, handshakes, host, moving

Rule = Callable[[Census], Iterable[Draft]]

RULES: tuple[Rule, ...] = (
    *host.RULES,
    *capacity.RULES,
    *handshakes.RULES,
    *closing.RULES,
    *moving.RULES,
)
"""Every rule; those that explain others' sockets come first."""
