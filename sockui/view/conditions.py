"""The conditions that the files in ``knowledge`` may name in ``when``, ``unless`` and ``likely``.

Owns their names and what each means. Must not choose words; one that cannot be known does not hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sockui.diagnosis import situations
from sockui.model import Known, Protocol, State, Timer
from sockui.view import evidence, settings
from sockui.view.evidence import knows, unread_bytes

if TYPE_CHECKING:
    from sockui.view.facts import Facts

NEARLY_OVER_MS = 2_000
"""A TIME_WAIT last seen with so little left, and gone at the next poll, ran out; with more it may have been taken."""
SMALL_BACKLOG = 128
FD_PRESSURE = (9, 10)
"""This share of its descriptor limit in use is pressure."""
FDS_LEFT = 5
"""With no more descriptors left than these, accept() probably fails with EMFILE."""
MANY_TIME_WAITS = 100
"""So many TIME_WAIT sockets to one remote address and port are many: more than one close in a second."""
ONE_WAY_MS = 500
"""The peer was heard this much later than the loss began: more than the times' own inaccuracy."""


def tests(facts: Facts) -> dict[str, bool]:
    """Whether each condition holds for a socket."""
    return _of_socket(facts) | _of_queues(facts) | _of_processes(facts)


def _of_socket(facts: Facts) -> dict[str, bool]:
    """Timers, repeats and who is at the other end."""
    row, one = facts.row, evidence.array_of(facts.row)
    state, tcp = int(row["state"]), row["protocol"] == Protocol.TCP
    timer, info = knows(row, Known.TIMER), knows(row, Known.INFO)
    retransmitting = bool(situations.retransmitting(one)[0])
    zero_window = tcp and bool(situations.zero_window(one)[0])
    persist = info and timer and row["timer"] == Timer.PERSIST
    heard_since = bool(facts.stall and facts.stall.min_ms > int(row["last_ack_recv"]) + ONE_WAY_MS)
    fin_timeout = facts.host.number("net.ipv4.tcp_fin_timeout") or 0
    low, high = (facts.host.number("net.ipv4.ip_local_port_range", index) for index in (0, 1))
    ephemeral = low is not None and high is not None and low <= row["local_port"] <= high
    return {
        "mini": knows(row, Known.MINI),
        "orphan": facts.orphan,
        "unaccepted": facts.unaccepted,
        "local_peer": facts.other >= 0,
        "same_host": facts.same_host,
        "peer_unaccepted": facts.peer is not None and facts.peer.unaccepted,
        "keepalive": timer and row["timer"] == Timer.KEEPALIVE and not facts.orphan,
        "zero_window": zero_window,
        "window_shrunk": zero_window and timer and row["timer"] == Timer.ON,  # what is in flight does not fit any more
        "probing": zero_window and timer and row["timer"] == Timer.PERSIST,
        "probed_for_ever": facts.orphan
        and zero_window
        and persist
        and settings.probed_for_ever(facts.host, facts.rto, int(row["backoff"])),
        "retransmitting": tcp and retransmitting,
        "last_timer": bool(facts.gives_up),
        "repeated": timer and row["retransmits"] > 0,
        "unreachable": retransmitting and state != State.SYN_SENT and bool(situations.back_off_undone(one)[0]),
        "one_way": facts.stall is not None and facts.stall.kind == "outage" and heard_since,
        "probes_answered": persist and row["probes"] == 0 and row["backoff"] > 0,
        "probes_unanswered": persist and row["probes"] > 1,
        "never_used": knows(row, Known.COUNTERS) and row["bytes_sent"] == 0 and row["bytes_received"] == 0,
        "half_accepted": facts.half_accepted,
        "first_data": (ephemeral or facts.half_accepted)  # we connected, and nothing of ours ever arrived
        and knows(row, Known.COUNTERS)
        and row["bytes_acked"] <= 1
        and row["bytes_received"] == 0,
        "ephemeral": ephemeral,
        "many_time_waits": facts.time_waits >= MANY_TIME_WAITS,
        "fin_timeout_doubled": fin_timeout > 60,
        "fin_timeout_trap": 60 < fin_timeout < 120,
        "nearly_over": timer and row["timer_ms"] <= NEARLY_OVER_MS,
        "others_established": state == State.SYN_SENT and facts.others_established,
    }


def _of_queues(facts: Facts) -> dict[str, bool]:
    """What waits, in its own queues or its listener's."""
    row, state = facts.row, int(facts.row["state"])
    queues = knows(row, Known.QUEUES)
    listener = facts.update.sockets[facts.listener] if facts.listener >= 0 else None
    return {
        "queues": queues,
        "unread": queues and state != State.LISTEN and unread_bytes(row) > 0,
        "only_fin": queues and state == State.CLOSE_WAIT and row["recv_queue"] == 1,
        "unacked": queues and state != State.LISTEN and row["send_queue"] > 0,
        "fin_unsent": state == State.FIN_WAIT1 and knows(row, Known.COUNTERS) and row["notsent_bytes"] > 0,
        "full_segments": knows(row, Known.INFO) and queues and 0 < row["snd_mss"] <= row["send_queue"],
        "window_closed": knows(row, Known.WINDOWS) and row["rcv_wnd"] == 0,
        "waiting": queues and state == State.LISTEN and row["recv_queue"] > 0,
        "queue_full": listener is not None and listener["recv_queue"] > listener["send_queue"],
        "small_backlog": listener is not None and listener["send_queue"] <= SMALL_BACKLOG,
        "dropped": state == State.LISTEN and knows(row, Known.MEMORY) and row["drops"] > 0,
    }


def _of_processes(facts: Facts) -> dict[str, bool]:
    """Who holds it, and how many descriptors are left."""
    row, process = facts.row, facts.acting
    keepers = {pid for pid, _ in facts.keepers}
    used, limit = (process.fd_count or 0, process.fd_limit or 0) if process else (0, 0)
    counted = used > 0 and limit > 0
    return {
        "held": bool(facts.holders) or (knows(row, Known.INODE) and row["inode"] != 0),
        "init": facts.pid == 1,
        "unit": facts.unit is not None,
        "shared": len(keepers) > 1,
        "sole": len(keepers) == 1 and not facts.update.snapshot.coverage.gaps,
        "fd_pressure": counted and used * FD_PRESSURE[1] >= limit * FD_PRESSURE[0],
        "fds_fine": counted and used * FD_PRESSURE[1] < limit * FD_PRESSURE[0],
        "fds_used_up": counted and used >= limit - FDS_LEFT,
        "fds_at_most": limit >= facts.host.nr_open,
    }
