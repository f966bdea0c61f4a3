"""Kernel -> Snapshot: reads sockets, owners and host facts; one factory picks the source, one opens pasted texts.

Owns all reading of the system. Must not interpret, age or format what it reads.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sockui.errors import CollectError, NetlinkError
from sockui.giving_way import GivingWay
from sockui.model import Snapshot

if TYPE_CHECKING:
    from sockui.collector.text import TextCollector


class Collector(Protocol):
    """A source of snapshots."""

    def collect(self) -> Snapshot:
        """Read one snapshot. Raises :class:`sockui.errors.CollectError`."""

    def close(self) -> None:
        """Give back what is held open."""


def open_collector(source: str = "auto", namespace: str = "", give_way: GivingWay | None = None) -> Collector:
    """Open ``netlink``, ``psutil``, or with ``auto`` the first of the two that works here.

    ``namespace`` is what the caller entered (:func:`sockui.collector.namespace.enter_namespace`), for
    ``Host.namespace`` of every snapshot; nothing is entered here. A poll rests where ``give_way`` says so.

    Raises :class:`sockui.errors.CollectError` if the named one does not.
    """
    if source != "psutil":
        from sockui.collector.linux import NetlinkCollector

        try:
            return NetlinkCollector(namespace, give_way)
        except NetlinkError as error:
            if source == "netlink":
                raise
            refusal = str(error)
    from sockui.collector.psutil_fallback import PsutilCollector

    collector = PsutilCollector(namespace)
    if source == "psutil":
        return collector
    return _SecondChoice(collector, refusal)


def open_texts(arguments: Sequence[str], form: str = "auto") -> list[TextCollector]:
    """One source for each host of ``arguments``, which are ``FILE`` or ``NAME=FILE``; nothing is read yet.

    ``form`` is a key of :data:`sockui.collector.text.FORMS`, or ``auto``.
    """
    from sockui.collector.text import TextCollector, hosts

    return [TextCollector(paths, name, form) for name, paths in hosts(arguments).items()]


def as_root() -> str | None:
    """The command that starts this sockui as root, who may read more; None for root, whom sudo gives nothing.

    By its path: sudo looks only where the system's programs are, and sockui is often in somebody's home.
    """
    if os.geteuid() == 0:
        return None
    path = Path(sys.argv[0]).absolute()
    program = [str(path)] if path.name == "sockui" else [sys.executable, "-m", "sockui"]
    return shlex.join(["sudo", *program])


class _SecondChoice:
    """The psutil source, saying in every snapshot why it was not the first choice."""

    def __init__(self, collector: Collector, refusal: str) -> None:
        self._collector = collector
        self._refusal = refusal

    def collect(self) -> Snapshot:
        try:
            snapshot = self._collector.collect()
        except CollectError as error:
            raise CollectError(f"{self._refusal}; instead of it {error}") from error
        return dataclasses.replace(snapshot, notes=(f"Read through psutil, because {self._refusal}.", *snapshot.notes))

    def close(self) -> None:
        self._collector.close()
