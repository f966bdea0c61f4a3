"""What runs out: ephemeral ports, descriptors, a port that cannot be bound (R22, R25, X1)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sockui.diagnosis.census import Census, Parts, Rows
from sockui.diagnosis.finding import Draft, Endpoint, Severity, spelt
from sockui.diagnosis.ports import gauges
from sockui.diagnosis.situations import Situation
from sockui.model import Owner, State

_NONE: Rows = np.empty(0, np.intp)
_LEFTOVERS = (
    Situation.FIN_WAIT1,
    Situation.FIN_WAIT1_UNANSWERED,
    Situation.FIN_WAIT1_ZERO_WINDOW,
    Situation.FIN_WAIT2,
    Situation.FIN_WAIT2_ORPHAN,
    Situation.FIN_WAIT2_HELD,
    Situation.TIME_WAIT,
    Situation.CLOSE_WAIT,
    Situation.CLOSE_WAIT_UNREAD,
    Situation.CLOSE_WAIT_READ,
    Situation.LAST_ACK,
    Situation.CLOSING,
)
_LEAKED = (Situation.CLOSE_WAIT, Situation.CLOSE_WAIT_UNREAD, Situation.CLOSE_WAIT_READ)
_UNACCEPTED = (Situation.ACCEPT_QUEUE, Situation.CLOSE_WAIT_UNACCEPTED)
"""Explained too when descriptors are out: before that, accept() does not fail for want of them."""


def ports(census: Census) -> Iterator[Draft]:
    """R22: the ephemeral ports from one source to one destination run out."""
    limits = census.limits
    no_reuse = {"no_reuse"} if census.host.number("net.ipv4.tcp_tw_reuse") != 1 else set()
    present = census.situations != 0
    for gauge in gauges(census.sockets, census.update.ages, census.host, present, limits.ports_warning):
        share = gauge.share
        if share < limits.ports_warning and not gauge.past_first_parity:
            continue
        pids = census.sockets["pid"][gauge.rows]
        held, counts = np.unique(pids[pids > 0], return_counts=True)
        most = max(gauge.by_state.items(), key=lambda item: item[1])[0]
        yield Draft(
            "R22",
            Severity.CRITICAL if share >= limits.ports_critical else Severity.WARNING,
            gauge.rows,
            int(held[counts.argmax()]) if len(held) else 0,
            Endpoint(False, *gauge.destination, gauge.port),
            f"{spelt(*gauge.source, 0)}%{gauge.interface}/{spelt(*gauge.destination, gauge.port)}",
            count=gauge.used,
            values={
                "used": gauge.used,
                "usable": gauge.usable,
                "source_high": gauge.source[0],
                "source_low": gauge.source[1],
                "ceiling": gauge.closes_per_second,
                "holding_seconds": gauge.holding_seconds,
                "reusable": gauge.reusable,
                "most_state": State(most).name,
                **{f"in_{State(state).name.lower()}": number for state, number in gauge.by_state.items()},
            },
            conditions=frozenset({"time_wait" if most == State.TIME_WAIT else "held"} | no_reuse),
            absorbs=gauge.rows[np.isin(census.situations[gauge.rows], (Situation.TIME_WAIT,))],
            filled=("ports", gauge.used, gauge.usable),
        )


def descriptors(census: Census) -> Iterator[Draft]:
    """R25: a process has nearly no descriptors left, or holds sockets that no list shows."""
    limits = census.limits
    pids = census.sockets["pid"]
    for pid, process in census.update.snapshot.processes.items():
        use = census.fd_use(pid)
        near = use is not None and use[0] >= limits.descriptors_warning * use[1]
        ghosts = census.ghosts.get(pid, 0)
        many = ghosts >= limits.ghost_descriptors
        if not (near or many):
            continue
        held = np.flatnonzero((pids == pid) & (census.situations != 0))
        own = held[census.sockets["owner"][held] == Owner.PROCESS]
        closed = own[census.sockets["state"][own] == State.CLOSE_WAIT]
        critical = near and use is not None and use[1] - use[0] <= limits.descriptors_left_critical
        explained = (*_LEAKED, *_UNACCEPTED) if critical else _LEAKED
        yield Draft(
            "R25",
            Severity.CRITICAL if critical else Severity.WARNING,
            closed if len(closed) else own,
            pid,
            count=use[0] if near and use is not None else ghosts,
            values={
                "fds": use[0] if use else 0,
                "fd_limit": use[1] if use else 0,
                "close_wait": len(closed),
                "sockets_held": len(own),
                "ghosts": ghosts,
                "started": process.started_at,
            },
            conditions=frozenset(
                name
                for name, holds in (("near", near), ("ghosts", ghosts > 0), ("close_wait", len(closed) > 0))
                if holds
            ),
            absorbs=held[np.isin(census.situations[held], explained)] if near else None,
            filled=("descriptors", *use) if use else None,
        )


def bind_conflict(census: Census) -> Iterator[Draft]:
    """X1: connections that came to a port on which nobody listens any more, and that keep bind() from it."""
    sockets = census.sockets
    listened = census.memory.listened(census.listening_ports)
    rows = census.at(*_LEFTOVERS, Situation.BOUND_INACTIVE)
    ports = sockets["local_port"][rows]
    left = listened[ports] | (census.served(rows) & ~census.listening_ports[ports])
    rows = census.same_before("X1", rows[left])  # a restart takes a moment
    taken = sockets["local_port"][rows].astype(np.intp)
    ports, number = np.unique(taken, return_counts=True)
    parts = Parts(rows, taken)
    for port in census.worst(ports, number).tolist():
        group = parts[port]
        held = group[sockets["owner"][group] == Owner.PROCESS]
        yield Draft(
            "X1",
            Severity.WARNING if listened[port] else Severity.INFO,
            group,
            int(sockets["pid"][held].min()) if len(held) else 0,
            Endpoint(True, 0, 0, port),
            values={
                "port": port,
                "held": len(held),
                **{
                    f"in_{State(state).name.lower()}": int(np.count_nonzero(sockets["state"][group] == state))
                    for state in np.unique(sockets["state"][group]).tolist()
                },
            },
            conditions=frozenset({"held"} if len(held) else {"kernel"}),
        )


RULES = (ports, descriptors, bind_conflict)
