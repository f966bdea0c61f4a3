"""From how much on something is a finding: every threshold, its unit and the reason for its default.

Owns the numbers that rules compare with. Must not compare.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def _limit(default: float, low: float, high: float, meaning: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "meaning": meaning})


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Every threshold; a field's metadata has ``low``, ``high`` (what is allowed) and ``meaning`` with the reason."""

    close_wait_seconds: float = _limit(
        30,
        1,
        86400,
        "CLOSE_WAIT this old is a leak: an application that reads sees the EOF at once. Seconds.",
    )
    fin_wait2_seconds: float = _limit(
        60,
        1,
        86400,
        "A held FIN_WAIT2 this old waits for a peer that does not close; the kernel's own limit for orphans. Seconds.",
    )
    accept_wait_seconds: float = _limit(
        2,
        0.1,
        3600,
        "A connection that waits this long for accept(): a client's first SYN retransmission comes after 1 s. Seconds.",
    )
    accept_wait_critical_seconds: float = _limit(
        10,
        0.1,
        3600,
        "So long, and most clients have given up: a common connect or read timeout. Seconds.",
    )
    fin_unanswered_retransmits: float = _limit(
        3,
        1,
        15,
        "A FIN sent again this often without an answer: fewer is ordinary loss. Retransmissions.",
    )
    fin_unanswered_many: float = _limit(
        100,
        1,
        1_000_000,
        "So many unanswered FINs are a path that is cut, not peers that went away. Sockets.",
    )
    syn_unanswered: float = _limit(
        2,
        1,
        6,
        "A SYN sent again this often: one repeat (1 s) happens by loss. Retransmissions.",
    )
    syn_recv_many: float = _limit(
        100,
        10,
        1_000_000,
        "So many unfinished handshakes at one listener; half its backlog, but at least 10, counts as well. Sockets.",
    )
    retransmitting_seconds: float = _limit(
        10,
        1,
        3600,
        "No acknowledgement for so long: shorter outages mend themselves. Seconds.",
    )
    retransmitting_critical_seconds: float = _limit(
        60,
        1,
        3600,
        "So long without one, and users have noticed; the kernel gives up after about 924 s. Seconds.",
    )
    zero_window_seconds: float = _limit(
        5,
        1,
        3600,
        "The peer's window closed for so long: shorter is ordinary back-pressure. Seconds.",
    )
    zero_window_critical_seconds: float = _limit(
        60,
        1,
        86400,
        "So long, and the peer's application hangs. Seconds.",
    )
    unread_seconds: float = _limit(
        5,
        1,
        3600,
        "Data that lies unread for so long with the receive window closed: no scheduler is that late. Seconds.",
    )
    idle_seconds: float = _limit(
        7200,
        60,
        2_592_000,
        "No traffic for so long and no keepalive: nothing would notice that the peer is gone. TCP's own "
        "default. Seconds.",
    )
    orphan_fin_wait2_many: float = _limit(
        1000,
        10,
        1_000_000,
        "So many closed connections whose peers keep their end open. Sockets.",
    )
    ports_warning: float = _limit(
        0.7,
        0.1,
        1,
        "Share of the ephemeral ports to one destination in use: connect() slows down from here on.",
    )
    ports_critical: float = _limit(
        0.95,
        0.1,
        1,
        "Share from which connect() fails any moment with EADDRNOTAVAIL.",
    )
    descriptors_warning: float = _limit(
        0.9,
        0.1,
        1,
        "Share of a process's descriptor limit in use.",
    )
    descriptors_left_critical: float = _limit(
        5,
        0,
        100_000,
        "So few descriptors left: accept(), open() and socket() fail with EMFILE at any moment. Descriptors.",
    )
    ghost_descriptors: float = _limit(
        5,
        1,
        1_000_000,
        "So many descriptors of one process on TCP sockets that no list shows; a few may be new ones. Descriptors.",
    )
    time_wait_share: float = _limit(
        0.8,
        0.1,
        1,
        "Share of tcp_max_tw_buckets from which TIME_WAIT is soon cut short.",
    )
    orphan_share: float = _limit(
        0.25,
        0.05,
        1,
        "Share of tcp_max_orphans: the kernel may count one orphan as four and kill (tcp_out_of_resources).",
    )
    conntrack_share: float = _limit(
        0.8,
        0.1,
        1,
        "Share of nf_conntrack_max: beyond the maximum new connections are dropped.",
    )
    window_seconds: float = _limit(
        60,
        5,
        3600,
        "How long a counter that moved (overflows, drops) keeps its finding after it last did. Seconds.",
    )
