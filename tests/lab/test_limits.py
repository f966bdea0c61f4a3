"""Faults of a listener, a process or a namespace, as ss, nstat and /proc show them."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sockui.collector.host import SETTINGS
from sockui.collector.namespace import list_namespaces
from sockui.lab import conntrack
from sockui.lab.run import Lab
from sockui.lab.scene import Made
from sockui.model import State
from tests.lab.seen import Row, counter, drops, row_of, rows, sysctl, until

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]


def settings() -> dict[str, str]:
    """This namespace's own."""
    paths = {name: Path(f"/proc/sys/{name.replace('.', '/')}") for name in SETTINGS}
    return {name: path.read_text() for name, path in paths.items() if path.exists()}


@pytest.fixture(scope="module", autouse=True)
def _host_keeps_its_settings() -> Iterator[None]:
    before = settings()
    assert before
    yield
    assert settings() == before


@contextmanager
def made(name: str, namespace: str) -> Iterator[tuple[Lab, list[Made]]]:
    with Lab([name], namespace=namespace) as lab:
        assert lab.skipped == {}
        assert lab.made
        yield lab, lab.made


def only(found: list[Made]) -> Made:
    (one,) = found
    return one


def seen(namespace: str, one: Made) -> Row:
    row = row_of(namespace, one)
    assert row is not None
    return row


# --- queues ---------------------------------------------------------------------------------------


def test_drops_of_a_full_listener_grow(namespace: str) -> None:
    with made("listen-overflow", namespace) as (_, found):
        listener = only(found)
        before = drops(namespace, listener.inode, "--tcp")
        assert before > 0
        until(lambda: drops(namespace, listener.inode, "--tcp") > before, "more drops")
        row = seen(namespace, listener)
        assert (row.state, row.recv_queue, row.send_queue) == ("LISTEN", 3, 2)
        assert counter(namespace, "TcpExtListenOverflows") > 0


@pytest.mark.parametrize(("name", "backlog"), [("backlog-small", 1), ("somaxconn-cap", 16)])
def test_a_burst_that_is_over_left_drops_and_an_empty_queue(namespace: str, name: str, backlog: int) -> None:
    with made(name, namespace) as (_, found):
        listener = only(found)
        row = seen(namespace, listener)
        assert (row.state, row.recv_queue, row.send_queue) == ("LISTEN", 0, backlog)
        assert drops(namespace, listener.inode, "--tcp") == 3
        assert not [each for each in rows(namespace) if each.state == "SYN-SENT"]  # nobody goes on knocking
        assert (sysctl(namespace, "net/core/somaxconn") == "16") == (name == "somaxconn-cap")


def test_a_flood_has_many_sources_and_is_answered_with_cookies(namespace: str) -> None:
    with made("syn-flood", namespace) as (lab, found):
        assert {each.state for each in found} == {State.SYN_RECV}
        assert len({each.remote[0] for each in found}) == len(found) > 100

        def pile() -> list[Row]:
            return [each for each in rows(namespace) if each.state == "SYN-RECV"]

        until(lambda: sum(each.retransmits > 0 for each in pile()) > len(pile()) / 2 > 50, "half were repeated")
        until(lambda: counter(namespace, "TcpExtSyncookiesSent") > 0, "cookies")
        assert len(pile()) > 100
        assert lab.skipped == {}


# --- descriptors and ports ------------------------------------------------------------------------


def test_a_process_without_descriptors(namespace: str) -> None:
    with made("descriptors-gone", namespace) as (_, found):
        listener = only(found)
        assert listener.process == "lab-full"
        assert len(list(Path(f"/proc/{listener.pid}/fd").iterdir())) == 32
        limits = Path(f"/proc/{listener.pid}/limits").read_text()
        assert "Max open files            32 " in limits
        row = seen(namespace, listener)
        assert row.recv_queue > row.send_queue


def test_a_leak_ends_in_emfile_and_says_when(namespace: str) -> None:
    lab = Lab(["close-wait-leak"], namespace=namespace)
    (recipe,) = lab.recipes
    lab.recipes = [replace(recipe, grows_every=0.005)]
    begun = time.monotonic()
    with lab:
        until(lambda: "close-wait-leak" in lab.finished, "no descriptors are left")
        assert begun < lab.finished["close-wait-leak"] < time.monotonic()
        assert lab.skipped == {}
        leaked = lab.made
        assert {each.state for each in leaked} == {State.CLOSE_WAIT}
        assert len(list(Path(f"/proc/{leaked[0].pid}/fd").iterdir())) == 256
        (listener,) = [row for row in rows(namespace) if row.state == "LISTEN"]
        assert listener.recv_queue == 1  # accept() was refused this one


def bind(namespace: str, port: int) -> int:
    """The error number of bind(2) with SO_REUSEADDR, 0 if it succeeds."""
    code = f"""
import socket
from sockui.collector.namespace import enter_namespace
enter_namespace({namespace!r})
sock = socket.socket()
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
try:
    sock.bind(("127.0.0.1", {port}))
    print(0)
except OSError as error:
    print(error.errno)
"""
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def test_a_server_that_ended_leaves_its_port_taken(namespace: str) -> None:
    lab = Lab(["port-leftovers"], namespace=namespace)
    (recipe,) = lab.recipes = [replace(lab.recipes[0], grows_every=3600.0)]  # its turns are made here
    with lab:
        listener = only(lab.made)
        assert seen(namespace, listener).state == "LISTEN"
        lab.make(recipe)
        left = lab.made
        assert [each.state for each in left] == [State.TIME_WAIT] * 3
        assert {each.local for each in left} == {listener.local}
        assert all(seen(namespace, each).state == "TIME-WAIT" for each in left)
        assert not [row for row in rows(namespace) if row.state == "LISTEN"]
        assert bind(namespace, listener.local[1]) == errno.EADDRINUSE
        lab.make(recipe)
        assert only(lab.made).local != listener.local  # which is still taken
        assert bind(namespace, listener.local[1]) == errno.EADDRINUSE


# --- tables and settings --------------------------------------------------------------------------


def test_the_trap_makes_a_full_socket_of_an_orphan(namespace: str) -> None:
    with made("fin-timeout-trap", namespace) as (_, found):
        assert sysctl(namespace, "net/ipv4/tcp_fin_timeout") == "90"
        row = seen(namespace, only(found))
        assert (row.state, row.timer, row.inode) == ("FIN-WAIT-2", "keepalive", 0)
        assert row.timer_seconds <= 30


def test_a_crowd_is_made_again_while_it_lives(namespace: str) -> None:
    with made("fin-wait2-crowd", namespace) as (lab, found):
        assert len(found) == 1100
        lab.make(lab.recipes[0])

        def alive() -> list[Row]:
            return [row for row in rows(namespace) if row.state == "FIN-WAIT-2" and not row.inode]

        # one that ss had locked when its last ACK came stays a full socket (tcp_input.c:tcp_rcv_state_process)
        until(lambda: {row.timer for row in alive()} <= {"timewait", "keepalive"}, "all are left to a timer")
        assert len(alive()) == len({(row.local, row.remote) for row in alive()}) == 2200


def test_time_wait_beyond_the_limit_are_counted(namespace: str) -> None:
    with made("time-wait-overflow", namespace) as (_, found):
        assert len(found) == 3
        before = counter(namespace, "TcpExtTCPTimeWaitOverflow")
        assert before >= 4
        until(lambda: counter(namespace, "TcpExtTCPTimeWaitOverflow") > before, "more are cut short")
        assert sum(row.state == "TIME-WAIT" for row in rows(namespace)) == 3


def test_tracked_connections_fill_the_table_of_the_namespace_alone(namespace: str) -> None:
    count, most = "net/netfilter/nf_conntrack_count", "net/netfilter/nf_conntrack_max"
    if not Path(f"/proc/sys/{most}").exists():
        pytest.skip("this kernel tracks no connections (nf_conntrack)")
    with made("conntrack-full", namespace):
        assert int(sysctl(namespace, count)) > 0.8 * int(sysctl(namespace, most))
        assert int(Path(f"/proc/sys/{count}").read_text()) < 0.8 * int(Path(f"/proc/sys/{most}").read_text())


def test_a_huge_table_is_not_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conntrack, "_number", lambda _: 10_000_000)
    with pytest.raises(OSError, match="8,500,000 entries, more than 1,000,000"):
        conntrack.fill(0.85, 1_000_000)


def test_the_traps_are_set_in_the_namespace(namespace: str) -> None:
    with made("sysctl-traps", namespace) as (_, found):
        for name, value in {
            "abort_on_overflow": "1",
            "syncookies": "0",
            "retries2": "3",
            "orphan_retries": "1",
            "timestamps": "0",
            "tw_reuse": "1",
            "max_tw_buckets": "1024",
        }.items():
            assert sysctl(namespace, f"net/ipv4/tcp_{name}") == value
        row = seen(namespace, only(found))
        assert row.state == "ESTAB"
        assert " ts " not in row.rest
    assert namespace not in list_namespaces()
