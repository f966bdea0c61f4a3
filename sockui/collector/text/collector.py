"""Several texts as a source of snapshots: moments of one host, one after the other.

Owns the files and the time between them. Must not know any form.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sockui.collector.text.snapshot import TextSnapshot, read_text
from sockui.errors import TextError
from sockui.model import Holders, Snapshot, empty_sockets

UNKNOWN_TIME = 10 * 365 * 86_400.0
"""Seconds that at most lie between two texts of which it is not known when they were taken: ten years."""

NO_TIME = 0.0001
"""Seconds by which moments differ when nothing is known: they must be in order, and ages are counted in ms."""


class TextCollector:
    """Gives the snapshots of ``paths`` in their order, each a moment of the host ``host``; ``-`` is standard input.

    The time between two moments is that between the times that the texts tell, or where they tell none between those
    at which the files were last written; a note says so. (Of one file alone that time is not used.) Where it cannot be
    known, or would run backwards, at least no time has passed and at most :data:`UNKNOWN_TIME`, so that the tracker
    claims no more than that.
    """

    def __init__(self, paths: Sequence[str], host: str = "", form: str = "auto") -> None:
        self.paths = list(paths)
        self.host = host
        self._form = form
        self._next = 0
        self._last: tuple[Snapshot, float | None] | None = None
        self.read: list[TextSnapshot] = []
        """What each text was, without its sockets: for what was not understood."""

    @property
    def title(self) -> str:
        """What the host is called, or without a name the files."""
        return self.host or ", ".join(self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def collect(self) -> Snapshot:
        """The next moment. Raises :class:`TextError` for a text that cannot be read, and after the last one."""
        if self._next >= len(self.paths):
            raise TextError("there is no further text")
        path = self.paths[self._next]
        told, written = _open(path, self._form)
        self._next += 1
        snapshot, notes, taken_at = told.snapshot, told.snapshot.notes, told.taken_at
        if taken_at is None and written is not None and len(self.paths) > 1:
            taken_at = written
            notes += ("The time at which the file was last written is used: copying may have changed it.",)
        monotonic, boottime = snapshot.monotonic, snapshot.boottime
        if self._last is not None:
            before, then = self._last
            passed = None if taken_at is None or then is None or taken_at <= then else taken_at - then
            monotonic = before.monotonic + (passed or NO_TIME)
            boottime = before.boottime + (UNKNOWN_TIME if passed is None else passed)
            if passed is None:
                notes += ("How long after the text before it this one was taken is not known.",)
        snapshot = dataclasses.replace(
            snapshot,
            taken_at=taken_at or 0.0,
            monotonic=monotonic,
            boottime=boottime,
            host=dataclasses.replace(snapshot.host, name=self.host),
            notes=notes,
        )
        self._last = snapshot, taken_at
        empty = dataclasses.replace(snapshot, sockets=empty_sockets(), processes={}, holders=Holders.none())
        self.read.append(dataclasses.replace(told, snapshot=empty))
        return snapshot

    def close(self) -> None:
        """Nothing is held open."""


def hosts(arguments: Sequence[str]) -> dict[str, list[str]]:
    """Host name -> paths, from ``FILE`` and ``NAME=FILE`` in their order; the name is "" where none is given.

    A file that exists under the whole argument is meant, even if its name has a ``=``.
    """
    result: dict[str, list[str]] = {}
    for argument in arguments:
        name, equals, path = argument.partition("=")
        # Path.exists() raises for a name that is too long, such as a text in place of its file
        if not equals or not name or "/" in name or os.path.exists(argument):  # noqa: PTH110
            name, path = "", argument
        result.setdefault(name, []).append(path)
    return result


def _open(path: str, form: str) -> tuple[TextSnapshot, float | None]:
    """The text, and when it was last written (None for standard input and pipes)."""
    if path == "-":
        if sys.stdin is None:
            raise TextError("standard input is closed")
        return read_text(sys.stdin.buffer, "standard input", form), None
    try:
        with open(path, "rb") as file:
            status = Path(path).stat()
            return read_text(file, path, form), status.st_mtime if Path(path).is_file() else None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise TextError(f"{path} cannot be read: {reason}") from error
