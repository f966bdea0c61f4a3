"""What was measured: a line of the budget, its peers, and how it is printed.

Owns ratios, medians and the words "holds" and "open". Must not measure.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """Repeated measurements of one thing."""

    typical: float  # the median, unless the line says that it is another quantile
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Median, least and most."""
        return cls(statistics.median(values), min(values), max(values))

    def text(self, unit: str) -> str:
        """``12.3 ms [11.9-14.0]``."""
        digits = 0 if unit == "bytes" else 2 if unit in ("s", "%") else 1
        low, typical, high = (f"{value:,.{digits}f}" for value in (self.low, self.typical, self.high))
        return f"{typical} {unit} [{low}-{high}]"


@dataclass(frozen=True, slots=True)
class Peer:
    """What a measurement is put beside."""

    name: str
    spread: Spread
    ratio: float  # sockui / peer
    at_most: float | None = None  # what the budget allows the ratio to be; None: nothing

    @classmethod
    def paired(cls, name: str, ours: Sequence[float], theirs: Sequence[float], at_most: float | None = None) -> Peer:
        """The ratio is the median of the ratios of measurements made one after the other, whatever else ran then."""
        ratio = statistics.median(our / their for our, their in zip(ours, theirs, strict=True))
        return cls(name, Spread.of(theirs), ratio, at_most)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the budget, measured."""

    what: str
    unit: str  # ms, s, MiB, bytes, %
    ours: Spread
    peers: tuple[Peer, ...] = ()
    at_most: float | None = None  # what the budget allows sockui itself, in ``unit``
    limited_by: str = ""  # what stands in the way, said where the line is open
    note: str = ""

    @property
    def budgeted(self) -> bool:
        """Whether the budget says anything about it."""
        return self.at_most is not None or any(peer.at_most is not None for peer in self.peers)

    @property
    def holds(self) -> bool:
        """Whether everything is within the budget."""
        own = self.at_most is None or self.ours.typical <= self.at_most
        return own and all(peer.at_most is None or peer.ratio <= peer.at_most for peer in self.peers)

    @property
    def verdict(self) -> str:
        """``holds``, ``open`` with what limits it, or "" where there is no budget."""
        if not self.budgeted:
            return ""
        limits = f": {self.limited_by}" if self.limited_by else ""
        return "holds" if self.holds else f"open{limits}"

    def text(self) -> str:
        """The line, and under it one for each peer."""
        own = f"budget <= {self.at_most:,g} {self.unit}" if self.at_most is not None else ""
        rows = [self.what, _row("sockui", self.ours.text(self.unit), "", own)]
        for peer in self.peers:
            budget = f"budget <= {peer.at_most:g} x" if peer.at_most is not None else ""
            ratio = f"{peer.ratio:.{2 if peer.ratio >= 0.1 else 3}f} x"
            rows.append(_row(peer.name, peer.spread.text(self.unit), ratio, budget))
        rows += [f"  {words}" for words in (self.verdict, self.note) if words]
        return "\n".join(rows)


def _row(name: str, measured: str, ratio: str, budget: str) -> str:
    return f"    {name:34}{measured:>32}{ratio:>11}   {budget}".rstrip()


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]
