"""How a file of words is read: key by key, so that a slip in it is found by its first reader.

Owns the form that all files share. Must not know what the keys mean (``words`` does).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any


class File:
    """A TOML table whose keys are taken one by one; what is left at the end is a mistake."""

    def __init__(self, name: str, data: Mapping[str, Any]) -> None:
        self.name = name
        self._data = dict(data)

    @classmethod
    def open(cls, kind: str, name: str) -> File:
        """Parse ``kind/name.toml`` of this package."""
        source = resources.files("sockui.knowledge") / kind / f"{name}.toml"
        return cls(f"{kind}/{name}.toml", tomllib.loads(source.read_text("utf-8")))

    def end(self) -> None:
        """Raise ValueError if a key is left."""
        if self._data:
            raise ValueError(f"{self.name}: unknown key {', '.join(sorted(self._data))}")

    def text(self, key: str, default: str | None = None) -> str:
        """Take a string, its lines joined."""
        value = self._take(key, default)
        if not isinstance(value, str) or (default is None and not value.strip()):
            raise ValueError(f"{self.name}: {key} must be a text")
        return " ".join(value.split())

    def done(self, key: str) -> str:
        """Take the last string of a table."""
        value = self.text(key)
        self.end()
        return value

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Take a list of strings."""
        value = self._take(key, default)
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
            raise ValueError(f"{self.name}: {key} must be a list of texts")
        return tuple(value)

    def named_texts(self, key: str) -> dict[str, str]:
        """Take a table of strings, empty if absent."""
        value = self._take(key, {})
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise ValueError(f"{self.name}: {key} must be a table of texts, [{key}]")
        return {name: " ".join(item.split()) for name, item in value.items()}

    def one_of(self, key: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """Take a string that must be one of some."""
        value = self.text(key, default)
        if value not in choices:
            raise ValueError(f"{self.name}: {key} is {value!r}, not one of {', '.join(choices)}")
        return value

    def flag(self, key: str) -> bool:
        """Take a boolean, false if absent."""
        value = self._take(key, False)
        if not isinstance(value, bool):
            raise ValueError(f"{self.name}: {key} must be true or false")
        return value

    def tables(self, key: str) -> tuple[File, ...]:
        """Take a list of tables, empty if absent."""
        value = self._take(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise ValueError(f"{self.name}: {key} must be tables, [[{key}]]")
        return tuple(File(f"{self.name} {key} {number}", item) for number, item in enumerate(value, 1))

    def _take(self, key: str, default: Any) -> Any:
        value = self._data.pop(key, default)
        if value is None:
            raise ValueError(f"{self.name}: {key} is missing")
        return value
