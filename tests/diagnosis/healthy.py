"""A busy host with nothing wrong: about 2,000 short HTTP connections a second beside sessions, pools and downloads.

Owns a network namespace and the processes in it, for as long as the context is open. They import the standard library
only. No queue is ever full, every byte is read, and nobody forgets to close.
"""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

HTTP, DATABASE, SSH, MIRROR, DNS, UNUSED = 80, 5432, 22, 873, 53, (25, 389, 3306, 6379)
POOL = 20  # connections each of the pool with and of the pool without keepalive
_LOCAL = "127.0.0.1"
_WANTED = 2_000  # HTTP connections a second
_BATCH = 50  # connections under way at once: a request waits for the scheduler once a batch
_READY_WITHIN = 60.0  # s
_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\nConnection: close\r\n\r\n" + b"x" * 600


@dataclass
class Load:
    """What runs, and how much of it."""

    namespace: str
    processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)  # by their names, as in /proc/PID/comm
    _counted: tuple[float, int] = (0.0, 0)

    def rate(self) -> float:
        """TCP connections accepted per second since the last call, by the namespace's own counter."""
        before, (at, opened) = self._counted, (time.monotonic(), self.counter("Tcp", "PassiveOpens"))
        self._counted = at, opened
        return (opened - before[1]) / (at - before[0])

    def counter(self, group: str, name: str) -> int:
        """A counter of the namespace, from /proc/net/snmp or netstat; ``group`` is ``Tcp``, ``TcpExt``, ``Udp``, ..."""
        pid = self.processes["web"].pid
        for table in ("snmp", "netstat"):
            lines = [line.split() for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()]
            for names, values in zip(lines[::2], lines[1::2], strict=True):
                if names[0] == f"{group}:" and name in names:
                    return int(values[names.index(name)])
        raise KeyError(f"{group}.{name}")

    def dead(self) -> list[str]:
        """The processes that ended; each does as soon as anything is not as it should be."""
        return [name for name, process in self.processes.items() if process.poll() is not None]


@contextmanager
def healthy_load(namespace: str) -> Iterator[Load]:
    """Run it in a new network namespace of this name; needs root. Raises AssertionError if it did not stay healthy."""
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    load = Load(namespace)
    try:
        subprocess.run(["ip", "-n", namespace, "link", "set", "lo", "up"], check=True)
        for name in _ROLES:  # servers first
            load.processes[name] = _start(namespace, name)
        load.rate()
        yield load
        assert not load.dead(), f"the load broke off: {load.dead()}"
    finally:
        for process in load.processes.values():
            process.kill()
            process.communicate()
        subprocess.run(["ip", "netns", "exec", namespace, "ss", "-KtaH"], stdout=subprocess.DEVNULL, check=False)
        subprocess.run(["ip", "netns", "delete", namespace], check=True)


def _start(namespace: str, name: str) -> subprocess.Popen[str]:
    """A process that has said that it is ready; it ends with its stdin, so also when this one dies."""
    process = subprocess.Popen(
        ["ip", "netns", "exec", namespace, sys.executable, "-S", "-P", __file__, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        said = process.stdout.readline() if selector.select(_READY_WITHIN) else "nothing"
    if said != "ready\n":
        process.kill()
        process.communicate()
        raise RuntimeError(f"the healthy load's {name} said {said!r}")
    return process


# --- in the namespace: each function sets its sockets up and returns what goes on from there on ------


Work = Callable[[], object]
_IDLE: list[socket.socket] = []  # open for as long as the process lives


def _listen(port: int, backlog: int = 1024) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((_LOCAL, port))
    sock.listen(backlog)
    return sock


def _connect(port: int) -> socket.socket:
    return socket.create_connection((_LOCAL, port))


def _whole(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise ConnectionError("the other end closed")
        data += more
    return data


def _web() -> list[Work]:
    """Answers one request on each connection and closes it first, so the TIME_WAIT are here."""
    listener = _listen(HTTP)

    def serve() -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                if _whole(connection, len(_REQUEST)) != _REQUEST:
                    raise ValueError("no request")
                connection.sendall(_ANSWER)

    return [serve]


def _visitor() -> list[Work]:
    """``_WANTED`` connections a second, or as many as the machine gives."""

    def visit() -> None:
        due = time.monotonic()
        while True:
            batch = [_connect(HTTP) for _ in range(_BATCH)]
            for connection in batch:
                connection.sendall(_REQUEST)
            for connection in batch:
                with connection:
                    if _whole(connection, len(_ANSWER)) != _ANSWER or connection.recv(1):
                        raise ValueError("no answer")
            due = max(due + _BATCH / _WANTED, time.monotonic() - 0.1)  # what was missed long ago is not made up for
            time.sleep(max(0.0, due - time.monotonic()))

    return [visit]


def _database() -> list[Work]:
    """Answers on every connection; all of them are kept open by their clients."""
    listener = _listen(DATABASE)

    def serve() -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is listener:
                        selector.register(listener.accept()[0], selectors.EVENT_READ)
                    else:
                        assert isinstance(key.fileobj, socket.socket)
                        key.fileobj.sendall(_whole(key.fileobj, 8))

    return [serve]


def _services() -> list[Work]:
    """A shell, downloads, names, and listeners that nobody calls."""
    shell, mirror = _listen(SSH), _listen(MIRROR)
    names = socket.socket(type=socket.SOCK_DGRAM)
    names.bind((_LOCAL, DNS))
    sixth = socket.socket(socket.AF_INET6)
    sixth.bind(("::1", UNUSED[0]))
    sixth.listen(128)
    _IDLE.extend([*(_listen(port) for port in UNUSED), sixth])

    def echo() -> None:
        connection, _ = shell.accept()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        while True:
            connection.sendall(_whole(connection, 1))

    def send() -> None:
        connection, _ = mirror.accept()
        while True:
            connection.sendall(b"x" * 65536)
            time.sleep(0.01)

    def answer() -> None:
        while True:
            question, asker = names.recvfrom(512)
            names.sendto(question * 2, asker)

    return [echo, send, answer]


def _app() -> list[Work]:
    """Two idle pools, a person at a shell, a reader that keeps up with its download, and questions for names."""
    for keepalive in (1, 0):
        for _ in range(POOL):
            connection = _connect(DATABASE)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, keepalive)
            connection.sendall(b"SELECT 1")
            _whole(connection, 8)
            _IDLE.append(connection)
    shell, download = _connect(SSH), _connect(MIRROR)
    shell.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def type_keys() -> None:
        while True:
            shell.sendall(b"l")
            _whole(shell, 1)
            time.sleep(0.5)

    def read() -> None:
        while download.recv(1 << 20):
            pass
        raise ConnectionError("the download ended")

    def ask() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            while True:
                sock.sendto(b"example.org", (_LOCAL, DNS))
                sock.recv(512)
                time.sleep(0.02)

    return [type_keys, read, ask]


_ROLES: dict[str, Callable[[], list[Work]]] = {
    "web": _web,
    "database": _database,
    "services": _services,
    "app": _app,
    "visitor": _visitor,
}


def _main(name: str) -> None:
    Path("/proc/self/comm").write_text(name)
    for work in _ROLES[name]():
        threading.Thread(target=_or_die, args=(work,), daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)


def _or_die(work: Work) -> None:
    try:
        work()
    finally:
        os._exit(1)


if __name__ == "__main__":
    _main(sys.argv[1])
