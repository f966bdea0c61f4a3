"""PsutilCollector against real sockets and against netlink, and its translation of what psutil says elsewhere."""

from __future__ import annotations

import ast
import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from sockui.collector import open_collector
from sockui.collector.psutil_fallback import MISSING, PsutilCollector, _rows
from sockui.errors import CollectError
from sockui.model import Known, Owner, Protocol, Snapshot, State
from sockui.view.format import local_endpoint, protocol, remote_endpoint

ROOT = Path(__file__).parents[2]
ENDS = (
    "protocol",
    "family",
    "state",
    "local_high",
    "local_low",
    "local_port",
    "remote_high",
    "remote_low",
    "remote_port",
)


def collect() -> Snapshot:
    collector = PsutilCollector()
    try:
        return collector.collect()
    finally:
        collector.close()


def ours_on(snapshot: Snapshot, ports: set[int]) -> list[tuple[Any, ...]]:
    rows = snapshot.sockets
    mine = [row for row in rows if int(row["local_port"]) in ports and row["pid"] == os.getpid()]
    return sorted((*(int(row[name]) for name in ENDS), int(row["fd"])) for row in mine)


def test_it_sees_the_same_sockets_and_owners_as_netlink() -> None:
    with contextlib.ExitStack() as stack:
        four = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        six = stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6))
        dual = stack.enter_context(socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        connected = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        connected.connect(("::1", 9))
        ends = [four, six, dual, udp, connected]
        for server in (four, six, dual):
            client = stack.enter_context(
                socket.create_connection((("::1" if server is six else "127.0.0.1"), server.getsockname()[1]))
            )
            accepted = stack.enter_context(server.accept()[0])
            ends += [client, accepted]
        client.shutdown(socket.SHUT_WR)
        ports = {end.getsockname()[1] for end in ends}
        netlink = open_collector("netlink")
        deadline = time.monotonic() + 10
        while True:
            truth, told = ours_on(netlink.collect(), ports), ours_on(collect(), ports)
            if (
                truth == told and len({row[2] for row in told}) == 5
            ):  # LISTEN, CLOSE, ESTABLISHED, FIN_WAIT2, CLOSE_WAIT
                break
            assert time.monotonic() < deadline, (truth, told)
        netlink.close()
        assert len(told) == len(ends)


def test_what_it_cannot_know_is_not_claimed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        snapshot = collect()
        (row,) = snapshot.sockets[snapshot.sockets["local_port"] == server.getsockname()[1]]
    assert (row["known"], row["uid"]) == (Known.UID, os.geteuid())
    assert snapshot.source == "psutil"
    assert snapshot.coverage.missing_fields == MISSING
    assert {"recv_queue", "cookie", "inode", "timer_seconds", "last_ack_received_ms", "holders"} <= set(MISSING)
    assert "ages count only from when sockui first saw" in snapshot.notes[0]
    assert snapshot.coverage.sockets == len(snapshot.sockets)
    clocks = snapshot.taken_at - time.time(), snapshot.boottime - time.clock_gettime(time.CLOCK_BOOTTIME)
    assert all(-60 < difference <= 0 for difference in clocks)


def test_processes_come_with_their_ancestors() -> None:
    with socket.create_server(("127.0.0.1", 0)):
        snapshot = collect()
    me = snapshot.processes[os.getpid()]
    assert (me.ppid, me.uid, me.cmdline) == (os.getppid(), os.geteuid(), tuple(psutil.Process().cmdline()))
    assert me.fd_count is not None
    assert os.getppid() in snapshot.processes


TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
IN, IN6 = socket.AF_INET, socket.AF_INET6


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        ((3, IN, TCP, ("0.0.0.0", 80), (), "LISTEN", 7), ("tcp", "0.0.0.0:80", "*", State.LISTEN)),
        ((3, IN6, TCP, ("::", 80), (), "LISTEN", 7), ("tcp6", "[::]:80", "*", State.LISTEN)),
        (
            (3, IN6, TCP, ("::ffff:10.0.0.1", 80), ("::ffff:10.0.0.2", 5), "ESTABLISHED", 7),
            ("tcp6", "10.0.0.1:80", "10.0.0.2:5", State.ESTABLISHED),
        ),
        (
            (3, IN6, TCP, ("fe80::1%en0", 80), ("fe80::2%en0", 5), "CLOSE_WAIT", 7),
            ("tcp6", "[fe80::1]:80", "[fe80::2]:5", State.CLOSE_WAIT),
        ),
        ((3, IN, TCP, (), (), "NONE", 7), ("tcp", "0.0.0.0:*", "*", State.CLOSE)),
        ((3, IN, UDP, ("127.0.0.1", 53), (), "NONE", 7), ("udp", "127.0.0.1:53", "*", State.CLOSE)),
        (
            (3, IN, UDP, ("127.0.0.1", 53), ("127.0.0.1", 9), "NONE", 7),
            ("udp", "127.0.0.1:53", "127.0.0.1:9", State.ESTABLISHED),
        ),
        ((3, IN6, UDP, (), (), "NONE", 7), ("udp6", "[::]:*", "*", State.CLOSE)),
    ],
)
def test_connections_as_psutil_has_them(connection: tuple[Any, ...], expected: tuple[str, str, str, State]) -> None:
    (row,) = _rows([connection])
    assert (protocol(row), local_endpoint(row), remote_endpoint(row), row["state"]) == expected
    assert (row["owner"], row["pid"], row["fd"], row["holders"]) == (Owner.PROCESS, 7, 3, 1)


def test_a_socket_that_several_processes_list_is_one_row() -> None:
    shared = [(fd, IN, TCP, ("0.0.0.0", 80), (), "LISTEN", pid) for pid, fd in ((9, 3), (7, 4), (7, 5), (7, 5))]
    (row,) = _rows(shared)
    assert (row["pid"], row["fd"], row["holders"]) == (7, 4, 3)


def test_a_row_without_a_process_is_the_kernels_only_where_it_must_be() -> None:
    states = ("TIME_WAIT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT2")
    rows = _rows(
        [(-1, IN, TCP, ("10.0.0.1", port), ("10.0.0.2", 1), state, None) for port, state in enumerate(states, 1)]
    )
    assert rows["owner"].tolist() == [Owner.KERNEL, Owner.KERNEL, Owner.UNKNOWN, Owner.UNKNOWN]
    assert rows[["pid", "fd", "holders"]].tolist() == [(0, -1, 0)] * 4
    assert not rows["known"].any()
    assert rows["protocol"].tolist() == [Protocol.TCP] * 4


def test_no_sockets_at_all() -> None:
    assert len(_rows([])) == 0


def test_where_only_root_may_list_all_sockets_the_own_ones_remain(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(kind: str) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", refused)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with socket.create_server(("127.0.0.1", 0)) as server:
        snapshot = collect()
        (row,) = snapshot.sockets[snapshot.sockets["local_port"] == server.getsockname()[1]]
        assert (row["owner"], row["pid"], row["fd"]) == (Owner.PROCESS, os.getpid(), server.fileno())
    assert "needs root" in snapshot.notes[1]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "even this root" in collect().notes[1]  # root is not told that it needs root


@pytest.mark.parametrize(
    "error", [psutil.Error(), OSError(13, "no"), NotImplementedError("not here"), RuntimeError("bad")]
)
def test_a_system_that_lists_no_sockets_is_an_error_with_a_cure(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fails(kind: str) -> None:
        raise error

    monkeypatch.setattr(psutil, "net_connections", fails)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CollectError, match=r"as root it may: sudo .*sockui$"):
        collect()
    monkeypatch.setattr(os, "geteuid", lambda: 0)  # sudo gives root nothing: it is not told to try
    with pytest.raises(CollectError, match=r"cannot list the sockets of this host \([^;]*\)$"):
        collect()


def test_without_psutil_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    with pytest.raises(CollectError, match="pip install psutil"):
        PsutilCollector()


AS_NOBODY = """
import os, sys
from sockui.collector.psutil_fallback import PsutilCollector
collector = PsutilCollector()
collector.collect()  # whatever is imported late is imported now: the interpreter may be out of that user's reach
os.setgroups([]), os.setgid(65534), os.setuid(65534)
snapshot = collector.collect()
(row,) = snapshot.sockets[snapshot.sockets["local_port"] == int(sys.argv[1])]
print((row[["owner", "pid", "fd"]].item(), [gap.sockets > 0 for gap in snapshot.coverage.gaps], snapshot.coverage.fix))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: runs a process as another user")
def test_without_root_the_sockets_of_others_have_no_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = [sys.executable, "-c", AS_NOBODY, str(server.getsockname()[1])]
        result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert not result.returncode, result.stderr
    assert ast.literal_eval(result.stdout) == ((Owner.UNKNOWN, 0, -1), [True], f"sudo {sys.executable} -m sockui")


def test_psutil_is_not_imported_unless_it_is_the_source() -> None:
    script = (
        "import sys, sockui.collector as c; c.open_collector('netlink').collect(); sys.exit('psutil' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT).returncode == 0
