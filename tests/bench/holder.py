"""A process that holds sockets for the benchmarks: python holder.py NAME ADDRESS SOCKETS.

Owns the sockets: connections to itself over one loopback address, both ends held. Every tenth connection is half closed
(FIN_WAIT2 and CLOSE_WAIT), every tenth has unread bytes. Ends when its stdin closes, however its parent dies.
Imports the standard library only: a hundred thousand sockets are a few of these.
"""

from __future__ import annotations

import resource
import socket
import struct
import sys
from collections import deque

PORT = 8080  # below the ephemeral ports: sorted by remote endpoint, the accepted ends are together
_RESET = struct.pack("ii", 1, 0)  # struct linger: close() leaves no TIME_WAIT

Pair = tuple[socket.socket, socket.socket]  # connected and accepted end


class Holder:
    """``sockets`` sockets of connections over ``address``."""

    def __init__(self, address: str, sockets: int) -> None:
        self._listener = socket.socket()
        self._listener.bind((address, PORT))
        self._listener.listen(16)
        self._pairs: deque[Pair] = deque()
        self._made = 0
        self.connect(sockets // 2)

    def connect(self, pairs: int) -> None:
        """Make connections."""
        for _ in range(pairs):
            client = socket.create_connection(self._listener.getsockname())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            server = self._listener.accept()[0]
            if self._made % 10 == 3:
                client.shutdown(socket.SHUT_WR)
            elif self._made % 10 == 7:
                client.send(b"unread")
            self._pairs.append((client, server))
            self._made += 1

    def churn(self, sockets: int) -> None:
        """Close the oldest sockets and make as many new ones."""
        for _ in range(sockets // 2):
            for end in self._pairs.popleft():
                end.close()
        self.connect(sockets // 2)

    def poke(self, sockets: int) -> None:
        """Let one byte arrive at as many accepted ends: those with the highest remote ports."""
        open_ones = [client for number, (client, _) in enumerate(self._pairs) if number % 10 != 3]
        for client in sorted(open_ones, key=lambda client: client.getsockname()[1])[-sockets:]:
            client.send(b"x")


def main() -> None:
    """Make the sockets, say so, and do what stdin says: "churn N" or "poke N"."""
    name, address, sockets = sys.argv[1:]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with open("/proc/self/comm", "w") as comm:
        comm.write(name)
    holder = Holder(address, int(sockets))
    print("ready", flush=True)
    for line in sys.stdin:
        what, number = line.split()
        {"churn": holder.churn, "poke": holder.poke}[what](int(number))
        print("ready", flush=True)


if __name__ == "__main__":
    main()
