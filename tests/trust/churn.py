"""A process whose sockets come and go all the time: python churn.py NAME NUMBER RATE JOURNAL [UID].

Owns the sockets, and which kinds there are: TCP over IPv4, IPv6 and v4-mapped addresses, closed by either end, half
closed, reset, not accepted, listeners, UDP with and without a peer, sockets that are only bound; descriptors that are
duplicated, moved, inherited and passed to another process. ``RATE`` is how many it opens in a second. Ends when its
stdin closes, however its parent dies. Imports the standard library only: a forked child is a copy of it.

It writes into ``JOURNAL`` who held what and when. A datagram is never read: a queue that two looks find the same was
the same between them.
"""

from __future__ import annotations

import contextlib
import ctypes
import heapq
import itertools
import os
import random
import resource
import select
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_COPIED = 3.0  # s for which a second descriptor of a socket, or a forked child, lives at least
_LIFE = 0.5  # s, the mean; an exponential distribution
_LONGEST = 3.0  # s
_RESET = struct.pack("ii", 1, 0)  # struct linger: close() sends a RST
_NO_PEER = struct.pack("H14x", socket.AF_UNSPEC)  # struct sockaddr: connect() to it dissolves a UDP association
_PR_SET_DUMPABLE = 4  # include/uapi/linux/prctl.h


class Journal:
    """When which process held which socket by which descriptor: lines ``+|- pid inode fd s`` (CLOCK_MONOTONIC).

    ``+`` is written when it holds it, ``-`` when it does no longer. ``- pid 0 0 s``: the process ended.
    """

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
        self._open: dict[int, int] = {}  # fd -> inode

    def holds(self, fd: int) -> None:
        """This process has a descriptor, now."""
        self._open[fd] = os.fstat(fd).st_ino
        self._write("+", os.getpid(), self._open[fd], fd, time.monotonic())

    def dropped(self, fd: int) -> None:
        """It has not any more."""
        if inode := self._open.pop(fd, 0):
            self._write("-", os.getpid(), inode, fd, time.monotonic())

    def inherited(self, since: float) -> None:
        """This process was forked, and holds what its parent held."""
        for fd, inode in self._open.items():
            self._write("+", os.getpid(), inode, fd, since)

    def ended(self, pid: int) -> None:
        """A process is gone, and with it what it held."""
        self._write("-", pid, 0, 0, time.monotonic())

    def _write(self, *words: object) -> None:
        os.write(self._file, f"{' '.join(map(str, words))}\n".encode())  # appended whole, whoever else writes


class Journalled(socket.socket):
    """A socket whose beginning and end are in the journal of this process."""

    journal: Journal

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.journal.holds(self.fileno())

    def close(self) -> None:
        fd = self.fileno()
        super().close()
        self.journal.dropped(fd)


class Churn:
    """The sockets of one process, and when what becomes of them."""

    def __init__(self, number: int, rate: float, passed: socket.socket) -> None:
        self._random = random.Random(number)
        self._period = 1 / rate
        self._passed = passed
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._turn = itertools.count()
        self._near, self._mapped = f"127.77.{number}.1", f"127.78.{number}.1"
        self._listeners = [
            socket.create_server((self._near, 8000), backlog=64),
            socket.create_server(("::1", 8000 + number), family=socket.AF_INET6, backlog=64),
            socket.create_server(("::", 9000 + number), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64),
        ]
        for listener in self._listeners:
            listener.settimeout(1.0)  # never stuck in accept()
        self._targets = [(self._near, 8000), ("::1", 8000 + number), (self._mapped, 9000 + number)]
        self._kinds = [
            *[self._closed_by_client] * 3,
            *[self._closed_by_server] * 3,
            *[self._reset] * 3,
            *[self._half_closed] * 3,
            *[self._unaccepted] * 2,
            *[self._talk] * 3,
            self._listen,
            self._refused,
            self._bound,
            *[self._datagrams] * 6,
            *[self._reconnected] * 2,
            self._duplicated,
            self._moved,
            self._handed_over,
        ]

    def run(self) -> None:
        """Until stdin closes."""
        self._later(0.0, self._open)
        self._later(1.0, self._inherited)
        while True:
            pause = max(0.0, self._due[0][0] - time.monotonic())
            if select.select([0], [], [], pause)[0] and not os.read(0, 1):
                return
            while self._due and self._due[0][0] <= time.monotonic():
                with contextlib.suppress(OSError):  # the port is taken, the listener's queue is full
                    heapq.heappop(self._due)[2]()

    def _later(self, seconds: float, do: Callable[[], object]) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._turn), do))

    def _life(self) -> float:
        return min(self._random.expovariate(1 / _LIFE), _LONGEST)

    def _open(self) -> None:
        self._later(self._random.expovariate(1 / self._period), self._open)
        self._random.choice(self._kinds)()

    # --- TCP --------------------------------------------------------------------------------------------

    def _client(self, target: tuple[str, int]) -> socket.socket:
        client = socket.socket(socket.AF_INET6 if ":" in target[0] else socket.AF_INET)
        if target[0] == self._near:
            client.bind((self._near, 0))  # else it is 127.0.0.1, whatever the destination
        client.settimeout(1.0)
        try:
            client.connect(target)
        except OSError:
            client.close()
            raise
        return client

    def _pair(self) -> tuple[socket.socket, socket.socket]:
        which = self._random.randrange(len(self._listeners))
        client = self._client(self._targets[which])
        server = self._listeners[which].accept()[0]
        if self._random.random() < 0.5:
            client.send(b"unread" * self._random.randint(1, 50))
        return client, server

    def _closed_by_client(self) -> None:
        client, server = self._pair()
        self._ends_with(client, server)

    def _closed_by_server(self) -> None:
        client, server = self._pair()
        self._ends_with(server, client)

    def _ends_with(self, first: socket.socket, second: socket.socket) -> None:
        """``first`` closes; it would go on in FIN_WAIT2 and TIME_WAIT, which most are spared."""
        if self._random.random() < 0.7:
            second.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        close = self._life()
        self._later(close, first.close)
        self._later(close + self._life(), second.close)

    def _reset(self) -> None:
        client, server = self._pair()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        close = self._life()
        self._later(close, client.close)
        self._later(close + self._life(), server.close)

    def _half_closed(self) -> None:
        client, server = self._pair()
        half = self._life()
        self._later(half, lambda: client.shutdown(socket.SHUT_WR))
        self._later(half + self._life(), lambda: server.send(b"more"))
        self._later(half + 2 * self._life(), server.close)
        self._later(half + 2 * self._life(), client.close)

    def _talk(self) -> None:
        """Data goes to and fro and is read now and then."""
        client, server = self._pair()
        end = self._life()
        for _ in range(10):
            self._later(end * self._random.random(), lambda: client.send(b"question"))
            self._later(end * self._random.random(), lambda: server.send(b"answer" * 20))
            self._later(end * self._random.random(), lambda: server.recv(100, socket.MSG_DONTWAIT))
        self._later(end, client.close)
        self._later(end, server.close)

    def _unaccepted(self) -> None:
        """Connected, perhaps closed again, before accept(); then the listener goes, or accepts late."""
        listener = socket.create_server((self._near, 0), backlog=8)
        clients = [self._client(listener.getsockname()) for _ in range(3)]
        clients[0].send(b"nobody reads this")
        life = self._life()
        self._later(life / 2, clients[1].close)

        def accept() -> None:
            server = listener.accept()[0]
            self._later(self._life(), server.close)

        self._later(life * 0.7, accept)
        self._later(life, listener.close)
        for client in (clients[0], clients[2]):
            self._later(life + self._life(), client.close)

    def _listen(self) -> None:
        family, address = self._random.choice([(socket.AF_INET, self._near), (socket.AF_INET6, "::1")])
        listener = socket.socket(family)
        listener.bind((address, 0))
        self._later(self._life() / 2, lambda: listener.listen(5))
        self._later(_LIFE + self._life(), listener.close)

    def _refused(self) -> None:
        """A listener whose queue is full: SYN_SENT for a while."""
        listener = socket.create_server((self._near, 0), backlog=0)
        first = self._client(listener.getsockname())
        waiting = socket.socket()
        waiting.bind((self._near, 0))
        waiting.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            waiting.connect(listener.getsockname())
        for each in (listener, first, waiting):
            self._later(self._life() + 0.2, each.close)

    def _bound(self) -> None:
        only = socket.socket()
        only.bind((self._near, 0))
        self._later(self._life(), only.close)

    # --- UDP --------------------------------------------------------------------------------------------

    def _datagrams(self) -> None:
        family, address, to = self._random.choice(
            [
                (socket.AF_INET, self._near, self._near),
                (socket.AF_INET6, "::1", "::1"),
                (socket.AF_INET6, "::", f"::ffff:{self._mapped}"),
            ]
        )
        server, client = socket.socket(family, socket.SOCK_DGRAM), socket.socket(family, socket.SOCK_DGRAM)
        server.bind((address, 0))
        target = (to, server.getsockname()[1])
        if self._random.random() < 0.5:
            client.connect(target)
            client.send(b"nobody reads this")
        else:
            client.sendto(b"nobody reads this", target)
        self._later(self._life(), client.close)
        self._later(self._life(), server.close)

    def _reconnected(self) -> None:
        """A UDP socket gets a peer, another one, and none."""
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind((self._near, 0))
        life = self._life()
        self._later(life / 4, lambda: one.connect((self._near, 53)))
        self._later(life / 2, lambda: one.connect((self._near, 123)))
        self._later(life * 0.75, lambda: disconnect(one))
        self._later(life, one.close)

    # --- descriptors ------------------------------------------------------------------------------------

    def _duplicated(self) -> None:
        client, server = self._pair()
        copy = client.dup()
        life = _COPIED + self._life()
        self._later(life, copy.close)
        self._later(life * 2 * self._random.random(), client.close)
        self._later(life, server.close)

    def _moved(self) -> None:
        """The socket goes on under another descriptor; how many are open stays the same."""
        client, server = self._pair()
        moved: list[socket.socket] = []

        def move() -> None:
            moved.append(client.dup())
            client.close()

        life = _COPIED + self._life()
        self._later(life / 2, move)
        self._later(life, lambda: moved[0].close())
        self._later(life, server.close)

    def _handed_over(self) -> None:
        """A socket goes to the other process, which keeps it for a while, and ours is closed now or later."""
        client, server = self._pair()
        socket.send_fds(self._passed, [b"x"], [server.fileno()])
        self._later(self._random.choice([0.0, self._life()]), server.close)
        self._later(_COPIED + self._life(), client.close)

    def _inherited(self) -> None:
        """A child that holds all there is, as the workers of a server do."""
        self._later(3 * _COPIED * self._random.random(), self._inherited)
        since = time.monotonic()
        child = os.fork()
        if not child:
            Journalled.journal.inherited(since)
            time.sleep(_COPIED)
            os._exit(0)

        def bury() -> None:
            os.waitpid(child, 0)
            Journalled.journal.ended(child)

        self._later(_COPIED + 1, bury)


def disconnect(udp: socket.socket) -> None:
    """Take a UDP socket's peer away; Python's connect() knows no AF_UNSPEC."""
    ctypes.CDLL(None).connect(udp.fileno(), _NO_PEER, len(_NO_PEER))


def keep(passed: socket.socket) -> None:
    """Take descriptors and hold each for ``_COPIED`` seconds and more, until the other side is gone."""
    held: list[tuple[float, int]] = []
    while True:
        readable = select.select([passed], [], [], 0.1)[0]
        if readable:
            data, fds, _, _ = socket.recv_fds(passed, 1, 1)
            if not data:
                return
            for fd in fds:
                Journalled.journal.holds(fd)
                held.append((time.monotonic() + _COPIED + random.random(), fd))
        for until, fd in [each for each in held if each[0] <= time.monotonic()]:
            os.close(fd)
            Journalled.journal.dropped(fd)
            held.remove((until, fd))


def become(uid: int) -> None:
    """Run as another user, whose own processes may still read what this one has open."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def main() -> None:
    """Say "ready", then open and close."""
    name, number, rate, journal, *uid = sys.argv[1:]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Path("/proc/self/comm").write_text(name)
    Journalled.journal = Journal(journal)
    if uid:
        become(int(uid[0]))
    ours, theirs = socket.socketpair()
    if not os.fork():
        ours.close()
        os.close(0)
        keep(theirs)
        os._exit(0)
    theirs.close()
    socket.socket = Journalled  # type: ignore[misc]  # those of accept() and create_server() too
    churn = Churn(int(number), float(rate), ours)
    print("ready", flush=True)
    churn.run()


if __name__ == "__main__":
    main()
