"""The states that the lab can make: what each looks like, what it needs and which rule must find it.

Owns the table and how people name its rows. Must not make anything: that is :mod:`sockui.lab.makers`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sockui.errors import UsageError
from sockui.lab import makers
from sockui.lab.scene import Scene
from sockui.model import Protocol, State, parse_state


@dataclass(frozen=True, slots=True)
class Recipe:
    """One state, stuck."""

    name: str
    says: str  # one line
    state: State
    side: str  # whose socket it is: listener, server, client or both
    needs_root: bool  # namespaces, black holes, raw packets
    ends_after: float | None  # s until the kernel ends it; None: never
    rules: tuple[str, ...]  # the diagnosis rules that must find it; () for what is healthy
    make: Callable[[Scene], None]
    protocol: Protocol = Protocol.TCP
    grows_every: float | None = None  # s after which more is added to the same scene; None: it does not grow

    @property
    def again_after(self) -> float | None:
        """Seconds after which it is made once more, so that one is always there; None: once is enough."""
        if self.grows_every is not None or self.ends_after is None:
            return self.grows_every
        return self.ends_after * 0.75


_S = State
RECIPES: tuple[Recipe, ...] = (
    Recipe(
        "listen-full",
        "accept queue full, nobody accepts",
        _S.LISTEN,
        "listener",
        False,
        None,
        ("R16",),
        makers.listen_full,
    ),
    Recipe(
        "accept-queue",
        "connected, waiting for accept()",
        _S.ESTABLISHED,
        "server",
        False,
        None,
        ("R03",),
        makers.accept_queue,
    ),
    Recipe(
        "close-wait-unread",
        "peer closed; request and EOF unread",
        _S.CLOSE_WAIT,
        "server",
        False,
        None,
        ("R01",),
        makers.close_wait_unread,
    ),
    Recipe(
        "close-wait-read",
        "peer closed; EOF read, close() missing",
        _S.CLOSE_WAIT,
        "client",
        False,
        None,
        ("R02",),
        makers.close_wait_read,
    ),
    Recipe(
        "close-wait-unaccepted",
        "peer came and left before accept()",
        _S.CLOSE_WAIT,
        "server",
        False,
        None,
        ("R03",),
        makers.close_wait_unaccepted,
    ),
    Recipe(
        "close-wait-leak",
        "a service that leaks one every second",
        _S.CLOSE_WAIT,
        "server",
        False,
        None,
        ("R02", "R25"),
        makers.close_wait_leak,
        grows_every=1.0,
    ),
    Recipe(
        "fin-wait2-held",
        "shutdown() done, peer never closes",
        _S.FIN_WAIT2,
        "client",
        False,
        None,
        ("R05",),
        makers.fin_wait2_held,
    ),
    Recipe(
        "fin-wait2-orphan",
        "close() done, peer never closes",
        _S.FIN_WAIT2,
        "client",
        False,
        60,
        ("R06",),
        makers.fin_wait2_orphan,
    ),
    Recipe("time-wait", "both closed, we first", _S.TIME_WAIT, "client", False, 60, ("R23",), makers.time_wait),
    Recipe(
        "syn-sent",
        "SYN to a full listener or a black hole",
        _S.SYN_SENT,
        "client",
        False,
        131,
        ("R12", "R13"),
        makers.syn_sent,
    ),
    Recipe(
        "syn-recv", "handshakes that are never finished", _S.SYN_RECV, "server", True, 63, ("R14",), makers.syn_recv
    ),
    Recipe(
        "syn-recv-queue-full",
        "handshake refused, client ESTABLISHED",
        _S.SYN_RECV,
        "both",
        False,
        63,
        ("R15",),
        makers.syn_recv_queue_full,
    ),
    Recipe(
        "defer-accept",
        "TCP_DEFER_ACCEPT waits for data",
        _S.SYN_RECV,
        "both",
        False,
        240,
        ("R15",),
        makers.defer_accept,
    ),
    Recipe("fin-wait1", "FIN into a black hole", _S.FIN_WAIT1, "client", True, 107, ("R07",), makers.fin_wait1),
    Recipe(
        "fin-wait1-zero-window",
        "FIN behind data the peer does not read",
        _S.FIN_WAIT1,
        "client",
        False,
        340,
        ("R08",),
        makers.fin_wait1_zero_window,
    ),
    Recipe(
        "last-ack",
        "peer closed first, FIN in a black hole",
        _S.LAST_ACK,
        "client",
        True,
        107,
        ("R10",),
        makers.last_ack,
    ),
    Recipe(
        "closing",
        "both closed, our FIN in a black hole",
        _S.CLOSING,
        "client",
        True,
        107,
        ("R11",),
        makers.closing,
    ),
    Recipe("established", "healthy and idle", _S.ESTABLISHED, "both", False, None, (), makers.established),
    Recipe(
        "retransmitting", "data into a black hole", _S.ESTABLISHED, "client", True, 924, ("R18",), makers.retransmitting
    ),
    Recipe(
        "zero-window", "receiver does not read", _S.ESTABLISHED, "both", False, None, ("R19", "R20"), makers.zero_window
    ),
    Recipe(
        "half-open", "peer vanished without a word", _S.ESTABLISHED, "client", True, None, ("R21",), makers.half_open
    ),
    Recipe("bound-inactive", "bind() and nothing more", _S.CLOSE, "client", False, None, (), makers.bound_inactive),
    Recipe(
        "ghost-close",
        "reset by the peer, descriptor kept open",
        _S.CLOSE,
        "client",
        False,
        None,
        ("R25",),
        makers.ghost_close,
    ),
    Recipe(
        "port-exhaustion",
        "48 of 50 ephemeral ports in use",
        _S.ESTABLISHED,
        "client",
        True,
        None,
        ("R22",),
        makers.port_exhaustion,
    ),
    Recipe(
        "udp-drops",
        "UDP receiver that does not read",
        _S.CLOSE,
        "server",
        False,
        None,
        ("X3",),
        makers.udp_drops,
        protocol=Protocol.UDP,
        grows_every=1.0,
    ),
)


def choose(names: Sequence[str]) -> list[Recipe]:
    """The recipes meant by names in any spelling, each once, in the table's order; no names: all.

    A TCP state that is no recipe's name means all that end in it: ``close-wait``. Raises UsageError.
    """
    if not names:
        return list(RECIPES)
    chosen = [recipe for name in names for recipe in _meant(name)]
    return [recipe for recipe in RECIPES if recipe in chosen]


def _meant(name: str) -> list[Recipe]:
    word = _plain(name)
    found = [recipe for recipe in RECIPES if _plain(recipe.name) == word]
    state = parse_state(name)
    found = found or [recipe for recipe in RECIPES if recipe.state == state]
    if not found:
        close = difflib.get_close_matches(name.lower().replace("_", "-"), [recipe.name for recipe in RECIPES])
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        names = "\n  ".join(recipe.name for recipe in RECIPES)
        raise UsageError(f"the lab cannot make {name!r}{hint}\nIt can make:\n  {names}")
    return found


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character not in "-_ ")
