"""Accuracy beside ss: every socket as ss shows it just before and just after, while sockets come and go.

Owns the world that is looked at (the lab's states and processes that churn, in a namespace of their own), and looking.
Must not decide what is right: ``beside`` does.

The looking is done by a process inside the namespace, ``python -m tests.trust.accuracy NAMESPACE SECONDS WAY
JOURNALS``, so that a round is ss, one poll, ss and nothing else. What only sockui says is not believed: a socket that
it alone lists must be among those that the kernel told to have ended (the checker hears the socket-destroy multicast
itself) or, if it is only bound, be held by somebody; a holder that it alone names must be in the journals of the
churning processes.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import pickle
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sockui import report
from sockui.collector.linux import NetlinkCollector
from sockui.collector.namespace import enter_namespace
from sockui.lab.run import Lab
from sockui.tracker import Life, Tracker
from sockui.view.columns import require
from tests.ss import SsRow, endpoint, ss
from tests.trust.beside import Claim, Listed, Round, Tally, compare
from tests.trust.churn import become
from tests.trust.table import Row

T = TypeVar("T")
LAB = (
    "listen-full", "accept-queue", "close-wait-unread", "close-wait-read", "close-wait-unaccepted",
    "close-wait-sending", "fin-wait2-held", "fin-wait2-orphan", "time-wait", "syn-sent", "syn-recv", "defer-accept",
    "fin-wait1", "fin-wait1-zero-window", "last-ack", "closing", "established", "retransmitting", "zero-window",
    "half-open", "bound-inactive",
)  # fmt: skip
NOBODY = 65534
_CHURN = str(Path(__file__).with_name("churn.py"))
_CHURNERS = ((NOBODY,), (), (NOBODY,), ())  # as whom each runs
_RATE = 25.0  # sockets, mostly pairs, that each opens in a second
_MINI = ("FIN_WAIT2", "TIME_WAIT")
_LAB_NETWORK = "10.9."
_COLUMNS = tuple(
    require(name)
    for name in (
        "protocol", "family", "state", "local_address", "local_port", "remote_address", "remote_port", "pid", "fd",
        "uid", "inode", "cookie", "recv_queue", "send_queue", "holders",
    )
)  # fmt: skip
_TOLD_WITHIN = 20.0
"""Seconds until the end of a socket is told: when the last descriptor is closed, though a reset took it from all lists;
that of a churning process may be inherited."""
_NLMSGHDR = 16  # bytes
_ID = struct.Struct("=HH16s16s4xQ")  # struct inet_diag_sockid, after four bytes; ports in network order


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
    """Look at a world for a while; ``way`` is one of those that :class:`Looker` knows."""
    command = [sys.executable, "-m", "tests.trust.accuracy", world.name, str(seconds), way, world.journals]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode()[-2000:])
    tally = pickle.loads(done.stdout)
    assert isinstance(tally, Tally)
    return tally


# --- inside it --------------------------------------------------------------------------------------------


class Witness:
    """Hears which sockets end, from then on: the kernel's word, read with code of its own."""

    def __init__(self) -> None:
        self.ended: set[int] = set()  # cookies
        self.connections: dict[tuple[str, str], float] = {}  # local and remote end: CLOCK_MONOTONIC s when last heard
        self._heard = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 4)  # SOCK_DIAG
        self._heard.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self._heard.bind((0, 0b1111))  # enum sknetlink_groups: TCP, UDP, of IPv4 and IPv6

    def listen(self) -> None:
        """Take what was told; an overrun raises OSError, for nothing may be missed."""
        now = time.monotonic()
        with contextlib.suppress(BlockingIOError):
            while message := self._heard.recv(8192):
                local_port, remote_port, local, remote, cookie = _ID.unpack_from(message, _NLMSGHDR + 4)
                ends = _end(message[_NLMSGHDR], local, local_port), _end(message[_NLMSGHDR], remote, remote_port)
                self.ended.add(cookie)
                self.connections[ends] = now


def _end(family: int, address: bytes, port: int) -> str:
    text = socket.inet_ntop(family, address if family == socket.AF_INET6 else address[:4]).removeprefix("::ffff:")
    return endpoint(text, socket.ntohs(port))


class Held:
    """Asks a process that stays root which inodes somebody holds."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair()
        if not os.fork():
            self._ours.close()
            while asked := theirs.recv(1 << 20):
                theirs.send(json.dumps(list(_held_sockets() & set(json.loads(asked)))).encode())
            os._exit(0)
        theirs.close()

    def among(self, inodes: set[int]) -> set[int]:
        """Those that are held now."""
        if not inodes:
            return inodes
        self._ours.send(json.dumps(list(inodes)).encode())
        return set(json.loads(self._ours.recv(1 << 20)))


def _held_sockets() -> set[int]:
    found = set()
    for directory in Path("/proc").glob("[0-9]*/fd"):
        with contextlib.suppress(OSError):
            for descriptor in directory.iterdir():
                with contextlib.suppress(OSError):
                    target = os.readlink(descriptor)
                    if target.startswith("socket:["):
                        found.add(int(target[8:-1]))
    return found


class Journals:
    """What the churning processes wrote; opened when they may still be."""

    def __init__(self, directory: str) -> None:
        self._files = [path.open() for path in Path(directory).iterdir()]

    def read(self) -> defaultdict[tuple[int, int, int], list[tuple[float, float]]]:
        """(pid, fd, inode): from when until when it was held; CLOCK_MONOTONIC s."""
        found: defaultdict[tuple[int, int, int], list[tuple[float, float]]] = defaultdict(list)
        begun: dict[int, dict[tuple[int, int], float]] = defaultdict(dict)  # by pid
        for line in itertools.chain(*self._files):
            what, *numbers, text = line.split()
            (pid, inode, fd), moment = map(int, numbers), float(text)
            if what == "+":
                begun[pid][fd, inode] = moment
            else:
                for holder in [(fd, inode)] if inode else list(begun[pid]):
                    found[pid, *holder].append((begun[pid].pop(holder), moment))
        for pid, holders in begun.items():
            for holder, since in holders.items():
                found[pid, *holder].append((since, math.inf))
        return found


class Looker:
    """Rounds in this process's network namespace.

    ``root``: one collector and tracker, poll after poll. ``list``: ``sockui list`` anew each time. ``nobody``: as
    ``root``, but without privileges.
    """

    def __init__(self, way: str, journals: str) -> None:
        self._witness, self._held, self._journals = Witness(), Held(), Journals(journals)
        if way == "nobody":
            become(NOBODY)
        self._way = way
        self._tally = Tally()
        self._known: frozenset[int] = frozenset()
        self._waiting: dict[int, tuple[float, Listed]] = {}  # only ours: when, and what
        self._claims: list[tuple[float, float, Claim]] = []  # during which round, and what
        if way != "list":
            self._collector, self._tracker = NetlinkCollector(), Tracker()

    def run(self, seconds: float) -> Tally:
        """As many rounds as there is time for."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self._round()
        while self._waiting:
            time.sleep(0.1)
            self._explain()
        self._check_claims()
        self._tally.facts["sockets seen"] = len(self._known)
        return self._tally

    def _round(self) -> None:
        began = time.monotonic()
        before = ss()
        ours, held_over = self._listed() if self._way == "list" else self._polled()
        after = ss()
        ended = time.monotonic()
        self._witness.listen()
        one = Round(before, ours, after, self._known, held_over, alone=self._way == "list")
        may_read = _owned_by_us if self._way == "nobody" else lambda _: True
        for each, part in _parts(one):
            tally = Tally()
            alone, claims = compare(part, tally, may_read)
            self._take(each, tally)
            self._claims += [(began, ended, claim) for claim in claims]
            bound = {
                cookie for cookie in alone if (ours[cookie]["protocol"], ours[cookie]["state"]) == ("tcp", "CLOSE")
            }
            held = self._held.among({ours[cookie]["inode"] for cookie in bound})
            proven = {cookie for cookie in bound if ours[cookie]["inode"] in held}
            self._tally.facts["only bound"] += len(proven)
            self._waiting.update((cookie, (began, ours[cookie])) for cookie in alone - proven)
        self._tally.rounds += 1
        self._explain()
        self._known |= before.keys() | ours.keys() | after.keys()

    def _take(self, part: str, tally: Tally) -> None:
        """Sockets of the lab are counted apart."""
        tally.rounds = 0
        if part == "lab":
            for counts in (tally.compared, tally.failed):
                total = sum(counts.values())
                counts.clear()
                counts["lab"] = total
        self._tally.merge(tally)

    def _polled(self) -> tuple[dict[int, Listed], frozenset[int]]:
        update = self._tracker.update(self._collector.collect())
        life = update.life.tolist()
        rows = {row["cookie"]: (row, alive) for row, alive in zip(report.objects(update, _COLUMNS), life, strict=True)}
        shown = {cookie: row for cookie, (row, alive) in rows.items() if alive != Life.ENDED}
        return shown, frozenset(cookie for cookie, (_, alive) in rows.items() if alive == Life.MISSED)

    def _listed(self) -> tuple[dict[int, Listed], frozenset[int]]:
        command = [sys.executable, "-m", "sockui", "list", "--format", "json"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        answer: dict[str, Any] = json.loads(done.stdout)
        return {row["cookie"]: row for row in answer["sockets"]}, frozenset()

    def _explain(self) -> None:
        """What only sockui listed came and went between the two ss, if the kernel tells of its end.

        A mini-socket has a cookie of its own if its connection had none, because nobody had looked at it: then the
        connection must have ended since the round began.
        """
        self._witness.listen()
        for cookie, (began, row) in list(self._waiting.items()):
            local, remote = (endpoint(row[f"{side}_address"], row[f"{side}_port"]) for side in ("local", "remote"))
            if cookie in self._witness.ended:
                self._tally.facts["came and went between the two ss"] += 1
            elif row["state"] in _MINI and self._witness.connections.get((local, remote), 0.0) >= began:
                self._tally.facts["came and went between the two ss, as a mini-socket"] += 1
            elif time.monotonic() - began < _TOLD_WITHIN:
                continue
            else:
                self._tally.differs("invented", str(row))
            del self._waiting[cookie]

    def _check_claims(self) -> None:
        true = self._journals.read()
        for began, ended, claim in self._claims:
            if any(since <= ended and began <= until for since, until in true[claim.pid, claim.fd, claim.inode]):
                self._tally.facts["holders for a moment between the two ss"] += 1
            else:
                self._tally.differs(claim.kind, f"not a holder: {claim}")


def _parts(whole: Round) -> Iterator[tuple[str, Round]]:
    """The sockets of the lab, and the others."""
    ends: dict[int, SsRow] = {**whole.before, **whole.after}
    lab = {cookie for cookie, row in ends.items() if row.local.startswith(_LAB_NETWORK)}
    lab |= {
        cookie for cookie, row in whole.ours.items() if (row["local_address"] or "").startswith(_LAB_NETWORK)
    } - ends.keys()

    def part(of_lab: bool) -> Round:
        def chosen(rows: Mapping[int, T]) -> dict[int, T]:
            return {cookie: row for cookie, row in rows.items() if (cookie in lab) == of_lab}

        return replace(whole, before=chosen(whole.before), ours=chosen(whole.ours), after=chosen(whole.after))

    yield "lab", part(True)
    yield "churn", part(False)


def _owned_by_us(pid: int) -> bool:
    try:
        return os.stat(f"/proc/{pid}").st_uid == os.geteuid()
    except FileNotFoundError:
        return True


# --- the rows ---------------------------------------------------------------------------------------------


def measure(seconds: float) -> Iterator[Row]:
    """As root poll after poll, by ``sockui list`` anew each time, and without privileges."""
    if os.geteuid():
        yield Row("accuracy beside ss", 0, "comparisons", 0, "network namespaces need root")
        return
    with world(f"accuracy-{os.getpid()}") as made:
        settle(made)
        yield from rows(look(made, seconds * 0.5, "root"), "")
        yield from rows(look(made, seconds * 0.15, "list"), ", by sockui list")
        yield from rows(look(made, seconds * 0.25, "nobody"), ", as nobody")


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
    notes = {"IPv4": f"{tally.rounds:,} snapshots, {facts['sockets seen']:,} different sockets"}
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
        else f"in neither ss: {_gone(facts):,} that came and went between (the kernel told of each end), "
        f"{facts['only bound']:,} only bound (held, by /proc; this ss does not ask for them)",
    )
    yield Row(
        f"accuracy: all holders{how}",
        facts["holders compared"],
        "comparisons with ss -p",
        0,  # a wrong holder fails its socket's row
        f"{facts['with several holders']:,} with several; {facts['holders for a moment between the two ss']:,} holders "
        f"besides that held for a moment between (in their own journal); {facts['new, holder not named yet']:,} new "
        "and not named yet",
    )


def _gone(facts: Counter[str]) -> int:
    return sum(facts[f"came and went between the two ss{how}"] for how in ("", ", as a mini-socket"))


def main() -> None:
    """Enter, look, and write what was found."""
    name, seconds, way, journals = sys.argv[1:]
    enter_namespace(name)
    sys.stdout.buffer.write(pickle.dumps(Looker(way, journals).run(float(seconds))))


if __name__ == "__main__":
    main()
