"""How many ephemeral ports are left from one source to one destination (R22).

Owns which local ports connect() can choose from and which of them a destination has used up. Must not judge how
much is too much, or keep anything between polls. Numbers and addresses only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sockui.ages import TIMEWAIT_MS, AgeArray
from sockui.diagnosis.situations import endpoint_key
from sockui.model import Host, Protocol, SocketArray, State
from sockui.model.sockets import columns, mixed

Address = tuple[int, int]
"""First and last 64 bits, as SOCKET has them; IPv4 is ::ffff:a.b.c.d."""

FIRST_PARITY = 0.95
"""From this share of the ports that connect() tries first on, it has to look among the others for long."""
MOST_GAUGES = 64
"""So many, the fullest: with a range of a few ports every destination would be above the share."""
REUSE_DELAY_MS = 1000
"""How old a TIME_WAIT must be on kernels that have no tcp_tw_reuse_delay (net/ipv4/tcp_ipv4.c:tcp_twsk_unique)."""

_LOOPBACK_INTERFACE = 1  # LOOPBACK_IFINDEX, include/net/flow.h
_LOOPBACK_V4 = 0xFFFF << 8 | 127  # ::ffff:127.0.0.0, without its last 24 bits


@dataclass(frozen=True, eq=False, slots=True)
class PortGauge:
    """The ports that one source address has towards one destination address and port.

    connect() fails with EADDRNOTAVAIL when none is left. It may fail sooner than ``used`` tells: a port that any
    socket was given by bind() is passed over (net/ipv4/inet_hashtables.c:__inet_hash_connect), which is seen of
    those that listen or are not connected, and not of those that are; a TIME_WAIT whose peer had no timestamps is
    never reused; a socket may have a narrower range of its own (IP_LOCAL_PORT_RANGE); and of a range with an odd
    number of ports one connect() reaches all but one.
    """

    source: Address
    interface: int  # that the sockets are bound to, 0 none
    destination: Address
    port: int  # destination port
    used: int  # ports that connect() cannot take now, at least
    usable: int  # ports in the range that are neither reserved nor bound, at most
    reusable: int  # further ports: in TIME_WAIT that tcp_tw_reuse lets connect() take over
    first_used: int  # of ``used``, those connect() tries first: with the parity of the range's beginning
    first_usable: int  # of ``usable``, the same
    by_state: Mapping[State, int]  # sockets, the reusable ones too; the most frequent first
    holding_seconds: float  # how long a close by us keeps its port: TIME_WAIT, or until it may be reused
    rows: NDArray[np.intp]  # the sockets, the reusable ones too, ascending

    @property
    def time_wait_counted(self) -> bool:
        """Whether every TIME_WAIT counts as used, however old."""
        return self.holding_seconds >= TIMEWAIT_MS / 1000

    @property
    def share(self) -> float:
        """Used of usable, 0 to 1."""
        return self.used / self.usable if self.usable else 0.0

    @property
    def past_first_parity(self) -> bool:
        """Whether connect() has to look among the other half, because the half it tries first is nearly all used."""
        return self.used > self.first_used and self.first_used >= FIRST_PARITY * self.first_usable

    @property
    def closes_per_second(self) -> float:
        """The rate of connections closed by us that the ports can bear for long: usable ports by holding time."""
        return self.usable / self.holding_seconds


def gauges(
    sockets: SocketArray,
    ages: AgeArray,
    host: Host,
    present: NDArray[np.bool_] | None = None,
    least: float = 0.0,
) -> list[PortGauge]:
    """Gauge every (source, destination, port) with at least ``least`` of its ports used, the fullest first.

    A smaller share that may be past the first parity is enough, too.

    ``sockets`` (n,) SOCKET, ``ages`` (n,) AGE, ``present`` (n,) bool: which rows are there (None: all). Only
    connections that we opened count: those whose port lies in the range and is not listened on. Empty if the
    range cannot be read.
    """
    state, protocol, local_port = columns(sockets, "state", "protocol", "local_port")
    tcp = protocol == Protocol.TCP if present is None else (protocol == Protocol.TCP) & present
    usable = _usable(state[tcp], local_port[tcp], host)
    floor = max(min(least * usable.sum(), FIRST_PARITY * usable[_first_parity(host)].sum()), 1.0)
    rows = np.flatnonzero(usable[local_port] & tcp)
    for address in ("remote", "local"):  # what needs all of the key is left to those that may be many
        rows = rows[_crowded(mixed((sockets[f"{address}_low"][rows], sockets["remote_port"][rows])), floor)]
    if len(rows) < floor:
        return []
    key = _destination_key(sockets, rows)
    order = np.argsort(key, kind="stable")
    _, first, number = np.unique(key[order], return_index=True, return_counts=True)
    made = (
        _gauge(sockets, ages, host, usable, rows[order[begin : begin + size]])
        for begin, size in zip(first.tolist(), number.tolist(), strict=True)
        if size >= floor
    )
    return sorted((gauge for gauge in made if gauge.used >= floor), key=lambda gauge: -gauge.used)[:MOST_GAUGES]


def _crowded(keys: NDArray[np.uint64], least: float) -> NDArray[np.bool_]:
    """Which keys may be there that often: those of which the first 16 bits are."""
    first = (keys >> np.uint64(48)).astype(np.intp)
    return np.asarray((np.bincount(first, minlength=1) >= least)[first])


def usable_ports(sockets: SocketArray, host: Host, present: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Which local ports connect() may choose, by number; (65536,) bool.

    Those of ip_local_port_range without ip_local_reserved_ports and without those that a listening or unconnected
    TCP socket is bound to, at whatever address; none at all if the range cannot be read.
    """
    tcp = sockets["protocol"] == Protocol.TCP if present is None else (sockets["protocol"] == Protocol.TCP) & present
    return _usable(sockets["state"][tcp], sockets["local_port"][tcp], host)


def _usable(states: NDArray[np.uint8], local_ports: NDArray[np.uint16], host: Host) -> NDArray[np.bool_]:
    """The same, of the TCP sockets that are there."""
    ports = np.zeros(1 << 16, np.bool_)
    low, high = (host.number("net.ipv4.ip_local_port_range", index) for index in (0, 1))
    if low is None or high is None:
        return ports
    ports[low : high + 1] = True
    for begin, end in reserved_ports(host.sysctls.get("net.ipv4.ip_local_reserved_ports", "")):
        ports[begin : end + 1] = False
    # after a reset a bound socket in CLOSE still shows its old destination: the state tells, not the remote port
    ports[local_ports[(states == State.LISTEN) | (states == State.CLOSE)]] = False
    return ports


def reserved_ports(text: str) -> list[tuple[int, int]]:
    """Read ip_local_reserved_ports, ``8080,9000-9010``: (first, last) of each range, in the order given."""
    ranges = []
    for part in text.split(","):
        begin, _, end = part.strip().partition("-")
        if begin.isdecimal() and (end or begin).isdecimal():
            ranges.append((int(begin), int(end or begin)))
    return ranges


def _destination_key(sockets: SocketArray, rows: NDArray[np.intp]) -> NDArray[np.uint64]:
    """One number per (source, interface, destination, port): sockets bound to different interfaces share no ports."""
    source = endpoint_key(sockets["local_high"][rows], sockets["local_low"][rows], np.zeros(len(rows), np.uint16))
    interface = sockets["interface"][rows].astype(np.uint64)
    return endpoint_key(
        source + interface,
        endpoint_key(sockets["remote_high"][rows], sockets["remote_low"][rows], sockets["remote_port"][rows]),
        np.zeros(len(rows), np.uint16),
    )


def _gauge(
    sockets: SocketArray, ages: AgeArray, host: Host, usable: NDArray[np.bool_], rows: NDArray[np.intp]
) -> PortGauge:
    one = sockets[rows[0]]
    source = int(one["local_high"]), int(one["local_low"])
    destination = int(one["remote_high"]), int(one["remote_low"])
    holding_ms = TIMEWAIT_MS
    reusable = np.zeros(len(rows), np.bool_)
    states, ports = sockets["state"][rows], sockets["local_port"][rows]
    if _reuses(host, source, destination, int(one["interface"])):
        holding_ms = host.number("net.ipv4.tcp_tw_reuse_delay") or REUSE_DELAY_MS
        reusable = (states == State.TIME_WAIT) & (ages["min_ms"][rows] >= holding_ms)
    # a dump is not one moment: a TIME_WAIT and the connection that took it over may both be in it
    used = np.zeros(len(usable), np.bool_)
    used[ports[~reusable]] = True
    free_again = np.zeros(len(usable), np.bool_)
    free_again[ports[reusable]] = True
    first = _first_parity(host)
    in_state = np.bincount(states, minlength=max(State) + 1)
    return PortGauge(
        source=source,
        interface=int(one["interface"]),
        destination=destination,
        port=int(one["remote_port"]),
        used=int(used.sum()),
        usable=int(usable.sum()),
        reusable=int((free_again & ~used).sum()),
        first_used=int(used[first].sum()),
        first_usable=int(usable[first].sum()),
        by_state={
            state: int(in_state[state]) for state in sorted(State, key=lambda s: -in_state[s]) if in_state[state]
        },
        holding_seconds=holding_ms / 1000,
        rows=rows,
    )


def _first_parity(host: Host) -> slice:
    """The port numbers that connect() tries first: with the parity of the range's beginning."""
    return slice((host.number("net.ipv4.ip_local_port_range") or 0) % 2, None, 2)


def _reuses(host: Host, source: Address, destination: Address, interface: int) -> bool:
    """Whether connect() takes over a TIME_WAIT on this path (net/ipv4/tcp_ipv4.c:tcp_twsk_unique).

    It needs a timestamp from the peer; of that only our own half, tcp_timestamps, is known here.
    """
    if host.number("net.ipv4.tcp_timestamps") == 0:
        return False
    reuse = host.number("net.ipv4.tcp_tw_reuse")
    loopback = interface == _LOOPBACK_INTERFACE or _is_loopback(source) or _is_loopback(destination)
    return reuse == 1 or (reuse == 2 and loopback)


def _is_loopback(address: Address) -> bool:
    high, low = address
    return high == 0 and (low == 1 or low >> 24 == _LOOPBACK_V4)
