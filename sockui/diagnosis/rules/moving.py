"""Data that does not move: retransmissions, closed windows, unread data, silence, UDP drops (R18 to R21, X3)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sockui.diagnosis.census import Census
from sockui.diagnosis.finding import Draft, Severity
from sockui.diagnosis.situations import Situation
from sockui.diagnosis.stalls import waited
from sockui.model import Known, Protocol, Timer

_MANY_PEERS = 10
"""So many peers out of reach at once, and it is our path."""
_RETRANSMITS = 2


def retransmitting(census: Census) -> Iterator[Draft]:
    """R18: data without an acknowledgement, sent again at least twice."""
    limits, sockets = census.limits, census.sockets
    rows = census.at(Situation.ESTABLISHED_RETRANSMITTING, Situation.ESTABLISHED_UNREACHABLE)
    rows = rows[sockets["retransmits"][rows] >= _RETRANSMITS]
    if not len(rows):
        return
    rows = rows[census.stalls(rows)["min_ms"] >= limits.retransmitting_seconds * 1000]
    far = rows[census.others(rows) < 0]  # whose other end is on this host, no network lies between
    peers = len(np.unique(sockets["remote_low"][far] ^ sockets["remote_high"][far]))
    for pid, endpoint, group in census.groups(rows):
        waits = census.stalls(group)
        long = bool((waits["min_ms"] >= limits.retransmitting_critical_seconds * 1000).any())
        unreachable = bool((census.situations[group] == Situation.ESTABLISHED_UNREACHABLE).any())
        yield Draft(
            "R18",
            Severity.CRITICAL if long or peers >= _MANY_PEERS else Severity.WARNING,
            group,
            pid,
            endpoint,
            waits=waits,
            values={
                "peers": peers,
                "retransmits": int(sockets["retransmits"][group].max()),
                "fewest": int(sockets["retransmits"][group].min()),
                "queued": int(sockets["send_queue"][group].sum()),
            },
            conditions=frozenset(
                ({"unreachable"} if unreachable else set()) | ({"many_peers"} if peers >= _MANY_PEERS else set())
            ),
        )


def peer_not_reading(census: Census) -> Iterator[Draft]:
    """R19: the peer's window is closed."""
    limits, sockets = census.limits, census.sockets
    rows = census.at(Situation.PEER_NOT_READING)
    if not len(rows):
        return
    rows = rows[census.stalls(rows)["min_ms"] >= limits.zero_window_seconds * 1000]
    for pid, endpoint, group in census.groups(rows):
        waits = census.stalls(group)
        critical = bool((waits["min_ms"] >= limits.zero_window_critical_seconds * 1000).any())
        probes = int(sockets["probes"][group].max())
        yield Draft(
            "R19",
            Severity.CRITICAL if critical else Severity.WARNING,
            group,
            pid,
            endpoint,
            waits=waits,
            values={"queued": int(sockets["send_queue"][group].sum()), "probes": probes},
            conditions=frozenset({"peer_gone"} if probes >= _RETRANSMITS else {"peer_alive"}),
        )


def not_reading(census: Census) -> Iterator[Draft]:
    """R20: data lies unread and our window is closed, or the receive buffer nearly full."""
    limits, sockets = census.limits, census.sockets
    rows = census.at(Situation.NOT_READING)
    if not len(rows):
        return
    old = sockets["last_data_recv"][rows] >= limits.unread_seconds * 1000
    closed = census.known(rows, Known.WINDOWS) & (sockets["rcv_wnd"][rows] == 0)
    full = census.known(rows, Known.MEMORY) & (sockets["rmem_alloc"][rows] >= 0.8 * sockets["rcvbuf"][rows])
    for pid, endpoint, group in census.groups(rows[old & (closed | full)]):
        waits = census.stalls(group)
        critical = bool((waits["min_ms"] >= limits.zero_window_critical_seconds * 1000).any())
        yield Draft(
            "R20",
            Severity.CRITICAL if critical else Severity.WARNING,
            group,
            pid,
            endpoint,
            waits=waits,
            values={"unread": int(sockets["recv_queue"][group].sum())},
        )


def possibly_half_open(census: Census) -> Iterator[Draft]:
    """R21: silent for so long, without keepalive, that nothing would have told that the peer is gone."""
    sockets = census.sockets
    rows = census.at(Situation.ESTABLISHED_IDLE)
    longest = census.limits.idle_seconds * 1000
    rows = rows[sockets["last_ack_recv"][rows] > longest]
    if not len(rows):
        return
    known = census.known(rows, Known.INFO | Known.TIMER | Known.INODE)
    silent = np.minimum(
        np.minimum(sockets["last_data_sent"][rows], sockets["last_data_recv"][rows]), sockets["last_ack_recv"][rows]
    ).astype(np.int64)
    chosen = known & (sockets["timer"][rows] == Timer.OFF) & (sockets["inode"][rows] != 0) & (silent > longest)
    for pid, endpoint, group in census.groups(rows[chosen]):
        quiet = silent[np.searchsorted(rows, group)]  # both ascending
        yield Draft(
            "R21",
            Severity.INFO,
            group,
            pid,
            endpoint,
            waits=waited(quiet, quiet),
        )


def udp_drops(census: Census) -> Iterator[Draft]:
    """X3: datagrams are dropped at a socket, within the window."""
    sockets = census.sockets
    rows = census.at(Situation.UDP_DROPS)
    rows = rows[(sockets["protocol"][rows] == Protocol.UDP) & (census.more_drops(rows) > 0)]
    for pid, endpoint, group in census.groups(rows):
        yield Draft(
            "X3",
            Severity.WARNING,
            group,
            pid,
            endpoint,
            values={
                "drops": int(census.more_drops(group).sum()),
                "unread": int(sockets["recv_queue"][group].sum()),
                "rcvbuf": int(sockets["rcvbuf"][group].max()),
            },
        )


RULES = (retransmitting, peer_not_reading, not_reading, possibly_half_open, udp_drops)
