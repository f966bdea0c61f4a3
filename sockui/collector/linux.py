"""The Linux source: sockets by netlink, owners and host facts from /proc, made into one snapshot.

Owns which dumps make up a poll and their order. Must not decode, resolve or parse: its three parts do.
"""

from __future__ import annotations

import errno
import socket
import time

from sockui.collector import inet_diag
from sockui.collector.ghosts import GhostFinder
from sockui.collector.host import HostReader
from sockui.collector.netlink import DiagSocket
from sockui.collector.owners import OwnerResolver
from sockui.collector.processes import ProcessTable, with_ancestors
from sockui.errors import NetlinkError
from sockui.model import Protocol, Snapshot, SocketArray

DUMPS = (
    (socket.AF_INET, Protocol.TCP),
    (socket.AF_INET6, Protocol.TCP),
    (socket.AF_INET, Protocol.UDP),
    (socket.AF_INET6, Protocol.UDP),
)


class NetlinkCollector:
    """Reads every TCP and UDP socket, their owners and the host's facts from Linux.

    Raises :class:`NetlinkError` at once if the kernel refuses.
    """

    source = "netlink"

    def __init__(self, namespace: str = "") -> None:
        self._diag = DiagSocket()
        self._processes = ProcessTable()
        self._owners = OwnerResolver(self._processes)
        self._ghosts = GhostFinder()
        self._host = HostReader(namespace=namespace)
        self._expected = 1024
        try:
            self._diag.dump(socket.AF_INET, Protocol.TCP, inet_diag.Decoder(64), 1 << 10)  # LISTEN: 0.03 ms
        except NetlinkError:
            self._diag.close()
            raise

    def collect(self) -> Snapshot:
        """Read one snapshot. Raises :class:`NetlinkError`."""
        before = time.monotonic()
        sockets, notes = self._sockets()
        taken_at, monotonic, boottime = time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
        attribution = self._owners.attribute(sockets)
        ghosts = self._ghosts.find(attribution.unlisted)
        unseen = set(ghosts.pid.tolist()) - attribution.processes.keys()
        return Snapshot(
            taken_at=taken_at,
            monotonic=monotonic,
            boottime=boottime,
            sockets=sockets,
            processes={**attribution.processes, **with_ancestors(unseen, self._processes.get)},
            holders=attribution.holders,
            host=self._host.read(),
            coverage=attribution.coverage,
            source=self.source,
            ghosts=ghosts,
            notes=notes,
            dump_seconds=monotonic - before,
        )

    def close(self) -> None:
        """Close the netlink socket."""
        self._diag.close()

    def _sockets(self) -> tuple[SocketArray, tuple[str, ...]]:
        decoder = inet_diag.Decoder(self._expected)
        notes = []
        for family, protocol in DUMPS:
            try:
                self._diag.dump(family, protocol, decoder, inet_diag.ALL_STATES)
            except NetlinkError as error:
                if error.errno != errno.ENOENT:
                    raise
                version = 6 if family == socket.AF_INET6 else 4
                notes.append(f"This kernel cannot list IPv{version} {protocol.name} sockets (no diag module).")
        if decoder.malformed:
            notes.append(f"{decoder.malformed} messages from the kernel could not be read whole.")
        sockets = decoder.rows()
        self._expected = len(sockets) + len(sockets) // 8 + 1024
        return sockets, tuple(notes)
