"""How long the kernel goes on by itself, computed from its settings as its own code does.

Owns the arithmetic of net/ipv4/tcp_timer.c and tcp_minisocks.c. Must not know sockets or words. All
arguments are sysctl values, all results milliseconds, and all were checked against a running kernel.
"""

from __future__ import annotations

from sockui.ages import INITIAL_RTO_MS, RTO_MAX_MS, TIMEWAIT_MS

RTO_MIN = 200
"""TCP_RTO_MIN, ms: what the model of repeated timeouts starts from, whatever the connection's own RTO."""
ORPHAN_RETRIES_ZERO = 8
"""What tcp_orphan_retries 0 means while the RTO is below its maximum (tcp_timer.c:tcp_orphan_retries)."""


def unanswered(retries: int, rto_max: int = RTO_MAX_MS) -> int:
    """Time after which the next retransmission timeout gives up (tcp_timer.c:tcp_model_timeout).

    For tcp_retries2 and tcp_orphan_retries; ``rto_max`` is tcp_rto_max_ms, which older kernels do not have.
    15 -> 924600, 8 -> 102200.
    """
    doublings = (rto_max // RTO_MIN).bit_length() - 1
    if retries <= doublings:
        return ((2 << retries) - 1) * RTO_MIN
    return ((2 << doublings) - 1) * RTO_MIN + (retries - doublings) * rto_max


def last_back_off(rto: int, retries: int, rto_max: int = RTO_MAX_MS) -> int:
    """The back-off at which a closed socket behind an answered zero window is given up (tcp_timer.c:tcp_probe_timer).

    The wait must be the longest, and tcp_orphan_retries steps made; ``rto`` is the socket's own. 200 and 0 -> 10.
    tcp_output.c:tcp_send_probe0 raises the back-off up to tcp_retries2 only: if that is less, the socket stays.
    """
    return max(retries, ((rto_max - 1) // rto).bit_length())


def probed(rto: int, back_off: int, rto_max: int = RTO_MAX_MS) -> int:
    """Time from the closing of the window until the probe timer ends with this back-off. 200 and 10 -> 324600."""
    return sum(min(max(rto, RTO_MIN) << step, rto_max) for step in range(back_off + 1))


def fin_wait2_orphan(seconds: int) -> int:
    """Life of an orphan FIN_WAIT2 under tcp_fin_timeout: as set up to 60 s, above that 2·(N-60) s.

    tcp_input.c:tcp_rcv_state_process arms N-60 s, tcp_timer.c:tcp_keepalive_timer the same again.
    """
    length = seconds * 1000
    return length if length <= TIMEWAIT_MS else 2 * (length - TIMEWAIT_MS)


def connect(retries: int, linear: int) -> int:
    """Time from the first SYN until a connect fails: ``linear`` repeats 1 s apart, then doubling.

    For tcp_syn_retries and tcp_syn_linear_timeouts (0 before Linux 6.5). 6 and 4 -> 131000, 6 and 0 -> 127000.
    """
    return linear * INITIAL_RTO_MS + syn_ack(retries)


def syn_ack(retries: int) -> int:
    """Time from the first SYN-ACK until the request is dropped, under tcp_synack_retries. 5 -> 63000."""
    return sum(min(INITIAL_RTO_MS << step, RTO_MAX_MS) for step in range(retries + 1))
