"""Which process holds which socket: the inode -> (pid, fd) relation, kept from poll to poll.

Owns whose descriptors are read and when. Must not judge or talk to netlink; what is not seen is put into words by
``coverage``.

A walk over every descriptor of the host costs more than the whole dump, so a process is read again only when its
books do not balance: what it has open (st_size of /proc/PID/fd) is no longer the sockets known here plus the other
descriptors it had. For what that cannot notice, a slice of the known entries is checked in every poll, and some
processes are looked at in turn: one descriptor closed and another come leaves as many open. The sockets of a process
that lives in another network namespace come and go without being in the dump, so its books are not kept: it is read
when it is new, when it is its turn, and when nobody else holds what is in the dump.
"""

from __future__ import annotations

import bisect
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sockui.collector.coverage import coverage
from sockui.collector.descriptors import read_links
from sockui.collector.processes import ProcessTable, with_ancestors
from sockui.collector.queued import fill_queued
from sockui.giving_way import GivingWay
from sockui.model import Coverage, Holders, Known, Owner, Process, SocketArray
from sockui.model.sockets import PIECE, columns

_MANY = 256  # sockets from which on a process is not read whole again for every change
_CHECKED = 500  # known entries checked in every poll, 1.5 ms
_LONGEST_WAIT = 64  # polls between two searches for an inode that nobody holds
_NOWHERE = 0, 0  # device and inode of a network namespace that may not be read

DESCRIPTORS_IN_TURN = 200
"""Descriptors of processes looked at in turn in a poll, 0.6 ms; after a process with more the next ones wait ..."""
PROCESSES_IN_TURN = 20
"""... and so many processes at most."""


@dataclass(frozen=True, eq=False, slots=True)
class Attribution:
    """What the rows cannot hold: the processes and every holder of a socket."""

    processes: Mapping[int, Process]  # every holder and its ancestors
    holders: Holders
    unlisted: Holders  # the sockets among the descriptors read that are not in the dump, of any protocol; not sorted
    coverage: Coverage


class _Books(NamedTuple):
    """What a process was like when its descriptors were last read."""

    started_ticks: int
    uid: int
    others: int  # open descriptors less the known sockets among them
    readable: bool
    here: bool  # it lives in the network namespace of the dump


@dataclass(slots=True)
class _Reading:
    """What one poll read in /proc/PID/fd, before it becomes arrays."""

    inodes: list[int] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)
    fds: list[int] = field(default_factory=list)
    readable: dict[int, bool] = field(default_factory=dict)  # every pid that was tried
    elsewhere: list[int] = field(default_factory=list)  # pids that live in another network namespace
    whole: list[int] = field(default_factory=list)  # pids whose known entries are all replaced
    lost: list[NDArray[np.intp]] = field(default_factory=list)  # known entries of the other pids to remove


class OwnerResolver:
    """Fills the owner columns of each poll's sockets, remembering what the polls before found."""

    def __init__(self, processes: ProcessTable, proc: str = "/proc", give_way: GivingWay | None = None) -> None:
        self._give_way = give_way or GivingWay()
        self._processes = processes
        self._proc = proc
        self._poll = 0
        self._holders = Holders.none()
        self._held = np.empty(0, np.uint32)  # the distinct inodes of _holders
        self._first = np.empty(0, np.intp)  # where each begins there
        self._unlisted = Holders.none()  # sockets that were in no dump when they were read; not sorted
        self._counts: dict[int, int] = {}  # pid -> entries in _holders
        self._books: dict[int, _Books] = {}
        self._cursor = 0  # next entry to check
        self._turn = 0  # pid after which it is the next one's turn
        self._credit = 0  # descriptors that may be read in turn
        self._here = _NOWHERE  # the network namespace of the dump
        self._absent = np.empty(0, np.uint32)  # inodes without a holder, sorted
        self._wait = np.empty(0, np.int64)  # polls between searches for each; 0: not searched everywhere yet
        self._due = np.empty(0, np.int64)  # poll of the next search

    def attribute(self, sockets: SocketArray) -> Attribution:
        """Fill ``pid``, ``fd``, ``holders`` and ``owner`` in place, in the rows whose ``known`` has INODE.

        Call it in the thread that made the dump.

        A row with a holder is PROCESS. A row without an inode is LISTENER if it waits for accept(), else KERNEL.
        Any other is HIDDEN if some process cannot be read, UNFOUND if all were and none holds it, and UNKNOWN
        where only the likely processes have been read so far (the next call reads the rest).
        """
        self._poll += 1
        self._here = self._namespace("thread-self")
        self._processes.refresh()
        self._give_way()
        known, inode = columns(sockets, "known", "inode")
        known = (known & Known.INODE) != 0
        inode[~known] = 0
        rows = np.argsort(inode)[np.count_nonzero(inode == 0) :]
        dump = inode[rows]
        self._give_way()
        self._forget(dump)
        self._promote(dump)
        self._give_way()
        self._search(dump, rows, sockets)
        self._give_way()
        self._fill(sockets, known, rows, dump)
        self._give_way()
        queued = fill_queued(sockets, known & (inode == 0))
        return Attribution(
            processes=with_ancestors(self._counts, self._processes.get),
            holders=self._holders,
            unlisted=self._unlisted,
            coverage=coverage(sockets, queued, self._processes),
        )

    # --- filling the rows ------------------------------------------------------------------------

    def _fill(
        self, sockets: SocketArray, known: NDArray[np.bool_], rows: NDArray[np.intp], dump: NDArray[np.uint32]
    ) -> None:
        """``rows`` are those with an inode, in the order of ``dump``."""
        at, found = _locate(dump, self._held)
        rows_held, at = rows[found], at[found]
        entry = self._first[at]
        pid = np.zeros(len(sockets), np.int32)
        pid[rows_held] = self._holders.pid[entry]
        fd = np.full(len(sockets), -1, np.int32)
        fd[rows_held] = self._holders.fd[entry]
        holders = np.zeros(len(sockets), np.uint16)
        holders[rows_held] = np.minimum(np.diff(self._first, append=len(self._holders.inode)), 0xFFFF)[at]
        owner = np.full(len(sockets), Owner.KERNEL, np.uint8)
        owner[rows] = Owner.UNKNOWN
        owner[rows_held] = Owner.PROCESS
        if len(self._absent):
            hidden = self._processes.hidden or not all(book.readable for book in self._books.values())
            nowhere = rows[_locate(dump, self._absent[self._wait > 0])[1]]
            owner[nowhere] = Owner.HIDDEN if hidden else Owner.UNFOUND
        all_known = known.all()
        for start in range(0, len(sockets), PIECE):
            part = slice(start, start + PIECE)
            some, of_some = sockets[part], known[part]
            for name, column in (("pid", pid), ("fd", fd), ("holders", holders), ("owner", owner)):
                some[name] = column[part] if all_known else np.where(of_some, column[part], some[name])

    # --- keeping the relation true ---------------------------------------------------------------

    def _forget(self, dump: NDArray[np.uint32]) -> None:
        """Drop the entries of sockets and of processes that ended."""
        seen, known = self._processes.seen, self._holders
        ended = [
            pid for pid, book in self._books.items() if pid not in seen or seen[pid].started_ticks != book.started_ticks
        ]
        for pid in ended:
            del self._books[pid]
        still = np.diff(self._first, append=len(known.inode))
        keep = np.repeat(_locate(self._held, dump)[1], still)
        if ended:
            keep &= ~np.isin(known.pid, ended)
            self._unlisted = self._unlisted.only(~np.isin(self._unlisted.pid, ended))
        if not keep.all():
            self._hold(known.only(keep))

    def _promote(self, dump: NDArray[np.uint32]) -> None:
        """Take over what was read before its socket was in a dump: bound since, or accepted after that dump."""
        listed = _locate(self._unlisted.inode, dump)[1]
        if listed.any():
            self._hold(self._holders.joined(self._unlisted.only(listed)).ordered())
            self._unlisted = self._unlisted.only(~listed)

    def _hold(self, holders: Holders) -> None:
        self._holders = holders
        self._first = np.flatnonzero(np.diff(holders.inode, prepend=np.uint32(0)))  # no entry has inode 0
        self._held = holders.inode[self._first]
        pids, counts = np.unique(holders.pid, return_counts=True)
        self._counts = dict(zip(pids.tolist(), counts.tolist(), strict=True))

    def _search(self, dump: NDArray[np.uint32], rows: NDArray[np.intp], sockets: SocketArray) -> None:
        """Read the processes that changed, then, while inodes are unknown, those that may hold them."""
        seen = self._processes.seen
        reading = _Reading()
        moved = self._check()
        for pid in [*moved, *self._in_turn(), *self._changed(), *(seen.keys() - self._books.keys())]:
            self._read(pid, reading, trust=pid not in moved)

        unheld = np.flatnonzero(~_locate(dump, self._held)[1])
        unknown = dump[unheld]
        waited, due = np.full(len(unknown), -1), np.zeros(len(unknown), np.int64)
        at, old = _locate(unknown, self._absent)
        waited[old], due[old] = self._wait[at[old]], self._due[at[old]]
        sought = due <= self._poll

        complete = True
        missing = set(unknown[sought].tolist()).difference(reading.inodes)
        if missing:
            rest = [
                pid
                for pid, book in self._books.items()
                if pid not in reading.readable and book.readable and seen[pid].fd_count != 0
            ]
            uids = set(sockets["uid"][rows[unheld[sought]]].tolist())
            self._read_until_found([pid for pid in rest if seen[pid].uid in uids], missing, reading)
            # A socket that just came may be gone already: the whole host is searched for those that stay.
            staying = missing.intersection(unknown[sought & (waited >= 0)].tolist())
            self._read_until_found(rest, staying, reading)
            complete = not self._processes.shortage and all(pid in reading.readable for pid in rest)
        self._merge(reading, dump)

        absent = ~_locate(unknown, self._held)[1]
        unknown, waited, due, sought = unknown[absent], waited[absent], due[absent], sought[absent]
        longer = np.clip(waited * 2, 1, _LONGEST_WAIT) if complete else np.maximum(waited, 0)
        self._absent = unknown
        self._wait = np.where(sought, longer, waited)
        self._due = np.where(sought, self._poll + np.maximum(longer, 1), due)

    def _changed(self) -> list[int]:
        """Processes whose books do not balance, or whose descriptors may have become readable."""
        return [
            pid
            for pid, book in self._books.items()
            if book.uid != (now := self._processes.seen[pid]).uid
            or (
                book.readable
                and book.here
                and now.fd_count is not None
                and now.fd_count != book.others + self._counts.get(pid, 0)
            )
        ]

    def _check(self) -> set[int]:
        """Look whether the next slice of entries is still true; the processes with one that is not."""
        known = self._holders
        first = self._cursor if self._cursor < len(known.inode) else 0
        self._cursor = last = first + _CHECKED
        moved: set[int] = set()
        for inode, pid, fd in zip(
            known.inode[first:last].tolist(), known.pid[first:last].tolist(), known.fd[first:last].tolist(), strict=True
        ):
            try:
                link = os.readlink(f"{self._proc}/{pid}/fd/{fd}")
            except OSError:
                link = ""
            if link != f"socket:[{inode}]":
                moved.add(pid)
        return moved

    def _in_turn(self) -> set[int]:
        """Look at the next processes; those that hold other sockets than are known, or may."""
        known, unlisted, seen = self._holders, self._unlisted, self._processes.seen
        pids = sorted(self._books)
        first = bisect.bisect_right(pids, self._turn)
        changed: set[int] = set()
        self._credit = min(self._credit, 0) + DESCRIPTORS_IN_TURN
        for pid in (pids[first:] + pids[:first])[:PROCESSES_IN_TURN]:
            if self._credit <= 0:
                break
            self._turn = pid
            count = seen[pid].fd_count or 0
            if not self._books[pid].here:
                self._credit -= max(count, 1)
                changed.add(pid)
                continue
            ours = known.only(known.pid == pid)
            many = len(ours.inode) >= _MANY
            self._credit -= max(count - len(ours.inode) * many, 1)
            others = unlisted.only(unlisted.pid == pid)
            expected = others if many else ours.joined(others)
            try:
                directory = os.open(f"{self._proc}/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY)
                try:
                    fds, inodes, lost = read_links(directory, ours.fd[: len(ours.fd) * many])
                finally:
                    os.close(directory)
            except OSError:  # it ended, or its books say why it cannot be read
                continue
            found = set(zip(fds, (inode & 0xFFFFFFFF for inode in inodes), strict=True))
            if lost.any() or found != set(zip(expected.fd.tolist(), expected.inode.tolist(), strict=True)):
                changed.add(pid)
        return changed

    # --- reading descriptors ---------------------------------------------------------------------

    def _read_until_found(self, pids: Iterable[int], missing: set[int], reading: _Reading) -> None:
        for pid in pids:
            if not missing:
                return
            before = len(reading.inodes)
            self._read(pid, reading, trust=True)
            missing.difference_update(reading.inodes[before:])

    def _read(self, pid: int, reading: _Reading, *, trust: bool) -> None:
        """Read the descriptors of a process; with ``trust`` and many known sockets, only the others."""
        if pid in reading.readable:
            return
        reading.readable[pid] = True
        entries = np.empty(0, np.intp)
        if trust and self._counts.get(pid, 0) >= _MANY:
            entries = np.flatnonzero(self._holders.pid == pid)
        try:
            directory = os.open(f"{self._proc}/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY)
            try:
                fds, inodes, lost = read_links(directory, self._holders.fd[entries])
            finally:
                os.close(directory)
        except PermissionError:
            reading.readable[pid] = False
            reading.whole.append(pid)
            return
        except OSError as error:
            if self._processes.is_short(error):  # what is known of it stays, and it is read in the next poll
                del reading.readable[pid]
            else:  # it ended
                reading.whole.append(pid)
            return
        if len(entries):
            reading.lost.append(entries[lost])
        else:
            reading.whole.append(pid)
        if self._namespace(str(pid)) not in (self._here, _NOWHERE):
            reading.elsewhere.append(pid)
        reading.fds += fds
        reading.inodes += inodes
        reading.pids += [pid] * len(fds)

    def _merge(self, reading: _Reading, dump: NDArray[np.uint32]) -> None:
        """Take over what was read, apart from each other what is in the dump and what is not."""
        if not reading.readable:
            return
        old = self._holders
        keep = ~np.isin(old.pid, reading.whole)
        for entries in reading.lost:
            keep[entries] = False
        inode = np.array(reading.inodes, np.uint32)
        found = Holders(inode, np.array(reading.pids, np.int32), np.array(reading.fds, np.int32))
        wanted = _locate(inode, dump)[1]
        if wanted.any() or not keep.all():
            self._hold(old.only(keep).joined(found.only(wanted)).ordered())
        unread = ~np.isin(self._unlisted.pid, list(reading.readable))  # those of a process are always read together
        unlisted = ~wanted & ~np.isin(found.pid, reading.elsewhere)
        self._unlisted = self._unlisted.only(unread).joined(found.only(unlisted))
        for number, readable in reading.readable.items():
            now = self._processes.seen[number]
            others = (now.fd_count or 0) - self._counts.get(number, 0)
            self._books[number] = _Books(now.started_ticks, now.uid, others, readable, number not in reading.elsewhere)

    def _namespace(self, process: str) -> tuple[int, int]:
        try:
            entry = os.stat(f"{self._proc}/{process}/ns/net")
        except OSError:  # it ended or may not be read
            return _NOWHERE
        return entry.st_dev, entry.st_ino


def _locate(values: NDArray[np.uint32], among: NDArray[np.uint32]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Where each of ``values`` is in ``among``, which is sorted, and whether it is there at all."""
    if np.array_equal(values, among):
        return np.arange(len(values)), np.ones(len(values), np.bool_)
    if not len(among):
        return np.zeros(len(values), np.intp), np.zeros(len(values), np.bool_)
    at = np.minimum(np.searchsorted(among, values), len(among) - 1)
    return at, among[at] == values
