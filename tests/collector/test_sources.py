"""Which source is opened, what is said where it is not the first choice, and how root starts sockui."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sockui.collector import as_root, linux, open_collector
from sockui.collector.inet_diag import Decoder
from sockui.collector.netlink import DiagSocket
from sockui.errors import NetlinkError
from sockui.model import Protocol, State


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise NetlinkError("the kernel offers no NETLINK_SOCK_DIAG here (no)", 93)

    monkeypatch.setattr(linux, "DiagSocket", refuse)


def test_auto_is_netlink_where_the_kernel_lets_it() -> None:
    collector = open_collector()
    assert collector.collect().source == "netlink"
    collector.close()


def test_auto_falls_back_on_psutil_and_every_snapshot_says_why(refused: None) -> None:
    collector = open_collector("auto")
    for _ in range(2):
        snapshot = collector.collect()
        assert snapshot.source == "psutil"
        assert snapshot.notes[0] == ("Read through psutil, because the kernel offers no NETLINK_SOCK_DIAG here (no).")
        assert "psutil was the source" in snapshot.notes[1]
    collector.close()


def test_netlink_that_was_asked_for_is_an_error_where_it_is_refused(refused: None) -> None:
    with pytest.raises(NetlinkError, match="no NETLINK_SOCK_DIAG"):
        open_collector("netlink")


@pytest.mark.parametrize("both_at_once", [True, False])
def test_both_families_are_listed_whether_the_kernel_tells_them_at_once_or_not(
    monkeypatch: pytest.MonkeyPatch, both_at_once: bool
) -> None:
    asked: list[int] = []
    dump = DiagSocket.dump

    def answer(self: DiagSocket, family: int, protocol: Protocol, decoder: Decoder, states: int) -> None:
        asked.append(family)
        if family == socket.AF_UNSPEC and not both_at_once:
            raise NetlinkError("Operation not supported", errno.EOPNOTSUPP)
        dump(self, family, protocol, decoder, states)

    monkeypatch.setattr(DiagSocket, "dump", answer)
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as other,
    ):
        collector = open_collector("netlink")
        asked.clear()
        rows = collector.collect().sockets
        collector.close()
        listed = {(int(row["family"]), int(row["local_port"])) for row in rows[rows["state"] == State.LISTEN]}
        assert {(4, one.getsockname()[1]), (6, other.getsockname()[1])} <= listed
    assert len(np.unique(rows["cookie"])) == len(rows)
    assert asked[:2] == ([socket.AF_UNSPEC, socket.AF_INET] if both_at_once else [socket.AF_INET, socket.AF_INET6])


@pytest.mark.parametrize(
    ("started", "command"),
    [
        ("/home/me/.local/bin/sockui", "sudo /home/me/.local/bin/sockui"),
        ("/home/a b/sockui", "sudo '/home/a b/sockui'"),
        ("/checkout/sockui/__main__.py", f"sudo {sys.executable} -m sockui"),
    ],
)
def test_what_root_has_to_type(monkeypatch: pytest.MonkeyPatch, started: str, command: str) -> None:
    monkeypatch.setattr(sys, "argv", [started, "list"])
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert as_root() == command
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert as_root() is None


def test_the_command_for_root_starts_this_sockui(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", [str(Path("sockui/__main__.py"))])
    command = (as_root() or "").removeprefix("sudo ")
    ran = subprocess.run(["sh", "-c", f"{command} --version"], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("sockui ")
