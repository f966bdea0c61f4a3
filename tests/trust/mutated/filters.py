"""Filters: soups of tokens, mutated valid ones, long and deep ones; and what they choose among real rows.

Owns how filters are made up. What is right: a Query, or a FilterError that points into the text; a Query gives a mask.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np

from sockui.collector import open_collector
from sockui.errors import FilterError
from sockui.tracker import Tracker, Update
from sockui.view import query
from sockui.view.columns import NAMES
from tests.trust.mutated.damage import damaged

LONG = 10_000
"""Characters of a long filter."""
SIGNS = ["=", "==", "!=", "<", "<=", ">", ">=", "~", "!~", "eq", "ne", "neq", "gt", "ge", "geq", "lt", "le", "leq", ","]
JOINS = [
    "and",
    "or",
    "not",
    "!",
    "&",
    "&&",
    "|",
    "||",
    "(",
    ")",
    "state",
    "exclude",
    "src",
    "dst",
    "sport",
    "dport",
    "dev",
]
VALUES = ["close-wait", "LISTEN", "connected", "bucket", "10.0.0.0/8", "10.0.0.1:443", "[::1]:22", "::1", "fe80::1%lo"]
VALUES += [
    ":443",
    ":https",
    "*",
    "*a*",
    "?",
    "5m",
    "1h30m",
    "1e9",
    "64k",
    "0x1f",
    "-1",
    "1.5",
    "9" * 30,
    "java",
    "lo",
    "''",
]
VALUES += [
    '"a b"',
    "'",
    '"',
    "^(java|node)$",
    "[",
    "(?i)x",
    "\\",
    "(a",
    "a{2,1}",
    "\u202e",
    "\ud800",
    "\0",
    "\x1b[31m",
    "٣",
]
VALUES += [
    "(?P<x>a)(?P=x)",
    "(a+)+c",
    "a.*b.*c.*d",
    "(?R)|a*",
    "(a{99}){99}",
    "[[:alpha:]]",
    "(?L)a",
    "(?a)b",
    "a{1,99999999999}",
    "\\N{BULLET}",
    "\\u12",
    "/",
    "/33",
    "1/2/3",
]
RIGHT = [text for text, _ in query.help_text()]
RIGHT += [
    "( sport = :ssh or dport = :ssh ) and not src 127.0.0.1",
    "state established exclude time-wait",
    "dst [::1]:443",
]
RIGHT += ["process ~ 'a b' or command !~ x", "unit = a*b?c and inode != 5", "cookie = 0xff", "timer = on,off age < 1h"]
RIGHT += ["command = *a*b*c*d*e*f*", "user = root* | pid = 1,2,3", "local_address ~ ^10 & remote_port >= :1024"]
RIGHT += ["command ~ (a+)+c", "command ~ a.*c and process ~ (x|xx)+y"]


def update() -> Update:
    """This host's sockets, some of their processes with command lines that a process may give itself."""
    collector = open_collector("auto")
    try:
        rows = collector.collect()
    finally:
        collector.close()
    titles = (("a" * 20_000,), ("x", "a b" * 5_000), ("\x1b[31m\n", "\udc80"), ())
    processes = {
        pid: replace(process, cmdline=titles[number], unit="a.service") if number < len(titles) else process
        for number, (pid, process) in enumerate(rows.processes.items())
    }
    return Tracker().update(replace(rows, processes=processes))


def right_or_pointed_at(text: str) -> query.Query | None:
    """The filter; None if it is wrong, and the message as it must be."""
    try:
        return query.compile(text)
    except FilterError as error:
        wrong = error
    assert wrong.text == text
    assert 0 <= wrong.position <= len(text)
    assert wrong.hint
    assert "\n" not in wrong.hint
    return None


class Filters:
    """Compiling and, where that succeeds, choosing."""

    what = "fuzz: the filter language"
    unit = "filters"

    def __init__(self, scratch: Path) -> None:
        query.prepare()
        self._update = update()

    def case(self, random: Random) -> None:
        text = self._text(random)
        compiled = right_or_pointed_at(text)
        if compiled is None:
            return
        try:
            mask = compiled.mask(self._update)
        except FilterError as slow:
            if "too long" in slow.hint and "~" in text:
                return
            raise
        assert mask.shape == (len(self._update.sockets),)
        assert mask.dtype == np.bool_

    def _text(self, random: Random) -> str:
        kind = random.randrange(20)
        if kind == 0:
            return self._long(random)
        if kind < 9:
            return damaged(random.choice(RIGHT).encode(), random).decode("utf-8", "surrogateescape")[:LONG]
        words = random.choices(
            (random.choice(NAMES), random.choice(SIGNS), random.choice(JOINS), random.choice(VALUES)), k=2
        )
        for _ in range(random.randint(0, 12)):
            words.append(random.choice(random.choice((NAMES, SIGNS, JOINS, VALUES, VALUES))))
        return random.choice(("", " ", " ")).join(words)

    def _long(self, random: Random) -> str:
        """``LONG`` characters of one thing again and again."""
        piece = random.choice(
            [*JOINS, *VALUES, *SIGNS, *RIGHT, "(", ")", "not ", "! ", '"', "a ", "\\", "age > 5m or ", "(a)"]
        )
        whole = (piece * (LONG // len(piece) + 1))[:LONG]
        before = random.choice(("", "", "process ~ ", "unit = ", "state ", "src ", "pid = ", "'", "command = "))
        return before + whole + random.choice(("", "", ")" * (LONG // 2), "'", " and"))
