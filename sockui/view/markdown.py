"""What is copied in Markdown is made of: text from outside, and steps.

Owns the one way in which each stands there; text from outside in a code span, where nothing is markup, mention or link.
Must not know what is written.
"""

from __future__ import annotations

from collections.abc import Sequence

from sockui.view.format import escape
from sockui.view.step import Step


def code(text: str) -> str:
    """A code span that its text cannot leave, whatever it holds; Slack knows single backticks only."""
    harmless = escape(text).replace("`", "\\x60")
    return f"`{harmless or ' '}`"


def ladder(steps: Sequence[Step], do_not: Sequence[tuple[str, str]]) -> list[str]:
    """The steps, numbered as on the remediation page, and what not to do, why."""
    lines = [f"{number}. {step.rung[0].upper()}{step.rung[1:]}: {told(step)}" for number, step in enumerate(steps, 1)]
    return lines + [f"- Do not: {what}. {why}" for what, why in do_not]


def told(step: Step) -> str:
    """What to do, its command and what that does."""
    return f"{step.text} {code(step.command)} ({step.effect})" if step.command else step.text
