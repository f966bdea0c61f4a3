"""What a page is about, a socket or a finding, found again after every poll.

Owns finding it, and what the pages ask of it. Must not hold words or touch widgets.
"""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from sockui.actions import Plan, plan_close, plan_signal
from sockui.diagnosis.finding import Finding, Findings
from sockui.tracker import Update
from sockui.tui import wording
from sockui.view import findings as said
from sockui.view import summary
from sockui.view.explain import explain
from sockui.view.format import escape, moment
from sockui.view.remedy import remedy
from sockui.view.step import Step


@dataclass(frozen=True, slots=True)
class Advice:
    """A remediation page."""

    title: str
    heading: str  # what exactly it is about
    note: str  # what holds for the whole page; "" nothing
    steps: Sequence[Step]  # least harmful first
    do_not: Sequence[tuple[str, str]]  # what, why


SIGNALS = (signal.SIGTERM, signal.SIGCONT, signal.SIGKILL)
"""What may be sent to a process: to end it, to let it go on, and to end it whatever it does."""


@dataclass(frozen=True, slots=True)
class Act:
    """Something that can be done; ``plan`` raises :class:`ActionError` where it is not allowed."""

    text: str
    plan: Callable[[bool], Plan]  # given whether actions are allowed


class Subject(ABC):
    """Something that a page is about. Once it is gone, what was last known of it is kept."""

    @abstractmethod
    def page(self) -> Advice:
        """What to do about it now."""

    @abstractmethod
    def text(self) -> str:
        """The page as Markdown."""

    @abstractmethod
    def acts(self) -> Sequence[Act]:
        """What can be done about it on this host."""

    @abstractmethod
    def elsewhere(self) -> str:
        """The text that it is in, so that nothing can be done about it from here; "" if it is on this host."""

    def note(self, own: str) -> str:
        """What holds for the whole page: ``own``, and of a text that its commands are not for here."""
        text = self.elsewhere()
        return f"{own} This is a {text}: the commands are for its host, not for this one.".strip() if text else own


class SocketSubject(Subject):
    """A socket by its identity."""

    def __init__(self, newest: Callable[[], Findings], index: int) -> None:
        """``newest`` gives the latest findings; ``index`` is the socket's row in their update."""
        self._newest = newest
        self._findings = newest()
        self._index = index
        self._key = self._findings.update.keys[index]

    def _now(self) -> tuple[Update, int]:
        findings = self._newest()
        if findings is not self._findings:
            found = np.flatnonzero(findings.update.keys == self._key)
            if len(found):
                self._findings, self._index = findings, int(found[0])
        return self._findings.update, self._index

    def page(self) -> Advice:
        now = self._now()
        known = remedy(*now)
        return Advice(known.title, explain(*now).heading, self.note(known.note), known.steps, known.do_not)

    def text(self) -> str:
        return summary.remedy_text(*self._now())

    def acts(self) -> Sequence[Act]:
        update, index = self._now()
        acts = [_close(update, np.array([index]), "this socket")]
        finding = next((item for item in self._findings.items if (item.rows == index).any()), None)
        if finding is not None and len(finding.rows) > 1:
            acts.append(_close(update, finding.rows, f"all {len(finding.rows):,} sockets of its finding"))
        return [*acts, *_signals(update, int(update.sockets["pid"][index]))]

    def elsewhere(self) -> str:
        return wording.text_of(self._now()[0].snapshot)

    def full(self) -> str:
        """All that is known of it."""
        return summary.full(*self._now())


class FindingSubject(Subject):
    """A finding by its key."""

    def __init__(self, newest: Callable[[], Findings], finding: Finding) -> None:
        """``newest`` gives the latest findings, which ``finding`` is one of."""
        self._newest = newest
        self._findings = newest()
        self._finding = finding
        self._gone = False

    def _now(self) -> tuple[Findings, Finding]:
        findings = self._newest()
        if findings is not self._findings:
            found = next((item for item in findings.items if item.key == self._finding.key), None)
            self._gone = found is None
            if found is not None:
                self._findings, self._finding = findings, found
        return self._findings, self._finding

    def page(self) -> Advice:
        known = said.say(*self._now())
        note = "The last poll did not find this any more; what stands here is from before." if self._gone else ""
        return Advice(known.title, known.summary, self.note(note), known.steps, known.do_not)

    def text(self) -> str:
        return markdown_of(said.remedy_text, *self._now())

    def acts(self) -> Sequence[Act]:
        findings, finding = self._now()
        number = len(finding.rows)
        what = "its one socket" if number == 1 else f"all {number:,} sockets of this finding"
        close = [_close(findings.update, finding.rows, what)] if number else []
        return [*close, *_signals(findings.update, finding.pid)]

    def elsewhere(self) -> str:
        return wording.text_of(self._now()[0].update.snapshot)


def _close(update: Update, rows: NDArray[np.intp], what: str) -> Act:
    return Act(f"Close {what}", lambda allowed: plan_close(update, rows, allowed=allowed))


def _signals(update: Update, pid: int) -> list[Act]:
    if pid not in update.snapshot.processes:
        return []
    name = f"{escape(update.snapshot.processes[pid].name)} {pid}"
    return [Act(f"Send {each.name} to {name}", partial(_signal, update, pid, each)) for each in SIGNALS]


def _signal(update: Update, pid: int, number: signal.Signals, allowed: bool) -> Plan:
    return plan_signal(update, pid, number, allowed=allowed)


def markdown_of(text: Callable[..., str], findings: Findings, finding: Finding) -> str:
    """What one of the texts of ``view.findings`` says of a finding, on its host at its time."""
    snapshot = findings.update.snapshot
    return text(findings, finding, host=snapshot.host.name, moment=moment(snapshot.taken_at))
