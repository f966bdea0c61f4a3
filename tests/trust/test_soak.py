"""A short soak: no poll is lost, no age goes back, nothing stays open; that memory is flat needs longer."""

from __future__ import annotations

import os

import numpy as np
import pytest

from sockui.ages import AGE
from sockui.model import Coverage, Holders, Host, Snapshot, State, empty_sockets
from sockui.poller import Poll
from sockui.tracker import Update
from tests.trust.soak import Watched, soak


@pytest.mark.kernel
@pytest.mark.pty
def test_nothing_is_lost_or_left_behind() -> None:
    if os.geteuid() != 0:
        pytest.skip("making network namespaces needs root")
    rows = {row.what: row for row in soak(12, sockets=2000, replaced=100, warm_up=4, stuck=5)}
    assert rows.pop("soak: turnover of TIME_WAIT").thrown > 100  # a busy host makes fewer in a minute
    assert not [row for row in rows.values() if row.failed]
    assert [what for what, row in rows.items() if not row.thrown] == ["soak: memory of the UI is flat"]
    assert rows["soak: ages go with the clock"].thrown > 10_000


def update(at: float, least: int, most: int, cookie: int = 7) -> Update:
    sockets, ages = empty_sockets(1), np.zeros(1, AGE)
    sockets["cookie"], sockets["state"] = cookie, State.ESTABLISHED
    ages["min_ms"], ages["max_ms"] = least, most
    snapshot = Snapshot(at, at, at, sockets, {}, Holders.none(), Host("host", "Linux"), Coverage(), "netlink")
    keys = sockets["cookie"].copy()
    return Update(snapshot, sockets, keys, ages, np.zeros(1, np.uint8), sockets["state"].astype(np.uint64), 0, 0)


@pytest.mark.parametrize(
    ("ages", "wrong"),
    [
        ((1500, 2500), ""),
        ((1490, 2510), ""),  # a jiffy
        ((1400, 2500), "at least did not grow"),
        ((1500, 2600), "at most grew faster"),
        ((1500, -1), "at most grew faster"),
        ((2600, 2500), "at most is less"),
    ],
)
def test_an_age_that_goes_astray_is_found(ages: tuple[int, int], wrong: str) -> None:
    watched = Watched()
    watched.publish(Poll(update(10.0, 500, 1500), None, 0.01, 1.0))
    watched.publish(Poll(update(11.0, *ages), None, 0.01, 1.0))
    assert watched.compared == 1
    assert [words.startswith(wrong) for words in watched.wrong] == ([True] if wrong else [])
