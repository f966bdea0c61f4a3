"""Rows that the kernel told to have ended: how long they stay, what they say, and that nothing is counted twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sockui import tracker
from sockui.model import (
    Coverage,
    Endings,
    Holders,
    Host,
    How,
    Known,
    Owner,
    Protocol,
    Snapshot,
    SocketArray,
    State,
    empty_sockets,
)
from sockui.model.endings import judged
from sockui.tracker import Life, Tracker, Update

SEEN = Known.QUEUES | Known.TIMER | Known.COOKIE | Known.INODE | Known.UID | Known.INFO | Known.COUNTERS | Known.WINDOWS
TOLD = SEEN & ~(Known.INODE | Known.UID)


def sock(cookie: int, state: State = State.ESTABLISHED, **fields: int) -> SocketArray:
    """A connection that we accepted, as a dump has it."""
    row = empty_sockets(1)
    values = {"known": SEEN, "protocol": Protocol.TCP, "family": 4, "local_port": 443, "remote_port": 1000 + cookie % 9}
    values |= {"local_low": 0xFFFF_0A00_0001, "remote_low": 0xFFFF_0A00_0002, "rtt": 500, "min_rtt": 300}
    values |= {"segs_in": 3, "segs_out": 3, "snd_wnd": 64000, "owner": Owner.PROCESS, "pid": 7, "fd": 4, "inode": 9}
    for name, value in (values | {"cookie": cookie, "state": state} | fields).items():
        row[name] = value
    return row


def end(cookie: int, how: How = How.CLOSED, **fields: int) -> SocketArray:
    """The kernel's last word on it."""
    counted = {"bytes_acked": 1 if how == How.CLOSED else 0, "segs_in": 5}
    bare = {"owner": 0, "pid": 0, "fd": -1, "inode": 0, "known": TOLD}
    return sock(cookie, State.CLOSE, **{**bare, **counted, **fields})


def snapshot(at: float, *sockets: SocketArray, ended: tuple[SocketArray, ...] = (), lost: int = 0) -> Snapshot:
    rows = np.concatenate([empty_sockets(0), *ended])
    endings = Endings(rows, judged(rows, at - 2, at), lost) if ended else Endings.none(lost)
    every = np.concatenate([empty_sockets(0), *sockets])
    made = Snapshot(1e9, at, at, every, {}, Holders.none(), Host("web-3", "Linux"), Coverage(), "netlink")
    return replace(made, endings=endings)


def hows(update: Update) -> dict[int, tuple[Life, How | None]]:
    """What is said of every row, by cookie."""
    places = update.ending_places(np.arange(len(update.keys)))
    return {
        cookie: (Life(life), How(int(update.endings["how"][at])) if at >= 0 else None)
        for cookie, life, at in zip(
            update.sockets["cookie"].tolist(), update.life.tolist(), places.tolist(), strict=True
        )
    }


def counts(update: Update) -> dict[How, int]:
    return {how: int(number) for how, number in zip(How, update.hows, strict=True) if number}


def field(update: Update, cookie: int, name: str) -> Any:
    return update.sockets[name][update.sockets["cookie"] == cookie][0]


LISTENER = sock(99, State.LISTEN, remote_port=0)


def test_told_is_ended_at_once_and_lingers_from_then() -> None:
    tracker = Tracker(linger=5.0)
    tracker.update(snapshot(100, LISTENER, sock(1)))
    update = tracker.update(snapshot(110, LISTENER, ended=(end(1),)))
    assert hows(update)[1] == (Life.ENDED, How.CLOSED)
    assert (update.closed, counts(update), update.seconds) == (1, {How.CLOSED: 1}, 10)

    update = tracker.update(snapshot(114, LISTENER))
    assert hows(update)[1] == (Life.ENDED, How.CLOSED), "how is remembered"
    assert (update.closed, counts(update)) == (0, {})

    update = tracker.update(snapshot(116, LISTENER))
    assert (list(hows(update)), len(update.endings), update.closed) == ([99], 0, 0)


def test_without_a_word_two_absences_are_needed_and_how_is_not_known() -> None:
    tracker = Tracker()
    tracker.update(snapshot(100, LISTENER, sock(1), sock(2)))
    update = tracker.update(snapshot(102, LISTENER, ended=(end(2),)))
    assert (hows(update)[1], update.closed) == ((Life.MISSED, None), 1)
    update = tracker.update(snapshot(104, LISTENER))
    assert (hows(update)[1], update.closed) == ((Life.ENDED, None), 1)


def test_a_socket_missed_once_and_then_told_counts_once() -> None:
    tracker = Tracker(linger=60)
    tracker.update(snapshot(100, LISTENER, sock(1)))
    assert tracker.update(snapshot(102, LISTENER)).closed == 0
    update = tracker.update(snapshot(104, LISTENER, ended=(end(1, How.RESET),)))
    assert (hows(update)[1], update.closed) == ((Life.ENDED, How.RESET_BY_PEER), 1)
    assert tracker.update(snapshot(106, LISTENER)).closed == 0


def test_told_after_two_absences_says_how_and_is_not_counted_again() -> None:
    tracker = Tracker(linger=60)
    for at, rows in ((100, (LISTENER, sock(1))), (102, (LISTENER,)), (104, (LISTENER,))):
        update = tracker.update(snapshot(at, *rows))
    assert (hows(update)[1], update.closed) == ((Life.ENDED, None), 1)
    update = tracker.update(snapshot(106, LISTENER, ended=(end(1, How.RESET),)))
    assert (hows(update)[1], update.closed, len(update.keys)) == ((Life.ENDED, How.RESET), 0, 2)


def test_the_row_keeps_its_owner_and_state_and_takes_the_last_counters() -> None:
    tracker = Tracker()
    tracker.update(snapshot(100, LISTENER, sock(1, State.CLOSE_WAIT, bytes_sent=5, timer=1, recv_queue=1, rcvbuf=7)))
    told = end(1, bytes_sent=40, bytes_acked=41, recv_queue=3)
    update = tracker.update(snapshot(102, LISTENER, ended=(told,)))
    expected = {"state": State.CLOSE_WAIT, "owner": Owner.PROCESS, "pid": 7, "fd": 4, "inode": 9, "rcvbuf": 7}
    expected |= {"bytes_sent": 40, "recv_queue": 3, "timer": 0, "known": int(SEEN)}
    assert {name: field(update, 1, name) for name in expected} == expected
    assert hows(update)[1][1] == How.NORMAL


def test_what_the_kernel_cleared_leaves_the_row_as_it_was_seen() -> None:
    tracker = Tracker()
    tracker.update(snapshot(100, LISTENER, sock(1, bytes_sent=5, send_queue=2)))
    update = tracker.update(snapshot(102, LISTENER, ended=(end(1, remote_port=0),)))
    assert hows(update)[1] == (Life.ENDED, How.DISCONNECTED)
    assert [field(update, 1, name) for name in ("bytes_sent", "send_queue", "remote_port")] == [5, 2, 1001]


@pytest.mark.parametrize("state", [State.TIME_WAIT, State.FIN_WAIT2])
def test_a_mini_socket_goes_on_and_its_ending_is_counted(state: State) -> None:
    tracker = Tracker()
    tracker.update(snapshot(100, LISTENER, sock(1)))
    mini = sock(1, state, known=int(Known.COOKIE | Known.TIMER | Known.MINI))
    update = tracker.update(snapshot(102, LISTENER, mini, ended=(end(1),)))
    assert (hows(update)[1], update.closed, sum(counts(update).values())) == ((Life.PRESENT, None), 0, 1)


def test_a_mini_socket_of_a_connection_that_no_dump_showed_is_one_row() -> None:
    tracker = Tracker()
    tracker.update(snapshot(100, LISTENER))
    mini = sock(1, State.TIME_WAIT, known=int(Known.COOKIE | Known.TIMER | Known.MINI))
    update = tracker.update(snapshot(102, LISTENER, mini, ended=(end(1),)))
    assert update.sockets["cookie"].tolist() == [99, 1]
    assert (hows(update)[1], update.opened, len(update.endings)) == ((Life.NEW, None), 1, 0)


def test_beside_one_that_has_ended_one_that_was_missed_is_judged_by_its_last_dump() -> None:
    tracker = Tracker(linger=60)
    tracker.update(snapshot(100, sock(1), sock(2), LISTENER))
    tracker.update(snapshot(102, LISTENER, ended=(end(1),)))
    update = tracker.update(snapshot(104, LISTENER, ended=(end(2, How.RESET),)))
    assert hows(update)[2] == (Life.ENDED, How.RESET_BY_PEER)


def test_what_no_dump_showed_is_a_row_without_owner_unless_it_was_no_connection() -> None:
    tracker = Tracker()
    tracker.update(snapshot(100, LISTENER))
    tracker.update(snapshot(102, LISTENER))
    nobody = end(6, remote_port=0, remote_low=0xFFFF << 32)
    update = tracker.update(
        snapshot(104, LISTENER, ended=(end(5, bytes_sent=1, bytes_acked=2, bytes_received=1), nobody))
    )
    assert hows(update) == {99: (Life.PRESENT, None), 5: (Life.ENDED, How.CLOSED)}
    assert (field(update, 5, "owner"), field(update, 5, "state")) == (Owner.UNKNOWN, State.CLOSE)
    assert (update.opened, update.closed) == (0, 0)
    assert counts(update) == {How.CLOSED: 1, How.NO_CONNECTION: 1}
    assert update.endings["lifetime_max_ms"].tolist() == [4000], "since the dump before the last one began"


def test_of_many_that_no_dump_showed_those_stay_that_did_not_just_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "UNSEEN_KEPT", 10)
    many = Tracker(linger=60)
    many.update(snapshot(100, LISTENER))
    ended = [end(number, How.RESET if number in (200, 201) else How.CLOSED) for number in range(200, 250)]
    update = many.update(snapshot(102, LISTENER, ended=tuple(ended)))
    said = hows(update)
    assert len(said) == 11
    assert {cookie for cookie, (_, how) in said.items() if how == How.RESET} == {200, 201}
    assert sum(counts(update).values()) == 50


def test_the_first_poll_shows_nothing_of_what_ended_before_it() -> None:
    update = Tracker().update(snapshot(100, LISTENER, ended=(end(5),), lost=3))
    assert (list(hows(update)), counts(update), update.lost, update.seconds) == ([99], {}, 0, 0)


def test_after_a_first_poll_without_sockets() -> None:
    tracker = Tracker()
    tracker.update(snapshot(100))
    assert hows(tracker.update(snapshot(102, ended=(end(5),))))[5][0] == Life.ENDED


def test_what_was_lost_is_said() -> None:
    tracker = Tracker()
    tracker.update(snapshot(100))
    assert tracker.update(snapshot(102, lost=3)).lost == 3
