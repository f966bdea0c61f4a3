"""The port gauge says how many connects are left, and the kernel allows exactly so many."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from sockui.collector import open_collector
from sockui.collector.namespace import enter_namespace
from sockui.diagnosis.ports import PortGauge, gauges
from sockui.model import SocketArray, State
from sockui.tracker import Tracker

pytestmark = pytest.mark.kernel

T = TypeVar("T")
OUTSIDE = "10.77.0.1"  # an address of lo that is not a loopback address
LOOPBACK = "127.0.0.1"
DEADLINE = 10.0  # s


class Net:
    """A network namespace of its own; whatever is called here runs in it."""

    def __init__(self) -> None:
        self.held: list[socket.socket] = []
        self._collector = open_collector("netlink")
        self._tracker = Tracker()

    def set(self, **sysctls: object) -> None:
        for name, value in sysctls.items():
            Path(f"/proc/sys/net/ipv4/{name}").write_text(str(value), "ascii")

    def listen(self, address: str, port: int) -> socket.socket:
        server = self.bind(address, port)
        server.listen(128)
        return server

    def bind(self, address: str, port: int) -> socket.socket:
        made = socket.socket()
        self.held.append(made)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.settimeout(DEADLINE)
        made.bind((address, port))
        return made

    def connect(self, address: str, port: int) -> socket.socket | None:
        """One connection; None if the kernel has no port for it."""
        client = socket.socket()
        client.settimeout(DEADLINE)
        try:
            client.connect((address, port))
        except OSError as error:
            client.close()
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            return None
        self.held.append(client)
        return client

    def fill(self, address: str, port: int) -> int:
        """Connect until the kernel refuses; how many connections it allowed."""
        allowed = 0
        while self.connect(address, port) is not None:
            allowed += 1
            assert allowed <= 1000, "the range is not the one that was set"
        return allowed

    def look(self) -> tuple[SocketArray, list[PortGauge], int]:
        """Sockets, gauges, and how long the youngest TIME_WAIT has been one, ms."""
        update = self._tracker.update(self._collector.collect())
        ages = update.ages["min_ms"][update.sockets["state"] == State.TIME_WAIT]
        found = gauges(update.sockets, update.ages, update.snapshot.host, update.life < 2)
        return update.sockets, found, int(ages.min(initial=1 << 30))

    def gauge(self, port: int) -> PortGauge | None:
        return next((gauge for gauge in self.look()[1] if gauge.port == port), None)

    def close(self) -> None:
        for each in self.held:
            each.close()
        self._collector.close()


Run = Callable[[Callable[[Net], T]], T]


@pytest.fixture
def inside() -> Iterator[Callable[[Callable[[Net], T]], T]]:
    """Runs a function in a new network namespace, in a thread of its own."""
    if os.geteuid() != 0:
        pytest.skip("making network namespaces needs root")
    name = f"porttest-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for arguments in (["link", "set", "lo", "up"], ["address", "add", f"{OUTSIDE}/32", "dev", "lo"]):
            subprocess.run(["ip", "-n", name, *arguments], check=True)
        with ThreadPoolExecutor(1, initializer=enter_namespace, initargs=(name,)) as thread:
            net = thread.submit(Net).result()
            yield lambda work: thread.submit(work, net).result()
            thread.submit(net.close).result()
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def test_the_gauge_is_full_when_connect_fails(inside: Run[None]) -> None:
    def work(net: Net) -> None:
        net.set(ip_local_port_range="40000 40049", ip_local_reserved_ports="8080,40010,40020-40024")
        net.listen(OUTSIDE, 80)
        net.listen(OUTSIDE, 81)
        net.listen(LOOPBACK, 40001)  # connect() passes over bound ports, whatever the address ...
        net.bind(LOOPBACK, 40003)  # ... those that do not listen too ...
        server = net.listen(LOOPBACK, 99)
        reset = net.bind(LOOPBACK, 40005)  # ... and those that were connected once
        reset.connect((LOOPBACK, 99))
        peer, _ = server.accept()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
        with pytest.raises(ConnectionResetError):
            reset.recv(1)

        allowed = net.fill(OUTSIDE, 80)
        gauge = net.gauge(80)
        assert gauge is not None
        assert (gauge.used, gauge.usable) == (allowed, allowed)
        assert allowed == 50 - 6 - 3
        assert gauge.share == 1
        assert gauge.past_first_parity
        assert gauge.by_state == {State.ESTABLISHED: allowed}
        assert gauge.source == gauge.destination == (0, 0xFFFF << 32 | 10 << 24 | 77 << 16 | 1)

        for _ in range(10):
            assert net.connect(OUTSIDE, 81) is not None
        sockets, found, _ = net.look()
        assert [(each.port, each.used, each.usable) for each in found] == [(80, allowed, allowed), (81, 10, allowed)]
        assert set(sockets["remote_port"][found[1].rows].tolist()) == {81}
        assert not found[1].past_first_parity
        assert net.fill(OUTSIDE, 81) == allowed - 10

    inside(work)


def test_an_odd_number_of_ports_may_leave_one_unreachable(inside: Run[None]) -> None:
    def work(net: Net) -> None:
        net.set(ip_local_port_range="40000 40006")
        net.listen(OUTSIDE, 80)
        allowed = net.fill(OUTSIDE, 80)
        gauge = net.gauge(80)
        assert gauge is not None
        assert gauge.used == allowed
        assert allowed in (gauge.usable, gauge.usable - 1)

    inside(work)


@pytest.mark.parametrize(
    ("settled", "address", "settings", "reused"),
    [
        (State.TIME_WAIT, LOOPBACK, {"tcp_tw_reuse": 0}, False),
        (State.TIME_WAIT, OUTSIDE, {"tcp_tw_reuse": 0}, False),
        (State.TIME_WAIT, LOOPBACK, {"tcp_tw_reuse": 1}, True),
        (State.TIME_WAIT, OUTSIDE, {"tcp_tw_reuse": 1}, True),
        (State.TIME_WAIT, LOOPBACK, {"tcp_tw_reuse": 2}, True),
        (State.TIME_WAIT, OUTSIDE, {"tcp_tw_reuse": 2}, False),
        (State.TIME_WAIT, OUTSIDE, {"tcp_tw_reuse": 1, "tcp_timestamps": 0}, False),
        (State.TIME_WAIT, OUTSIDE, {"tcp_tw_reuse": 1, "tcp_tw_reuse_delay": 50_000}, False),
        (State.FIN_WAIT2, OUTSIDE, {"tcp_tw_reuse": 1}, False),
    ],
)
def test_a_closed_connection_counts_as_long_as_connect_cannot_take_its_port(
    inside: Run[None], settled: State, address: str, settings: dict[str, int], reused: bool
) -> None:
    def work(net: Net) -> None:
        missing = [name for name in settings if not Path(f"/proc/sys/net/ipv4/{name}").exists()]
        if missing:
            pytest.skip(f"this kernel has no {missing[0]}")
        net.set(ip_local_port_range="40000 40007", **settings)
        server = net.listen(address, 80)
        while (client := net.connect(address, 80)) is not None:
            peer, _ = server.accept()
            net.held.append(peer)
        for client in net.held[1::2]:
            client.close()
        if settled == State.TIME_WAIT:
            for peer in net.held[2::2]:
                peer.close()
        begun = time.monotonic()
        while True:
            sockets, found, youngest = net.look()
            old_enough = youngest >= 1000 and time.monotonic() - begun >= 1.1
            if (sockets["state"] == settled).sum() == 8 and old_enough:
                break
            assert time.monotonic() < begun + DEADLINE, sockets["state"]
            time.sleep(0.05)

        if reused:
            assert not found  # nothing is used
        else:
            assert [(gauge.used, gauge.usable) for gauge in found] == [(8, 8)]
            assert found[0].by_state == {settled: 8}
            young_only = settings["tcp_tw_reuse"] == 1 and "tcp_timestamps" not in settings
            assert found[0].time_wait_counted == (not young_only)
        assert net.fill(address, 80) == (8 if reused else 0)

    inside(work)
