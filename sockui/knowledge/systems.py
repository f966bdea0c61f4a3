"""Reads what differs between operating systems: what ends a state there, and the settings with their commands.

Owns which keys such a file has, and how a command is made from a system's template. Must not read a setting's value
(``view.settings`` does, on Linux).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from sockui.knowledge.files import File
from sockui.knowledge.words import fill, names


@dataclass(frozen=True, slots=True)
class Setting:
    """A tunable of one system."""

    name: str  # "net.ipv4.tcp_fin_timeout", "tcp_time_wait_interval"
    names: tuple[str, ...]  # older names, the end of a long one
    topics: tuple[str, ...]  # what it is about: names of topics, "fin_wait2"
    text: str  # what it does, and to what it does nothing
    default: str  # with its unit, "60"
    unit: str  # "s", "ms", "half-seconds"
    read: str  # commands that can be pasted as they stand; "" there is none
    change: str
    persist: str
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
    templates = {each: file.text(each, "") for each in ("read", "change", "persist")}
    words = SystemWords(
        key=key,
        name=file.text("name"),
        names=file.texts("names", ()),
        about=file.text("about"),
        ends=tuple(
            Ends(table.text("state"), table.text("text"), table.done("source")) for table in file.tables("ends")
        ),
        settings=tuple(_setting(table, templates) for table in file.tables("settings")),
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


def _setting(table: File, templates: dict[str, str]) -> Setting:
    """Take a setting; its commands are the system's, with its ``name`` and an ``example``, unless it has its own."""
    name, example = table.text("name"), table.text("example")
    values = {"name": name, "value": example, "short": name.rsplit(".", 1)[-1]}
    commands = {each: fill(table.text(each, templates[each]), values) for each in ("read", "change", "persist")}
    setting = Setting(
        name=name,
        names=table.texts("names", ()),
        topics=table.texts("topics"),
        text=table.text("text"),
        default=table.text("default"),
        unit=table.text("unit", ""),
        read=commands["read"],
        change=commands["change"],
        persist=commands["persist"],
        source=table.text("source"),
    )
    table.end()
    return setting
