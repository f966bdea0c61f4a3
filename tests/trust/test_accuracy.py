"""A short look beside ss while sockets come and go; and that the checker finds what would be wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from sockui.model import State, state_name
from tests.ss import SsRow
from tests.trust.accuracy import World, look, rows, settle, world
from tests.trust.beside import Holder, Listed, Open, Round, Tally, compare, leads_to

SS = SsRow(
    "tcp", "inet", "10.0.0.1:80", "10.0.0.2:4000", "ESTABLISHED", (7, 0), None, frozenset({(5, 3), (6, 3)}), 99, 42, 0,
    ("segs_in:3",),
)  # fmt: skip
OURS: Listed = {
    "protocol": "tcp", "family": "inet", "state": "ESTABLISHED", "local_address": "10.0.0.1", "local_port": 80,
    "remote_address": "10.0.0.2", "remote_port": 4000, "pid": 5, "fd": 3, "uid": 0, "inode": 99, "cookie": 42,
    "recv_queue": 7, "send_queue": 0, "holders": [{"pid": 5, "fd": 3}, {"pid": 6, "fd": 3}],
}  # fmt: skip


def found(ours: Listed, before: SsRow = SS, after: SsRow = SS, **about: Any) -> tuple[Tally, Open]:
    tally = Tally()
    one = Round({42: before}, {ours["cookie"]: ours}, {42: after}, about.pop("known", frozenset({42})), **about)
    return tally, compare(one, tally)


def test_what_is_the_same_is_compared_and_right() -> None:
    tally, left = found(OURS)
    assert (tally.compared["IPv4"], tally.failed, left) == (1, {}, Open(set(), [], set()))
    assert tally.facts["holders compared"] == tally.facts["queues compared"] == tally.facts["with several holders"] == 1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"cookie": 43}, "missing"),
        ({"state": "CLOSE_WAIT"}, "state"),
        ({"family": "inet6"}, "protocol"),
        ({"remote_port": 4001}, "endpoints"),
        ({"inode": 98}, "inode"),
        ({"uid": 1}, "uid"),
        ({"uid": None}, "uid"),
        ({"recv_queue": 8}, "queues"),
        ({"holders": None, "pid": None}, "holders lacking"),
        ({"pid": 7}, "pid"),
    ],
)
def test_a_difference_is_found(changed: dict[str, Any], words: str) -> None:
    tally, _ = found(OURS | changed)
    assert tally.failed["IPv4"] == 1
    assert words in tally.differences[0].partition(": SsRow")[0]


def test_what_sockui_alone_says_has_to_be_proven() -> None:
    assert found(OURS | {"cookie": 43})[1].alone == {43}
    more = OURS | {"holders": [*OURS["holders"], {"pid": 8, "fd": 4}]}
    assert found(more)[1].claims == [Holder("IPv4", 99, 8, 4)]


def test_one_more_holder_may_be_late_but_not_to_who_reads_every_process() -> None:
    fewer = OURS | {"holders": [{"pid": 5, "fd": 3}]}
    tally, left = found(fewer)
    assert (tally.failed, left.late) == ({}, {Holder("IPv4", 99, 6, 3)})
    tally, left = found(fewer, alone=True)
    assert "holders lacking" in tally.differences[0]
    assert not left.late


def test_a_process_that_may_not_be_read_is_not_named() -> None:
    tally = Tally()
    compare(Round({42: SS}, {42: OURS}, {42: SS}, frozenset()), tally, lambda pid: pid == 5)
    assert "may not be read" in tally.differences[0]


def test_what_moved_meanwhile_is_not_held_against_it() -> None:
    after = replace(SS, state="CLOSE_WAIT", queues=(8, 0), holders=frozenset({(6, 3)}))
    assert not found(OURS | {"recv_queue": 8, "state": "CLOSE_WAIT"}, after=after)[0].failed
    counted = replace(SS, moved=("segs_in:4",))
    assert not found(OURS | {"recv_queue": 9}, after=counted)[0].failed


def test_only_a_new_socket_may_be_without_its_holder() -> None:
    nameless = OURS | {"holders": None, "pid": None, "fd": None}
    assert not found(nameless, known=frozenset())[0].failed
    assert found(nameless, known=frozenset(), alone=True)[0].failed


@pytest.mark.parametrize("before", [state_name(state) for state in State])
def test_a_connection_never_goes_back(before: str) -> None:
    for after in (state_name(state) for state in State if state != State.CLOSE):
        if leads_to("tcp", before, after) and before != after:
            assert not leads_to("tcp", after, before)


# --- the kernel -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made() -> Iterator[World]:
    if os.geteuid() != 0:
        pytest.skip("making network namespaces needs root")
    with world(f"accuracytest-{os.getpid()}") as churning:
        settle(churning)
        yield churning


@pytest.mark.kernel
@pytest.mark.parametrize(("way", "seconds"), [("root", 5.0), ("list", 2.0), ("nobody", 4.0)])
def test_beside_ss(made: World, way: str, seconds: float) -> None:
    tally = look(made, seconds, way)
    assert not tally.differences, tally.differences[0]
    assert all(row.thrown and not row.failed for row in rows(tally, way)), [*rows(tally, way)]
    assert tally.compared["IPv4"] > 100
    assert tally.facts["holders compared"] > 50
