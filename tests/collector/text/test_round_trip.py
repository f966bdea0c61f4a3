"""Sockets read from the text of each tool are those that the kernel has, in every field that the text has."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from sockui.collector.linux import NetlinkCollector
from sockui.collector.namespace import enter_namespace
from sockui.collector.text import TextSnapshot, read_text
from sockui.lab.run import Lab
from sockui.model import Known, Protocol, Snapshot, State
from sockui.model.identity import identities

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="making network namespaces needs root")]

LAB = (
    "listen-full", "accept-queue", "close-wait-unread", "close-wait-read", "close-wait-unaccepted", "fin-wait2-held",
    "fin-wait2-orphan", "time-wait", "syn-sent", "syn-recv", "defer-accept", "fin-wait1", "fin-wait1-zero-window",
    "last-ack", "closing", "established", "retransmitting", "zero-window", "half-open", "udp-drops",
)  # fmt: skip
ENDS = ("protocol", "family", "local_high", "local_low", "local_port", "remote_high", "remote_low", "remote_port")
GROUPS: dict[Known, tuple[str, ...]] = {
    Known.QUEUES: ("recv_queue", "send_queue"),
    Known.TIMER: ("timer",),
    Known.UID: ("uid",),
    Known.INODE: ("inode",),
    Known.COOKIE: ("cookie",),
    Known.MEMORY: ("rmem_alloc", "rcvbuf", "sndbuf", "wmem_queued", "drops"),
    Known.INFO: ("snd_mss", "pmtu", "snd_cwnd", "rto", "rtt", "rttvar", "unacked", "lost", "retrans", "total_retrans"),
    Known.COUNTERS: ("min_rtt", "notsent_bytes", "bytes_sent", "bytes_received", "bytes_acked", "segs_in"),
}
ALL = ("-tuan", "-tuanp", "-tuanpe", "-tuanpeoO", "-tanpieOm", "-tanpieom", "-tuaneoiH", "-ano", "-tano", "-uanep")


def run_in(namespace: str, work: Callable[[], None]) -> None:
    """In a thread of its own, which nothing has to bring back."""

    def enter() -> None:
        enter_namespace(namespace)
        work()

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(LAB, namespace=f"texttest-{os.getpid()}") as made:
        assert made.namespace
        kept: list[socket.socket] = []

        def six() -> None:
            server = socket.create_server(("::1", 0), family=socket.AF_INET6)
            both = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
            alone = socket.create_server(("::", 0), family=socket.AF_INET6)
            udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            udp.bind(("::1", 0))
            connected = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            connected.connect(("127.0.0.1", 9))
            kept.extend((server, both, alone, udp, connected))
            for host, end in (("::1", server), ("127.0.0.1", both)):
                kept.extend((socket.create_connection((host, end.getsockname()[1])), end.accept()[0]))

        run_in(made.namespace, six)
        assert len(kept) == 9
        yield made
        for each in kept:
            each.close()


def kernel(namespace: str) -> Snapshot:
    seen: list[Snapshot] = []

    def collect() -> None:
        collector = NetlinkCollector(namespace)
        seen.append(collector.collect())
        collector.close()

    run_in(namespace, collect)
    return seen[0]


def printed(namespace: str, *command: str) -> bytes:
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    enter = ["ip", "netns", "exec", namespace]
    return subprocess.run([*enter, *command], capture_output=True, check=True, env={**os.environ, "LC_ALL": "C"}).stdout


def compare(lab: Lab, make: Callable[[str], bytes], protocols: tuple[Protocol, ...]) -> TextSnapshot:
    """Read the text between two looks at the kernel; what is the same in both must be the same in the text."""
    assert lab.namespace
    for _ in range(20):  # until nothing came, went or changed its state meanwhile
        before = kernel(lab.namespace)
        text = make(lab.namespace)
        after = kernel(lab.namespace)
        first, last = before.sockets, after.sockets
        first, last = first[np.argsort(first["cookie"])], last[np.argsort(last["cookie"])]
        if len(first) == len(last) and (first[["cookie", "state"]] == last[["cookie", "state"]]).all():
            break
    else:
        pytest.fail("the lab never stood still")
    told = read_text(text)
    rows = told.snapshot.sockets
    listed = np.isin(first["protocol"], protocols)  # sockets that are only bound are in no list
    listed &= (first["protocol"] == Protocol.UDP) | (first["state"] != State.CLOSE)
    first, last = first[listed], last[listed]
    assert (told.not_understood, told.cut) == (0, 0), told.sample

    def names(sockets: np.ndarray) -> list[tuple[int, ...]]:
        return [tuple(row) for row in sockets[[*ENDS, "state"]].tolist()]

    assert sorted(names(rows)) == sorted(names(first))
    where = {name: at for at, name in enumerate(names(first))}
    assert len(where) == len(rows), "every one of them is somebody"
    at = np.array([where[name] for name in names(rows)])
    first, last = first[at], last[at]
    for group, fields in GROUPS.items():
        known = rows["known"] & int(group) != 0
        assert not (known & (first["known"] & int(group) == 0)).any(), f"{group!r} is claimed where the kernel has none"
        for field in fields:
            steady = known & (first[field] == last[field])
            if (
                field == "rttvar"
            ):  # ss prints the two together, if rtt is not 0; before it is measured the other is 250 ms
                steady &= first["rtt"] != 0
            near = 1 if field in ("rto", "rtt", "rttvar", "min_rtt") else 0  # %g has six digits
            wrong = steady & (np.abs(rows[field].astype(np.int64) - first[field].astype(np.int64)) > near)
            assert not wrong.any(), (field, rows[wrong][[*ENDS, field]], first[wrong][field])
    timed = rows["known"] & int(Known.TIMER) != 0
    timed &= (first["timer"] == last["timer"]) & (first["timer_ms"] >= last["timer_ms"]) & (first["timer"] != 0)
    assert (rows["timer_ms"][timed] >= last["timer_ms"][timed].astype(np.int64) - 10).all()
    assert (rows["timer_ms"][timed] <= first["timer_ms"][timed].astype(np.int64) + 1010).all()
    mini = rows["known"] & int(Known.MINI) != 0
    assert (first["known"][mini] & int(Known.MINI) != 0).all()
    owned = rows["pid"] > 0
    assert (rows["pid"][owned] == first["pid"][owned]).all()
    with_fd = rows["fd"] >= 0
    assert (rows["fd"][with_fd] == first["fd"][with_fd]).all()
    return told


@pytest.mark.parametrize("options", ALL)
def test_ss(lab: Lab, options: str) -> None:
    protocols = tuple(
        protocol for letter, protocol in (("t", Protocol.TCP), ("u", Protocol.UDP)) if letter in options
    ) or (Protocol.TCP, Protocol.UDP)
    told = compare(lab, lambda namespace: printed(namespace, "ss", options), protocols)
    rows = told.snapshot.sockets
    groups = np.bitwise_or.reduce(rows["known"])
    assert bool(groups & Known.INODE) == bool(groups & Known.COOKIE) == ("e" in options)
    assert bool(groups & Known.INFO) == ("i" in options)
    assert bool(groups & Known.COUNTERS) == ("i" in options)
    assert bool(groups & Known.MEMORY) == ("m" in options)
    assert bool(groups & Known.TIMER) == ("o" in options or "e" in options)
    assert bool((rows["pid"] > 0).any()) == ("p" in options)
    if "e" in options:
        assert (rows["shutdown"][rows["state"] == State.CLOSE_WAIT] == 1).all()
        assert len(np.unique(identities(rows))) == len(rows)


def test_what_ss_says_of_data_is_what_the_kernel_says(lab: Lab) -> None:
    told = compare(lab, lambda namespace: printed(namespace, "ss", "-tanpieOm"), (Protocol.TCP,))
    rows = told.snapshot.sockets
    idle = rows[(rows["known"] & int(Known.INFO) != 0) & (rows["state"] == State.CLOSE_WAIT)]
    assert len(idle)
    assert (idle["last_ack_recv"] > 0).all()
    assert told.form == "Linux ss -tanpiemO"


@pytest.mark.parametrize("options", ["-an", "-anp", "-tuanpe", "-ano", "-tuanpeoW"])
def test_netstat(lab: Lab, options: str) -> None:
    told = compare(lab, lambda namespace: printed(namespace, "netstat", options), (Protocol.TCP, Protocol.UDP))
    groups = np.bitwise_or.reduce(told.snapshot.sockets["known"])
    assert bool(groups & Known.INODE) == ("e" in options)
    assert bool(groups & Known.TIMER) == ("o" in options)
    assert bool(told.snapshot.processes) == ("p" in options)


def test_proc(lab: Lab) -> None:
    files = [f"/proc/net/{name}" for name in ("tcp", "tcp6", "udp", "udp6")]
    told = compare(lab, lambda namespace: printed(namespace, "cat", *files), (Protocol.TCP, Protocol.UDP))
    assert told.form == "Linux /proc/net/tcp, /proc/net/tcp6, /proc/net/udp, /proc/net/udp6"
    headed = compare(lab, lambda namespace: printed(namespace, "grep", "", *files), (Protocol.TCP, Protocol.UDP))
    assert len(headed.snapshot.sockets) == len(told.snapshot.sockets)


def test_lsof(lab: Lab) -> None:
    assert lab.namespace
    told = read_text(printed(lab.namespace, "lsof", "-nPi"))
    truth = kernel(lab.namespace).sockets
    rows = told.snapshot.sockets
    assert told.form == "Linux lsof -i"
    assert told.not_understood == 0, told.sample
    assert (told.snapshot.holders.inode > 0).all()
    by_inode = {int(row["inode"]): row for row in truth[truth["inode"] > 0]}
    assert len(rows) > 20
    for row in rows:
        theirs = by_inode[int(row["inode"])]
        fields = [*ENDS, "state", "pid", "fd", "holders"]
        assert row[fields].item() == theirs[fields].item()
