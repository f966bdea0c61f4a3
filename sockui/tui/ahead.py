"""What keys and polls may ask for later, loaded while nothing else is to be done.

Owns what that is, and how it gives way. Where no file can be opened any more (EMFILE, ENFILE) nothing can be loaded
either, and that is when somebody looks. Must not show anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from functools import partial

import sockui.tui
import sockui.view
from sockui.knowledge import finding_words, notes, systems, topics, words
from sockui.tui.beside import beside
from sockui.view import query

PAUSE = 0.03
"""Seconds between two parts, of which each takes a few ms: a key that is pressed meanwhile goes first."""


async def load_ahead() -> None:
    """Load part after part; where files have run out already, as many as there are."""
    with contextlib.suppress(OSError):
        await beside(query.prepare)
        for load in _parts():
            load()
            await asyncio.sleep(PAUSE)  # gives way to keys
    gc.freeze()  # looking through what stays takes time between two keys


def _parts() -> Iterator[Callable[[], object]]:
    yield partial(importlib.import_module, "regex")
    for package in (sockui.tui, sockui.view):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            yield partial(importlib.import_module, module.name)
    readers = {"states": words.state, "situations": words.situation, "findings": finding_words.finding}
    for kind, read in (readers | {"runtimes": words.runtime, "systems": systems.system}).items():
        for name in words.names(kind):
            yield partial(read, name)
    for kind in notes.KINDS:
        for name in words.names(kind):
            yield partial(notes.note, kind, name)
    yield finding_words.threads
    yield finding_words.rules
    yield systems.systems
    yield topics.topics
