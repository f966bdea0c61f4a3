"""Settings: defaults < configuration file < environment < flags, in one frozen dataclass.

Owns every setting once, with its meaning and what is allowed. Must not print, act on a setting, or guess what a
wrong value meant: that is a :class:`UsageError` which says where it stands.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from sockui.diagnosis.thresholds import Thresholds
from sockui.errors import UsageError

SLOW_INTERVAL = 5.0
"""Seconds between two polls on a slow line."""

# A check turns a TOML value into the field's value; it raises ValueError with what is wrong beyond "not allowed".


def _within(low: float, high: float) -> Callable[[object], float]:
    def check(value: object) -> float:
        if isinstance(value, str):
            match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|)", value)
            if match is None:
                raise ValueError
            value = float(match[1]) * {"ms": 0.001, "s": 1, "m": 60, "": 1}[match[2]]
        return _number(value, low, high)

    return check


def _number(value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError
    return float(value)


def _one_of(*words: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if value not in words:
            from sockui.view.format import did_you_mean  # late: help and version need no numpy

            raise ValueError(did_you_mean(str(value), words))
        return str(value)

    return check


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _boolean_or_auto(value: object) -> object:
    return value if value == "auto" else _boolean(value)


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _column_names(value: object) -> tuple[str, ...]:
    from sockui.view.columns import require  # late, as above

    if not isinstance(value, list):
        raise ValueError
    try:
        return tuple(require(_string(name)).name for name in value)
    except UsageError as error:
        raise ValueError(f"; {error}") from None


def _sort(value: object) -> str:
    from sockui.view.table_view import Sort  # late, as above

    try:
        return Sort.parse(_string(value)).text
    except UsageError as error:
        raise ValueError(f"; {error}") from None


# How the text of a flag or an environment variable becomes a TOML value.


def _boolean_from_text(text: str) -> object:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    return words.get(text.lower(), text)


def _list_from_text(text: str) -> object:
    return [name.strip() for name in text.split(",") if name.strip()]


def _setting(
    default: object,
    check: Callable[[object], object],
    allowed: str,
    meaning: str,
    *,
    read: Callable[[str], object] = str,
    written: object = None,
) -> Any:
    """Declare a field; ``written`` is the default in a configuration file, where that is not the field's value."""
    metadata = {"check": check, "allowed": allowed, "meaning": meaning, "read": read}
    return field(default=default, metadata={**metadata, "written": default if written is None else written})


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting, checked."""

    interval: float = _setting(
        2.0,
        _within(0.1, 3600),
        'seconds from 0.1 to 3600, or with a unit: "500ms", "2s", "1m"',
        "How often the UI reads the sockets. A poll that takes longer stretches it.",
    )
    source: str = _setting(
        "auto",
        _one_of("auto", "netlink", "psutil"),
        "auto, netlink or psutil",
        "Where sockets are read from. auto: the kernel's sock_diag over netlink, psutil where that is refused.",
    )
    sort: str = _setting(
        "attention",
        _sort,
        'the name of a column; "-age" and "age:desc" begin with the largest',
        "What the table is sorted by. attention: what most likely needs somebody comes first.",
    )
    columns: tuple[str, ...] = _setting(
        (),
        _column_names,
        "names of columns",
        "The table's columns, from the left. Empty: the most telling ones that the width has room for.",
        read=_list_from_text,
    )
    theme: str = _setting(
        "dark",
        _one_of("dark", "light", "ansi", "mono"),
        "dark, light, ansi or mono",
        "Colours. ansi: the sixteen of the terminal. mono: none, which NO_COLOR in the environment also chooses.",
    )
    mouse: bool = _setting(
        True,
        _boolean,
        "true or false",
        "Take the mouse. Without it the terminal selects text as usual, and a slow line carries no mouse moves.",
        read=_boolean_from_text,
    )
    explainer: bool = _setting(
        True,
        _boolean,
        "true or false",
        "Show the panel that explains the row under the cursor.",
        read=_boolean_from_text,
    )
    slow: bool = _setting(
        False,
        _boolean,
        "true or false",
        "For a slow line: interval 5 and theme ansi unless they are set, and the bytes per second are shown. A line on "
        "which paints take 2 s and more is noticed without it.",
        read=_boolean_from_text,
    )
    clipboard: str = _setting(
        "auto",
        _one_of("auto", "osc52", "local", "file"),
        "auto, osc52, local or file",
        "Where copied text goes besides a file. auto: over SSH the terminal's clipboard (OSC 52), else this machine's.",
    )
    linger: float = _setting(
        5.0,
        _within(0, 3600),
        'seconds from 0 to 3600, or with a unit: "500ms", "2s", "1m"',
        "How long the row of an ended socket stays, struck through.",
    )
    ascii: bool = _setting(
        False,
        _boolean_or_auto,
        'true, false or "auto"',
        "Draw with ASCII characters only. auto: if the locale is not UTF-8.",
        read=_boolean_from_text,
        written="auto",
    )
    filter: str = _setting("", _string, "a filter, as on the command line", "The filter that the UI starts with.")
    view: str = _setting(
        "auto",
        _one_of("auto", "findings", "sockets", "processes"),
        "auto, findings, sockets or processes",
        "The view to start with. auto: findings if something needs somebody and no filter is set, else sockets.",
    )
    thresholds: Thresholds = field(default=Thresholds())  # a table of the configuration file, and nowhere else
    allow_actions: bool = False  # --allow-actions, and nowhere else: nobody finds it on by surprise


_FIELDS = {setting.name: setting for setting in fields(Config) if setting.metadata}
_THRESHOLDS = {threshold.name: threshold for threshold in fields(Thresholds)}


def load(
    flags: Mapping[str, str], environ: Mapping[str, str], file: Path | None = None, *, allow_actions: bool = False
) -> Config:
    """Put the settings together. ``flags`` has the text of those that were given, by field name.

    ``file`` (or SOCKUI_CONFIG) must exist; the usual file need not, and one that may not be read (``sudo -u`` keeps
    HOME) counts as absent. Raises :class:`UsageError` naming the file, line, variable or flag that is wrong.
    """
    values = _from_file(file, environ)
    if environ.get("NO_COLOR"):  # https://no-color.org: any value but the empty one
        values["theme"] = "mono"
    for name in _FIELDS:
        variable = f"SOCKUI_{name.upper()}"
        if text := environ.get(variable):
            values[name] = _checked(name, _FIELDS[name].metadata["read"](text), f"{variable}={text}")
    for name, text in flags.items():
        values[name] = _checked(name, _FIELDS[name].metadata["read"](text), f"--{name} {text}")
    if values.get("slow"):
        values = {"interval": SLOW_INTERVAL, "theme": "ansi"} | values
    if values.get("ascii", "auto") == "auto":
        values["ascii"] = not _locale_is_utf8(environ)
    return Config(**values, allow_actions=allow_actions)


def seconds(text: str, low: float, high: float, origin: str) -> float:
    """Read a length of time as ``interval`` is written; ``origin`` is named if it is wrong, a :class:`UsageError`."""
    try:
        return _within(low, high)(text)
    except ValueError:
        raise UsageError(f"{origin}: must be seconds from {low} to {high}, or with a unit: 500ms, 10s, 2m") from None


def template() -> str:
    """A configuration file with every setting at its default."""
    lines = [f"# sockui reads this from {_usual_file()}, from $SOCKUI_CONFIG or from --config FILE.", ""]
    for name, setting in _FIELDS.items():
        about = setting.metadata
        lines += [f"# {about['meaning']}", f"# Allowed: {about['allowed']}. In the environment: SOCKUI_{name.upper()}."]
        lines += [f"{name} = {json.dumps(about['written'])}", ""]  # JSON's numbers, strings and lists are TOML's too
    lines += ["# From how much on something is a finding, and why from there.", "[thresholds]", ""]
    for name, threshold in _THRESHOLDS.items():
        lines += [f"# {threshold.metadata['meaning']}", f"# Allowed: {_range(name)}."]
        lines += [f"{name} = {json.dumps(threshold.default)}", ""]
    return "\n".join(lines)


def _range(name: str) -> str:
    about = _THRESHOLDS[name].metadata
    return f"a number from {about['low']} to {about['high']}"


def _usual_file() -> Path:
    import platformdirs  # late: SOCKUI_CONFIG and --config do without

    return platformdirs.user_config_path("sockui") / "config.toml"


def _from_file(file: Path | None, environ: Mapping[str, str]) -> dict[str, Any]:
    named = file or (Path(environ["SOCKUI_CONFIG"]) if environ.get("SOCKUI_CONFIG") else None)
    path = named or _usual_file()
    if not named and not path.is_absolute():  # no HOME: a "~" in the working directory is not ours
        return {}
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        if named or not isinstance(error, FileNotFoundError | NotADirectoryError | PermissionError):
            raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
        return {}
    except UnicodeDecodeError:
        raise UsageError(f"{path}: is not UTF-8 text") from None
    try:
        entries = tomllib.loads(text)
    except ValueError as error:  # a TOMLDecodeError, or what int() says to a number of more than 4300 digits
        raise UsageError(f"{path}: is not TOML: {error}") from None
    except RecursionError:
        raise UsageError(f"{path}: is not TOML that can be read: nested too deeply") from None
    values = {}
    for name, value in entries.items():
        where = f"{path}{_line_of(name, text)}"
        if name == "thresholds":
            values[name] = _thresholds(value, path, text)
            continue
        if name not in _FIELDS:
            raise UsageError(f"{where}: there is no setting {name}{_meant(name, [*_FIELDS, 'thresholds'])}")
        values[name] = _checked(name, value, f"{where}: {name}")
    return values


def _thresholds(table: object, path: Path, text: str) -> Thresholds:
    if not isinstance(table, dict):
        raise UsageError(f"{path}{_line_of('thresholds', text)}: thresholds: must be a table, [thresholds]")
    values = {}
    for name, value in table.items():
        where = f"{path}{_line_of(name, text)}"
        if name in _FIELDS:  # what is written below a TOML table belongs to it
            raise UsageError(f"{where}: {name} is no threshold; settings stand above [thresholds]")
        if name not in _THRESHOLDS:
            raise UsageError(f"{where}: there is no threshold {name}{_meant(name, _THRESHOLDS)}")
        about = _THRESHOLDS[name].metadata
        try:
            values[name] = _number(value, about["low"], about["high"])
        except ValueError:
            raise UsageError(f"{where}: {name}: must be {_range(name)}") from None
    return Thresholds(**values)


def _line_of(name: str, text: str) -> str:
    """Where a name stands in a file; TOML's parser does not tell."""
    place = re.search(rf"^[ \t]*(?:thresholds\.)?[\[\"']*{re.escape(name)}\b", text, re.MULTILINE)
    return f", line {text.count(chr(10), 0, place.start()) + 1}" if place else ""


def _meant(name: str, known: Collection[str]) -> str:
    from sockui.view.format import did_you_mean  # late, as above

    return did_you_mean(name, known) or f"; there are {', '.join(known)}"


def _checked(name: str, value: object, origin: str) -> Any:
    about = _FIELDS[name].metadata
    try:
        return about["check"](value)
    except ValueError as error:
        raise UsageError(f"{origin}: must be {about['allowed']}{error}") from None


def _locale_is_utf8(environ: Mapping[str, str]) -> bool:
    """Whether the locale that the terminal set says UTF-8 (locale(7)); by its name, as it need not be installed here.

    Python itself puts C.UTF-8 in place of an unset or C locale (PEP 538).
    """
    name = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or "C.UTF-8"
    return "utf8" in name.lower().replace("-", "")
