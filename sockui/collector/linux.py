"""The Linux source: sockets by netlink, owners and host facts from /proc, made into one snapshot.

Owns which dumps make up a poll and their order. Must not decode, resolve or parse: its three parts do.
"""

from __future__ import annotations

import errno
import socket
import time
from dataclasses import replace

from sockui.collector import inet_diag
from sockui.collector.coverage import troubles
from sockui.collector.endings import EndingReader
from sockui.collector.ghosts import GhostFinder
from sockui.collector.host import HostReader
from sockui.collector.netlink import DiagSocket
from sockui.collector.owners import OwnerResolver
from sockui.collector.processes import ProcessTable, with_ancestors
from sockui.errors import NetlinkError
from sockui.giving_way import GivingWay
from sockui.model import Endings, Protocol, Snapshot, SocketArray, State

DUMPS = (
    (socket.AF_INET, Protocol.TCP),
    (socket.AF_INET6, Protocol.TCP),
    (socket.AF_INET, Protocol.UDP),
    (socket.AF_INET6, Protocol.UDP),
)
FEWER_DUMPS = ((socket.AF_UNSPEC, Protocol.TCP), *DUMPS[2:])
"""The same where the kernel understands it: the walk for IPv6 goes past all the IPv4 sockets too."""
_ONLY_LISTEN = 1 << State.LISTEN  # 0.03 ms


class NetlinkCollector:
    """Reads every TCP and UDP socket, their owners and the host's facts from Linux.

    Raises :class:`NetlinkError` at once if the kernel refuses.
    """

    source = "netlink"

    def __init__(self, namespace: str = "", give_way: GivingWay | None = None) -> None:
        self._give_way = give_way or GivingWay()
        self._diag = DiagSocket(self._give_way)
        self._processes = ProcessTable()
        self._owners = OwnerResolver(self._processes, give_way=self._give_way)
        self._ghosts = GhostFinder()
        self._host = HostReader(namespace=namespace)
        self._expected = 1024
        try:
            self._dumps = _understood(self._diag)
        except NetlinkError:
            self._diag.close()
            raise
        self._endings: EndingReader | None = None
        self._unheard = ""  # why endings are not heard, a sentence
        self._lost = 0  # endings that were read by a poll that then failed
        try:
            self._endings = EndingReader()  # before the first dump: what that shows is heard of when it ends
        except NetlinkError as error:
            self._unheard = f"How sockets end is not known: {error}."

    def collect(self) -> Snapshot:
        """Read one snapshot. Raises :class:`NetlinkError`."""
        endings = self._heard()  # before the dump, so that nothing is in both but what goes on as a mini-socket
        before = time.monotonic()
        try:
            sockets, notes = self._sockets()
        except NetlinkError:
            self._lost += len(endings.sockets) + endings.lost
            raise
        taken_at, monotonic, boottime = time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
        self._give_way()
        attribution = self._owners.attribute(sockets)
        self._give_way()
        ghosts = self._ghosts.find(attribution.unlisted)
        host = self._host.read()
        notes = (*notes, *troubles(self._processes, host), *((self._unheard,) if self._unheard else ()))
        unseen = set(ghosts.pid.tolist()) - attribution.processes.keys()
        return Snapshot(
            taken_at=taken_at,
            monotonic=monotonic,
            boottime=boottime,
            sockets=sockets,
            processes={**attribution.processes, **with_ancestors(unseen, self._processes.get)},
            holders=attribution.holders,
            host=host,
            coverage=attribution.coverage,
            source=self.source,
            ghosts=ghosts,
            notes=notes,
            dump_seconds=monotonic - before,
            endings=endings,
        )

    def close(self) -> None:
        """Close the netlink sockets."""
        self._diag.close()
        if self._endings is not None:
            self._endings.close()

    def _heard(self) -> Endings:
        """What ended since the poll before; once it cannot be heard there is no more of it, and a note says why."""
        if self._endings is None:
            return Endings.none()
        try:
            heard = self._endings.drain()
            lost, self._lost = self._lost, 0
            return replace(heard, lost=heard.lost + lost) if lost else heard
        except NetlinkError as error:
            self._endings.close()
            self._endings, self._unheard = None, f"How sockets end is not known any more: {error}."
            return Endings.none(1)

    def _sockets(self) -> tuple[SocketArray, tuple[str, ...]]:
        decoder = inet_diag.Decoder(self._expected)
        notes = []
        for family, protocol in self._dumps:
            try:
                self._diag.dump(family, protocol, decoder, inet_diag.ALL_STATES)
            except NetlinkError as error:
                if error.errno != errno.ENOENT:
                    raise
                version = {socket.AF_INET: "IPv4 ", socket.AF_INET6: "IPv6 "}.get(family, "")
                module = f"{protocol.name.lower()}_diag"
                notes.append(
                    f"This kernel cannot list {version}{protocol.name} sockets: no {module}; as root: modprobe {module}"
                )
        if decoder.malformed:
            notes.append(f"{decoder.malformed} messages from the kernel could not be read whole.")
        self._give_way()
        sockets = decoder.rows()
        self._expected = len(sockets) + len(sockets) // 8 + 1024
        return sockets, tuple(notes)


def _understood(diag: DiagSocket) -> tuple[tuple[socket.AddressFamily, Protocol], ...]:
    """The dumps that this kernel answers. Raises :class:`NetlinkError` if it answers none."""
    try:
        diag.dump(*FEWER_DUMPS[0], inet_diag.Decoder(64), _ONLY_LISTEN)
    except NetlinkError:
        diag.dump(*DUMPS[0], inet_diag.Decoder(64), _ONLY_LISTEN)
        return DUMPS
    return FEWER_DUMPS
