"""What runs out, overflows or is set wrongly: one function per recipe, in order.

Owns the sequences for faults of a listener, a process or a namespace rather than of one connection. Must not open
a socket itself, and changes no setting but of the lab's own network namespace: what the kernel has only once
for all (tcp_mem, tcp_max_orphans) would hit everybody on the host.
"""

from __future__ import annotations

import errno
import socket

from sockui.errors import SockuiError
from sockui.lab.namespaces import HERE
from sockui.lab.scene import Scene, Socket
from sockui.model import State

# --- queues ---------------------------------------------------------------------------------------


def listen_overflow(scene: Scene) -> None:
    """A full accept queue on which clients go on knocking: every second five more SYNs are dropped."""
    listener = scene.listen("lab-api", 8107, backlog=2)
    if scene.turn == 0:
        for _ in range(3):
            scene.connect("lab-client", listener.local)
        scene.held(State.LISTEN, listener, listener.at)
    scene.ask("lab-client", "knock", to=listener.local, count=5)


def backlog_small(scene: Scene, asked: int = 1, got: int = 1) -> None:
    """A burst that the backlog was too small for; it is over, and the counter of the listener remembers it."""
    listener = scene.listen("lab-api", 8098, backlog=asked)
    for _ in range(got + 1):
        scene.connect("lab-client", listener.local)
    scene.ask("lab-client", "knock", to=listener.local, count=3)
    for _ in range(got + 1):
        scene.accept(listener)
    scene.held(State.LISTEN, listener, listener.at)


def somaxconn_cap(scene: Scene) -> None:
    """The same where listen(1024) got 16 without a word."""
    scene.set("net/core/somaxconn", "16")
    backlog_small(scene, 1024, 16)


def syn_flood(scene: Scene) -> None:
    """Every second more SYNs than the backlog has room for, each from somewhere else, none of them meant."""
    listener = scene.listen("lab-api", 8443, on=HERE, backlog=256)
    first = scene.turn == 0
    sources = scene.strangers(60) if scene.turn else scene.strangers(120)
    at = scene.ask("lab-peer", "syns", sources=sources, to=listener.local)["at"]
    scene.found(State.SYN_RECV, local=listener.local[1], least=101 if first else 1, at=at if first else None)


# --- descriptors and ports ------------------------------------------------------------------------


def descriptors_gone(scene: Scene) -> None:
    """A service has as many files open as it may: accept() fails, and its queue stays full."""
    listener = scene.listen("lab-full", 8101, backlog=2)
    scene.ask("lab-full", "limit", files=32)
    scene.ask("lab-full", "open_files")
    for _ in range(3):
        scene.connect("lab-client", listener.local)
    try:
        scene.accept(listener)
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
    else:
        raise SockuiError("accept() was to fail with EMFILE; it did not")
    scene.held(State.LISTEN, listener, listener.at)


def port_exhaustion(scene: Scene) -> None:
    """48 connections to one place where 50 ephemeral ports are all there are."""
    scene.set("net/ipv4/ip_local_port_range", "40000 40049")
    listener = scene.listen("lab-peer", 443, on=scene.far(), backlog=64)
    for _ in range(48):
        client = scene.connect("lab-worker", listener.local)
        scene.held(State.ESTABLISHED, client, client.at)


def port_leftovers(scene: Scene) -> None:
    """A service without SO_REUSEADDR: it listens, in the next turn it ends, and its port is not free for a minute."""
    if scene.turn % 2 == 0:
        scene.strike()
        listener = scene.listen("lab-old", 8104, reuse=False)
        scene.held(State.LISTEN, listener, listener.at)
        return
    pairs = [scene.pair("lab-old", 8104, "lab-client") for _ in range(3)]
    for server, client in pairs:
        server.close()
        client.close()
    listener = scene.listen("lab-old", 8104)
    scene.found(State.TIME_WAIT, local=listener.local[1], least=3, at=listener.close())


# --- tables and settings --------------------------------------------------------------------------


def fin_timeout_trap(scene: Scene) -> None:
    """tcp_fin_timeout=90 lets them live for 2 x 30 s (TCP-FACTS 0.1): the first half full sockets, then minis."""
    scene.set("net/ipv4/tcp_fin_timeout", "90")
    _, client = scene.pair("lab-peer", 443, "lab-worker", on=scene.far())
    scene.alone(State.FIN_WAIT2, client.local, client.remote, client.close())


def fin_wait2_crowd(scene: Scene, count: int = 1100) -> None:
    """A peer that leaves ``count`` connections half-open at once."""
    listener = scene.listen("lab-peer", 443, on=scene.far(), backlog=4096)
    at = scene.ask("lab-worker", "visits", to=listener.local, count=count)["at"]
    scene.found(State.FIN_WAIT2, remote=listener.local[1], least=count, at=at)


def time_wait_overflow(scene: Scene) -> None:
    """Three TIME_WAIT are all there may be; every other connection that we close first is forgotten at once."""
    if scene.turn == 0:
        scene.set("net/ipv4/tcp_max_tw_buckets", "3")
    listener = scene.listen("lab-db", 5459)
    at = 0.0
    for _ in range(7):
        scene.ask("lab-worker", "visits", to=listener.local, count=1)
        at = scene.ask("lab-db", "serve", fd=listener.fd, count=1)["at"]
    scene.found(State.TIME_WAIT, remote=listener.local[1], least=3, at=at if scene.turn == 0 else None)


def conntrack_full(scene: Scene, share: float = 0.85, most: int = 1_000_000) -> None:
    """A table of tracked connections that is nearly full; every namespace counts its own against one maximum."""
    scene.ask("lab-client", "track", share=share, most=most)
    _answered(scene, 5462)


def sysctl_traps(scene: Scene) -> None:
    """What folk remedies leave behind, and a healthy connection beside it."""
    for name, value in (
        ("abort_on_overflow", "1"),
        ("syncookies", "0"),
        ("retries2", "3"),
        ("orphan_retries", "1"),
        ("timestamps", "0"),
        ("tw_reuse", "1"),
        ("max_tw_buckets", "1024"),
    ):
        scene.set(f"net/ipv4/tcp_{name}", value)
    _answered(scene, 5465)


def udp_drops(scene: Scene) -> None:
    """Datagrams for a receiver whose buffer has been full for long."""
    if scene.turn == 0:
        receiver = scene.bind("lab-api", 8125, socket.SOCK_DGRAM, rcvbuf=4096)
        scene.held(State.CLOSE, receiver, receiver.at)
    scene.ask("lab-client", "datagrams", to=scene.made[0].local, count=20)


def _answered(scene: Scene, port: int) -> tuple[Socket, Socket]:
    """A healthy connection of which the namespace's own settings are the fault."""
    server, client = scene.pair("lab-db", port, "lab-worker")
    scene.held(State.ESTABLISHED, client, client.at)
    return server, client
