"""Reads what differs between operating systems: what ends a state there, and the settings with their commands.

Owns which keys such a file has, and how a command is made from a template. Must not read a setting's value
(``collector.host`` does, on Linux).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from sockui.knowledge.files import File
from sockui.knowledge.words import fill, names


@dataclass(frozen=True, slots=True)
class Way:
    """How a setting is read and changed: commands that can be pasted as they stand; "" where there is none."""

    on: str  # the versions that have these commands, "" if all do: "Solaris 10"
    read: str
    change: str
    persist: str
    changes: str  # who can change it, and for how long it holds: "as root, until the next boot"
    persists: str  # who can make it last, and from when on it holds


@dataclass(frozen=True, slots=True)
class Setting:
    """A tunable of one system."""

    name: str  # "net.ipv4.tcp_fin_timeout", "tcp_time_wait_interval"
    names: tuple[str, ...]  # what it is or was called elsewhere
    topics: tuple[str, ...]  # what it is about: names of topics, "fin_wait2"
    text: str  # what it does, and to what it does nothing
    default: str  # "60", "depends on memory", "" if no document says it
    versions: str  # of which versions or documents the default is, and what others have: "240000 in Solaris 8"
    unit: str  # of the default, "s", "ms", "half-seconds"
    scope: str  # what it is set for where that is not the whole host: "each network namespace"
    gone: str  # "since Linux 4.12" if it does not exist any more: then there is no way to set it
    ways: tuple[Way, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Ends:
    """What ends a state on this system."""

    state: str  # a state's file
    text: str
    source: str


@dataclass(frozen=True, slots=True)
class SystemWords:
    """One operating system."""

    key: str  # its file
    name: str  # as people write it: "HP-UX"
    names: tuple[str, ...]  # other spellings that are understood
    about: str  # which versions this is true of, and how it is known
    ends: tuple[Ends, ...]
    settings: tuple[Setting, ...]


@cache
def system(key: str) -> SystemWords:
    """Read the words of a system, ``hpux``. Raises ValueError naming the file and the slip in it."""
    file = File.open("systems", key)
    ways = tuple(_way(table) for table in file.tables("ways"))
    words = SystemWords(
        key=key,
        name=file.text("name"),
        names=file.texts("names", ()),
        about=file.text("about"),
        ends=tuple(
            Ends(table.text("state"), table.text("text"), table.done("source")) for table in file.tables("ends")
        ),
        settings=tuple(_setting(table, ways) for table in file.tables("settings")),
    )
    file.end()
    return words


def systems() -> tuple[SystemWords, ...]:
    """Every system, Linux first."""
    return tuple(system(key) for key in sorted(names("systems"), key=lambda key: (key != "linux", key)))


def find_system(text: str) -> SystemWords | None:
    """A system by any of its names: ``HP-UX``, ``hpux``, ``darwin``."""
    wanted = _plain(text)
    return next((each for each in systems() if wanted in map(_plain, (each.key, each.name, *each.names))), None)


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _way(table: File) -> Way:
    """Take a way; the system's have placeholders in their commands, see ``_setting``."""
    way = Way(
        on=table.text("on", ""),
        read=table.text("read", ""),
        change=table.text("change", ""),
        persist=table.text("persist", ""),
        changes=table.text("changes", ""),
        persists=table.text("persists", ""),
    )
    table.end()
    for command, effect in ((way.change, way.changes), (way.persist, way.persists)):
        if bool(command) != bool(effect):
            raise ValueError(f"{table.name}: a command that changes needs who and how long, and only such a one has it")
    return way


def _setting(table: File, ways: tuple[Way, ...]) -> Setting:
    """Take a setting. Its ways are its own, or those of the system, or only the reading ones if it is read-only."""
    name, gone, fixed = table.text("name"), table.text("gone", ""), table.flag("fixed")
    value = "" if gone or fixed else table.text("example")
    values = {
        "name": name,
        "property": table.text("property", name),  # what the command calls it
        "value": value,
        "quoted": shlex.quote(value),
        "short": name.rsplit(".", 1)[-1],  # for a file's name
    }
    own = tuple(_way(each) for each in table.tables("ways"))
    setting = Setting(
        name=name,
        names=table.texts("names", ()),
        topics=table.texts("topics"),
        text=table.text("text"),
        default=table.text("default", ""),
        versions=table.text("versions", ""),
        unit=table.text("unit", ""),
        scope=table.text("scope", ""),
        gone=gone,
        ways=() if gone else tuple(_filled(way, values, fixed=fixed) for way in own or ways),
        source=table.text("source"),
    )
    table.end()
    return setting


def _filled(way: Way, values: Mapping[str, str], *, fixed: bool) -> Way:
    read, change, persist = (fill(each, values) for each in (way.read, way.change, way.persist))
    if fixed:
        return replace(way, read=read, change="", persist="", changes="", persists="")
    return replace(way, read=read, change=change, persist=persist)
