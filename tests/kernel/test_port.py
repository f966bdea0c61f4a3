"""What is said of a port is what bind() and listen() then meet, and what is called unknown is what no row shows.

Every situation is made with each setting of the options that a dump does not tell (SO_REUSEADDR, SO_REUSEPORT,
IPV6_V6ONLY). What is said must be the same for all of them; True must be a success with all, False a refusal with
all, and None must be both.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import itertools
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pytest

from sockui.collector import open_collector
from sockui.collector.namespace import enter_namespace
from sockui.lab.run import Lab
from sockui.model import Protocol, State
from sockui.tracker import Tracker, Update
from sockui.view.page import Page, plain
from sockui.view.port import Endpoint, Verdict, holders, judge, parse_endpoint
from tests.actions.scenes import Network, network, until

pytestmark = pytest.mark.kernel

ADDRESSES = ("0.0.0.0", "127.0.0.1", "127.0.0.2", "::", "::1", "::ffff:127.0.0.1", "::ffff:0.0.0.0")
PEERS = {"127.0.0.1": "127.0.0.1", "::1": "::1", "::ffff:127.0.0.1": "127.0.0.1"}
"""Where a connection has its local end, and where its client connects to."""
USER = 65534
BOUND = itertools.count(10_000)  # with SO_REUSEADDR the kernel may choose the same port twice: so it must not choose
CONNECTED = itertools.count(40_000)


class Options(NamedTuple):
    """What no dump tells of a socket."""

    reuseaddr: bool = False
    reuseport: bool = False
    v6only: bool = False


@pytest.fixture
def net() -> Iterator[Network]:
    with network() as made:
        yield made


def every_options(address: str) -> Iterator[Options]:
    v6 = ":" in address and "." not in address
    return itertools.starmap(
        Options, itertools.product((False, True), (False, True), (False, True) if v6 else (False,))
    )


def make(address: str, options: Options, kind: int = socket.SOCK_STREAM) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, options.reuseaddr)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, options.reuseport)
    if ":" in address:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, options.v6only)
    made.settimeout(10)
    return made


def choose(sock: socket.socket) -> int:
    """Let connect() choose a port, but leave it only one to choose from (IP_LOCAL_PORT_RANGE, ip(7))."""
    port = next(CONNECTED)
    sock.setsockopt(socket.IPPROTO_IP, 51, struct.pack("=I", port << 16 | port))
    return port


def bind(net: Callable[..., socket.socket], endpoint: Endpoint, options: Options) -> str:
    """Bind, and for TCP listen, as a new server would: "" or which call gave which error."""
    address = socket.inet_ntop(socket.AF_INET6, (endpoint.high << 64 | endpoint.low).to_bytes(16))
    address = address.removeprefix("::ffff:") if endpoint.family == 4 else address
    udp = endpoint.protocol == Protocol.UDP
    new = net(make, address, options, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
    call = "bind"
    try:
        new.bind((address, endpoint.port))
        call = "listen"
        if not udp:
            new.listen(1)
    except OSError as error:
        return f"{call} {errno.errorcode[error.errno or 0]}"
    finally:
        new.close()
    return ""


def met(net: Network, endpoint: Endpoint) -> list[bool]:
    """Whether bind() and listen() succeed: without options, with SO_REUSEADDR, with SO_REUSEPORT."""
    answers = [bind(net, endpoint, options) for options in (Options(), Options(True), Options(False, True))]
    assert set(answers) <= {"", "bind EADDRINUSE"}
    return [not answer for answer in answers]


def check(net: Network, ports: dict[tuple[str, Options], int], states: set[State], protocol: str = "tcp") -> None:
    """``ports``: on which port the socket with a local address and these hidden options is."""
    update = net.update()
    on_port = np.isin(update.sockets["local_port"], list(ports.values()))
    assert set(update.sockets["state"][on_port].tolist()) == states
    for address, wanted in itertools.product({address for address, _ in ports}, ADDRESSES):
        said, outcomes = set(), []
        for (where, _), port in ports.items():
            if where == address:
                host = f"[{wanted}]" if ":" in wanted else wanted
                endpoint = parse_endpoint(f"{protocol}:{host}:{port}")
                said.add(judge(update, endpoint))
                outcomes.append(met(net, endpoint))
        assert len(said) == 1, f"{address}: a hidden option changed what is said"
        (verdict,) = said
        for name, seen in zip(("plain", "reuseaddr", "reuseport"), zip(*outcomes, strict=True), strict=True):
            expected = seen[0] if len(set(seen)) == 1 else None
            assert getattr(verdict, name) is expected, f"{states} on {address}, bind() to {wanted}, {name}: {seen}"


@pytest.mark.parametrize("listens", [True, False])
def test_listeners_and_sockets_that_are_only_bound(net: Network, listens: bool) -> None:
    ports = {}
    for address in ADDRESSES:
        for options in every_options(address):
            made = net(make, address, options)
            made.bind((address, next(BOUND)))
            if listens:
                made.listen(1)
            ports[address, options] = made.getsockname()[1]
    check(net, ports, {State.LISTEN} if listens else {State.CLOSE})


@pytest.mark.parametrize("connected", [True, False])
def test_udp(net: Network, connected: bool) -> None:
    ports = {}
    for address in ("127.0.0.1", "::1") if connected else ADDRESSES:
        for options in every_options(address):
            made = net(make, address, options, socket.SOCK_DGRAM)
            if connected:
                choose(made)
                made.connect((address, 9))
            else:
                made.bind((address, next(BOUND)))
            ports[address, options] = made.getsockname()[1]
    check(net, ports, {State.ESTABLISHED} if connected else {State.CLOSE}, "udp")


SERVER_ENDS = {
    State.ESTABLISHED: "",
    State.CLOSE_WAIT: "client",
    State.FIN_WAIT2: "server",
    State.TIME_WAIT: "server client",
}


@pytest.mark.parametrize("state", SERVER_ENDS)
@pytest.mark.parametrize("outgoing", [False, True])
def test_connections(net: Network, state: State, outgoing: bool) -> None:
    """What is left of a listener; and of connect(), whose port it then is."""
    ports = {}
    for address, remote in PEERS.items():
        for options in every_options(address):
            wildcard = "::" if ":" in address else "0.0.0.0"
            listener = net(make, wildcard, options if not outgoing else Options())
            listener.bind((wildcard, next(BOUND)))
            listener.listen(1)
            server = listener.getsockname()[1]
            client = net(make, address if outgoing else remote, options if outgoing else Options())
            if outgoing:
                choose(client)
            client.connect((address if outgoing else remote, server))
            accepted = net.own(listener.accept()[0])
            ends = {"server": accepted, "client": client} if not outgoing else {"server": client, "client": accepted}
            ports[address, options] = client.getsockname()[1] if outgoing else server
            listener.close()
            for name in SERVER_ENDS[state].split():
                ends[name].close()
    wanted = list(ports.values())

    def there() -> bool:
        sockets = net.update().sockets
        return bool((sockets["state"][np.isin(sockets["local_port"], wanted)] == state).all())

    until(there)
    check(net, ports, {state})


def test_a_bound_socket_that_was_reset(net: Network) -> None:
    listener = net(make, "::", Options())
    listener.bind(("::", next(BOUND)))
    listener.listen(1)
    ports: dict[tuple[str, Options], int] = {}
    for address in PEERS:
        for options in every_options(address):
            wildcard = "::" if ":" in address else "0.0.0.0"
            made = net(make, wildcard, options)
            made.bind((wildcard, next(BOUND)))  # one that the kernel chose is given back
            made.connect((address, listener.getsockname()[1]))
            accepted = listener.accept()[0]
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            accepted.close()
            with pytest.raises(ConnectionResetError):
                made.recv(1)
            ports[address, options] = made.getsockname()[1]
    check(net, ports, {State.CLOSE})


def test_a_connection_that_is_not_answered(net: Network) -> None:
    listener = net(make, "127.0.0.1", Options())
    listener.bind(("127.0.0.1", next(BOUND)))
    listener.listen(0)
    net(socket.create_connection, listener.getsockname())  # fills the queue: further SYNs are dropped
    ports = {}
    for options in every_options("127.0.0.1"):
        made = net(make, "127.0.0.1", options)
        choose(made)
        made.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            made.connect(listener.getsockname())
        ports["127.0.0.1", options] = made.getsockname()[1]
    check(net, ports, {State.SYN_SENT})


def page(update: Update, wanted: str) -> str:
    return " ".join(plain(Page("", holders(update, parse_endpoint(wanted)))).split())


def test_of_two_bound_by_so_reuseaddr_the_second_to_listen_is_refused(net: Network) -> None:
    first, second = (net(make, "0.0.0.0", Options(reuseaddr=True)) for _ in range(2))
    first.bind(("0.0.0.0", next(BOUND)))
    port = first.getsockname()[1]
    second.bind(("0.0.0.0", port))
    assert "of sockets bound to one port by SO_REUSEADDR the second to listen gets EADDRINUSE" in page(
        net.update(), f":{port}"
    )
    first.listen(1)
    with pytest.raises(OSError) as refused:  # noqa: PT011  # its errno is what is tested
        second.listen(1)
    assert refused.value.errno == errno.EADDRINUSE
    verdict = judge(net.update(), parse_endpoint(f":{port}"))
    assert (verdict.plain, verdict.reuseaddr) == (False, False)


def test_two_listeners_on_one_address_have_so_reuseport(net: Network) -> None:
    """Then it is known; and the user must be the same, which the words say."""
    pair = [net(make, "0.0.0.0", Options(reuseport=True)) for _ in range(2)]
    wanted = parse_endpoint(f"0.0.0.0:{next(BOUND)}")
    for made in pair:
        made.bind(("0.0.0.0", wanted.port))
        made.listen(1)
    assert judge(net.update(), wanted) == Verdict(False, False, True)
    assert met(net, wanted) == [False, False, True]
    assert "they have), and the user is the same (uid 0)" in page(net.update(), str(wanted))
    net(ctypes.CDLL(None).setfsuid, USER)  # of this thread alone; a socket belongs to it
    assert bind(net, wanted, Options(reuseport=True)) == "bind EADDRINUSE"


@pytest.mark.parametrize("state", [State.LISTEN, State.TIME_WAIT])
def test_the_user_matters_to_so_reuseport_but_not_in_time_wait(net: Network, state: State) -> None:
    listener = net(make, "127.0.0.1", Options(reuseport=True))
    listener.bind(("127.0.0.1", next(BOUND)))
    listener.listen(1)
    wanted = parse_endpoint(f"127.0.0.1:{listener.getsockname()[1]}")
    if state == State.TIME_WAIT:
        client = net(socket.create_connection, listener.getsockname())
        accepted = listener.accept()[0]
        for each in (listener, accepted, client):
            each.close()
        until(lambda: (net.update().sockets["state"] == State.TIME_WAIT).any())
    net(ctypes.CDLL(None).setfsuid, USER)
    assert bind(net, wanted, Options(reuseport=True)) == ("bind EADDRINUSE" if state == State.LISTEN else "")


def test_an_interface_may_be_another_port_space(net: Network) -> None:
    """Without a VRF it is not; a row does not say."""
    made = net(make, "0.0.0.0", Options())
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    made.bind(("0.0.0.0", next(BOUND)))
    made.listen(1)
    wanted = parse_endpoint(f":{made.getsockname()[1]}")
    assert judge(net.update(), wanted).plain is None
    assert "VRF" in page(net.update(), f":{wanted.port}")


def test_nothing_there(net: Network) -> None:
    wanted = parse_endpoint(":8080")
    assert judge(net.update(), wanted) == Verdict(True, True, True)
    assert met(net, wanted) == [True, True, True]
    assert "Other network namespaces (containers) are not seen" in page(net.update(), ":8080")


def test_tcp_and_udp_are_apart(net: Network) -> None:
    made = net(make, "0.0.0.0", Options())
    made.bind(("0.0.0.0", next(BOUND)))
    made.listen(1)
    wanted = parse_endpoint(f"udp:{made.getsockname()[1]}")
    assert judge(net.update(), wanted).plain is True
    assert bind(net, wanted, Options()) == ""


@pytest.mark.parametrize("taken", [False, True])
def test_a_privileged_port_is_refused_with_eacces_taken_or_not(net: Network, taken: bool) -> None:
    if taken:
        made = net(make, "0.0.0.0", Options())
        made.bind(("0.0.0.0", 81))
        made.listen(1)
    program = f"import os, socket; os.setuid({USER}); socket.socket().bind(('', 81))"
    done = net(subprocess.run, [sys.executable, "-ISc", program], capture_output=True, text=True)
    assert f"PermissionError: [Errno {errno.EACCES}]" in done.stderr
    assert ("fails with EACCES" in page(net.update(), ":81")) == (not taken)


def test_everything_in_the_lab(lab: Lab) -> None:
    """Every port of the lab: what is said of it, and what a new server there meets."""

    def look() -> Update:
        collector = open_collector("netlink")
        try:
            return Tracker().update(collector.collect())
        finally:
            collector.close()

    def wrong(update: Update, port: int) -> str:
        """The page that is wrong, "" if it is right."""
        wanted = parse_endpoint(f":{port}")
        said_of[port] = judge(update, wanted)
        for options, said in ((Options(), said_of[port].plain), (Options(reuseaddr=True), said_of[port].reuseaddr)):
            refusal = bind(lambda *call: thread.submit(*call).result(), wanted, options)
            if said is not None and said == bool(refusal):
                return page(update, f":{port}")
        return ""

    said_of: dict[int, Verdict] = {}
    with ThreadPoolExecutor(1, initializer=enter_namespace, initargs=(str(lab.namespace),)) as thread:
        update = thread.submit(look).result()
        tcp = update.sockets["protocol"] == Protocol.TCP
        for port in np.unique(update.sockets["local_port"][tcp]).tolist():
            if wrong(update, port):  # the lab lives: a listener may have gone since
                assert not (again := wrong(thread.submit(look).result(), port)), again
        assert {verdict.reuseaddr for verdict in said_of.values()} == {False, None}
