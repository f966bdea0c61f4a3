"""What was measured: a line of the budget, what it stands beside, and how that is printed, kept and compared.

Owns ratios, medians, and the words "yes", "no" and "not measured". Must not measure, nor know why a line is open
(``reasons``).
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.reasons import REASONS

AGREE = 0.2
"""By how much the ratios of two runs may differ."""
_WIDTHS = (66, 9, 26, 34, 28, 9, 11, 12)
_HEADINGS = ("line", "sockets", "sockui", "beside", "theirs", "ratio", "budget", "met")


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
        """``12.3 ms [11.9-14.0]``; ``200 MiB`` where there is nothing between least and most."""
        digits = 0 if unit in ("bytes", "sockets") else 2 if unit in ("s", "%", "KiB") else 1
        low, typical, high = (f"{value:,.{digits}f}" for value in (self.low, self.typical, self.high))
        return f"{typical} {unit}" if low == typical == high else f"{typical} {unit} [{low}-{high}]"


@dataclass(frozen=True, slots=True)
class Beside:
    """A peer or a limit that a measurement stands beside."""

    name: str
    theirs: Spread | None  # None: not measured
    ratio: float | None  # sockui / theirs; None: not measured, or the limit is nothing at all
    at_most: float | None = None  # what the budget allows the ratio to be; None: nothing is asked
    why: str = ""  # it was not measured

    @classmethod
    def paired(cls, name: str, ours: Sequence[float], theirs: Sequence[float], at_most: float | None = None) -> Beside:
        """The ratio is the median of the ratios of measurements made one after the other, whatever else ran then."""
        ratio = statistics.median(our / their for our, their in zip(ours, theirs, strict=True))
        return cls(name, Spread.of(theirs), ratio, at_most)

    @classmethod
    def limit(cls, ours: Spread, most: float) -> Beside:
        """What the budget allows sockui itself, in the line's unit."""
        return cls("the limit", Spread(most, most, most), ours.typical / most if most else None, 1.0)

    @classmethod
    def missing(cls, name: str, why: str, at_most: float | None = None) -> Beside:
        """A peer that is not there: what is asked for beside it is neither met nor not."""
        return cls(name, None, None, at_most, why)

    def met(self, ours: Spread) -> str:
        """``yes``, ``no``, ``not measured``, or "" where nothing is asked."""
        if self.at_most is None:
            return ""
        if self.theirs is None:
            return "not measured"
        within = ours.typical <= 0 if self.ratio is None else self.ratio <= self.at_most
        return "yes" if within else "no"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the budget, measured."""

    name: str  # "group: what"; two runs are compared by it, and ``reasons`` are found by it
    sockets: int
    unit: str  # ms, s, us, MiB, KiB, bytes, paints, sockets, %
    ours: Spread
    besides: tuple[Beside, ...] = ()
    profile: str = ""  # what this run showed about where the time, bytes or memory go

    @property
    def met(self) -> str:
        """The worst of what is asked."""
        said = {beside.met(self.ours) for beside in self.besides}
        return next((word for word in ("no", "not measured", "yes") if word in said), "")

    def rows(self, number: int) -> str:
        """Rows of a Markdown table, one for each beside; ``number`` is that of the footnote."""
        begun = [self.name, f"{self.sockets:,}", self.ours.text(self.unit)]
        if not self.besides:
            return _row([*begun, "", "", "", "", ""])
        rows = []
        for beside in self.besides:
            met = beside.met(self.ours)
            theirs = beside.theirs.text(self.unit) if beside.theirs else beside.why
            ratio = "" if beside.ratio is None else f"{beside.ratio:.{2 if beside.ratio >= 0.1 else 3}f} x"
            budget = "" if beside.at_most is None else f"<= {beside.at_most:g} x" if beside.ratio != 0 else "0"
            if beside.name == "the limit":
                budget = f"<= {theirs}"
            rows.append(_row([*begun, beside.name, theirs, ratio, budget, f"{met} [{number}]" if met == "no" else met]))
            begun = ["", "", ""]
        return "\n".join(rows)

    def footnote(self, number: int) -> str:
        """Why the line is not met; "" if it is."""
        if self.met != "no":
            return ""
        reason = REASONS.get(self.name.partition(" (")[0], "No reason is written down yet: this one is new.")
        profile = f" Measured in this run: {self.profile}." if self.profile else ""
        return f"[{number}] {self.name}: {reason}{profile}"


def headings() -> str:
    """The first two lines of the table."""
    return f"{_row(_HEADINGS)}\n{_row(['-' * width for width in _WIDTHS])}"


def footnotes(lines: Sequence[Line]) -> str:
    """What stands below the table: how much is met, and why the rest is not."""
    asked = [line for line in lines if line.met]
    counts = {word: sum(line.met == word for line in asked) for word in ("yes", "no", "not measured")}
    said = f"{counts['yes']} of {len(asked)} lines are met, {counts['no']} are not"
    if counts["not measured"]:
        said += f", {counts['not measured']} not measured"
    return "\n\n".join([f"{said}.", *filter(None, (line.footnote(at) for at, line in enumerate(lines, 1)))])


def as_json(about: dict[str, Any], lines: Iterable[Line]) -> str:
    """One object: ``about`` the run, and ``lines`` with the verdicts."""
    told = [{**asdict(line), "met": line.met, "reason": line.footnote(at)} for at, line in enumerate(lines, 1)]
    return json.dumps({"about": about, "lines": told}, indent=2)


def compare(first: Path, second: Path) -> tuple[str, int]:
    """Each ratio of two runs and their difference; and how many differ by more than they may."""
    before, after = (_ratios(json.loads(path.read_text())) for path in (first, second))
    rows, apart = [], 0
    for key in [*before, *(key for key in after if key not in before)]:
        one, other = before.get(key), after.get(key)
        if one is None or other is None:
            rows.append((*key, _number(one), _number(other), "only in one"))
            continue
        difference = other / one - 1 if one else float(other != one)
        far = abs(difference) > AGREE
        apart += far
        rows.append((*key, _number(one), _number(other), f"{difference:+.0%}{'  apart' if far else ''}"))
    text = "\n".join(
        f"{name:62} {sockets:>9,}  {beside:34} {a:>9} {b:>9}  {d}" for name, sockets, beside, a, b, d in rows
    )
    return f"{text}\n\n{apart} of {len(rows)} ratios differ by more than {AGREE:.0%}.", apart


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def _ratios(run: dict[str, Any]) -> dict[tuple[str, int, str], float]:
    """The ratio of every beside; where the limit is nothing at all, what was measured."""
    return {
        (line["name"], line["sockets"], beside["name"]): line["ours"]["typical"]
        if beside["ratio"] is None
        else beside["ratio"]
        for line in run["lines"]
        for beside in line["besides"]
        if beside["theirs"] is not None
    }


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(f"{cell:{width}}" for cell, width in zip(cells, _WIDTHS, strict=True)) + " |"
