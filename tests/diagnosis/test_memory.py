"""Drops within the window, of more sockets than are remembered."""

from __future__ import annotations

from typing import Any

import pytest

from sockui.diagnosis import memory
from sockui.model import Protocol, State
from tests.diagnosis.conftest import Ward

ROOM = 3


@pytest.fixture(autouse=True)
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_MOST_DROPPING", ROOM)


def receiver(cookie: int, drops: int) -> dict[str, Any]:
    ends = {"local_port": 5000 + cookie, "remote": "0.0.0.0", "remote_port": 0}
    return {"protocol": Protocol.UDP, "state": State.CLOSE, "cookie": cookie, "drops": drops, **ends}


def dropped(ward: Ward, *rows: dict[str, Any]) -> int:
    """How many datagrams all findings of a poll say were dropped."""
    return sum(int(item.draft.values["drops"]) for item in ward.poll(*rows).items if item.rule == "X3")


def test_old_drops_are_no_news_when_the_sockets_before_it_have_gone(ward: Ward) -> None:
    quiet = [receiver(n, 0) for n in range(1, ROOM + 1)]
    old = receiver(9, 500)
    assert dropped(ward, *quiet, old) == 0
    assert dropped(ward, *quiet[1:], old) == 0
    assert dropped(ward, old | {"drops": 512}) == 12


def test_drops_of_a_new_socket_are_all_news_however_many_others_there_are(ward: Ward) -> None:
    quiet = [receiver(n, 0) for n in range(1, 3 * ROOM)]
    assert dropped(ward, *quiet) == 0
    assert dropped(ward, *quiet, receiver(99, 40)) == 40


def test_of_more_sockets_that_dropped_than_there_is_room_for_nothing_is_made_up(ward: Ward) -> None:
    crowd = [receiver(n, 500) for n in range(1, 2 * ROOM + 1)]
    assert dropped(ward, *crowd) == 0
    for _ in range(2):  # in the first of them those that went may only have been missed
        assert dropped(ward, *crowd[ROOM:]) == 0, "now there is room for them"
    assert dropped(ward, *reversed(crowd)) == 0, "in another order"


def test_of_more_sockets_that_dropped_than_there_is_room_for_some_are_followed(ward: Ward) -> None:
    crowd = [receiver(n, 500) for n in range(1, 2 * ROOM + 1)]
    assert dropped(ward, *crowd) == 0
    assert dropped(ward, *crowd[:0:-1], crowd[0] | {"drops": 507}) == 7
