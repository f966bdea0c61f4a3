"""How each state is made: one function per recipe, what the applications and the network do, in order.

Owns the sequences of TCP-FACTS section F. Must not open a socket itself: the scene's processes do.
"""

from __future__ import annotations

import errno
import socket
import time

from sockui.lab.namespaces import HERE
from sockui.lab.scene import Scene, Socket
from sockui.model import State

# --- servers that do not do their part ------------------------------------------------------------


def listen_full(scene: Scene) -> None:
    """Three connections where listen(2) lets three wait, and nobody accepts."""
    listener = scene.listen("lab-api", 8080, backlog=2)
    for _ in range(3):
        scene.connect("lab-client", listener.local)
    scene.held(State.LISTEN, listener, listener.at)


def accept_queue(scene: Scene) -> None:
    """Two connections that are complete and not accepted."""
    listener = scene.listen("lab-db", 5432)
    for _ in range(2):
        client = scene.connect("lab-worker", listener.local)
        scene.queued(State.ESTABLISHED, listener, client, client.at)


def close_wait_unread(scene: Scene) -> None:
    """A request and the peer's FIN, both unread."""
    server, client = scene.pair("lab-api", 8083, "lab-client")
    client.send(300)
    scene.held(State.CLOSE_WAIT, server, client.close())


def close_wait_read(scene: Scene) -> None:
    """A pool that read its database's end of file and never closed."""
    server, client = scene.pair("lab-db", 5435, "lab-worker")
    closed = server.close()
    client.read()
    scene.held(State.CLOSE_WAIT, client, closed)


def close_wait_unaccepted(scene: Scene) -> None:
    """A client that came and left before accept()."""
    listener = scene.listen("lab-api", 8086)
    client = scene.connect("lab-client", listener.local)
    scene.queued(State.CLOSE_WAIT, listener, client, client.close())


def close_wait_leak(scene: Scene) -> None:
    """One more descriptor that is never closed, until there are no descriptors left."""
    if scene.turn == 0:
        scene.ask("lab-leaky", "limit", files=256)  # few, so that they run out while somebody looks
    listener = scene.listen("lab-leaky", 9000)
    # A source address for each: a port that came again would meet its old CLOSE_WAIT and end it.
    client = scene.connect("lab-client", listener.local, source=f"127.9.{scene.turn // 250}.{scene.turn % 250 + 1}")
    try:
        server = scene.accept(listener)
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
        scene.finished = time.monotonic()
        return
    closed = client.close()
    server.read()
    scene.held(State.CLOSE_WAIT, server, closed)


def close_wait_sending(scene: Scene) -> None:
    """Half of a conversation is over; the other half is not read."""
    server, client = scene.pair("lab-db", 5456, "lab-worker", rcvbuf=4096)
    closed = server.shutdown()
    client.read()
    client.fill()
    scene.held(State.CLOSE_WAIT, client, closed)
    scene.held(State.FIN_WAIT2, server, closed)


# --- healthy, idle, and not really there ----------------------------------------------------------


def established(scene: Scene) -> None:
    """A question and an answer, then silence."""
    server, client = scene.pair("lab-db", 5438, "lab-api")
    for sender, receiver in ((client, server), (server, client)):
        sender.send(120)
        receiver.read(120)
    scene.held(State.ESTABLISHED, client, client.at)
    scene.held(State.ESTABLISHED, server, client.at)


def half_open(scene: Scene) -> None:
    """The peer loses its power; nothing tells us."""
    far = scene.far()
    server, client = scene.pair("lab-peer", 6379, "lab-worker", on=far)
    scene.blackhole(far)
    server.close("vanish")
    scene.held(State.ESTABLISHED, client, client.at)


def bound_inactive(scene: Scene) -> None:
    """bind() and nothing after it."""
    bound = scene.bind("lab-api", 5555)
    scene.held(State.CLOSE, bound, bound.at)


def ghost_close(scene: Scene) -> None:
    """The peer resets; the descriptors stay open, on sockets that are in no table."""
    for _ in range(6):
        server, client = scene.pair("lab-api", 8089, "lab-worker")
        reset = server.close("reset")
        client.await_state(State.CLOSE)
        scene.held(State.CLOSE, client, reset)


# --- handshakes -----------------------------------------------------------------------------------


def syn_sent(scene: Scene) -> None:
    """A SYN to a full listener of this host, and, with root, one into a black hole."""
    listener = scene.listen("lab-db", 5441, backlog=0)
    scene.connect("lab-worker", listener.local)
    targets = [listener.local]
    if scene.has_root:
        targets += [(address, 443) for address in scene.nobody()]
    for target in targets:
        client = scene.connect("lab-worker", target, wait=False)
        scene.held(State.SYN_SENT, client, client.at)


def syn_recv(scene: Scene) -> None:
    """Four SYNs whose senders never answer: more than half of the backlog."""
    listener = scene.listen("lab-api", 8443, on=HERE, backlog=4)
    for index, source in enumerate(scene.nobody(4)):
        sender = (source, 40000 + index)
        at = scene.ask("lab-peer", "syns", sources=[sender], to=listener.local)["at"]
        scene.alone(State.SYN_RECV, listener.local, sender, at)


def syn_recv_queue_full(scene: Scene) -> None:
    """The client's ACK finds the accept queue full: it believes in a connection that the server drops.

    TCP_DEFER_ACCEPT holds the handshake back just while the queue is filled.
    """
    listener = scene.listen("lab-api", 8446, backlog=2, defer=300)
    victim = scene.connect("lab-client", listener.local)
    listener.option(socket.TCP_DEFER_ACCEPT, 0)
    for _ in range(3):
        scene.connect("lab-client", listener.local)
    victim.send(5)
    scene.alone(State.SYN_RECV, listener.local, victim.local, victim.at)
    scene.held(State.ESTABLISHED, victim, victim.at)


def defer_accept(scene: Scene) -> None:
    """A client that is expected to speak first and does not."""
    listener = scene.listen("lab-api", 8092, defer=300)
    client = scene.connect("lab-client", listener.local)
    scene.alone(State.SYN_RECV, listener.local, client.local, client.at)
    scene.held(State.ESTABLISHED, client, client.at)


# --- data that does not get through ---------------------------------------------------------------


def retransmitting(scene: Scene) -> None:
    """Data into a black hole."""
    far = scene.far()
    _, client = scene.pair("lab-peer", 443, "lab-worker", on=far)
    scene.blackhole(far)
    client.send(500)
    scene.held(State.ESTABLISHED, client, client.at)


def host_unreachable(scene: Scene) -> None:
    """Data for a host that is gone: the kernel knows, and repeats faster than into silence (RFC 6069)."""
    far = scene.far()
    _, client = scene.pair("lab-peer", 443, "lab-worker", on=far)
    scene.unplug(far)
    client.send(500)
    scene.held(State.ESTABLISHED, client, client.at)


def zero_window(scene: Scene) -> None:
    """A receiver that does not read: one end probes, the other has closed its window."""
    receiver, sender = scene.pair("lab-db", 5444, "lab-worker", rcvbuf=4096)
    sender.fill()
    scene.held(State.ESTABLISHED, sender, sender.at)
    scene.held(State.ESTABLISHED, receiver, sender.at)


# --- closing --------------------------------------------------------------------------------------


def fin_wait1(scene: Scene) -> None:
    """A FIN into a black hole."""
    far = scene.far()
    _, client = scene.pair("lab-peer", 443, "lab-worker", on=far)
    scene.blackhole(far)
    _closed(scene, State.FIN_WAIT1, client, client.close())


def fin_wait1_zero_window(scene: Scene) -> None:
    """A FIN behind data that the peer does not read."""
    _, client = scene.pair("lab-api", 8095, "lab-worker", rcvbuf=4096)
    client.fill()
    _closed(scene, State.FIN_WAIT1, client, client.close())


def fin_wait2_held(scene: Scene) -> None:
    """shutdown(), and the peer goes on as if nothing had happened."""
    _, client = scene.pair("lab-db", 5447, "lab-client")
    scene.held(State.FIN_WAIT2, client, client.shutdown())


def fin_wait2_orphan(scene: Scene) -> None:
    """close(), and the peer goes on as if nothing had happened."""
    limit = int(scene.ask("lab-client", "sysctl", name="net/ipv4/tcp_fin_timeout", value="")["value"])
    scene.lasts = float(limit if limit <= 60 else 2 * (limit - 60))
    _, client = scene.pair("lab-db", 5450, "lab-client")
    _closed(scene, State.FIN_WAIT2, client, client.close())


def time_wait(scene: Scene) -> None:
    """Both have closed; who closed first waits."""
    server, client = scene.pair("lab-db", 5453, "lab-worker")
    client.close()
    _closed(scene, State.TIME_WAIT, client, server.close())


def last_ack(scene: Scene) -> None:
    """The peer closed first, and our FIN goes into a black hole."""
    far = scene.far()
    server, client = scene.pair("lab-peer", 443, "lab-worker", on=far)
    server.shutdown()
    client.await_state(State.CLOSE_WAIT)
    scene.blackhole(far)
    _closed(scene, State.LAST_ACK, client, client.close())


def closing(scene: Scene) -> None:
    """Both close at once, and what we send goes into a black hole."""
    far = scene.far()
    server, client = scene.pair("lab-peer", 443, "lab-worker", on=far)
    scene.blackhole(far)
    client.shutdown()
    at = server.shutdown()
    client.await_state(State.CLOSING)
    client.close()
    _closed(scene, State.CLOSING, client, at)


def _closed(scene: Scene, state: State, by: Socket, at: float) -> None:
    scene.alone(state, by.local, by.remote, at)
