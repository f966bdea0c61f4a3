"""Life and the tracker's own clock; the kernel's bounds have tests of their own."""

from __future__ import annotations

import numpy as np

from sockui.ages import AgeSource
from sockui.model import Coverage, Holders, Host, Known, Protocol, Snapshot, SocketArray, State, empty_sockets
from sockui.model.sockets import appended, joined, layout
from sockui.tracker import Life, Tracker, Update

HOST = Host("web-3", "Linux", {"net.ipv4.tcp_fin_timeout": "60"})
PLAIN = Known.QUEUES | Known.TIMER | Known.INODE | Known.COOKIE


def sock(cookie: int, state: State, **fields: int) -> SocketArray:
    row = empty_sockets(1)
    values = {"known": PLAIN, "protocol": Protocol.TCP, "family": 4, "local_port": 443, "remote_port": 1000 + cookie}
    for name, value in {**values, "cookie": cookie, "state": state, "inode": 1, **fields}.items():
        row[name] = value
    return row


def info(cookie: int, state: State, sent: int, received: int, acked: int, **fields: int) -> SocketArray:
    """A socket whose tcp_info says so many ms since."""
    return sock(
        cookie,
        state,
        **{
            "known": PLAIN | Known.INFO | Known.COUNTERS,
            "last_data_sent": sent,
            "last_data_recv": received,
            "last_ack_recv": acked,
            "bytes_sent": 1,
            "bytes_received": 1,
            **fields,
        },
    )


def snapshot(at: float, *sockets: SocketArray, slept: float = 0.0) -> Snapshot:
    rows = np.concatenate([empty_sockets(0), *sockets])
    return Snapshot(1e9 - at, at, at + slept, rows, {}, Holders.none(), HOST, Coverage(), "netlink")


def row(update: Update, cookie: int) -> int:
    return int(np.flatnonzero(update.sockets["cookie"] == cookie)[0])


def age(update: Update, cookie: int) -> tuple[int, int, AgeSource]:
    least, most, source = update.ages[row(update, cookie)]
    return int(least), int(most), AgeSource(source)


def life(update: Update, cookie: int) -> Life:
    return Life(int(update.life[row(update, cookie)]))


def test_a_transition_that_was_seen_is_dated_by_the_polls_around_it() -> None:
    tracker = Tracker()
    tracker.update(snapshot(100.0, info(1, State.ESTABLISHED, 9_000_000, 9_000_000, 9_000_000)))
    update = tracker.update(snapshot(102.0, info(1, State.CLOSE_WAIT, 9_002_000, 9_002_000, 1_500)))

    assert age(update, 1) == (1_490, 2_000, AgeSource.OBSERVED)

    # an hour later our own keepalives have reset last_ack_recv; what was seen still holds
    update = tracker.update(snapshot(3702.0, info(1, State.CLOSE_WAIT, 12_602_000, 12_602_000, 20)))
    assert age(update, 1) == (3_601_490, 3_602_000, AgeSource.OBSERVED)


def test_bounds_of_earlier_polls_stay_in_force() -> None:
    tracker = Tracker()
    tracker.update(snapshot(100.0, info(1, State.CLOSE_WAIT, 50_000, 60_000, 20_000)))
    update = tracker.update(snapshot(110.0, info(1, State.CLOSE_WAIT, 1, 70_000, 1)))

    assert age(update, 1) == (29_990, 70_010, AgeSource.LAST_ACK)


def test_what_nothing_bounds_is_at_least_as_old_as_we_have_watched() -> None:
    tracker = Tracker()
    assert age(tracker.update(snapshot(100.0, sock(1, State.LISTEN))), 1) == (0, -1, AgeSource.NONE)
    assert age(tracker.update(snapshot(130.0, sock(1, State.LISTEN))), 1) == (30_000, -1, AgeSource.FIRST_SEEN)


def test_the_same_addresses_with_another_cookie_are_a_new_socket() -> None:
    tracker = Tracker()
    tracker.update(snapshot(100.0, sock(1, State.LISTEN)))
    tracker.update(snapshot(200.0, sock(1, State.LISTEN)))
    update = tracker.update(snapshot(300.0, sock(2, State.LISTEN, remote_port=1001)))

    assert age(update, 2) == (0, -1, AgeSource.NONE)
    assert (life(update, 2), life(update, 1)) == (Life.NEW, Life.MISSED)


def test_a_descriptor_connected_again_begins_anew() -> None:
    tracker = Tracker()
    tracker.update(snapshot(100.0, info(1, State.ESTABLISHED, 50_000, 50_000, 50_000)))
    update = tracker.update(snapshot(102.0, info(1, State.ESTABLISHED, 500, 500, 500, remote_port=9, bytes_sent=0)))

    assert age(update, 1) == (490, 510, AgeSource.OBSERVED)


def test_the_same_state_entered_twice_between_polls_is_not_as_old_as_the_first() -> None:
    tracker = Tracker()
    quiet = {"bytes_sent": 0, "bytes_received": 0}
    tracker.update(snapshot(100.0, info(1, State.ESTABLISHED, 50_000, 50_000, 50_000, **quiet)))
    update = tracker.update(snapshot(110.0, info(1, State.ESTABLISHED, 3_000, 3_000, 3_000, **quiet)))

    assert age(update, 1)[:2] == (2_990, 3_010)


def test_a_timer_that_was_armed_again_does_not_make_a_time_wait_younger() -> None:
    tracker = Tracker()
    tracker.update(snapshot(100.0, sock(1, State.TIME_WAIT, timer=3, timer_ms=20_000, inode=0)))
    least, most, _ = age(
        tracker.update(snapshot(110.0, sock(1, State.TIME_WAIT, timer=3, timer_ms=59_000, inode=0))), 1
    )

    assert (least, most) == (49_990, 50_010)


def test_sleep_raises_the_upper_bound_alone() -> None:
    tracker = Tracker()
    tracker.update(snapshot(100.0, info(1, State.CLOSE_WAIT, 9_000, 9_000, 8_000)))
    update = tracker.update(snapshot(102.0, info(1, State.CLOSE_WAIT, 11_000, 11_000, 10_000), slept=3600.0))

    assert age(update, 1) == (9_990, 3_611_010, AgeSource.LAST_ACK)

    # a socket that begins after the sleep is not touched by it
    update = tracker.update(snapshot(104.0, info(2, State.CLOSE_WAIT, 500, 500, 400), slept=3600.0))
    assert age(update, 2)[:2] == (390, 510)


def test_sleep_before_we_began_widens_only_what_reaches_back_to_it() -> None:
    tracker = Tracker()
    update = tracker.update(snapshot(100.0, info(1, State.CLOSE_WAIT, 9_000, 9_000, 8_000), slept=60.0))

    assert age(update, 1)[:2] == (7_990, 69_010)


def test_a_handshake_whose_timer_shows_nothing_left_may_have_just_begun() -> None:
    known = PLAIN | Known.MINI
    update = Tracker().update(
        snapshot(100.0, *(sock(n, State.SYN_RECV, known=known, timer_ms=left) for n, left in ((1, 0), (2, 400))))
    )

    assert (age(update, 1)[0], age(update, 2)[0]) == (0, 590)


def test_a_wall_clock_that_is_set_changes_nothing() -> None:
    tracker = Tracker()
    tracker.update(snapshot(100.0, sock(1, State.LISTEN)))  # taken_at falls from poll to poll in these snapshots
    assert age(tracker.update(snapshot(105.0, sock(1, State.LISTEN))), 1)[0] == 5_000


def test_a_long_pause_is_said_as_a_range() -> None:
    tracker = Tracker()
    tracker.update(snapshot(0.0, sock(1, State.SYN_RECV, known=PLAIN)))
    update = tracker.update(snapshot(600.0, sock(1, State.ESTABLISHED)))

    assert age(update, 1) == (0, 600_000, AgeSource.OBSERVED)


def test_one_absence_is_no_end_two_are() -> None:
    tracker = Tracker(linger=5.0)
    tracker.update(snapshot(100.0, sock(1, State.ESTABLISHED), sock(2, State.LISTEN)))
    once = tracker.update(snapshot(102.0, sock(2, State.LISTEN)))
    assert (life(once, 1), once.closed) == (Life.MISSED, 0)

    twice = tracker.update(snapshot(104.0, sock(2, State.LISTEN)))
    assert (life(twice, 1), twice.closed) == (Life.ENDED, 1)

    later = tracker.update(snapshot(108.0, sock(2, State.LISTEN)))
    assert (1 in later.sockets["cookie"], later.closed) == (False, 0)


def test_a_socket_that_a_dump_missed_comes_back_as_it_was() -> None:
    tracker = Tracker()
    tracker.update(snapshot(100.0, sock(1, State.LISTEN)))
    tracker.update(snapshot(102.0))
    back = tracker.update(snapshot(104.0, sock(1, State.LISTEN)))

    assert (life(back, 1), back.opened, age(back, 1)[0]) == (Life.PRESENT, 0, 4_000)


def test_a_change_during_an_absence_dates_from_when_it_was_last_seen() -> None:
    tracker = Tracker()
    tracker.update(snapshot(100.0, info(1, State.ESTABLISHED, 900_000, 900_000, 900_000)))
    tracker.update(snapshot(102.0))
    update = tracker.update(snapshot(104.0, info(1, State.CLOSE_WAIT, 904_000, 904_000, 0)))

    assert age(update, 1) == (0, 4_000, AgeSource.OBSERVED)


def test_the_path_that_was_seen_is_kept() -> None:
    tracker = Tracker()
    for at, state in enumerate((State.ESTABLISHED, State.FIN_WAIT1, State.FIN_WAIT2, State.FIN_WAIT2, State.TIME_WAIT)):
        update = tracker.update(snapshot(100.0 + at, sock(1, state)))

    assert int(update.path[0]) == 0x1456


def test_on_a_host_that_is_up_for_months_the_kernels_clocks_bound_nothing_from_above() -> None:
    month = 60 * 86_400.0
    update = Tracker().update(snapshot(month, info(1, State.CLOSE_WAIT, 9_000, 9_000, 8_000), sock(2, State.LISTEN)))
    assert age(update, 1)[:2] == (7_990, -1), "the counters of 32 bits may have begun again since"


def test_a_fin_behind_unsent_data_is_not_dated_by_the_busy_time() -> None:
    queued = info(1, State.FIN_WAIT1, 5, 5, 5, bytes_sent=0, busy_time=90_000_000, send_queue=5_000)
    alone = info(2, State.FIN_WAIT1, 5, 5, 5, bytes_sent=0, busy_time=90_000_000, send_queue=1)
    update = Tracker().update(snapshot(100.0, queued, alone))
    assert (age(update, 1)[:2], age(update, 2)[:2]) == ((0, 90_010), (89_990, 90_010))


def test_a_socket_taken_for_ended_comes_back_without_its_upper_bound() -> None:
    tracker = Tracker(linger=60.0)
    tracker.update(snapshot(100.0, info(1, State.CLOSE_WAIT, 9_000, 9_000, 8_000)))
    for at in (102.0, 104.0, 106.0):
        tracker.update(snapshot(at))
    update = tracker.update(snapshot(108.0, sock(1, State.CLOSE_WAIT)))
    assert age(update, 1)[1] == -1


def test_rows_are_added_behind_a_dump_where_there_is_room_and_nothing_is_overwritten() -> None:
    dump = empty_sockets(4)
    dump["protocol"][:2], dump["cookie"][:2] = Protocol.TCP, (1, 2)
    more = sock(3, State.ESTABLISHED)
    first, again = appended(dump[:2], [more]), appended(dump[:2], [sock(4, State.ESTABLISHED)])
    assert (first["cookie"].tolist(), again["cookie"].tolist()) == ([1, 2, 3], [1, 2, 4])
    assert np.shares_memory(first, dump)
    assert not np.shares_memory(again, dump)
    assert appended(dump[1:2], [more])["cookie"].tolist() == [2, 3]
    assert appended(dump[:2], [more, more, more])["cookie"].tolist() == [1, 2, 3, 3, 3]


def test_rows_of_different_layouts_keep_what_they_tell() -> None:
    narrow = np.zeros(1, layout(("cookie", "state", "pid")))
    narrow["cookie"], narrow["state"], narrow["pid"] = 7, State.CLOSE_WAIT, 5
    wide = sock(8, State.ESTABLISHED, rtt=9)
    both = joined([narrow, wide])
    assert [both[name].tolist() for name in ("cookie", "pid", "rtt")] == [[7, 8], [5, int(wide["pid"][0])], [0, 9]]
    assert both["bytes_sent"].tolist() == [0, 0]
    assert joined([narrow, narrow]).dtype == narrow.dtype
