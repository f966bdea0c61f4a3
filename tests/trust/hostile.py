"""Processes whose names and command lines attack whoever reads them: a terminal, a shell, a spreadsheet, a browser.

Owns the rows: what reaches a terminal, what is printed, what pasted commands do. Needs root, for a namespace.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from tests.screen import Terminal
from tests.trust.attack import outputs, tour
from tests.trust.attack.commands import PLAIN, Pair, pairs
from tests.trust.attack.names import names
from tests.trust.attack.scene import Scene, scene
from tests.trust.attack.shell import SHELLS, Paste
from tests.trust.attack.written import foreign, leaked
from tests.trust.table import Row

AT_ONCE = 40
"""Commands pasted into one interactive shell."""


def measure(seconds: float) -> Iterator[Row]:
    """The three rows; as many processes and commands as there is time for."""
    if os.geteuid() != 0:
        yield Row("hostile names", 0, "views", 0, "needs root")
        return
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        yield _row("hostile names: printed", "outputs", _printed(home), f"{len(names())} processes")
        yield from _used(home, end)


def _printed(home: Path) -> Iterator[tuple[int, list[str]]]:
    """Half of the processes, then the others: of more than fifty in the same trouble not each is named."""
    for first in range(2):
        with scene(2, first) as made:
            yield from printed(made, home)


def _used(home: Path, end: float) -> Iterator[Row]:
    with scene() as made:
        commands = list(pairs(made.look()))
        random.shuffle(commands)
        until = time.monotonic() + (end - time.monotonic()) * 0.35
        yield _row("hostile names: commands pasted into shells", "commands", pasted(commands, home, until))
        yield _row(
            "hostile names: on a terminal", "views", on_a_terminal(made, home, end), f"{len(made.pids)} processes"
        )


def _row(what: str, unit: str, tried: Iterable[tuple[int, list[str]]], note: str = "") -> Row:
    """Add up what was tried: how much at once, and what was wrong with it."""
    thrown, wrong = 0, []
    for number, problems in tried:
        thrown += number
        wrong += problems
    return Row(what, thrown, unit, len(wrong), f"first: {wrong[0]}" if wrong else note)


def on_a_terminal(made: Scene, home: Path, until: float, most: int = 1000) -> Iterator[tuple[int, list[str]]]:
    """Everything about all processes, then about one after the other, the first in any case."""
    with tour.terminal(made, home, tour.LARGE) as ui:
        yield _seen(ui, partial(tour.about_all, ui, made))
    for number, name in enumerate(islice(made.pids, most)):
        if number and time.monotonic() > until:
            break
        with tour.terminal(made, home, tour.USUAL, tour.one_of(name, made), SOCKUI_VIEW="sockets") as ui:
            yield _seen(ui, partial(tour.about, ui, name, made))

    kept = list((home / "state/sockui").iterdir())
    yield len(kept), [f"{path.name}: {each}" for path in kept for each in leaked(path.read_text())]


def _seen(ui: Terminal, go: Callable[[], int]) -> tuple[int, list[str]]:
    """Views that were seen, and what is wrong with what was written meanwhile: a garbled screen ends the way early."""
    try:
        return go(), list(foreign(ui.raw))
    except AssertionError as error:
        return 1, [*foreign(ui.raw), str(error).partition("; the screen")[0]]


def printed(made: Scene, home: Path) -> Iterator[tuple[int, list[str]]]:
    """Each command that prints."""
    for arguments in outputs.commands(made):
        text = outputs.printed(made, home, arguments)
        yield (
            1,
            [f"{' '.join(arguments[:1] + arguments[-1:])}: {each}" for each in outputs.problems(made, arguments, text)],
        )


def pasted(commands: list[Pair], scratch: Path, until: float) -> Iterator[tuple[int, list[str]]]:
    """Each command in each shell: what runs is what the harmless one runs, with the hostile word where the other is."""
    paste = Paste(scratch)
    wanted: dict[str, list[list[bytes]]] = {}
    for pair in commands:
        if time.monotonic() > until:
            break
        if pair.harmless not in wanted:
            wanted[pair.harmless], said = paste.run("bash", pair.harmless)
            yield 0, [f"{pair.harmless} said {said}"] if said or not wanted[pair.harmless] else []
        for shell in SHELLS:
            problems = _run(paste, shell, pair, wanted[pair.harmless])
            yield 1, problems
    lines = [pair.command for pair in commands[:AT_ONCE]]
    ran, _ = paste.paste(lines)
    right = sorted(each for pair in commands[:AT_ONCE] for each in _filled(wanted.get(pair.harmless, []), pair.word))
    problems = [] if ran == right else [f"pasted with brackets, {len(ran)} commands ran and {len(right)} were meant"]
    yield len(lines), [*problems, *(f"{each} was made" for each in paste.made())]


def _run(paste: Paste, shell: str, pair: Pair, wanted: list[list[bytes]]) -> list[str]:
    ran, said = paste.run(shell, pair.command)
    problems = [f"{pair.command!r} in {shell} made {each}" for each in paste.made()]
    if shell == "dash" and "$'" in pair.command:  # bash's and zsh's quotes, which dash takes as plain text
        return problems
    if ran != sorted(_filled(wanted, pair.word)):
        problems.append(f"{pair.command!r} in {shell} ran {ran}")
    return [*problems, *([f"{pair.command!r} in {shell} said {said}"] if said else [])]


def _filled(records: list[list[bytes]], word: bytes) -> list[list[bytes]]:
    return [[argument.replace(PLAIN, word) for argument in record] for record in records]
