from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sockui.errors import UsageError
from sockui.model import Known, Owner, Process, Protocol, State
from sockui.tracker import Life, Update
from sockui.view import query, table_view
from sockui.view.columns import COLUMNS, SCREEN
from sockui.view.table_view import Sort

MakeUpdate = Callable[..., Update]
MakeProcess = Callable[..., Process]
EVERYTHING = query.EVERYTHING
MINI = int(Known.COOKIE | Known.MINI | Known.TIMER)


def order(update: Update, sort: Sort) -> list[int]:
    return [int(row) for row in table_view.build(update, EVERYTHING, sort, None).rows]


def test_numbers_sort_by_value_both_ways_and_unknown_ones_last(make_update: MakeUpdate) -> None:
    update = make_update([{"rtt": 3000}, {"rtt": 0}, {"rtt": 1000}, {"known": 0}, {"rtt": 2000}])
    assert order(update, Sort("rtt_ms")) == [2, 4, 0, 1, 3]
    assert order(update, Sort("rtt_ms", reverse=True)) == [0, 4, 2, 1, 3]


@pytest.mark.parametrize("spread", [1, 1 << 20])  # sorted in 16 bits, and as they are
def test_equal_rows_keep_the_order_of_their_identity(make_update: MakeUpdate, spread: int) -> None:
    rows = [
        {"cookie": cookie, "recv_queue": queue * spread} for cookie, queue in ((9, 1), (2, 0), (7, 1), (1, 5), (3, 1))
    ]
    update = make_update(rows)
    assert order(update, Sort("recv_queue")) == [1, 4, 2, 0, 3]
    assert order(update, Sort("recv_queue", reverse=True)) == [3, 4, 2, 0, 1]
    moved = make_update(rows[::-1])  # the kernel lists sockets in another order
    shown = [moved.sockets["cookie"][row] for row in order(moved, Sort("recv_queue"))]
    assert shown == [2, 3, 7, 9, 1]


def test_turned_round_is_as_sorted_anew(make_update: MakeUpdate) -> None:
    equal = [
        {"cookie": 50 - n, "recv_queue": n % 3, "rtt": n % 4 * 1000, "known": -(n % 5 > 0) & 0xFBF} for n in range(40)
    ]
    for update in (make_update(equal), make_update(equal[:1]), make_update([])):
        for name in (*COLUMNS, *SCREEN, "attention"):
            for reverse in (False, True):
                before = table_view.build(update, EVERYTHING, Sort(name, not reverse))
                turned = table_view.build(update, EVERYTHING, Sort(name, reverse), before)
                assert turned.rows.tolist() == order(update, Sort(name, reverse)), name


def test_every_column_sorts_both_ways(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    update = make_update(
        [
            {"pid": 5, "rtt": 5, "age": (5000, -1), "cookie": 2**63},
            {"known": 0, "cookie": 3},
            {"pid": 6, "remote": ("2001:db8::1", 5), "recv_queue": 2**32 - 1, "cookie": 1},
        ],
        [make_process(5, "b"), make_process(6, "a", unit="x.service")],
    )
    for name in (*COLUMNS, *SCREEN, "attention"):
        for reverse in (False, True):
            assert sorted(order(update, Sort(name, reverse))) == [0, 1, 2], name
        assert order(make_update([]), Sort(name)) == []
    assert order(update, Sort("cookie")) == [2, 0, 1]
    assert order(update, Sort("cookie", reverse=True)) == [0, 2, 1]
    assert order(update, Sort("process")) == [2, 0, 1]
    assert order(update, Sort("recv_queue", reverse=True)) == [2, 0, 1]


def test_addresses_sort_by_number_not_by_text(make_update: MakeUpdate) -> None:
    update = make_update(
        [
            {"remote": ("10.0.0.10", 5)},
            {"remote": ("10.0.0.9", 70)},
            {"remote": ("2001:db8::2", 1)},
            {"remote": ("10.0.0.9", 8)},
            {"remote": ("2001:db8::1", 9)},
            {"remote": ("0.0.0.0", 0)},
        ]
    )
    assert order(update, Sort("remote")) == [3, 1, 0, 4, 2, 5]
    assert order(update, Sort("remote_address", reverse=True))[0] == 2


def test_ages_sort_youngest_first_and_do_not_jump_when_they_jitter(make_update: MakeUpdate) -> None:
    def shown(jitter: int, monotonic: float) -> list[int]:
        past = round((monotonic - 10_000) * 1000)
        ages = [(300_400 + jitter + past, -1), (300_400 + past, -1), (900_000 + past, -1), (1000 + past, -1)]
        return order(make_update([{"age": age} for age in ages], monotonic=monotonic), Sort("age"))

    assert shown(0, 10_000.0) == [3, 0, 1, 2]
    for step in range(1, 50):
        assert shown(4, 10_000 + step * 0.25) == [3, 0, 1, 2]
        assert shown(-4, 10_000 + step * 0.25) == [3, 0, 1, 2]


@pytest.mark.parametrize("sort", [Sort(), Sort("age"), Sort("remote", reverse=True), Sort("process")])
def test_a_filter_that_is_typed_on_does_not_sort_again(
    make_update: MakeUpdate, sort: Sort, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = make_update(
        [{"remote": (f"10.0.0.{n % 7}", n), "pid": n % 5, "age": (n * 77 % 13, -1)} for n in range(99)]
    )
    typed = [query.compile(text) for text in ("1", "10.0.0.3", "dport > 40", "")]
    apart = [table_view.build(update, each, sort) for each in typed]
    view = table_view.build(update, query.EVERYTHING, sort)
    monkeypatch.setattr(table_view, "_ordered", None)
    for each, whole in zip(typed, apart, strict=True):
        view = table_view.build(update, each, sort, view)
        assert view.rows.tolist() == whole.rows.tolist()
        assert (view.total, view.state_counts) == (whole.total, whole.state_counts)


def test_what_needs_attention_comes_first(make_update: MakeUpdate) -> None:
    listener: dict[str, Any] = {"state": State.LISTEN, "send_queue": 128, "remote": ("0.0.0.0", 0)}
    rows: list[dict[str, Any]] = [
        listener | {"recv_queue": 129},  # full: it refuses connections
        {"state": State.CLOSE_WAIT, "age": (900_000, -1)},
        {"state": State.CLOSE_WAIT, "age": (60_000, -1)},
        {"state": State.FIN_WAIT2, "pid": 5, "age": (60_000, -1)},
        {"state": State.LAST_ACK, "age": (50_000, -1)},
        {"state": State.FIN_WAIT1, "age": (40_000, -1)},
        {"state": State.CLOSING, "age": (30_000, -1)},
        {"state": State.SYN_SENT, "age": (20_000, -1)},
        {"state": State.SYN_RECV, "known": MINI, "age": (10_000, -1)},
        {"owner": Owner.LISTENER, "pid": 5, "recv_queue": 3},
        {"send_queue": 90_000},
        {"recv_queue": 10},
        {},
        {"state": State.FIN_WAIT2, "known": MINI, "age": (30_000, -1)},  # an orphan: its timer ends it
        {"state": State.TIME_WAIT, "known": MINI, "age": (30_000, -1)},
        listener | {"recv_queue": 128},
        listener | {"recv_queue": 1, "send_queue": 5},
        listener | {"send_queue": 4096},  # its backlog is no queue
        {"protocol": Protocol.UDP, "state": State.CLOSE, "recv_queue": 5000},
        {"protocol": Protocol.UDP, "state": State.ESTABLISHED},
        {"state": State.CLOSE},
    ]
    assert order(make_update(rows), Sort()) == list(range(len(rows)))
    backwards = make_update([row | {"cookie": 100 - index} for index, row in enumerate(rows)][::-1])
    assert order(backwards, Sort()) == list(range(len(rows)))[::-1]
    assert order(make_update(rows), Sort("attention", reverse=True)) == list(range(len(rows)))[::-1]


def test_a_filtered_view_says_how_many_there_are_without_it(make_update: MakeUpdate) -> None:
    update = make_update([{"recv_queue": index} for index in (5, 0, 9, 0)])
    view = table_view.build(update, query.compile("recvq > 0"), Sort("recv_queue"), None)
    assert view.rows.tolist() == [0, 2]
    assert view.total == 4
    assert view.query.text == "recvq > 0"


def test_counts_by_state_are_of_all_that_live(make_update: MakeUpdate) -> None:
    update = make_update(
        [
            {},
            {"state": State.CLOSE_WAIT, "life": Life.MISSED},
            {"state": State.CLOSE_WAIT, "life": Life.NEW},
            {"state": State.CLOSE_WAIT, "life": Life.ENDED},
            {"protocol": Protocol.UDP, "state": State.ESTABLISHED},
            {"protocol": Protocol.UDP, "state": State.CLOSE},
        ]
    )
    view = table_view.build(update, query.compile("state listen"), Sort(), None)
    assert view.state_counts == {"ESTABLISHED": 1, "CLOSE_WAIT": 2, "UDP": 2}
    assert list(view.state_counts) == ["ESTABLISHED", "CLOSE_WAIT", "UDP"]
    assert len(table_view.build(update, EVERYTHING, Sort(), None).rows) == 6  # what ended stays in the table


def test_a_previous_view_is_used_only_where_it_still_holds(
    make_update: MakeUpdate, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = make_update([{"recv_queue": 5}, {"recv_queue": 1}, {}])
    wanted = query.compile("recvq > 0")
    first = table_view.build(update, wanted, Sort("recv_queue"), None)
    assert table_view.build(update, query.compile("recvq > 0"), Sort("recv_queue"), first) is first
    resorted = table_view.build(update, wanted, Sort("recv_queue", reverse=True), first)
    assert resorted.rows.tolist() == [0, 1]
    assert table_view.build(update, query.compile("recvq > 1"), Sort("recv_queue"), first).rows.tolist() == [0]
    other = make_update([{"recv_queue": 2}])
    assert table_view.build(other, wanted, Sort("recv_queue"), first).rows.tolist() == [0]


@pytest.mark.parametrize(
    ("text", "sort"),
    [
        ("age", Sort("age")),
        ("-age", Sort("age", reverse=True)),
        ("age:desc", Sort("age", reverse=True)),
        ("age:asc", Sort("age")),
        ("recvq", Sort("recv_queue")),
        ("-Recv-Q", Sort("recv_queue", reverse=True)),
        ("attention", Sort("attention")),
        ("-attention", Sort("attention", reverse=True)),
    ],
)
def test_sorts_are_read_and_written(text: str, sort: Sort) -> None:
    assert Sort.parse(text) == sort
    assert Sort.parse(sort.text) == sort


def test_a_sort_by_nothing_known_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match='did you mean "process"'):
        Sort.parse("proces")


def test_views_do_not_change_the_update(make_update: MakeUpdate) -> None:
    update = make_update([{"recv_queue": 5}, {"recv_queue": 1}])
    before = update.sockets.copy()
    table_view.build(update, EVERYTHING, Sort("recv_queue", reverse=True), None)
    assert np.array_equal(before, update.sockets)


def test_sorting_by_address_writes_none(make_update: MakeUpdate, monkeypatch: pytest.MonkeyPatch) -> None:
    update = make_update([{"remote": ("10.0.0.9", 1)}, {"remote": ("10.0.0.10", 1)}, {"remote": ("9.0.0.1", 0)}])
    monkeypatch.setattr("sockui.view.format.address", lambda *_: pytest.fail("a text per socket"))
    assert table_view.build(update, EVERYTHING, Sort("remote_address")).rows.tolist() == [
        0,
        1,
        2,
    ]  # the last has no peer
