"""Mutated configuration: the file, variables of the environment, flags.

Owns how settings are damaged. What is right: a Config, or a UsageError that names where. (The file is the only one that
sockui reads back: what it keeps, copies and the log of actions, it only writes.)
"""

from __future__ import annotations

import contextlib
from dataclasses import fields
from pathlib import Path
from random import Random

from sockui import config
from sockui.config import Config
from sockui.errors import UsageError
from tests.trust.mutated.damage import ODD, damaged

NAMES = [field.name for field in fields(Config)]
VALUES = [
    "1",
    "0.5",
    "-1",
    "1e400",
    "nan",
    "inf",
    "true",
    '"auto"',
    '"2s"',
    '["pid"]',
    "[]",
    "{}",
    "{a=1}",
    "1979-05-27",
    "0x10",
]
VALUES += [
    '"\\u001b[31m"',
    "'''x\ny'''",
    "9" * 5000,
    "[" * 3000,
    "{a=" * 500,
    '"' + "x" * 5000 + '"',
    '["age:desc"]',
    "07:32:00",
]
VALUES += ["9" * 400 + ".0", '"' + "9" * 400 + 's"', "[[1,2],['a']]", "+1", "1_000", '"\\ud800"', "[" * 100 + "]" * 100]
WORDS = [
    "1",
    "500ms",
    "",
    " ",
    "auto",
    "-age",
    "age:desc",
    "pid,",
    ",",
    "x" * 5000,
    "9" * 5000,
    "nan",
    "\x1b[31m",
    "\ud800",
    "true",
]


class Settings:
    """Loading a configuration."""

    what = "fuzz: configuration files, environment, flags"
    unit = "mutated configurations"

    def __init__(self, scratch: Path) -> None:
        self._template = config.template().encode()
        self._file = scratch / "config.toml"

    def case(self, random: Random) -> None:
        kind = random.randrange(4)
        text, flags, environ = b"", {}, {}
        if kind == 0:
            begin = random.randrange(len(self._template))
            text = damaged(self._template[begin : begin + 600] if random.random() < 0.8 else self._template, random)
        elif kind < 3:
            lines = [f"{random.choice(NAMES)} = {random.choice(VALUES)}" for _ in range(random.randint(1, 3))]
            if random.random() < 0.3:
                lines += ["[thresholds]", f"{random.choice(list(config._THRESHOLDS))} = {random.choice(VALUES)}"]
            text = "\n".join(lines).encode()
            text = damaged(text, random, ODD) if random.random() < 0.4 else text
        else:
            flags = {random.choice(list(config._FIELDS)): random.choice(WORDS) for _ in range(2)}
            environ = {f"SOCKUI_{random.choice(NAMES).upper()}": random.choice(WORDS) for _ in range(2)}
            environ.pop("SOCKUI_CONFIG", None)
        self._file.write_bytes(text)
        with contextlib.suppress(UsageError):
            config.load(flags, environ, self._file)
