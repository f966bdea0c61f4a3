"""How many local ports are left towards a destination: what ``sockui explain EADDRNOTAVAIL 10.0.0.5:443`` says.

Owns these words. Must not count (``diagnosis.ports`` does).
"""

from __future__ import annotations

import numpy as np

from sockui.ages import TIMER_LATE_MS
from sockui.diagnosis.ports import PortGauge, gauges, usable_ports
from sockui.errors import UsageError
from sockui.model import Known, Protocol, State
from sockui.tracker import Life, Update
from sockui.view.evidence import at_most
from sockui.view.facts import Facts
from sockui.view.format import address, count, endpoint
from sockui.view.page import Block, Section, command, point, section, text
from sockui.view.port import Endpoint
from sockui.view.remedy import from_outside
from sockui.view.shell import quote


def destination(update: Update, wanted: Endpoint) -> tuple[Section, ...]:
    """Say how many TCP ports each local address uses towards a destination (wildcard: any), and when more come free.

    Raises :class:`UsageError` for UDP, which needs no port of its own towards a destination.
    """
    if wanted.protocol != Protocol.TCP:
        raise UsageError(f"{wanted}: ports towards a destination are counted for TCP only")
    present, sockets, host = update.life < Life.MISSED, update.sockets, update.snapshot.host
    usable = usable_ports(sockets, host, present)
    rows = np.flatnonzero(present & (sockets["protocol"] == Protocol.TCP) & (sockets["remote_port"] == wanted.port))
    rows = rows[usable[sockets["local_port"][rows]]]
    if not wanted.wildcard:
        same = (sockets["remote_high"][rows] == wanted.high) & (sockets["remote_low"][rows] == wanted.low)
        rows = rows[same]
    every = gauges(sockets, update.ages, host, present, least=0.0)
    full = [gauge for gauge in every if np.isin(gauge.rows[0], rows)]
    if not usable.any():
        said = "net.ipv4.ip_local_port_range cannot be read, or leaves no port: what is left cannot be counted."
    elif not full:
        said = f"This host has opened no connection to {wanted}: all {count(int(usable.sum()))} ports are left."
    elif full[0].used >= full[0].usable:
        said = f"No port is left from {address(*full[0].source, 6)}: connect() to {wanted} fails with EADDRNOTAVAIL."
    else:
        said = f"No local address is seen to have used up its ports towards {wanted}; the fullest come first."
    look = from_outside(f"ss -Htanpo {quote(f'dport = :{wanted.port}')}", host.namespace)
    return (
        *section("", text(said)),
        *section("Local ports used", *(_gauge(update, gauge) for gauge in full)),
        *section("Look", command(("sudo " if update.snapshot.coverage.fix else "") + look, "reads")),
    )


def _gauge(update: Update, gauge: PortGauge) -> Block:
    """One local address towards one destination."""
    sockets, rows = update.sockets, gauge.rows
    ends = f"{address(*gauge.source, 6)} to {endpoint(address(*gauge.destination, 6), gauge.port)}"
    states = ", ".join(f"{count(amount)} {state.name}" for state, amount in gauge.by_state.items())
    pids, numbers = np.unique(sockets["pid"][rows[sockets["pid"][rows] > 0]], return_counts=True)
    most = Facts(update, int(rows[0])).name(int(pids[np.argmax(numbers)])) if len(pids) else ""
    waiting = rows[(sockets["state"][rows] == State.TIME_WAIT) & (sockets["known"][rows] & int(Known.TIMER) > 0)]
    free = "No timer frees one: a port comes free when a connection ends."
    if len(waiting) and gauge.time_wait_counted:
        first, last = (at_most(int(end(sockets["timer_ms"][waiting])) + TIMER_LATE_MS) for end in (np.min, np.max))
        free = f"The first TIME_WAIT ends within {first}, the last within {last}."
    elif len(waiting):
        free = f"connect() takes over a TIME_WAIT after {gauge.holding_seconds:g} s: {count(gauge.reusable)} more now."
    held = f"Most are held by {most} ({count(int(numbers.max()))})." if most else ""
    return point(f"{ends}: {count(gauge.used)} of {count(gauge.usable)} ports used; {states}", held, free)
