"""Ghosts: TCP sockets that a process holds and that are in no list of the kernel.

Owns telling them from everything else that a descriptor ``socket:[...]`` may be. Must not list descriptors (that is
``owners``) or judge.

A TCP socket in state CLOSE whose port the kernel chose is in no hash table, so no dump shows it
(net/ipv4/tcp.c:tcp_set_state), and only close() frees it and its descriptor. It is one of

* a connection that ended while the process kept the descriptor: reset, timed out, killed (``ss -K``), or in order
  after shutdown() (a TIME_WAIT goes on without it);
* a connect() that failed;
* a socket that was neither bound nor connected, ever.

Nothing that may be read from outside the process tells the last from the others, so words must leave it open.
What is no ghost and may still look like one: before Linux 6.8, when dumps did not have them, a socket that is only
bound; a socket of another network namespace that is only bound there, or whose namespace no process lives in.
What is one and is missing: those of processes that may not be read or that live in another network namespace; MPTCP
sockets, and connections accepted by a listener with MPTCP, which bear its name (Go's listeners, from 1.24 on).
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from sockui.collector.processes import SHORTAGES
from sockui.model import Holders

_TCP = (b"TCP\0", b"TCPv6\0")


class GhostFinder:
    """Finds the ghosts among the sockets that a dump does not have, remembering what it looked at before.

    A socket costs 7 µs once if it is none (of UNIX, netlink, ...), and in every poll if it is one. A new one is also
    looked for in the lists of every other network namespace in which a process lives.
    """

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self._here: dict[int, bool] = {}  # pid -> whether it lives in the calling thread's network namespace
        self._others = np.empty(0, np.uint32)  # inodes that are no ghosts as long as somebody holds them
        self._before = np.empty(0, np.uint32)  # inodes that might have been ghosts in the poll before
        self._ghosts = np.empty(0, np.uint32)
        self._clear = Holders.none()  # in it was no ghost and nothing to look at again

    def find(self, unlisted: Holders) -> Holders:
        """Every (inode, pid, fd) of a ghost, sorted. Call it in the thread that made the dump, after each one.

        ``unlisted``: the sockets that processes hold and that the dump has not. One is told from the second poll
        on in which it is there, because in the first it may have been made after the dump.
        """
        if all(map(np.array_equal, _columns(unlisted), _columns(self._clear))):
            return Holders.none()
        try:
            ours = os.readlink(f"{self._proc}/thread-self/ns/net")
        except OSError:
            return Holders.none()
        possible = self._possible(unlisted, ours)
        staying = np.intersect1d(possible.inode, self._before)
        self._before = possible.inode
        if len(np.setdiff1d(staying, self._ghosts)):
            try:
                elsewhere = np.intersect1d(staying, _listed_elsewhere(ours, self._proc))
            except OSError:  # nothing left to look with: only those that were told before are told
                staying = np.intersect1d(staying, self._ghosts)
            else:
                staying = np.setdiff1d(staying, elsewhere)
                self._others = np.union1d(self._others, elsewhere)
        self._ghosts = staying
        return possible.only(np.isin(possible.inode, staying)).ordered()

    def _possible(self, unlisted: Holders, ours: str) -> Holders:
        """Those that are TCP sockets, still there, of processes that live in the namespace ``ours``."""
        self._here = {
            pid: self._here[pid] if pid in self._here else self._lives(pid, ours)
            for pid in np.unique(unlisted.pid).tolist()
        }
        self._others = np.intersect1d(self._others, unlisted.inode)
        here = [pid for pid, lives in self._here.items() if lives]
        asked = unlisted.only(np.isin(unlisted.pid, here) & ~np.isin(unlisted.inode, self._others))
        if not len(asked.inode):
            self._clear = unlisted
            return asked
        tcp = np.zeros(len(asked.inode), np.bool_)
        none: list[int] = []
        entries = zip(asked.inode.tolist(), asked.pid.tolist(), asked.fd.tolist(), strict=True)
        for index, (inode, pid, fd) in enumerate(entries):
            path = f"{self._proc}/{pid}/fd/{fd}"
            try:
                if os.readlink(path) == f"socket:[{inode}]":
                    # the name of the protocol it was made with, net/socket.c:sockfs_xattr_get
                    tcp[index] = os.getxattr(path, "system.sockprotoname") in _TCP
                    if not tcp[index]:
                        none.append(inode)
            except OSError:  # closed since it was listed
                continue
        self._others = np.union1d(self._others, np.array(none, np.uint32))
        possible = asked.only(tcp)
        for pid in np.unique(possible.pid).tolist():  # a container's first process moves after it was started
            self._here[pid] = self._lives(pid, ours)
        return possible.only(np.isin(possible.pid, [pid for pid in here if self._here[pid]]))

    def _lives(self, pid: int, ours: str) -> bool:
        try:
            return os.readlink(f"{self._proc}/{pid}/ns/net") == ours
        except OSError:
            return False


def _columns(holders: Holders) -> tuple[NDArray[np.uint32], NDArray[np.int32], NDArray[np.int32]]:
    return holders.inode, holders.pid, holders.fd


def _listed_elsewhere(ours: str, proc: str) -> NDArray[np.uint32]:
    """The inodes of the TCP sockets of every other network namespace in which a process may be seen.

    Raises OSError if it is one of ``processes.SHORTAGES``.
    """
    one_of: dict[str, str] = {}
    for pid in filter(str.isdecimal, os.listdir(proc)):
        try:
            one_of.setdefault(os.readlink(f"{proc}/{pid}/ns/net"), pid)
        except OSError:  # it ended or may not be read
            continue
    one_of.pop(ours, None)
    inodes: list[int] = []
    for pid in one_of.values():
        for table in ("tcp", "tcp6"):
            try:
                with open(f"{proc}/{pid}/net/{table}", "rb") as file:
                    next(file, None)
                    told = [int(line.split()[9]) for line in file]
                inodes += np.array(told, np.uint64).astype(np.uint32).tolist()
            except (OSError, ValueError, IndexError, OverflowError) as error:
                if isinstance(error, OSError) and error.errno in SHORTAGES:
                    raise
    return np.array(inodes, np.uint32)
