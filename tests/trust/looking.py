"""Looking: ss, one poll of sockui, and ss again, in turn, by a process inside the namespace that is looked at.

Owns the rounds, and the proof of what only sockui says. Must not decide what is right: ``beside`` does.

``python -m tests.trust.looking NAMESPACE SECONDS WAY JOURNALS`` writes a pickled Tally. What only sockui says is not
believed: a socket that it alone lists must be among those that the kernel told to have ended (the checker hears the
socket-destroy multicast itself) or, if it is only bound, be held by somebody; a holder that it alone names must be in
the journals of the churning processes. One more holder of a socket may be named late, if those journals say that its
process closed another descriptor meanwhile: it is named as soon as it is that process's turn.
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
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from sockui import report
from sockui.collector.linux import NetlinkCollector
from sockui.collector.namespace import enter_namespace
from sockui.collector.owners import DESCRIPTORS_IN_TURN, PROCESSES_IN_TURN
from sockui.tracker import Life, Tracker
from sockui.view.columns import require
from tests.ss import SsRow, endpoint, ss
from tests.trust.beside import WRONG_HOLDERS, Holder, Listed, Round, Tally, compare
from tests.trust.churn import become

T = TypeVar("T")
NOBODY = 65534
GONE = "came and went between the two ss"
LATE = "holders that came as another descriptor went"
_MINI = ("SYN_RECV", "FIN_WAIT2", "TIME_WAIT")
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
_LEAST = 2  # rounds, however slow this host is
_NLMSGHDR = 16  # bytes
_ID = struct.Struct("=HH16s16s4xQ")  # struct inet_diag_sockid, after four bytes; ports in network order


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
    for descriptor in itertools.chain.from_iterable(_open()):
        with contextlib.suppress(OSError):
            target = os.readlink(descriptor)
            if target.startswith("socket:["):
                found.add(int(target[8:-1]))
    return found


def _open() -> Iterator[list[Path]]:
    """What each process of this host has open, as far as it may be read."""
    for directory in Path("/proc").glob("[0-9]*/fd"):
        try:
            yield list(directory.iterdir())
        except OSError:
            yield []


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
        self._claims: list[tuple[float, float, Holder]] = []  # during which round, and what
        self._late: dict[Holder, int] = {}  # not named yet: since which round
        self._came_late: list[tuple[float, float, Holder]] = []  # between which moments, and what
        self._began = math.inf  # of the round before
        if way != "list":
            self._collector, self._tracker = NetlinkCollector(), Tracker()

    def run(self, seconds: float) -> Tally:
        """As many rounds as there is time for."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends or self._tally.rounds < _LEAST:
            self._round()
        while self._waiting:
            time.sleep(0.1)
            self._explain()
        self._check_holders()
        self._tally.facts["sockets seen"] = len(self._known)
        return self._tally

    def _round(self) -> None:
        began = time.monotonic()
        before = ss()
        ours, held_over = self._listed() if self._way == "list" else self._polled()
        after = ss()
        ended = time.monotonic()
        late: set[Holder] = set()
        self._witness.listen()
        one = Round(before, ours, after, self._known, held_over, alone=self._way == "list")
        may_read = _owned_by_us if self._way == "nobody" else lambda _: True
        for each, part in _parts(one):
            tally = Tally()
            left = compare(part, tally, may_read)
            self._take(each, tally)
            self._claims += [(began, ended, claim) for claim in left.claims]
            late |= left.late
            lives_on = {(row.local, row.remote) for row in after.values() if row.protocol == "tcp"}
            for cookie in left.alone:
                if ours[cookie]["state"] == "SYN_RECV" and _ends(ours[cookie]) in lives_on:
                    self._tally.facts[f"{GONE}, as a handshake"] += 1
                else:
                    self._waiting[cookie] = (began, ours[cookie])
        self._await(late, ended)
        self._began = began
        self._tally.rounds += 1
        self._explain()
        self._known |= before.keys() | ours.keys() | after.keys()

    def _await(self, late: set[Holder], ended: float) -> None:
        """Note which holders are not named yet, and for how many rounds."""
        self._late = {holder: since for holder, since in self._late.items() if holder in late}
        for holder in late:
            if holder not in self._late:
                self._late[holder] = self._tally.rounds
                self._came_late.append((self._began, ended, holder))
            elif self._tally.rounds - self._late[holder] > _turn():
                self._wrong_holder("lacking for a whole turn", holder)

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

        A mini-socket has a cookie of its own if its connection had none, because nobody had looked at it, and so has
        a handshake that was looked at while it ended: then the connection must have ended since the round began. What
        somebody holds is there, too: it is only bound, or its connection was reset, and close() is missing.
        """
        self._witness.listen()
        held = self._held.among({row["inode"] for _, row in self._waiting.values()} - {0})
        for cookie, (began, row) in list(self._waiting.items()):
            bound = (row["protocol"], row["state"]) == ("tcp", "CLOSE")
            if bound and (row["inode"] in held or cookie in self._witness.ended):
                self._tally.facts["only bound"] += 1
            elif cookie in self._witness.ended:
                self._tally.facts[GONE] += 1
            elif row["state"] in _MINI and self._witness.connections.get(_ends(row), 0.0) >= began:
                self._tally.facts[f"{GONE}, as a mini-socket"] += 1
            elif row["protocol"] == "tcp" and row["inode"] in held:
                self._tally.facts[f"{GONE}, but for its descriptor"] += 1
            elif time.monotonic() - began < _TOLD_WITHIN:
                continue
            else:
                self._tally.differs("invented", str(row))
            del self._waiting[cookie]

    def _check_holders(self) -> None:
        true = self._journals.read()
        for began, ended, holder in self._came_late:
            came = any(began <= since <= ended for since, _ in true[holder.pid, holder.fd, holder.inode])
            ends = (until for (pid, *_), held in true.items() if pid == holder.pid for _, until in held)
            if came and any(began <= until <= ended for until in ends):
                self._tally.facts[LATE] += 1
            else:
                self._wrong_holder("lacking", holder)
        for began, ended, claim in self._claims:
            if any(since <= ended and began <= until for since, until in true[claim.pid, claim.fd, claim.inode]):
                self._tally.facts["holders for a moment between the two ss"] += 1
            else:
                self._wrong_holder("named and none", claim)

    def _wrong_holder(self, how: str, holder: Holder) -> None:
        self._tally.facts[WRONG_HOLDERS] += 1
        self._tally.differs(holder.kind, f"holder {how}: {holder}")


def _turn() -> int:
    """Polls until every process of this host was looked at in turn, at most."""
    counts = [len(descriptors) for descriptors in _open()]
    return 1 + len(counts) // PROCESSES_IN_TURN + sum(counts) // DESCRIPTORS_IN_TURN


def _ends(row: Listed) -> tuple[str, str]:
    local, remote = (endpoint(row[f"{side}_address"], row[f"{side}_port"]) for side in ("local", "remote"))
    return local, remote


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


def main() -> None:
    """Enter, look, and write what was found."""
    name, seconds, way, journals = sys.argv[1:]
    enter_namespace(name)
    sys.stdout.buffer.write(pickle.dumps(Looker(way, journals).run(float(seconds))))


if __name__ == "__main__":
    main()
