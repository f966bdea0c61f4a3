"""Which findings are new to the person at the screen, and which were acknowledged.

Owns what counts as news. Must not judge findings, hold words or touch widgets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sockui.diagnosis.finding import Finding, Findings, Severity

FORGET_SECONDS = 600.0
"""A finding that was absent for so long is another one when it comes back; so the diagnosis sees it too."""


@dataclass(slots=True)
class _Known:
    since: float  # CLOCK_MONOTONIC, s: the finding's own, which tells it from a later one with the same key
    worse: int
    seen: float  # CLOCK_MONOTONIC, s, when it was last among the findings
    acknowledged: int = 0  # its count when somebody acknowledged it; 0 nobody did


@dataclass(frozen=True, slots=True)
class Item:
    """Something to announce."""

    finding: Finding  # as it was then
    worse: bool  # it was there already and has got worse; False: it is new


class News:
    """Follows findings from poll to poll. News is what needs somebody and was not so before.

    It stays news until a poll after the findings were in view.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._new: dict[str, Item] = {}
        self._watched = False  # at the last poll

    def take(self, findings: Findings, watched: bool) -> Sequence[Item]:
        """Compare a poll's findings with those before; return what is to be announced now.

        ``watched`` is whether the findings are in view. What was there when the watching began is no news, and
        rules about change speak first at the second poll.
        """
        now = findings.update.snapshot.monotonic
        silent = findings.polls == 1 or (findings.polls == 2 and watched)
        present = {item.key for item in findings.items}
        self._new = {} if self._watched and watched else {k: v for k, v in self._new.items() if k in present}
        self._watched = watched
        announced = []
        for item in findings.items:
            known = self._known.get(item.key)
            if known is None or known.since != item.since:
                changed, worse = True, False
                known = self._known[item.key] = _Known(item.since, item.worse, now)
            else:
                doubled = known.acknowledged > 0 and item.count >= 2 * known.acknowledged
                changed = worse = item.worse > known.worse or doubled
                known.acknowledged = 0 if worse else known.acknowledged
            known.worse, known.seen = item.worse, now
            if changed and not silent and item.severity >= Severity.WARNING:
                announced.append(Item(item, worse))
        self._new |= {item.finding.key: item for item in announced}
        self._known = {key: known for key, known in self._known.items() if now - known.seen < FORGET_SECONDS}
        return announced

    @property
    def items(self) -> Sequence[Item]:
        """What is news now."""
        return list(self._new.values())

    def about(self, finding: Finding) -> bool:
        """Whether a finding is news."""
        return finding.key in self._new

    def acknowledged(self, finding: Finding) -> bool:
        """Whether somebody knows of it, and it has not got worse since: no higher severity, less than twice as many."""
        known = self._known.get(finding.key)
        return known is not None and known.since == finding.since and known.acknowledged > 0

    def acknowledge(self, finding: Finding) -> bool:
        """Acknowledge a finding, or take that back; say whether it is acknowledged now."""
        known = self._known[finding.key]
        known.acknowledged = 0 if known.acknowledged else max(finding.count, 1)
        return known.acknowledged > 0

    def in_order(self, items: Sequence[Finding]) -> list[Finding]:
        """The findings as they are listed: those that are acknowledged last, else as they came."""
        return sorted(items, key=self.acknowledged)
