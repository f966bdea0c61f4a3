"""Real connections in a network namespace of their own, and processes that hold one end of them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray

from sockui.collector.destroy import Destroyer
from sockui.collector.linux import NetlinkCollector
from sockui.model import State
from sockui.tracker import Tracker, Update

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound=socket.socket)

HOSTS = {"v4": ("127.0.0.1", "127.0.0.1"), "v6": ("::1", "::1"), "mapped": ("::", "127.0.0.1")}
"""Where a server of each kind listens, and where its client connects to."""
CLIENTS = {"v4": "127.0.0.2", "v6": "::1", "mapped": "127.0.0.2"}
"""Where from."""

_HOLDER = """
import errno, os, signal, socket, sys
name, ignored = os.fsencode(sys.argv[1]), sys.argv[2]
open("/proc/self/comm", "wb").write(name)
if ignored:
    signal.signal(int(ignored), signal.SIG_IGN)
print("ready", flush=True)
for line in sys.stdin:
    what, descriptor = line.split()
    sock = socket.socket(fileno=int(descriptor))
    sock.settimeout(5)
    try:
        answer = sock.recv(100) if what == "recv" else sock.send(b"ping")
    except OSError as error:
        answer = errno.errorcode[error.errno]
    sock.detach()
    print(repr(answer), flush=True)
"""


class Network:
    """A thread in a network namespace of its own, which ends with the thread and the last socket."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._opened = contextlib.ExitStack()
        self(_enter)
        self.destroyer = self(Destroyer)

    def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function there; a socket that it makes is closed with the network."""
        made = self._pool.submit(function, *args, **kwargs).result()
        return self.own(made) if isinstance(made, socket.socket) else made

    def own(self, sock: S) -> S:
        """Close a socket with the network."""
        self._opened.callback(sock.close)
        return sock

    def close(self) -> None:
        self._opened.close()
        self.destroyer.close()
        self._pool.shutdown()

    def update(self) -> Update:
        """All sockets there, with their owners."""
        collector = self(NetlinkCollector)
        try:
            return Tracker().update(self(collector.collect))
        finally:
            collector.close()

    def connect(self, kind: str = "v4", count: int = 1) -> Iterator[tuple[socket.socket, socket.socket]]:
        """Connections to one listener: their server's end and their client's."""
        here, there = HOSTS[kind]
        family = socket.AF_INET if kind == "v4" else socket.AF_INET6
        listener = self(socket.create_server, (here, 0), family=family, dualstack_ipv6=kind == "mapped")
        for _ in range(count):
            client = self(socket.create_connection, (there, listener.getsockname()[1]), 5, (CLIENTS[kind], 0))
            yield self.own(listener.accept()[0]), client


def _enter() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x40000000) != 0:  # CLONE_NEWNET
        pytest.skip(f"no network namespace of our own: {os.strerror(ctypes.get_errno())}")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """A namespace to act in, or a skip that says why there is none."""
    if os.geteuid() != 0:
        pytest.skip("making a network namespace needs root")
    made = Network()
    try:
        yield made
    finally:
        made.close()


class Holder:
    """A process that holds sockets and does what it is told with them."""

    def __init__(self, name: str, sockets: list[socket.socket], ignore: int = 0) -> None:
        descriptors = [sock.fileno() for sock in sockets]
        command = [sys.executable, "-ISc", _HOLDER, name, str(ignore or "")]
        self.process = subprocess.Popen(command, stdin=-1, stdout=-1, text=True, pass_fds=descriptors)
        self.descriptors = descriptors
        for sock in sockets:
            sock.close()
        assert self._line() == "ready"

    @property
    def pid(self) -> int:
        return self.process.pid

    def recv(self, descriptor: int) -> object:
        """What it receives, or the name of the error."""
        return self._do(f"recv {descriptor}")

    def send(self, descriptor: int) -> object:
        """How much of ``b"ping"`` it could send, or the name of the error."""
        return self._do(f"send {descriptor}")

    def holds(self) -> int:
        """How many sockets it has open."""
        names = os.listdir(f"/proc/{self.pid}/fd")
        return sum(os.readlink(f"/proc/{self.pid}/fd/{name}").startswith("socket:") for name in names)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _do(self, what: str) -> object:
        assert self.process.stdin is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return eval(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextlib.contextmanager
def holder(name: str, sockets: list[socket.socket], ignore: int = 0) -> Iterator[Holder]:
    """A process called ``name`` with these sockets, which are closed here; it ends with the block."""
    made = Holder(name, sockets, ignore)
    try:
        yield made
    finally:
        made.close()


def rows_of(update: Update, pid: int, state: State | None = None) -> NDArray[np.intp]:
    """Rows of the sockets that a process holds."""
    mine = update.sockets["pid"] == pid
    return np.flatnonzero(mine & (update.sockets["state"] == state) if state else mine)


def row_to(update: Update, pid: int, client: socket.socket) -> NDArray[np.intp]:
    """The one row of a process whose peer is this socket."""
    rows = rows_of(update, pid)
    found: NDArray[np.intp] = rows[update.sockets["remote_port"][rows] == client.getsockname()[1]]
    assert len(found) == 1
    return found


def until(holds: Callable[[], Any]) -> None:
    """Wait for something that the kernel or a process is about to do."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)  # between two looks, up to the deadline


def transfers(held: Holder, descriptor: int, client: socket.socket) -> bool:
    """Whether data gets through both ways."""
    client.settimeout(5)
    client.sendall(b"hello")
    return held.recv(descriptor) == b"hello" and held.send(descriptor) == 4 and client.recv(100) == b"ping"
