"""Updates made by hand: the view is pure logic over them."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pytest

from sockui.ages import AGE, AgeSource
from sockui.model import Coverage, Holders, Host, Known, Owner, Process, Protocol, Snapshot, State, empty_sockets
from sockui.tracker import Update

EVERY = int(~Known.MINI) & 0xFFFF
MakeUpdate = Callable[..., Update]


def process(pid: int, name: str = "java", **fields: Any) -> Process:
    """A process with the given fields."""
    values: dict[str, Any] = {
        "cmdline": (f"/usr/bin/{name}",),
        "ppid": 1,
        "uid": 1000,
        "user": "app",
        "started_at": 0.0,
        "started_ticks": 0,
        "fd_count": None,
        "fd_limit": None,
        "fd_limit_hard": None,
        "cgroup": "",
        "unit": "",
    }
    return Process(pid=pid, name=name, **(values | fields))


def halves(text: str) -> tuple[int, int]:
    """An address as the two halves that a socket row holds."""
    address = ipaddress.ip_address(text)
    number = int(address) | (0xFFFF << 32 if address.version == 4 else 0)
    return number >> 64, number & (2**64 - 1)


def make_update_of(
    rows: Iterable[Mapping[str, Any]],
    processes: Iterable[Process] = (),
    holders: Iterable[tuple[int, int, int]] = (),
    **snapshot_fields: Any,
) -> Update:
    """An update of rows given by field; ``local`` and ``remote`` are ``(address, port)``, ``age`` (min, max) in ms."""
    given = list(rows)
    sockets, ages = empty_sockets(len(given)), np.zeros(len(given), AGE)
    life = np.zeros(len(given), np.uint8)
    ages["max_ms"] = -1
    for index, fields in enumerate(given):
        values = {"cookie": index + 1, "known": EVERY, "protocol": Protocol.TCP, "state": State.ESTABLISHED} | dict(
            fields
        )
        for side in ("local", "remote"):
            host, port = values.pop(side, ("10.0.0.1", 80) if side == "local" else ("10.9.9.9", 40000 + index))
            sockets[f"{side}_high"][index], sockets[f"{side}_low"][index] = halves(host)
            sockets[f"{side}_port"][index] = port
            if ":" in host:
                values.setdefault("family", 6)
        values.setdefault("family", 4)
        minimum, maximum = values.pop("age", (0, -1))
        ages[index] = (minimum, maximum, AgeSource.LAST_ACK if minimum or maximum >= 0 else AgeSource.NONE)
        life[index] = values.pop("life", 0)
        if values.get("pid"):
            values = {"owner": Owner.PROCESS, "fd": 7, "holders": 1, "inode": 1000 + index} | values
        for name, value in values.items():
            sockets[name][index] = value
    columns = list(zip(*sorted(holders), strict=True)) or [(), (), ()]
    table = Holders(np.array(columns[0], np.uint32), np.array(columns[1], np.int32), np.array(columns[2], np.int32))
    described: dict[str, Any] = {
        "taken_at": 1_700_000_000.25,
        "monotonic": 10_000.0,
        "boottime": 10_000.0,
        "host": Host("testhost", "Linux"),
        "coverage": Coverage(len(given), len(given)),
        "source": "netlink",
    }
    snapshot = Snapshot(
        sockets=sockets,
        processes={each.pid: each for each in processes},
        holders=table,
        **(described | snapshot_fields),
    )
    path = sockets["state"].astype(np.uint64)
    return Update(snapshot, sockets, sockets["cookie"].copy(), ages, life, path, 0, 0)


@pytest.fixture
def make_update() -> MakeUpdate:
    """Makes an update of rows given by field."""
    return make_update_of


@pytest.fixture
def make_process() -> Callable[..., Process]:
    """Makes a process with a pid, a name and other fields."""
    return process
