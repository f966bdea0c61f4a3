"""The load that no rule may find anything wrong with is busy, and healthy by the kernel's own count."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sockui.collector.namespace import list_namespaces
from tests.diagnosis.healthy import DATABASE, DNS, HTTP, MIRROR, POOL, SSH, UNUSED, Load, healthy_load

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]

NEVER = {
    "TcpExt": (
        "ListenOverflows",
        "ListenDrops",
        "TCPReqQFullDrop",
        "TCPReqQFullDoCookies",
        "SyncookiesSent",
        "TCPTimeWaitOverflow",
        "TCPAbortOnMemory",
        "TCPAbortOnClose",
        "TCPAbortOnData",
        "TCPAbortOnTimeout",
        "TCPBacklogDrop",
        "TCPRcvQDrop",
        "TCPZeroWindowDrop",
        "TCPToZeroWindowAdv",
        "TCPMemoryPressures",
        "PruneCalled",
    ),
    "Tcp": ("AttemptFails", "EstabResets"),
    "Udp": ("RcvbufErrors", "InErrors", "NoPorts"),
}
"""Counters of what goes wrong."""


@pytest.fixture(scope="module")
def load() -> Iterator[Load]:
    with healthy_load(f"healthy-{os.getpid()}") as running:
        yield running


def ss(load: Load, *options: str) -> list[str]:
    command = ["ip", "netns", "exec", load.namespace, "ss", "-nH", "--oneline", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def until(condition: Callable[[], bool], wanted: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, wanted
        time.sleep(0.1)


def test_it_is_busy(load: Load) -> None:
    before = load.counter("Tcp", "PassiveOpens")
    load.rate()
    until(lambda: load.counter("Tcp", "PassiveOpens") > before + 5_000, "5,000 more connections")
    rate = load.rate()
    print(f"{rate:,.0f} connections a second")
    assert rate > 500


def test_nothing_is_dropped_refused_or_aborted(load: Load) -> None:
    before = load.counter("Tcp", "PassiveOpens")
    until(lambda: load.counter("Tcp", "PassiveOpens") > before + 2_000, "2,000 more connections")
    wrong = {name: load.counter(group, name) for group, names in NEVER.items() for name in names}
    assert {name: number for name, number in wrong.items() if number} == {}
    assert load.dead() == []


def test_listeners_have_room_and_never_dropped(load: Load) -> None:
    listeners = [line.split() for line in ss(load, "-ltm")]
    ports = sorted(int(line[3].rpartition(":")[2]) for line in listeners)
    assert ports == sorted([HTTP, DATABASE, SSH, MIRROR, *UNUSED, UNUSED[0]])
    for line in listeners:
        assert int(line[1]) < int(line[2])
        assert line[-1].endswith(",d0)"), line
    (names,) = ss(load, "-uam", f"sport = :{DNS}")
    assert names.endswith(",d0)")


def test_pools_are_idle_with_and_without_keepalive(load: Load) -> None:
    pool = ss(load, "-to", "state", "established", f"dport = :{DATABASE}")
    assert len(pool) == 2 * POOL
    assert sum("timer:(keepalive" in line for line in pool) == POOL
    assert {tuple(line.split()[:2]) for line in pool} == {("0", "0")}
    held = [line for line in ss(load, "-te", "state", "established", f"sport = :{DATABASE}") if "ino:" in line]
    assert len(held) == 2 * POOL  # accepted


def received(load: Load, end: str) -> int:
    (line,) = ss(load, "-ti", "state", "established", end)
    return int(next(word for word in line.split() if word.startswith("bytes_received:")).partition(":")[2])


@pytest.mark.parametrize("end", [f"sport = :{SSH}", f"dport = :{SSH}", f"dport = :{MIRROR}"])
def test_sessions_and_downloads_go_on(load: Load, end: str) -> None:
    before = received(load, end)
    until(lambda: received(load, end) > before, "more bytes")


def test_names_are_asked_and_answered(load: Load) -> None:
    before = load.counter("Udp", "InDatagrams")
    until(lambda: load.counter("Udp", "InDatagrams") >= before + 10, "more datagrams")


def test_time_wait_are_many_and_on_the_servers_side(load: Load) -> None:
    until(lambda: len(ss(load, "-t", "state", "time-wait")) > 5_000, "many")
    waiting = ss(load, "-t", "state", "time-wait")
    assert {line.split()[2].rpartition(":")[2] for line in waiting} == {str(HTTP)}


def test_a_load_that_breaks_off_is_an_error_and_leaves_nothing() -> None:
    name = f"healthy-broken-{os.getpid()}"
    pids: list[int] = []

    def break_it() -> None:
        with healthy_load(name) as load:
            pids.extend(process.pid for process in load.processes.values())
            os.kill(load.processes["web"].pid, signal.SIGKILL)
            until(lambda: {"web", "visitor"} <= set(load.dead()), "the visitor misses the web server")

    with pytest.raises(AssertionError, match="the load broke off"):
        break_it()
    assert name not in list_namespaces()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
