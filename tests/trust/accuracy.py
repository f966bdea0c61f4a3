"""Accuracy beside ss: every socket as ss shows it just before and just after, while sockets come and go.

Owns the world that is looked at (the lab's states and processes that churn, in a namespace of their own) and the rows.
Must not look (``looking``) or decide what is right (``beside``).
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sockui.lab.run import Lab
from tests.ss import ss
from tests.trust.beside import HELD_OVER, WRONG_HOLDERS, Tally
from tests.trust.looking import GONE, LATE, NOBODY
from tests.trust.table import Row

LAB = (
    "listen-full", "accept-queue", "close-wait-unread", "close-wait-read", "close-wait-unaccepted",
    "close-wait-sending", "fin-wait2-held", "fin-wait2-orphan", "time-wait", "syn-sent", "syn-recv", "defer-accept",
    "fin-wait1", "fin-wait1-zero-window", "last-ack", "closing", "established", "retransmitting", "zero-window",
    "half-open", "bound-inactive",
)  # fmt: skip
ENOUGH = 10_000
_ROOT = Path(__file__).parents[2]
_CHURN = str(Path(__file__).with_name("churn.py"))
_CHURNERS = ((NOBODY,), (), (NOBODY,), ())  # as whom each runs
_RATE = 25.0  # sockets, mostly pairs, that each opens in a second


# --- the world --------------------------------------------------------------------------------------------


class World(NamedTuple):
    """What is looked at."""

    lab: Lab
    name: str  # of the namespace
    journals: str  # the directory of those that the churning processes write


@contextlib.contextmanager
def world(name: str) -> Iterator[World]:
    """The lab, and processes beside it whose sockets come and go."""
    with Lab(LAB, namespace=name) as lab, tempfile.TemporaryDirectory() as journals, contextlib.ExitStack() as ends:
        for number, uid in enumerate(_CHURNERS, 1):
            journal = str(Path(journals) / str(number))
            command = [sys.executable, _CHURN, f"churn-{number}", str(number), str(_RATE), journal, *map(str, uid)]
            churner = subprocess.Popen(
                ["ip", "netns", "exec", name, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            ends.enter_context(churner)  # closes its stdin, which ends it
            assert churner.stdout is not None
            assert churner.stdout.readline() == "ready\n"
        yield World(lab, name, journals)


def look(world: World, seconds: float, way: str) -> Tally:
    """Look at a world for a while; ``way`` is one of those that :class:`~tests.trust.looking.Looker` knows."""
    command = [sys.executable, "-m", "tests.trust.looking", world.name, str(seconds), way, world.journals]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode()[-2000:])
    tally = pickle.loads(done.stdout)
    assert isinstance(tally, Tally)
    return tally


# --- the rows ---------------------------------------------------------------------------------------------


def measure(seconds: float) -> Iterator[Row]:
    """As root poll after poll, by ``sockui list`` anew each time, and without privileges."""
    if os.geteuid():
        yield Row("accuracy beside ss", 0, "comparisons", 0, "network namespaces need root")
        return
    with world(f"accuracy-{os.getpid()}") as made:
        settle(made)
        compared = 0
        for way, share, how in (("root", 0.5, ""), ("list", 0.15, ", by sockui list"), ("nobody", 0.25, ", as nobody")):
            tally = look(made, seconds * share, way)
            compared += tally.compared.total()
            yield from rows(tally, how)
        yield Row("accuracy: enough was compared", compared, "comparisons", int(compared < ENOUGH), f"of {ENOUGH:,}")


def settle(made: World) -> None:
    """Wait until what churns is about as much as it will be."""
    deadline = time.monotonic() + 30
    while len(ss("ip", "netns", "exec", made.name)) < 200 and time.monotonic() < deadline:
        time.sleep(0.2)


def rows(tally: Tally, how: str) -> Iterator[Row]:
    """What a look found, as rows of the table."""
    facts = tally.facts
    words = {
        "IPv4": "TCP over IPv4",
        "IPv6": "TCP over IPv6",
        "v4-mapped": "TCP over v4-mapped addresses",
        "UDP": "UDP over all three",
        "lab": f"the {len(LAB)} situations of the lab",
    }
    first = next(iter(tally.differences), "")
    held_over = f"{facts[HELD_OVER]:,} more rows were {HELD_OVER}, and marked so"
    notes = {"IPv4": f"{tally.rounds:,} snapshots, {facts['sockets seen']:,} different sockets; {held_over}"}
    for kind, what in words.items():
        failed = tally.failed[kind]
        note = first if failed else notes.get(kind, "")
        yield Row(f"accuracy: {what}{how}", tally.compared[kind], "comparisons with ss", failed, note)
    yield Row(
        f"accuracy: none invented{how}",
        facts["listed"],
        "rows",
        tally.failed["invented"],
        first
        if tally.failed["invented"]
        else f"in neither ss: {_gone(facts):,} that came and went between (the kernel told, or they are held), "
        f"{facts['only bound']:,} only bound (held, by /proc; this ss does not ask for them)",
    )
    yield Row(
        f"accuracy: all holders{how}",
        facts["holders compared"],
        "comparisons with ss -p",
        facts[WRONG_HOLDERS],  # which fail their sockets' rows too
        f"{facts['with several holders']:,} with several; {facts['holders for a moment between the two ss']:,} holders "
        f"besides that held for a moment between (in their own journal); {facts['new, holder not named yet']:,} new "
        f"and not named yet; {facts[LATE]:,} that came as another descriptor went (in the journals) and were named in "
        "turn",
    )


def _gone(facts: Counter[str]) -> int:
    return sum(count for fact, count in facts.items() if fact.startswith(GONE))
