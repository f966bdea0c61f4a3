"""What the command palette finds besides commands: every topic of knowledge, by any of its names.

Owns the matching. Must not open pages.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from math import inf

from textual.command import CommandPalette, Hit, Hits, Provider

from sockui.knowledge import topics
from sockui.knowledge.topics import Topic


class Palette(CommandPalette):
    """Textual's palette, in which a page key is no error before its list was painted."""

    def _action_command_list(self, action: str) -> None:
        with suppress(KeyError):  # the list does not know yet on which line a command is
            super()._action_command_list(action)


class TopicProvider(Provider):
    """``Explain CLOSE_WAIT``; what was typed may also be another name, which then stands behind it."""

    async def search(self, query: str) -> Hits:
        from sockui.tui.app import SockuiApp

        app, matcher = self.app, self.matcher(query)
        assert isinstance(app, SockuiApp)  # noqa: S101  nothing else has this provider
        exact = topics.find(query.lower().removeprefix("explain"))
        best: dict[Topic, tuple[float, str]] = {}
        for name in topics.spellings():
            topic = topics.find(name)
            if topic is None:
                continue
            text = f"Explain {topic.title}" if name == topic.title else f"Explain {topic.title}: {name}"
            score = matcher.match(text)
            if score > best.get(topic, (0.0, ""))[0]:
                best[topic] = score, text
        if exact is not None:  # in any spelling, and before everything that only has its letters
            best[exact] = inf, f"Explain {exact.title}"
        for topic, (score, text) in best.items():
            yield Hit(score, matcher.highlight(text), partial(app.explain, topic), help=f"{topic.kind}: its page")
