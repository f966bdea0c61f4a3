"""One process of the lab: it makes and holds sockets as its stdin tells it, a JSON object per line.

Owns the system calls of the lab. Must not know recipes, and imports the standard library only, so that
starting six of these costs little. It ends when its stdin closes, which happens however its parent
dies, and, should it be stopped then, by PR_SET_PDEATHSIG.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from typing import Any

_WAIT = 30.0  # seconds until something that takes microseconds on an idle host is given up
_IP_BIND_ADDRESS_NO_PORT = 24  # include/uapi/linux/in.h
_TCP_REPAIR = 19  # include/uapi/linux/tcp.h
_PR_SET_PDEATHSIG = 1  # include/uapi/linux/prctl.h; the "parent" is the thread that started this process
_RESET = struct.pack("ii", 1, 0)  # struct linger: close() sends RST


class Actor:
    """The operations: each ``op_NAME`` takes the object's other keys and returns the answer's keys."""

    def __init__(self) -> None:
        self.sockets: dict[int, socket.socket] = {}

    def op_listen(self, address: str, port: int, backlog: int, rcvbuf: int, defer: int, reuse: bool) -> dict[str, Any]:
        """A TCP listener; ``rcvbuf`` is inherited by what it accepts, so that windows start small."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
        if rcvbuf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        if defer:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, defer)
        sock.bind((address, port))
        sock.listen(backlog)
        return self._keep(sock)

    def op_bind(self, kind: int, address: str, port: int, rcvbuf: int) -> dict[str, Any]:
        """A socket that is bound and nothing else."""
        sock = socket.socket(type=kind)
        if rcvbuf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        sock.bind((address, port))
        return self._keep(sock)

    def op_connect(self, to: list[Any], source: str, wait: bool) -> dict[str, Any]:
        """A connection; without ``wait`` it is left as it is after the SYN, and ``at`` is when that was sent."""
        sock = socket.socket()
        sock.setblocking(False)
        if source:
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((source, 0))
        error = sock.connect_ex((to[0], to[1]))
        at = time.monotonic()
        if wait:
            _ready(sock, select.POLLOUT)
            at = time.monotonic()
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))
        return {**self._keep(sock), "remote": to, "at": at}

    def op_visits(self, to: list[Any], count: int) -> dict[str, Any]:
        """``count`` connections, each closed as soon as the kernel at the other end has answered."""
        for _ in range(count):
            with socket.create_connection((to[0], to[1]), _WAIT):
                pass
        return _now()

    def op_knock(self, to: list[Any], count: int) -> dict[str, Any]:
        """``count`` SYNs, each given up at once."""
        for _ in range(count):
            with socket.socket() as sock:
                sock.setblocking(False)
                sock.connect_ex((to[0], to[1]))
        return _now()

    def op_accept(self, fd: int) -> dict[str, Any]:
        """The next connection of a listener."""
        _ready(self.sockets[fd], select.POLLIN)
        return self._keep(self.sockets[fd].accept()[0])

    def op_serve(self, fd: int, count: int) -> dict[str, Any]:
        """The next ``count`` connections of a listener, each closed."""
        for _ in range(count):
            _ready(self.sockets[fd], select.POLLIN)
            self.sockets[fd].accept()[0].close()
        return _now()

    def op_send(self, fd: int, count: int) -> dict[str, Any]:
        """``count`` bytes."""
        self.sockets[fd].sendall(b"x" * count)
        return _now()

    def op_fill(self, fd: int) -> dict[str, Any]:
        """As many bytes as both buffers take."""
        sock = self.sockets[fd]
        sock.setblocking(False)
        deadline = time.monotonic() + _WAIT
        while time.monotonic() < deadline:
            try:
                sock.send(b"x" * 65536)
            except BlockingIOError:
                poller = select.poll()
                poller.register(sock, select.POLLOUT)
                if not poller.poll(100):
                    return _now()
        raise TimeoutError("the peer goes on reading")

    def op_read(self, fd: int, count: int) -> dict[str, Any]:
        """``count`` bytes, or with 0 everything up to the peer's FIN."""
        sock = self.sockets[fd]
        left = count or sys.maxsize
        while left > 0:
            _ready(sock, select.POLLIN)
            data = sock.recv(min(left, 65536))
            if not data:
                break
            left -= len(data)
        return _now()

    def op_option(self, fd: int, level: int, name: int, value: int) -> dict[str, Any]:
        """setsockopt(2) with a number."""
        self.sockets[fd].setsockopt(level, name, value)
        return _now()

    def op_shutdown(self, fd: int) -> dict[str, Any]:
        """A FIN, the descriptor stays open."""
        self.sockets[fd].shutdown(socket.SHUT_WR)
        return _now()

    def op_close(self, fd: int, how: str) -> dict[str, Any]:
        """``fin``; ``reset``: RST instead; ``vanish``: nothing is sent, as after a power cut."""
        sock = self.sockets.pop(fd)
        if how == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        elif how == "vanish":
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
        sock.close()
        return _now()

    def op_syns(self, sources: list[list[Any]], to: list[Any]) -> dict[str, Any]:
        """A SYN from each of ``sources``, where nobody sent one."""
        with socket.socket(type=socket.SOCK_RAW, proto=socket.IPPROTO_RAW) as sock:
            for source in sources:
                sock.sendto(_syn(source, to), (to[0], 0))
        return _now()

    def op_datagrams(self, to: list[Any], count: int) -> dict[str, Any]:
        """``count`` datagrams of 512 bytes."""
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            for _ in range(count):
                sock.sendto(b"x" * 512, (to[0], to[1]))
        return _now()

    def op_sysctl(self, name: str, value: str) -> dict[str, Any]:
        """Read, or write if there is a value, a sysctl of this process's namespace."""
        with open(f"/proc/sys/{name}", "r+" if value else "r") as file:
            if value:
                file.write(value)
                file.seek(0)
            return {"value": file.read().strip()}

    def op_limit(self, files: int) -> dict[str, Any]:
        """No more than ``files`` open files."""
        import resource  # few of these processes need it

        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
        return _now()

    def op_open_files(self) -> dict[str, Any]:
        """As many open files as this process may have."""
        with contextlib.suppress(OSError):
            while True:
                os.open(os.devnull, os.O_RDONLY)
        return _now()

    def op_track(self, share: float, most: int) -> dict[str, Any]:
        """Connections in the table of nf_conntrack, up to ``share`` of what it holds, see :func:`conntrack.fill`."""
        from sockui.lab import conntrack  # one of these processes needs it

        return {"tracked": conntrack.fill(share, most)}

    def op_await_state(self, fd: int, state: int) -> dict[str, Any]:
        """Wait until the kernel says that a held socket is in this state; ``state`` is the last one it said."""
        sock = self.sockets[fd]
        deadline = time.monotonic() + _WAIT
        while (seen := sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]) != state:
            if time.monotonic() > deadline:
                break
            time.sleep(0.001)  # between two looks, up to the deadline
        return {"state": seen}

    def op_await_row(self, local: list[Any], remote: list[Any], state: int) -> dict[str, Any]:
        """The same for a socket that nobody holds, by /proc/net/tcp; None if it is not there."""
        deadline = time.monotonic() + _WAIT
        while True:
            seen = next((row[2] for row in _table() if row[:2] == (local, remote)), None)
            if seen == state or time.monotonic() > deadline:
                return {"state": seen}
            time.sleep(0.005)  # between two looks, up to the deadline

    def op_await_rows(self, state: int, local: int, remote: int, least: int) -> dict[str, Any]:
        """All [local, remote] that are in a state, once there are ``least``; by port, of which 0 is any."""
        deadline = time.monotonic() + _WAIT
        while True:
            rows = [
                ends
                for *ends, seen in _table()
                if seen == state and local in (0, ends[0][1]) and remote in (0, ends[1][1])
            ]
            if len(rows) >= least or time.monotonic() > deadline:
                return {"rows": rows}
            time.sleep(0.005)  # between two looks, up to the deadline

    def _keep(self, sock: socket.socket) -> dict[str, Any]:
        answer = {"fd": sock.fileno(), "local": sock.getsockname(), "remote": ["0.0.0.0", 0], **_now()}
        with contextlib.suppress(OSError):  # only a connection has a peer
            answer["remote"] = sock.getpeername()
        answer["inode"] = os.fstat(sock.fileno()).st_ino
        self.sockets[sock.fileno()] = sock
        return answer


def _now() -> dict[str, Any]:
    return {"at": time.monotonic()}


def _ready(sock: socket.socket, event: int) -> None:
    poller = select.poll()
    poller.register(sock, event)
    if not poller.poll(_WAIT * 1000):
        raise TimeoutError("nothing came from the other end")


def _table() -> Iterator[tuple[list[Any], list[Any], int]]:
    """Local end, remote end and state of each row of /proc/net/tcp."""
    with open("/proc/net/tcp") as table:
        next(table)
        for line in table:
            _, local, remote, state, _ = line.split(None, 4)
            yield _end(local), _end(remote), int(state, 16)


def _end(text: str) -> list[Any]:
    address, port = text.split(":")
    return [socket.inet_ntoa(struct.pack("=I", int(address, 16))), int(port, 16)]


def _syn(source: list[Any], to: list[Any]) -> bytes:
    """An IPv4 packet, RFC 9293 3.1."""
    addresses = socket.inet_aton(source[0]) + socket.inet_aton(to[0])
    tcp = struct.pack("!HHIIBBHHH", source[1], to[1], 1, 0, 5 << 4, 0x02, 64240, 0, 0)
    checksum = _checksum(addresses + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(tcp)) + tcp)
    tcp = tcp[:16] + struct.pack("!H", checksum) + tcp[18:]
    return (
        struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, 64, socket.IPPROTO_TCP, 0) + addresses + tcp
    )  # kernel fills the rest


def _checksum(data: bytes) -> int:
    """Internet checksum of an even number of bytes, RFC 1071."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def main() -> None:
    """``python -m sockui.lab.actor NAME``: serve stdin until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with open("/proc/self/comm", "w") as comm:
        comm.write(sys.argv[1])
    actor = Actor()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(actor, f"op_{request.pop('op')}")(**request)
        except OSError as error:
            answer = {"error": error.strerror or str(error), "errno": error.errno}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
