"""A finding in words: title, evidence, causes, what to do; the filter that shows its sockets; Markdown for a channel.

Owns the wording of findings, from ``knowledge/findings``. Must not decide what is a finding.
"""

from __future__ import annotations

from dataclasses import dataclass

from sockui.diagnosis.finding import Finding, Findings
from sockui.view.remedy import Step


@dataclass(frozen=True, slots=True)
class Cause:
    """Why it may be so."""

    text: str
    tell: str  # how to tell
    likely: bool  # the numbers speak for it


@dataclass(frozen=True, slots=True)
class Said:
    """A finding in words; every text is harmless to show, names from outside are escaped."""

    id: str  # the rule, "R02"
    severity: str  # "critical", "warning" or "info"
    title: str  # one line without the process: "CLOSE_WAIT: EOF read, not closed"
    summary: str  # one to three sentences with the process and the numbers
    process: str  # "java 4312", "" if no process of this host is meant or it is not known
    where: str  # ":8080", "10.0.0.5:5432", "" none
    age: str  # "9 min to 42 min", "≥ 42 min", "" unknown
    trend: str  # "+12/min for 9 min", "steady", "" too early to say
    forecast: str  # "out of file descriptors (812 of 1,024) in about 14 min", "" none
    evidence: tuple[tuple[str, str], ...]  # name, value: lines of the evidence table
    turn: str  # whose turn it is, a sentence
    ends: str  # what ends it and when, a sentence
    causes: tuple[Cause, ...]  # most likely first
    steps: tuple[Step, ...]  # the ladder, least harmful first
    do_not: tuple[tuple[str, str], ...]  # what, why
    filter: str  # shows its sockets; "" it has none


def say(findings: Findings, finding: Finding) -> Said:
    """Put a finding into words. Costs a few ms: for the one that is looked at, or for a report."""
    raise NotImplementedError


def title(finding: Finding) -> str:
    """The title alone; cheap, for a table."""
    raise NotImplementedError


def filter_text(finding: Finding) -> str:
    """A filter that shows the sockets of a finding, in the filter language; "" if it has none."""
    raise NotImplementedError


def markdown(findings: Findings, finding: Finding, *, host: str, moment: str) -> str:
    """A finding for an incident channel: title, impact, evidence, forecast, next three steps, host and time."""
    raise NotImplementedError
