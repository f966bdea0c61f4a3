from __future__ import annotations

from collections.abc import Callable

import pytest

from sockui.errors import UsageError
from sockui.model import Owner, Process, Protocol, State
from sockui.tracker import Life, Update
from sockui.view import query
from sockui.view.process_tree import (
    DEFAULT_SORT,
    SORTS,
    UDP,
    ProcessTreeView,
    count,
    filter_text,
    lay_out,
    pids_of_subtree,
)
from sockui.view.table_view import Sort, TableView, build

MakeUpdate = Callable[..., Update]
MakeProcess = Callable[..., Process]
EVERYTHING = query.EVERYTHING


@pytest.fixture
def host(make_update: MakeUpdate, make_process: MakeProcess) -> Update:
    """systemd ─ nginx (master, 2 workers that share its listener), java ─ helper; sshd has no sockets."""
    shared = {"pid": 10, "inode": 500, "holders": 3, "state": State.LISTEN}
    return make_update(
        [
            shared,
            {"pid": 11},
            {"pid": 11},
            {"pid": 12, "protocol": Protocol.UDP, "state": State.CLOSE},
            {"pid": 20, "state": State.CLOSE_WAIT, "age": (5000, 6000)},
            {"pid": 20, "state": State.CLOSE_WAIT, "age": (4000, -1)},
            {"pid": 20, "state": State.CLOSE_WAIT, "age": (9000, 9000), "life": Life.ENDED},
            {"pid": 20, "age": (99_000, 99_000)},
            {"pid": 21, "state": State.FIN_WAIT2, "age": (7000, 8000)},
            {"owner": Owner.KERNEL, "state": State.TIME_WAIT},
            {"owner": Owner.KERNEL, "state": State.LAST_ACK, "age": (1000, 2000)},
            {"owner": Owner.HIDDEN},
        ],
        [
            make_process(1, "systemd", ppid=0, user="root"),
            make_process(10, "nginx", fd_count=30, fd_limit=1024, unit="nginx.service"),
            make_process(11, "nginx", ppid=10, fd_count=5),
            make_process(12, "nginx", ppid=10, fd_count=6),
            make_process(15, "sshd"),
            make_process(20, "java"),
            make_process(21, "\x1b[31mhelper", ppid=20),
        ],
        [(500, 10, 3), (500, 11, 3), (500, 11, 4), (500, 12, 3)],
    )


def build_tree(view: TableView, sort: Sort = DEFAULT_SORT, folded: frozenset[int] = frozenset()) -> ProcessTreeView:
    return lay_out(count(view), sort, folded)


def drawn(view: ProcessTreeView) -> list[str]:
    return [f"{row.prefix()}{row.name} {row.shown.sockets}" for row in view.rows]


def pids(view: ProcessTreeView) -> list[int]:
    return [row.pid for row in view.rows]


def test_the_tree_has_holders_their_ancestors_and_the_rest(host: Update) -> None:
    view = build_tree(build(host), Sort("pid"), frozenset())
    assert drawn(view) == [
        "systemd 0",
        "├─ nginx 1",
        "│  ├─ nginx 3",
        "│  └─ nginx 2",
        "└─ java 3",
        "   └─ \\e[31mhelper 1",
        "kernel (no process) 2",
        "processes that may not be read 1",
    ]
    assert [row.prefix(ascii_only=True) for row in view.rows][2:6] == ["|  |- ", "|  `- ", "`- ", "   `- "]
    assert [row.depth for row in view.rows] == [0, 1, 2, 2, 1, 2, 0, 0]


def test_what_an_unnamed_listener_has_not_accepted_is_counted_too(
    make_update: MakeUpdate, make_process: MakeProcess
) -> None:
    queued = {"inode": 0, "owner": Owner.LISTENER, "state": State.CLOSE_WAIT}
    update = make_update(
        [
            {"pid": 0, "owner": Owner.HIDDEN, "state": State.LISTEN},
            {"pid": 0, **queued},
            {"pid": 0, **queued},
            {"pid": 7, **queued},
        ],
        [make_process(7, "nginx", ppid=0)],
    )
    view = build_tree(build(update), Sort("pid"))
    assert drawn(view) == [
        "nginx 1",
        "processes that may not be read 1",
        "not accepted, by a process that is not named 2",
    ]
    assert [row.may_be_named for row in view.rows] == [False, True, True]
    chosen = build(update, query.compile(filter_text(view, view.rows[2])))
    assert sorted(chosen.rows.tolist()) == [1, 2]


def test_a_shared_socket_counts_for_each_holder_and_once_in_their_subtree(host: Update) -> None:
    view = build_tree(build(host), Sort("pid"), frozenset())
    master, first, second = view.rows[1:4]
    assert [row.own.states[State.LISTEN] for row in (master, first, second)] == [1, 1, 1]
    assert master.subtree.states[State.LISTEN] == 1
    assert master.subtree.sockets == 4
    assert master.subtree.states[UDP] == 1
    assert view.rows[0].subtree.sockets == 8
    assert view.rows[0].subtree.states[State.LISTEN] == 1


def test_holders_in_different_trees_take_nothing_from_each_other(
    make_update: MakeUpdate, make_process: MakeProcess
) -> None:
    update = make_update(
        [{"pid": 1, "inode": 500, "holders": 2}, {"pid": 2}],
        [make_process(1, ppid=0), make_process(2, ppid=0)],
        [(500, 1, 3), (500, 2, 3)],
    )
    rows = build_tree(build(update), Sort("pid")).rows
    assert [(row.own.sockets, row.subtree.sockets) for row in rows] == [(1, 1), (2, 2)]


def test_folding_hides_the_descendants_and_shows_their_total(host: Update) -> None:
    view = build_tree(build(host), Sort("pid"), frozenset({10, 12}))
    assert pids(view) == [1, 10, 20, 21, -1, -2]
    row = view.rows[1]
    assert (row.folded, row.has_children, row.shown.sockets, row.own.sockets) == (True, True, 4, 1)
    everything = build_tree(build(host), Sort("pid"), frozenset({1}))
    assert drawn(everything)[0] == "systemd 8"
    assert everything.find(-1) == 1
    assert everything.find(20) is None


def test_the_oldest_stuck_socket_is_an_interval(host: Update) -> None:
    view = build_tree(build(host), Sort("pid"), frozenset())
    by_pid = {row.pid: row for row in view.rows}
    # of 5-6 s and "at least 4 s" the older is at least 5 s old, and nothing says at most; the ended one is not counted
    assert (by_pid[20].own.oldest_min_ms, by_pid[20].own.oldest_max_ms) == (5000, -1)
    assert (by_pid[21].own.oldest_min_ms, by_pid[21].own.oldest_max_ms) == (7000, 8000)
    assert (by_pid[1].subtree.oldest_min_ms, by_pid[1].subtree.oldest_max_ms) == (7000, -1)
    assert (by_pid[-1].own.oldest_min_ms, by_pid[-1].own.oldest_max_ms) == (1000, 2000)
    assert (by_pid[11].own.oldest_min_ms, by_pid[11].own.oldest_max_ms) == (0, -1)


def test_the_filter_is_that_of_the_sockets(host: Update) -> None:
    view = build_tree(build(host, query.compile("state close-wait")), Sort("pid"), frozenset())
    assert drawn(view) == ["systemd 0", "└─ java 2"]
    assert build_tree(build(host, query.compile("pid = 999")), Sort("pid")).rows == ()


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        (DEFAULT_SORT, [1, 10, 11, 12, 20, 21]),
        (Sort("sockets"), [1, 10, 12, 11, 20, 21]),
        (Sort("close_wait", reverse=True), [1, 20, 21, 10, 11, 12]),
        (Sort("udp", reverse=True), [1, 10, 12, 11, 20, 21]),
        (Sort("name"), [1, 20, 21, 10, 11, 12]),
        (Sort("pid", reverse=True), [1, 20, 21, 10, 12, 11]),
        (Sort("oldest", reverse=True), [1, 20, 21, 10, 11, 12]),
        (Sort("oldest"), [1, 20, 21, 10, 11, 12]),  # what has none is last both ways
        (Sort("fds", reverse=True), [1, 10, 12, 11, 20, 21]),
        (Sort("fds"), [1, 10, 11, 12, 20, 21]),
    ],
)
def test_siblings_are_ordered_by_their_subtrees(host: Update, sort: Sort, expected: list[int]) -> None:
    assert [pid for pid in pids(build_tree(build(host), sort)) if pid > 0] == expected


def test_every_sort_works_and_an_unknown_one_is_a_usage_error(host: Update) -> None:
    for name in SORTS:
        build_tree(build(host), Sort(name.upper()))
    with pytest.raises(UsageError, match='did you mean "close_wait"'):
        build_tree(build(host), Sort("close_wai"))


@pytest.mark.parametrize("filter_", ["", "recvq >= 0 or state listen"])
def test_the_filter_of_a_line_finds_what_the_line_counts(host: Update, filter_: str) -> None:
    wanted = query.compile(filter_)
    for folded in (frozenset[int](), frozenset({10}), frozenset({1})):
        view = build_tree(build(host, wanted), Sort("pid"), folded)
        for row in view.rows:
            text = filter_text(view, row)
            mask = query.compile(text).mask(host) & (host.life != Life.ENDED)
            assert int(mask.sum()) == row.shown.sockets, text


def test_subtrees(host: Update) -> None:
    view = build_tree(build(host), Sort("pid"), frozenset({10}))
    assert pids_of_subtree(view, 10) == [10, 11, 12]
    assert sorted(pids_of_subtree(view, 1)) == [1, 10, 11, 12, 20, 21]
    assert filter_text(view, view.rows[1]) == "pid = 10,11,12"
    assert filter_text(view, view.rows[2]) == "pid = 20"


def test_a_line_tells_about_its_process(host: Update) -> None:
    row = build_tree(build(host), Sort("pid")).rows[1]
    assert row.process is not None
    assert (row.process.fd_count, row.process.fd_limit, row.unit, row.user) == (30, 1024, "nginx.service", "app")
    assert row.command == "/usr/bin/nginx"


def test_processes_that_are_gone_or_in_a_circle_are_still_shown(
    make_update: MakeUpdate, make_process: MakeProcess
) -> None:
    update = make_update(
        [{"pid": 5}, {"pid": 6}, {"pid": 99}], [make_process(5, "a", ppid=6), make_process(6, "b", ppid=5)]
    )
    view = build_tree(build(update), Sort("pid"))
    assert sorted(pids(view)) == [5, 6, 99]
    assert sum(row.own.sockets for row in view.rows) == 3
    gone = view.rows[view.find(99) or 0]
    assert (gone.name, gone.command, gone.user) == ("?", "", "")


def test_a_shared_socket_whose_holders_are_not_listed_counts_for_its_pid(
    make_update: MakeUpdate, make_process: MakeProcess
) -> None:
    update = make_update([{"pid": 5, "holders": 2}], [make_process(5)], [(1, 5, 3)])
    assert build_tree(build(update), Sort("pid")).rows[0].own.sockets == 1


def test_a_very_deep_tree(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    processes = [make_process(pid, ppid=pid - 1) for pid in range(1, 3001)]
    view = build_tree(build(make_update([{"pid": 3000}], processes)), Sort("pid"))
    assert len(view.rows) == 3000
    assert view.rows[0].subtree.sockets == 1


def test_what_was_counted_once_is_laid_out_in_any_order_and_fold(host: Update) -> None:
    counts = count(build(host))
    folded = lay_out(counts, Sort("pid"), frozenset({10, 20}))
    assert [row.pid for row in folded.rows if row.pid > 0] == [1, 10, 20]
    again = lay_out(counts, Sort("pid", reverse=True))
    assert [row.pid for row in again.rows if row.pid > 0] == [1, 20, 21, 10, 12, 11]
    assert again.rows[0].subtree == folded.rows[0].subtree
