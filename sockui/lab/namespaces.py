"""The two network namespaces of the lab, joined by a veth pair, and the black holes between them.

Owns making, marking and removing them. Must not touch anything outside: no sysctl, address or link of
the host is changed. A process of its own removes them as soon as the lab's pipe to it closes, which
happens on every way to die.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from sockui.collector.namespace import list_namespaces
from sockui.errors import NamespaceError

HERE = "10.9.0.1"  # the lab's own address on the link; the peer's are 10.9.255.1 and what open_far() adds
_THERE = "10.9.255.1"
_LINK = "lab0"
_MARK = "sockui-lab"  # ifalias of lo: this word, the lab's pid and its start time in clock ticks
_NOBODY = "02:00:00:00:de:ad"  # a packet to it is dropped by the receiving interface (PACKET_OTHERHOST)
_NEEDED = 1 << 12 | 1 << 13 | 1 << 21  # CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN, capabilities(7)

# Sockets are aborted first: an orphan keeps its namespace alive for minutes after the name is gone.
_REMOVE = 'for name; do ip netns exec "$name" ss -KtaH; ip netns delete "$name"; done'


def may_make_namespaces() -> bool:
    """Whether this process is root with the capabilities that namespaces and raw packets need."""
    with open("/proc/self/status") as status:
        effective = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
    return os.geteuid() == 0 and effective & _NEEDED == _NEEDED


class Namespaces:
    """``name``, the one to look at, and ``name``-peer, joined and up until :meth:`close`.

    Raises NamespaceError: a name is taken, or the kernel refused.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.peer = f"{name}-peer"
        for each in (self.name, self.peer):
            _make_room(each)
        _ip("netns", "add", self.name)
        try:
            _ip("netns", "add", self.peer)
        except NamespaceError:
            _ip("netns", "delete", self.name)
            raise
        self._watchdog = subprocess.Popen(
            ["sh", "-c", f"read -r line; {_REMOVE}", "lab-watchdog", self.name, self.peer],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the lab; this one still has work to do
        )
        try:
            self._join()
        except BaseException:
            self.close()
            raise

    def open_far(self, address: str) -> None:
        """Give the peer an address and let packets through to it."""
        _ip("-n", self.peer, "address", "replace", f"{address}/32", "dev", _LINK)
        _ip("-n", self.name, "neigh", "replace", address, "lladdr", self._peer_mac, "nud", "permanent", "dev", _LINK)

    def blackhole(self, address: str) -> None:
        """Let everything that the lab sends to ``address`` vanish; what comes from there still arrives."""
        _ip("-n", self.name, "neigh", "replace", address, "lladdr", _NOBODY, "nud", "permanent", "dev", _LINK)

    def close_far(self, address: str) -> None:
        """Take an address from the peer: the kernel asks for it in vain, and reports the host as unreachable."""
        _ip("-n", self.peer, "address", "delete", f"{address}/32", "dev", _LINK)
        _ip("-n", self.name, "neigh", "delete", address, "dev", _LINK)

    def route(self, network: str, gateway: str) -> None:
        """Let what the lab sends to ``network`` go by way of ``gateway``."""
        _ip("-n", self.name, "route", "replace", network, "via", gateway, "dev", _LINK)

    @property
    def broken(self) -> bool:
        """Whether the process that would remove the namespaces is gone."""
        return self._watchdog.poll() is not None

    def close(self) -> None:
        """Remove both namespaces and everything in them; a second call does nothing."""
        if self.broken:
            for name in (self.name, self.peer):
                _remove(name)
        self._watchdog.communicate()  # closes its stdin

    def _join(self) -> None:
        mark = f"{_MARK} {os.getpid()} {_start_ticks(os.getpid())}"
        for name in (self.name, self.peer):
            _ip("-n", name, "link", "set", "lo", "alias", mark, "up")
        peer_link = ("peer", "name", _LINK, "netns", self.peer)
        _ip("-n", self.name, "link", "add", _LINK, "type", "veth", *peer_link)
        for name, address in ((self.name, HERE), (self.peer, _THERE)):
            _ip("-n", name, "address", "add", f"{address}/16", "dev", _LINK)
            _ip("-n", name, "link", "set", _LINK, "up")
        self._peer_mac = str(_link(self.peer, _LINK)["address"])


def _make_room(name: str) -> None:
    """Remove what a dead lab left under this name; refuse if it is a living lab's or somebody else's."""
    if name not in list_namespaces():
        return
    mark = str(_link(name, "lo").get("ifalias", "")).split()
    if len(mark) != 3 or mark[0] != _MARK:
        raise NamespaceError(
            f"there is a network namespace {name!r} that no lab made; if nobody needs it: ip netns delete {name}"
        )
    if _start_ticks(int(mark[1])) == mark[2]:
        raise NamespaceError(f"the network namespace {name!r} belongs to a lab that is running, pid {mark[1]}")
    _remove(name)


def _remove(name: str) -> None:
    if name in list_namespaces():
        subprocess.run(["sh", "-c", _REMOVE, "lab-remove", name], capture_output=True, check=False)


def _link(name: str, device: str) -> dict[str, Any]:
    links: list[dict[str, Any]] = json.loads(_ip("-n", name, "-json", "link", "show", "dev", device))
    return links[0]


def _start_ticks(pid: int) -> str:
    """Field 22 of /proc/PID/stat, which with the pid is the identity of a process; "" if there is none."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _ip(*arguments: str) -> str:
    try:
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise NamespaceError("the lab makes its namespaces with ip(8), which is not installed (iproute2)") from None
    if done.returncode:
        raise NamespaceError(f"ip {' '.join(arguments)}: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout
