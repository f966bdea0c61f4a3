"""An address and port beside an error: ``sockui explain EADDRINUSE :8080``.

Owns which errors take one, and who answers. Must not read sockets or know what the answer is (``view.port`` and
``view.destination`` do).
"""

from __future__ import annotations

from collections.abc import Callable

from sockui.errors import UsageError
from sockui.knowledge.topics import Topic
from sockui.tracker import Update
from sockui.view import destination, port
from sockui.view.format import escape
from sockui.view.page import Section

_ANSWERS = {"EADDRINUSE": port.holders, "EADDRNOTAVAIL": destination.destination}


def cut(words: list[str]) -> tuple[str, str]:
    """The name of a topic and the address and port behind it, "" if there is none. Raises :class:`UsageError`."""
    if ":" not in words[-1]:  # nor has the last word of any topic's name
        return " ".join(words), ""
    *name, place = words
    if not name:
        raise UsageError(f"say what about {escape(place)}: sockui explain EADDRINUSE {escape(place)}, or EADDRNOTAVAIL")
    return " ".join(name), place


def question(topic: Topic, place: str) -> Callable[[Update], tuple[Section, ...]]:
    """What an update is to be asked about an error at a place. Raises :class:`UsageError` if either is none."""
    answer = _ANSWERS.get(topic.title)
    if answer is None:
        raise UsageError(f"{topic.title} takes no address and port; {' and '.join(_ANSWERS)} take one: {escape(place)}")
    wanted = port.parse_endpoint(place)
    return lambda update: answer(update, wanted)
