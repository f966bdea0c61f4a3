"""A process that holds sockets for the benchmarks: python holder.py NAME ADDRESS SOCKETS.

Owns the sockets: connections to itself over one loopback address and two ports, both ends held. Every tenth connection
is half closed (FIN_WAIT2 and CLOSE_WAIT), every tenth has unread bytes; a twentieth of the sockets is in TIME_WAIT,
which nobody holds, until they are sixty seconds old. Ends when its stdin closes, however its parent dies.
Imports the standard library only: a million sockets are sixty of these.
"""

from __future__ import annotations

import contextlib
import resource
import socket
import struct
import sys
from collections import deque

PORTS = (8080, 8443)  # below the ephemeral ports: sorted by remote endpoint, the accepted ends are together
WAITING = 20  # one socket in so many is in TIME_WAIT
_BIND_ADDRESS_NO_PORT = 24  # include/uapi/linux/in.h; Python has no name for it before 3.12
_RESET = struct.pack("ii", 1, 0)  # struct linger: close() leaves no TIME_WAIT

Pair = tuple[socket.socket, socket.socket]  # connected and accepted end


class Holder:
    """``sockets`` sockets of connections over ``address``."""

    def __init__(self, address: str, sockets: int) -> None:
        self._listeners = [socket.create_server((address, port), backlog=16) for port in PORTS]
        self._pairs: deque[Pair] = deque()
        self._made = 0
        pairs = (sockets - sockets // WAITING - len(PORTS)) // 2
        self._waiting = sockets - len(PORTS) - 2 * pairs
        self._connect(pairs)
        self.wait()

    def wait(self) -> None:
        """Leave a twentieth in TIME_WAIT: the end that closes first is."""
        for _ in range(self._waiting):
            client, server = self._pair()
            client.close()
            server.close()

    def churn(self, sockets: int) -> None:
        """Close the oldest sockets and make as many new ones."""
        for _ in range(sockets // 2):
            for end in self._pairs.popleft():
                end.close()
        self._connect(sockets // 2)

    def poke(self, sockets: int) -> None:
        """Let one byte arrive at as many accepted ends: those with the highest remote ports."""
        highest = sorted((client for client, _ in self._pairs), key=lambda client: client.getsockname()[1])
        while sockets and highest:
            with contextlib.suppress(BrokenPipeError):  # half closed
                highest.pop().send(b"x")
                sockets -= 1

    def _pair(self) -> Pair:
        listener = self._listeners[self._made % len(PORTS)]
        self._made += 1
        address, port = listener.getsockname()
        client = socket.socket()
        client.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)  # the port is chosen when it connects
        client.bind((address, 0))  # else it is 127.0.0.1, whatever the destination
        client.connect((address, port))
        return client, listener.accept()[0]

    def _connect(self, pairs: int) -> None:
        for _ in range(pairs):
            client, server = self._pair()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            if self._made % 10 == 3:
                client.shutdown(socket.SHUT_WR)
            elif self._made % 10 == 7:
                client.send(b"unread")
            self._pairs.append((client, server))


def main() -> None:
    """Make the sockets, say so, and do what stdin says: "wait", "churn N" or "poke N"."""
    name, address, sockets = sys.argv[1:]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with open("/proc/self/comm", "w") as comm:
        comm.write(name)
    holder = Holder(address, int(sockets))
    print("ready", flush=True)
    for line in sys.stdin:
        match line.split():
            case ["wait"]:
                holder.wait()
            case ["churn", number]:
                holder.churn(int(number))
            case ["poke", number]:
                holder.poke(int(number))
        print("ready", flush=True)


if __name__ == "__main__":
    main()
