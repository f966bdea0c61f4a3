"""The UI on a real terminal, led through every view of every hostile process.

Owns the way through the views. Must not judge what was written (``written``).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.screen import Terminal
from tests.trust.attack.scene import LIMITS, Scene

ENTER, ESCAPE, DOWN = "\r", "\x1b", "\x1b[B"

OSC52 = b"\x1b]52;c;"
LARGE, USUAL = (200, 140), (120, 36)
"""The one shows every process at once; the other is quick to read."""


def thresholds() -> str:
    """The scene's limits as a configuration has them."""
    return "[thresholds]\n" + "".join(
        f"{name} = {getattr(LIMITS, name)}\n"
        for name in ("accept_wait_seconds", "close_wait_seconds", "fin_wait2_seconds", "unread_seconds")
    )


@contextlib.contextmanager
def terminal(made: Scene, home: Path, size: tuple[int, int], *arguments: str, **environ: str) -> Iterator[Terminal]:
    """sockui on a terminal, looking at the scene."""
    (home / "soon.toml").write_text(thresholds())
    where = ["--netns", str(made.namespace), "--config", str(home / "soon.toml")]
    base = {"HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}
    opened = Terminal([*where, *arguments], size, {**base, **environ})
    try:
        yield opened
    finally:
        if opened.child.isalive():
            opened.child.close(force=True)


def about_all(ui: Terminal, made: Scene) -> int:
    """Go through what is about every process at once; how many views were seen."""
    ui.wait(re.compile(r"[1-9]\d* (?:critical|warning)").search)
    ui.wait("Enter its sockets")
    ui.send("3")
    marks = [name[:4].decode() for name in made.pids if name[:1] == b"q"]
    ui.wait(lambda text: all(mark in text for mark in marks))
    ui.send("1")
    ui.wait("Enter its sockets")
    return 1 + _through(ui, ABOUT_ALL)


def about(ui: Terminal, name: bytes, made: Scene) -> int:
    """Go through what is about one process; sockui was started with :func:`one_of` it."""
    ui.wait("1 match")
    ui.wait(lambda text: f":{made.ports[name]}" in text)
    return _through(ui, ABOUT_EACH)


def one_of(name: bytes, made: Scene) -> str:
    """A filter that one socket of a process matches; by its pid, for not every name can be typed."""
    return f"pid = {made.pids[name]} and state close-wait and recvq > 1"


COPY = "copied"
ABOUT_ALL = (  # keys, and what then is on the screen, or with "-" no longer
    ("C", COPY),
    ("?", "Keys"),
    (ESCAPE, "-Keys"),
    (":", "Search"),
    (ESCAPE, "-🔎"),
    ("2", "1 findings"),
    ("C", COPY),
    ("s", "Sort by"),
    (ESCAPE, "-Sort by"),
    ("/", "\n / "),
    (f"q0{ENTER}", "match"),
    (" C", COPY),
    ("o", "[x] state"),
    (ESCAPE, "-[x] state"),
    ("D", "walk"),
    ("q", "-walk"),
    ("3", "fold"),
    ("C", COPY),
)
"""The three tables whole, and what is opened from them."""
ABOUT_EACH = (
    (ENTER, "Esc back"),  # everything about it
    ("q", "-Esc back"),
    ("r", "What to do"),
    ("c", COPY),
    (DOWN + "c", COPY),
    ("q", "-What to do"),
    ("i", "Esc leave"),
    ("q", "-Esc leave"),
    ("c", COPY),
    ("d", COPY),
    ("3", "fold"),
    ("c", COPY),
    ("1", "Enter its sockets"),
    ("c", COPY),
)


def _through(ui: Terminal, steps: Sequence[tuple[str, str]]) -> int:
    """Take steps, then leave; how many views that were."""
    for step in steps:
        _go(ui, *step)
    ui.send("q")
    assert ui.ended() == 0
    return 1 + len(steps)


def _go(ui: Terminal, keys: str, shown: str) -> None:
    copies = ui.raw.count(OSC52)
    ui.send(keys)
    try:
        if shown == COPY:
            ui.wait(lambda text: ui.raw.count(OSC52) > copies or "too long for the terminal" in text)
        elif shown[0] == "-":
            ui.wait(lambda text: shown[1:] not in text)
        else:
            ui.wait(shown)
    except AssertionError as error:
        raise AssertionError(f"after {keys!r} not {shown!r}; the screen shows:\n{ui.text}") from error
