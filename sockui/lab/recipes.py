"""The faults that the lab can make: what each looks like, what it needs and which rules must find it.

Owns the table and how people name its rows. Must not make anything: that is :mod:`sockui.lab.makers`, and
:mod:`sockui.lab.limits`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass

from sockui.errors import UsageError
from sockui.lab import limits, makers
from sockui.lab.scene import Scene
from sockui.model import Protocol, State, parse_state


@dataclass(frozen=True, slots=True)
class Recipe:
    """One state, stuck, or one fault of a listener, a process or a namespace.

    ``rules`` are those whose trigger its sockets meet as made, in the time that the rule asks for, what it is for
    first; one may explain another (TCP-FACTS G.1). R21, two hours of silence, is named only where that is the point.
    """

    name: str
    says: str  # one line
    state: State
    side: str  # whose socket it is: listener, server, client or both
    rules: tuple[str, ...]  # diagnosis rules; () for what is healthy, or no fault yet
    make: Callable[[Scene], None]
    _: KW_ONLY
    needs_root: bool = False  # namespaces, black holes, raw packets, settings
    alone: bool = (
        False  # masses of sockets, or settings that would spoil the others: only when named, nothing beside it
    )
    ends_after: float | None = None  # s until the kernel ends it; None: never
    grows_every: float | None = None  # s after which more is done in the same scene; None: it is as it was made
    protocol: Protocol = Protocol.TCP

    @property
    def again_after(self) -> float | None:
        """Seconds after which it is made once more, so that one is always there; None: once is enough."""
        if self.grows_every is not None or self.ends_after is None:
            return self.grows_every
        return self.ends_after * 0.75


_S = State
RECIPES: tuple[Recipe, ...] = (
    Recipe(
        "listen-full", "accept queue full, nobody accepts", _S.LISTEN, "listener", ("R16", "R03"), makers.listen_full
    ),
    Recipe("accept-queue", "connected, waiting for accept()", _S.ESTABLISHED, "server", ("R03",), makers.accept_queue),
    Recipe(
        "close-wait-unread",
        "peer closed; request and EOF unread",
        _S.CLOSE_WAIT,
        "server",
        ("R01",),
        makers.close_wait_unread,
    ),
    Recipe(
        "close-wait-read",
        "peer closed; EOF read, close() missing",
        _S.CLOSE_WAIT,
        "client",
        ("R02",),
        makers.close_wait_read,
    ),
    Recipe(
        "close-wait-unaccepted",
        "peer came and left before accept()",
        _S.CLOSE_WAIT,
        "server",
        ("R03",),
        makers.close_wait_unaccepted,
    ),
    Recipe(
        "close-wait-sending",
        "peer closed; our answer is not read",
        _S.CLOSE_WAIT,
        "client",
        ("R04", "R05", "X4"),
        makers.close_wait_sending,
    ),
    Recipe(
        "close-wait-leak",
        "a service that leaks one every second",
        _S.CLOSE_WAIT,
        "server",
        ("R02",),
        makers.close_wait_leak,
        grows_every=1.0,
    ),
    Recipe(
        "fin-wait2-held",
        "shutdown() done, peer never closes",
        _S.FIN_WAIT2,
        "client",
        ("R05", "R01", "X4"),
        makers.fin_wait2_held,
    ),
    Recipe(
        "fin-wait2-orphan",
        "close() done, peer never closes",
        _S.FIN_WAIT2,
        "client",
        ("R01",),
        makers.fin_wait2_orphan,
        ends_after=60,
    ),
    Recipe("time-wait", "both closed, we first", _S.TIME_WAIT, "client", (), makers.time_wait, ends_after=60),
    Recipe(
        "syn-sent",
        "SYN to a full listener or a black hole",
        _S.SYN_SENT,
        "client",
        ("R12", "R13", "R16", "R03"),
        makers.syn_sent,
        ends_after=131,
    ),
    Recipe(
        "syn-recv",
        "handshakes that are never finished",
        _S.SYN_RECV,
        "server",
        (),
        makers.syn_recv,
        needs_root=True,
        ends_after=63,
    ),
    Recipe(
        "syn-recv-queue-full",
        "last ACK dropped, client ESTABLISHED",
        _S.SYN_RECV,
        "both",
        ("R15", "R16", "R18", "R03"),
        makers.syn_recv_queue_full,
        ends_after=63,
    ),
    Recipe(
        "defer-accept",
        "TCP_DEFER_ACCEPT waits for data",
        _S.SYN_RECV,
        "both",
        ("R15",),
        makers.defer_accept,
        ends_after=240,
    ),
    Recipe(
        "fin-wait1",
        "FIN into a black hole",
        _S.FIN_WAIT1,
        "client",
        ("R07",),
        makers.fin_wait1,
        needs_root=True,
        ends_after=107,
    ),
    Recipe(
        "fin-wait1-zero-window",
        "FIN behind data the peer does not read",
        _S.FIN_WAIT1,
        "client",
        ("R08", "R20"),
        makers.fin_wait1_zero_window,
        ends_after=340,
    ),
    Recipe(
        "last-ack",
        "peer closed first, FIN in a black hole",
        _S.LAST_ACK,
        "client",
        ("R10",),
        makers.last_ack,
        needs_root=True,
        ends_after=107,
    ),
    Recipe(
        "closing",
        "both closed, our FIN in a black hole",
        _S.CLOSING,
        "client",
        ("R11",),
        makers.closing,
        needs_root=True,
        ends_after=107,
    ),
    Recipe("established", "healthy and idle", _S.ESTABLISHED, "both", (), makers.established),
    Recipe(
        "retransmitting",
        "data into a black hole",
        _S.ESTABLISHED,
        "client",
        ("R18",),
        makers.retransmitting,
        needs_root=True,
        ends_after=924,
    ),
    Recipe(
        "host-unreachable",
        "data for a host that is gone",
        _S.ESTABLISHED,
        "client",
        ("R18",),
        makers.host_unreachable,
        needs_root=True,
        ends_after=924,
    ),
    Recipe("zero-window", "receiver does not read", _S.ESTABLISHED, "both", ("R19", "R20"), makers.zero_window),
    Recipe(
        "half-open",
        "peer vanished without a word",
        _S.ESTABLISHED,
        "client",
        ("R21",),
        makers.half_open,
        needs_root=True,
    ),
    Recipe("bound-inactive", "bind() and nothing more", _S.CLOSE, "client", (), makers.bound_inactive),
    Recipe("ghost-close", "reset by the peer, descriptor kept open", _S.CLOSE, "client", ("R25",), makers.ghost_close),
    Recipe(
        "listen-overflow",
        "full, and SYNs are dropped every second",
        _S.LISTEN,
        "listener",
        ("R16", "R03"),
        limits.listen_overflow,
        needs_root=True,
        grows_every=1.0,
    ),
    Recipe(
        "backlog-small", "dropped SYNs once; backlog too small", _S.LISTEN, "listener", ("R17",), limits.backlog_small
    ),
    Recipe(
        "descriptors-gone",
        "accept() fails: too many open files",
        _S.LISTEN,
        "listener",
        ("R25", "R16", "R03"),
        limits.descriptors_gone,
    ),
    Recipe(
        "port-exhaustion",
        "48 of 50 ephemeral ports in use",
        _S.ESTABLISHED,
        "client",
        ("R22",),
        limits.port_exhaustion,
        needs_root=True,
    ),
    Recipe(
        "port-leftovers",
        "a server ends, its port is not free",
        _S.LISTEN,
        "listener",
        ("X1",),
        limits.port_leftovers,
        grows_every=20.0,
    ),
    Recipe(
        "udp-drops",
        "UDP receiver that does not read",
        _S.CLOSE,
        "server",
        ("X3",),
        limits.udp_drops,
        protocol=Protocol.UDP,
        grows_every=1.0,
    ),
    Recipe(
        "syn-flood",
        "60 SYNs a second, none of them meant",
        _S.SYN_RECV,
        "server",
        ("R14",),
        limits.syn_flood,
        needs_root=True,
        alone=True,
        grows_every=1.0,
    ),
    Recipe(
        "somaxconn-cap",
        "listen(1024) got 16; dropped SYNs once",
        _S.LISTEN,
        "listener",
        ("R17",),
        limits.somaxconn_cap,
        needs_root=True,
        alone=True,
    ),
    Recipe(
        "fin-timeout-trap",
        "tcp_fin_timeout=90: 60 s, in two parts",
        _S.FIN_WAIT2,
        "client",
        ("R06",),
        limits.fin_timeout_trap,
        needs_root=True,
        alone=True,
        ends_after=60,
    ),
    Recipe(
        "fin-wait2-crowd",
        "1,100 closed, the peer closes none",
        _S.FIN_WAIT2,
        "client",
        ("R06",),
        limits.fin_wait2_crowd,
        needs_root=True,
        alone=True,
        ends_after=60,
    ),
    Recipe(
        "time-wait-overflow",
        "tcp_max_tw_buckets=3 and more closes",
        _S.TIME_WAIT,
        "client",
        ("R23", "X5"),
        limits.time_wait_overflow,
        needs_root=True,
        alone=True,
        grows_every=1.0,
    ),
    Recipe(
        "conntrack-full",
        "85 % of nf_conntrack_max in use",
        _S.ESTABLISHED,
        "client",
        ("X2",),
        limits.conntrack_full,
        needs_root=True,
        alone=True,
    ),
    Recipe(
        "sysctl-traps",
        "seven settings of folk remedies",
        _S.ESTABLISHED,
        "client",
        ("X5",),
        limits.sysctl_traps,
        needs_root=True,
        alone=True,
    ),
)


def choose(names: Sequence[str]) -> list[Recipe]:
    """The recipes meant by names in any spelling, each once, in the table's order; no names: all but those made alone.

    A TCP state that is no recipe's name means all that end in it: ``close-wait``. Raises UsageError.
    """
    if not names:
        return [recipe for recipe in RECIPES if not recipe.alone]
    chosen = [recipe for name in names for recipe in _meant(name)]
    alone = [recipe.name for recipe in chosen if recipe.alone]
    if alone and any(recipe.name != alone[0] for recipe in chosen):
        raise UsageError(f"the lab makes {alone[0]} only by itself: it would spoil the others. Name it alone.")
    return [recipe for recipe in RECIPES if recipe in chosen]


def _meant(name: str) -> list[Recipe]:
    word = _plain(name)
    found = [recipe for recipe in RECIPES if _plain(recipe.name) == word]
    state = parse_state(name)
    found = found or [recipe for recipe in RECIPES if recipe.state == state and not recipe.alone]
    if not found:
        close = difflib.get_close_matches(name.lower().replace("_", "-"), [recipe.name for recipe in RECIPES])
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        names = "\n  ".join(recipe.name for recipe in RECIPES)
        raise UsageError(f"the lab cannot make {name!r}{hint}\nIt can make:\n  {names}")
    return found


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character not in "-_ ")
