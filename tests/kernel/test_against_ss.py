"""What sockui lists is what ss lists: every socket, its queues, timer and owners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sockui.lab.run import Lab
from tests.ss import endpoint, pairs, ss

pytestmark = pytest.mark.kernel

Row = dict[str, Any]


def test_every_socket_of_ss_is_listed_the_same(lab: Lab, sockui_list: Callable[..., Row]) -> None:
    assert lab.namespace is not None
    inside = ("ip", "netns", "exec", lab.namespace)
    before = ss(*inside)
    listed = sockui_list()["sockets"]
    after = ss(*inside)
    ours = {row["cookie"]: row for row in listed}
    steady = {cookie: row for cookie, row in before.items() if cookie in after and after[cookie].state == row.state}
    assert len(steady) > 30, "the lab has many sockets"

    assert steady.keys() <= ours.keys(), "none is missing"
    # sockets that are only bound are ours alone: this ss does not ask for them
    invented = {c: r for c, r in ours.items() if c not in before and c not in after and r["state"] != "CLOSE"}
    assert not invented
    checked = 0
    for cookie, theirs in steady.items():
        row = ours[cookie]
        assert row["state"] == theirs.state
        assert row["protocol"] == theirs.protocol
        if theirs.queues == after[cookie].queues:
            assert (row["recv_queue"], row["send_queue"]) == theirs.queues, theirs
        if theirs.timer == after[cookie].timer:
            assert (None if row["timer"] == "off" else row["timer"]) == theirs.timer, theirs
        assert endpoint(row["local_address"], row["local_port"]) == theirs.local
        assert endpoint(row["remote_address"], row["remote_port"]) == theirs.remote
        assert row["inode"] == theirs.inode
        holders = pairs(row["holders"] or ())
        if theirs.holders:
            assert holders == theirs.holders, theirs
            assert (row["pid"], row["fd"]) in theirs.holders
        if row["uid"] is not None:
            assert row["uid"] == theirs.uid
        checked += bool(theirs.holders)
    assert checked > 10, "many of them have holders"


def test_the_states_the_lab_made_are_all_there(lab: Lab, sockui_list: Callable[..., Row]) -> None:
    rows = {
        (endpoint(r["local_address"], r["local_port"]), endpoint(r["remote_address"], r["remote_port"])): r
        for r in sockui_list()["sockets"]
        if r["protocol"] == "tcp"
    }
    wanted = [made for made in lab.made if made.name not in ("ghost-close",)]
    assert {made.name for made in wanted} == {recipe.name for recipe in lab.recipes}
    for made in wanted:
        remote = endpoint(*made.remote) if made.remote[1] else "*"
        name = (endpoint(*made.local), remote)
        if made.made_at_monotonic is not None and name in rows:
            assert rows[name]["state"] == made.state.name, made
        if made.pid and made.inode:
            assert rows[name]["pid"] == made.pid, made
            assert rows[name]["process"] == made.process


def test_psutil_agrees_where_both_can_say(lab: Lab, sockui_list: Callable[..., Row]) -> None:
    """psutil reads /proc of the namespace that it is in, so both run there."""

    def key(row: Row) -> tuple[Any, ...]:
        names = ("protocol", "family", "state", "local_address", "local_port", "remote_address", "remote_port")
        return tuple(row[name] for name in names)

    before, theirs, after = sockui_list(), sockui_list("--source", "psutil"), sockui_list()
    assert (before["source"], theirs["source"]) == ("netlink", "psutil")
    still = {key(row) for row in after["sockets"]}
    steady = {key(row): row for row in before["sockets"] if key(row) in still}
    seen = {key(row): row for row in theirs["sockets"]}
    missing = [k for k in steady if k not in seen and steady[k]["state"] not in ("CLOSE", "SYN_RECV")]
    assert not missing
    compared = 0
    for name, row in seen.items():
        if name in steady and row["pid"] is not None:
            assert (row["pid"], row["fd"]) in {(h["pid"], h["fd"]) for h in steady[name]["holders"] or ()}
            compared += 1
    assert compared > 10
    assert all(row[name] is None for row in seen.values() for name in theirs["coverage"]["missing_fields"])
    assert "recv_queue" in theirs["coverage"]["missing_fields"]
