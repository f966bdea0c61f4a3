"""Text from outside in Markdown.

Owns the one way in which it stands there: in a code span, where nothing is markup, mention or link. Must not know
what is written.
"""

from __future__ import annotations

from sockui.view.format import escape


def code(text: str) -> str:
    """A code span that its text cannot leave, whatever it holds; Slack knows single backticks only."""
    harmless = escape(text).replace("`", "\\x60")
    return f"`{harmless or ' '}`"
