"""Series of counts: what is kept, what is given up, and that memory stays flat."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockui.diagnosis.history import FORGET_SECONDS, MOST_KEYS, MOST_POLLS, History

LEAK = ("fds", 4312, 77)


def run(history: History, polls: int, every: float = 2.0, begin: float = 0.0, growth: int = 1) -> None:
    for index in range(polls):
        history.add(begin + every * index, {LEAK: 1 + growth * index})


def test_a_series_is_what_was_added() -> None:
    history = History()
    assert history.since is None
    history.add(10.0, {LEAK: 3, "other": 1})
    history.add(12.0, {LEAK: 4})
    history.add(15.0, {LEAK: 6, "other": 2})
    seconds, values = history.series(LEAK)
    assert (seconds.tolist(), values.tolist()) == ([10.0, 12.0, 15.0], [3.0, 4.0, 6.0])
    assert history.series("other")[1].tolist() == [1.0, 0.0, 2.0]
    assert seconds.dtype == values.dtype == np.float64
    assert history.since == 10.0


def test_before_it_was_seen_a_key_was_0_in_every_poll_that_looked() -> None:
    history = History()
    history.add(10.0, {"other": 1})
    history.add(12.0, {})
    history.add(14.0, {LEAK: 5})
    assert history.series(LEAK)[1].tolist() == [0.0, 0.0, 5.0]


def test_a_key_that_is_not_kept_has_no_series() -> None:
    history = History()
    history.add(10.0, {LEAK: 0})
    for part in history.series(LEAK):
        assert part.shape == (0,)
    assert len(history) == 0


def test_what_was_given_out_does_not_change_later() -> None:
    history = History()
    run(history, MOST_POLLS)
    given_out = history.series(LEAK)
    run(history, 10, begin=2.0 * MOST_POLLS)
    assert len(history.series(LEAK)[0]) < MOST_POLLS
    assert given_out[0].tolist() == [2.0 * index for index in range(MOST_POLLS)]
    assert given_out[1].tolist() == [1.0 + index for index in range(MOST_POLLS)]


def test_what_is_gone_counts_0_after_older_polls_were_thinned_too() -> None:
    history = History()
    run(history, MOST_POLLS)
    for index in range(100):
        history.add(2.0 * (MOST_POLLS + index), {"other": 1})
    assert history.series(LEAK)[1][-101:].tolist() == [float(MOST_POLLS)] + [0.0] * 100


def test_polls_go_forward() -> None:
    history = History()
    history.add(10.0, {LEAK: 1})
    with pytest.raises(ValueError, match="after"):
        history.add(10.0, {LEAK: 2})


@given(st.integers(1, 3000))
def test_old_polls_get_thinner_and_recent_ones_stay(polls: int) -> None:
    history = History()
    run(history, polls)
    seconds, values = history.series(LEAK)
    assert len(seconds) <= MOST_POLLS
    assert seconds[0] == 0.0
    assert (np.diff(seconds) > 0).all()
    np.testing.assert_array_equal(values, 1 + seconds / 2)  # each point is a poll that was, not a mean
    recent = min(polls, MOST_POLLS // 2)
    assert seconds[-recent:].tolist() == [2.0 * index for index in range(polls - recent, polls)]


def test_old_polls_are_spread_evenly_over_the_session() -> None:
    history = History()
    run(history, 40_000)
    seconds, _ = history.series(LEAK)
    old = seconds[: -MOST_POLLS // 2]
    assert len(old) >= 50
    assert np.diff(old).max() <= 4 * (old[-1] - old[0]) / len(old)


def test_memory_is_flat_over_days() -> None:
    history = History()
    bytes_held = set()
    for index in range(3000):
        now = 60.0 * index
        history.add(now, {("state", index // 3 + offset, 8): 1 + offset for offset in range(50)})
        if index > 1000:
            bytes_held.add(history._values.nbytes)
            assert len(history) <= 50 + FORGET_SECONDS / 60 / 3 + 1
    assert len(bytes_held) == 1


def test_a_key_is_given_up_after_ten_minutes_of_nothing() -> None:
    history = History()
    history.add(0.0, {LEAK: 7, "other": 1})
    history.add(FORGET_SECONDS - 1, {LEAK: 0, "other": 1})
    assert history.series(LEAK)[1].tolist() == [7.0, 0.0]
    history.add(FORGET_SECONDS, {"other": 1})
    assert len(history.series(LEAK)[1]) == 0
    assert len(history) == 1


def test_a_key_that_comes_back_does_not_claim_to_have_been_0_before_it_was_given_up() -> None:
    history = History()
    history.add(0.0, {LEAK: 7})
    history.add(700.0, {"new": 3})
    history.add(800.0, {LEAK: 2})
    seconds, values = history.series(LEAK)
    assert (seconds.tolist(), values.tolist()) == ([700.0, 800.0], [0.0, 2.0])


def test_a_column_used_again_has_nothing_of_its_former_key() -> None:
    history = History()
    for now in range(0, 100, 10):
        history.add(float(now), {("old", key): 9 for key in range(64)})
    history.add(90.0 + FORGET_SECONDS, {})
    history.add(90.5 + FORGET_SECONDS, {("new", key): 5 for key in range(64)})
    for key in range(64):
        assert history.series(("new", key))[1].tolist() == [0.0, 5.0]


def test_a_column_given_up_for_want_of_room_has_nothing_of_its_former_key() -> None:
    history = History()
    for now in (1.0, 2.0):
        history.add(now, {("old", key): 9 for key in range(MOST_KEYS)})
    history.add(3.0, {("new", key): 10 for key in range(MOST_KEYS)})
    history.add(4.0, {("newest", key): 11 for key in range(MOST_KEYS // 20)})
    for key in range(MOST_KEYS // 20):
        assert history.series(("newest", key))[1].tolist() == [11.0]


def test_of_too_many_keys_the_smallest_go() -> None:
    history = History()
    for now in range(20):
        counts: dict[Hashable, int] = {("state", now * 500 + key): 1 + key for key in range(500)}
        history.add(float(now), counts | {LEAK: 100_000 + now})
        assert len(history) <= MOST_KEYS
    assert history.series(LEAK)[1].tolist() == [100_000.0 + now for now in range(20)]


def test_a_single_poll_with_too_many_keys_keeps_the_greatest() -> None:
    history = History()
    history.add(1.0, {("state", key): key for key in range(3 * MOST_KEYS)})
    history.add(2.0, {("state", key): key for key in range(3 * MOST_KEYS)})
    assert len(history) == MOST_KEYS
    assert history.series(("state", 3 * MOST_KEYS - 1))[1].tolist() == [3 * MOST_KEYS - 1.0] * 2
    assert len(history.series(("state", 5))[1]) == 0


def test_a_key_for_which_there_was_no_room_does_not_claim_to_have_been_0() -> None:
    history = History()
    crowd: dict[Hashable, int] = {("crowd", key): 10 for key in range(MOST_KEYS)}
    history.add(1.0, {**crowd, LEAK: 3})
    assert len(history.series(LEAK)[1]) == 0
    history.add(2.0, {})
    history.add(3.0, {LEAK: 4})
    seconds, values = history.series(LEAK)
    assert (seconds.tolist(), values.tolist()) == ([2.0, 3.0], [0.0, 4.0])


def test_a_count_beyond_the_type_is_kept_as_its_greatest() -> None:
    history = History()
    history.add(1.0, {LEAK: 1 << 40})
    assert history.series(LEAK)[1].tolist() == [2**31 - 1.0]
