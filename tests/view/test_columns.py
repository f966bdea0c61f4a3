from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sockui.errors import UsageError
from sockui.model import Coverage, Known, Owner, Process, Protocol, State, Timer
from sockui.tracker import Life, Update
from sockui.view import format as fmt
from sockui.view.column import take
from sockui.view.columns import COLUMNS, NAMES, SCREEN, find, nearest, require
from sockui.view.layout import GAP, default_columns, layout

MakeUpdate = Callable[..., Update]
MakeProcess = Callable[..., Process]

JSON_NAMES = [
    "protocol",
    "family",
    "state",
    "local_address",
    "local_port",
    "remote_address",
    "remote_port",
    "pid",
    "process",
    "fd",
    "uid",
    "user",
    "inode",
    "cookie",
    "cgroup",
    "unit",
    "recv_queue",
    "send_queue",
    "state_age_min_seconds",
    "state_age_max_seconds",
    "state_age_source",
    "timer",
    "timer_seconds",
    "retransmits",
    "rtt_ms",
    "cwnd",
    "bytes_sent",
    "bytes_received",
    "last_data_sent_ms",
    "last_data_received_ms",
    "last_ack_received_ms",
    "holders",
]


def values(update: Update, index: int = 0) -> dict[str, Any]:
    row = take(update, np.array([index]))
    return {name: column.json(row)[0] for name, column in COLUMNS.items()}


def test_the_json_names_are_those_of_the_contract_in_its_order() -> None:
    assert list(COLUMNS) == JSON_NAMES


def test_every_name_and_short_form_means_one_column() -> None:
    assert len(NAMES) == sum(1 + len(column.aliases) for column in (*COLUMNS.values(), *SCREEN.values()))
    for short, name in (("recvq", "recv_queue"), ("Recv-Q", "recv_queue"), ("sport", "local_port"), ("src", "local")):
        assert require(short).name == name
    assert find("nope") is None
    with pytest.raises(UsageError, match='did you mean "retransmits"'):
        require("retransmit")


def test_a_row_with_everything_known(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    row = {
        "state": State.CLOSE_WAIT,
        "local": ("10.0.0.5", 8080),
        "remote": ("2001:db8::1", 51234),
        "pid": 4312,
        "fd": 17,
        "uid": 0,
        "inode": 225749,
        "cookie": 12345,
        "recv_queue": 1,
        "send_queue": 5000,
        "age": (42_040, 42_950),
        "timer": Timer.PERSIST,
        "timer_ms": 12_345,
        "retransmits": 3,
        "rtt": 12_345,
        "snd_cwnd": 10,
        "bytes_sent": 100,
        "bytes_received": 201,
        "last_data_sent": 50_000,
        "last_data_recv": 43_000,
        "last_ack_recv": 42_040,
    }
    java = make_process(4312, "java", cgroup="/system.slice/app.service", unit="app.service")
    update = make_update([row], [java])
    found = values(update)
    assert found == {
        "protocol": "tcp",
        "family": "inet6",
        "state": "CLOSE_WAIT",
        "local_address": "10.0.0.5",
        "local_port": 8080,
        "remote_address": "2001:db8::1",
        "remote_port": 51234,
        "pid": 4312,
        "process": "java",
        "fd": 17,
        "uid": 0,
        "user": "root",
        "inode": 225749,
        "cookie": 12345,
        "cgroup": "/system.slice/app.service",
        "unit": "app.service",
        "recv_queue": 1,
        "send_queue": 5000,
        "state_age_min_seconds": 42.0,
        "state_age_max_seconds": 43.0,
        "state_age_source": "last_ack",
        "timer": "persist",
        "timer_seconds": 12.345,
        "retransmits": 3,
        "rtt_ms": 12.345,
        "cwnd": 10,
        "bytes_sent": 100,
        "bytes_received": 200,
        "last_data_sent_ms": 50_000,
        "last_data_received_ms": 43_000,
        "last_ack_received_ms": 42_040,
        "holders": [{"pid": 4312, "process": "java", "fd": 17}],
    }
    json.dumps(found)  # no numpy scalar among them
    shown = {name: column.texts(update)[0] for name, column in (COLUMNS | SCREEN).items()}
    assert shown["age"] == "42s"
    assert shown["local"] == "10.0.0.5:8080"
    assert shown["remote"] == "[2001:db8::1]:51234"
    assert shown["process"] == "java/4312"
    assert shown["timer"] == "persist 12s"
    assert shown["send_queue"] == "4.9k"
    assert shown["rtt_ms"] == "12.3ms"
    assert shown["protocol"] == "tcp6"


def test_what_no_source_said_is_null_and_never_0(make_update: MakeUpdate) -> None:
    row = {"known": 0, "cookie": 0, "family": 4, "remote": ("0.0.0.0", 0), "state": State.LISTEN}
    found = values(make_update([row]))
    present = {"protocol": "tcp", "family": "inet", "state": "LISTEN", "local_address": "10.0.0.1", "local_port": 80}
    assert found == dict.fromkeys(JSON_NAMES) | present


def test_fields_that_are_garbage_in_a_state_are_null_there(make_update: MakeUpdate) -> None:
    garbage = {"last_data_sent": 710_876, "last_data_recv": 710_876, "last_ack_recv": 710_876, "snd_cwnd": 10}
    update = make_update([{"state": state} | garbage for state in (State.LISTEN, State.SYN_SENT, State.ESTABLISHED)])
    rows = [values(update, index) for index in range(3)]
    for name in ("last_data_sent_ms", "last_data_received_ms", "last_ack_received_ms"):
        assert [row[name] for row in rows] == [None, None, 710_876]
    assert [row["cwnd"] for row in rows] == [None, 10, 10]
    assert [row["bytes_sent"] for row in rows] == [None, 0, 0]
    assert [row["rtt_ms"] for row in rows] == [None, None, None]  # 0 is "no sample yet"


def test_the_nearest_column_is_near() -> None:
    assert [nearest(word) for word in ("stat", "recvqq", "Local-Prt", "java", "closewait")] == [
        "state",
        "recvq",
        "local_port",
        None,
        None,
    ]


def test_a_timer_that_is_off_fires_never(make_update: MakeUpdate) -> None:
    update = make_update(
        [
            {"timer": Timer.OFF},
            {"timer": Timer.ON, "timer_ms": 0},
            {"timer": Timer.TIMEWAIT, "timer_ms": 900},
            {"timer": Timer.KEEPALIVE, "timer_ms": 7_200_000},
            {"timer": Timer.DELACK, "timer_ms": 40, "known": 0},
        ]
    )
    assert COLUMNS["timer"].json(update) == ["off", "on", "timewait", "keepalive", None]
    assert COLUMNS["timer_seconds"].json(update) == [None, 0.0, 0.9, 7200.0, None]
    assert COLUMNS["timer"].texts(update) == ["", "on due", "timewait <1s", "keepalive 2h", ""]


@pytest.mark.parametrize(
    ("bounds", "minimum", "maximum", "source"),
    [((0, -1), None, None, None), ((1999, -1), 1.9, None, "last_ack"), ((0, 2001), 0.0, 2.1, "last_ack")],
)
def test_ages_are_rounded_outwards(
    make_update: MakeUpdate, bounds: tuple[int, int], minimum: float | None, maximum: float | None, source: str | None
) -> None:
    found = values(make_update([{"age": bounds}]))
    assert (found["state_age_min_seconds"], found["state_age_max_seconds"]) == (
        minimum if source else None,
        maximum,
    )
    assert found["state_age_source"] == source


def test_udp_without_a_peer_is_unconn_and_with_one_says_that_it_is_udp(make_update: MakeUpdate) -> None:
    update = make_update(
        [
            {"protocol": Protocol.UDP, "state": State.CLOSE, "remote": ("::", 0), "family": 6},
            {"protocol": Protocol.UDP, "state": State.ESTABLISHED},
            {"state": State.CLOSE},
        ]
    )
    assert COLUMNS["state"].json(update) == ["UNCONN", "ESTABLISHED", "CLOSE"]
    assert COLUMNS["state"].texts(update) == ["UNCONN", "ESTAB udp", "CLOSE"]
    assert COLUMNS["protocol"].texts(update) == ["udp6", "udp", "tcp"]
    assert SCREEN["remote"].texts(update)[0] == "*"


def test_the_owner_cell_says_why_there_is_no_process(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    update = make_update(
        [
            {"owner": Owner.KERNEL},
            {"owner": Owner.HIDDEN},
            {"owner": Owner.UNFOUND},
            {"owner": Owner.UNKNOWN},
            {"owner": Owner.LISTENER, "pid": 812, "fd": 5, "holders": 0},
            {"pid": 999},
        ],
        [make_process(812, "nginx")],
        coverage=Coverage(6, 2, 1, fix="sudo sockui"),
    )
    texts = COLUMNS["process"].texts(update)
    assert texts == ["kernel", "needs root", "not in sight", "-", "nginx/812 (not accepted)", "?/999"]
    assert COLUMNS["process"].json(update) == [None, None, None, None, "nginx", None]
    # the listener's descriptor is not the connection's, and nobody holds the connection yet
    assert COLUMNS["fd"].json(update)[4] is None
    assert COLUMNS["holders"].json(update) == [[], None, None, None, [], [{"pid": 999, "process": None, "fd": 7}]]


def test_root_is_not_told_that_root_is_needed(make_update: MakeUpdate) -> None:
    update = make_update([{"owner": Owner.HIDDEN}], coverage=Coverage(1))  # no fix: it is root that looks
    assert COLUMNS["process"].texts(update) == ["unreadable"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("java/4312", "java/4312   "),
        ("postgres-worker/43125", "postgres-wo…"),
        ("postgres/431255", "postgres    "),
        ("进程名字名字/43125", "进程名字名字"),
        ("kworker/0:1/4312", "kworker/0:1 "),
        ("nginx/812 (not accepted)", "unaccepted  "),
        ("needs root", "needs root  "),
        ("a/4194304", "a/4194304   "),
    ],
)
def test_an_owner_that_is_cut_keeps_its_name(text: str, shown: str) -> None:
    assert COLUMNS["process"].cell(text, 12) == shown
    assert all(fmt.cells(COLUMNS["process"].cell(text, room)) == room for room in range(40))
    assert COLUMNS["process"].cell("nginx/81234 (not accepted)", 22) == "nginx (not accepted)  "


def test_every_holder_of_a_shared_socket_is_named(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    update = make_update(
        [{"pid": 10, "fd": 3, "inode": 77, "holders": 3}],
        [make_process(10, "master"), make_process(11, "work\ner")],
        [(77, 11, 4), (77, 10, 3), (77, 11, 9), (78, 5, 5)],
    )
    assert COLUMNS["holders"].json(update) == [
        [
            {"pid": 10, "process": "master", "fd": 3},
            {"pid": 11, "process": "work\\ner", "fd": 4},
            {"pid": 11, "process": "work\\ner", "fd": 9},
        ]
    ]


def test_a_listener_counts_connections_not_bytes(make_update: MakeUpdate) -> None:
    update = make_update([{"state": State.LISTEN, "recv_queue": 1500, "send_queue": 4096}, {"recv_queue": 1500}])
    assert COLUMNS["recv_queue"].texts(update) == ["1500", "1.5k"]
    assert COLUMNS["send_queue"].texts(update) == ["4096", "0"]


def test_taken_rows_keep_what_belongs_to_them(make_update: MakeUpdate) -> None:
    update = make_update([{"cookie": 10 + life, "life": life, "age": (life * 1000, -1)} for life in Life])
    taken = take(update, np.array([3, 1]))
    assert taken.sockets["cookie"].tolist() == taken.keys.tolist() == [13, 11]
    assert taken.ages["min_ms"].tolist() == [3000, 1000]
    assert taken.life.tolist() == [3, 1]
    assert len(taken.path) == 2


@pytest.mark.parametrize(
    ("rtt", "text"), [(4, "4µs"), (999, "999µs"), (1000, "1.0ms"), (99_900, "99.9ms"), (250_000, "250ms")]
)
def test_round_trips(make_update: MakeUpdate, rtt: int, text: str) -> None:
    assert COLUMNS["rtt_ms"].texts(make_update([{"rtt": rtt}])) == [text]


def test_mini_sockets_have_no_user(make_update: MakeUpdate) -> None:
    update = make_update([{"known": int(Known.COOKIE | Known.MINI), "state": State.TIME_WAIT}])
    assert values(update)["uid"] is None
    assert values(update)["user"] is None


def test_hostile_names_are_escaped_in_every_text(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    evil = "\x1b]0;pwn\x07\u202e"
    process = make_process(5, evil, cmdline=(evil,), cgroup=evil, unit=evil)
    update = make_update([{"pid": 5}], [process])
    for column in (COLUMNS | SCREEN).values():
        for text in (column.texts(update)[0], str(column.json(update)[0])):
            assert not set(text) & set("\x1b\x07\u202e"), column.name
    assert COLUMNS["process"].texts(update)[0] == "\\e]0;pwn\\x07\\u202e/5"


def test_text_sorts_by_name_and_addresses_by_number(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    update = make_update(
        [
            {"pid": 3, "remote": ("10.0.0.10", 1)},
            {"pid": 1, "remote": ("10.0.0.9", 1)},
            {"pid": 2, "remote": ("2001:db8::1", 1)},
            {"remote": ("9.9.9.9", 0)},
        ],
        [make_process(1, "Zebra"), make_process(2, "apple"), make_process(3, "zebra")],
    )
    names = COLUMNS["process"].values(update)
    assert names[1] == names[0] > names[2]
    assert COLUMNS["process"].known(update).tolist() == [True, True, True, False]
    assert np.argsort(SCREEN["remote"].values(update)[:3]).tolist() == [1, 0, 2]
    assert SCREEN["remote"].known(update).tolist() == [True, True, True, False]


def test_known_agrees_with_json_everywhere(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    update = make_update(
        [
            {"known": 0, "remote": ("0.0.0.0", 0), "local": ("0.0.0.0", 0)},
            {"pid": 5, "age": (1, 2), "timer": Timer.ON, "rtt": 5},
            {"owner": Owner.LISTENER, "pid": 5, "state": State.LISTEN},
            {"pid": 6},
        ],
        [make_process(5, unit="a.service", cgroup="/a"), make_process(6, cmdline=())],
    )
    for column in (COLUMNS | SCREEN).values():
        known = [value is not None for value in column.json(update)]
        if column.kind != "endpoint":  # always a text on the screen
            assert known == column.known(update).tolist(), column.name


@pytest.mark.parametrize("width", [20, 40, 60, 65, 72, 79, 80, 99, 100, 119, 120, 160, 200, 300])
def test_a_layout_fills_the_line_and_never_exceeds_it(width: int) -> None:
    laid_out = layout(default_columns(width), width)
    total = sum(cells for _, cells in laid_out) + GAP * (len(laid_out) - 1)
    assert total <= width
    if 65 <= width <= 200:
        assert total == width
        assert [column.name for column, _ in laid_out] == [column.name for column in default_columns(width)]
        assert all(cells >= column.width for column, cells in laid_out)


def test_80_cells_have_what_is_needed_at_night() -> None:
    names = [column.name for column in default_columns(80)]
    assert names == ["state", "age", "recv_queue", "send_queue", "local", "remote", "process"]


def test_titles_and_fixed_words_fit_their_columns(make_update: MakeUpdate) -> None:
    states = [{"state": state, "protocol": protocol} for state in State for protocol in Protocol]
    timers = [{"timer": timer, "timer_ms": 3_599_000} for timer in Timer]
    update = make_update(states + timers)
    for column in (COLUMNS | SCREEN).values():
        assert fmt.cells(column.title) <= column.width
        if column.kind in ("state", "enum"):
            assert max(map(fmt.cells, column.texts(update))) <= column.width, column.name
