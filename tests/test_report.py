from __future__ import annotations

import csv
import dataclasses
import io
import json
from typing import Any, cast

import numpy as np
import pytest

from sockui import report
from sockui.ages import AGE, AgeSource
from sockui.model import (
    Coverage,
    Gap,
    Holders,
    Host,
    Known,
    Owner,
    Process,
    Protocol,
    Snapshot,
    State,
    Timer,
    empty_sockets,
)
from sockui.tracker import Life, Update
from sockui.view import format as fmt
from sockui.view import query
from sockui.view.columns import COLUMNS, SCREEN, require
from sockui.view.table_view import Sort, TableView, build

V4 = 0xFFFF << 32
NAMES = list(COLUMNS)


def update_of(names: list[str]) -> Update:
    """A leaking process, a TIME_WAIT of which little is known, an ended row, then one row for each more name."""
    count = 3 + len(names[1:])
    sockets = empty_sockets(count)
    sockets["cookie"] = np.arange(1, count + 1)
    sockets["protocol"], sockets["family"], sockets["state"] = Protocol.TCP, 4, State.CLOSE_WAIT
    sockets["known"] = int(~Known.MINI) & 0xFFFF
    sockets["local_low"], sockets["local_port"] = V4 | 0x0A000005, 8080
    sockets["remote_low"], sockets["remote_port"] = V4 | 0xC0A80107, 50_000
    sockets["pid"], sockets["fd"], sockets["holders"], sockets["inode"] = 4312, 17, 1, 225_749
    sockets["owner"], sockets["recv_queue"], sockets["rtt"], sockets["snd_cwnd"] = Owner.PROCESS, 1, 1500, 10
    sockets["bytes_sent"], sockets["bytes_received"] = 100, 201
    sockets["last_data_sent"], sockets["last_data_recv"], sockets["last_ack_recv"] = 43_000, 43_001, 42_000
    for name, value in (("pid", 0), ("fd", -1), ("holders", 0), ("inode", 0), ("owner", Owner.KERNEL)):
        sockets[name][1] = value
    sockets["known"][1] = int(Known.COOKIE | Known.TIMER | Known.MINI | Known.QUEUES)
    sockets["state"][1], sockets["timer"][1], sockets["timer_ms"][1] = State.TIME_WAIT, Timer.TIMEWAIT, 42_500
    sockets["pid"][3:] = np.arange(5000, 5000 + count - 3)
    ages = np.zeros(count, AGE)
    ages["min_ms"], ages["max_ms"], ages["source"] = 42_000, 43_001, AgeSource.LAST_ACK
    ages[1] = (17_500, -1, AgeSource.TIMER)
    life = np.zeros(count, np.uint8)
    life[2] = Life.ENDED
    pids = [4312, *range(5000, 5000 + count - 3)]
    processes = {
        pid: Process(pid, name, (name,), 1, 0, "root", 0.0, 0, None, None, None, "/app", name)
        for pid, name in zip(pids, names, strict=True)
    }
    snapshot = Snapshot(
        taken_at=1_700_000_000.25,
        monotonic=1e4,
        boottime=1e4,
        sockets=sockets,
        processes=processes,
        holders=Holders.none(),
        host=Host("web-1", "Linux 6.18"),
        coverage=Coverage(3, 1, 1, (Gap(1, "belong to other users"),), "sudo sockui", ("cookie",)),
        source="netlink",
    )
    return Update(snapshot, sockets, sockets["cookie"].copy(), ages, life, sockets["state"].astype(np.uint64), 0, 0)


def view_of(*names: str) -> TableView:
    return build(update_of(list(names) or ["java"]), query.EVERYTHING, Sort("cookie"), None)


def written(view: TableView, form: str, **options: Any) -> str:
    out = io.StringIO(newline="")
    report.write(view, form, out, **options)
    return out.getvalue()


LEAK: dict[str, Any] = {
    "protocol": "tcp",
    "family": "inet",
    "state": "CLOSE_WAIT",
    "local_address": "10.0.0.5",
    "local_port": 8080,
    "remote_address": "192.168.1.7",
    "remote_port": 50000,
    "pid": 4312,
    "process": "java",
    "fd": 17,
    "uid": 0,
    "user": "root",
    "inode": 225749,
    "cookie": 1,
    "cgroup": "/app",
    "unit": "java",
    "recv_queue": 1,
    "send_queue": 0,
    "state_age_min_seconds": 42.0,
    "state_age_max_seconds": 43.1,
    "state_age_source": "last_ack",
    "timer": "off",
    "timer_seconds": None,
    "retransmits": 0,
    "rtt_ms": 1.5,
    "cwnd": 10,
    "bytes_sent": 100,
    "bytes_received": 200,  # the kernel counts the FIN too
    "last_data_sent_ms": 43000,
    "last_data_received_ms": 43001,
    "last_ack_received_ms": 42000,
    "holders": [{"pid": 4312, "process": "java", "fd": 17}],
}
TIME_WAIT: dict[str, Any] = dict.fromkeys(LEAK) | {
    "protocol": "tcp",
    "family": "inet",
    "state": "TIME_WAIT",
    "local_address": "10.0.0.5",
    "local_port": 8080,
    "remote_address": "192.168.1.7",
    "remote_port": 50000,
    "cookie": 2,
    "recv_queue": 1,
    "send_queue": 0,
    "state_age_min_seconds": 17.5,
    "state_age_source": "timer",
    "timer": "timewait",
    "timer_seconds": 42.5,
    "retransmits": 0,
}


def test_json_is_the_envelope_and_the_sockets() -> None:
    text = written(view_of(), "json")
    assert json.loads(text) == {
        "taken_at": "2023-11-14T22:13:20.250Z",
        "host": "web-1",
        "netns": None,
        "source": "netlink",
        "coverage": {
            "sockets": 3,
            "attributed": 1,
            "kernel": 1,
            "not_attributed": [{"sockets": 1, "reason": "belong to other users"}],
            "fix": "sudo sockui",
            "missing_fields": ["cookie"],
        },
        "sockets": [LEAK, TIME_WAIT],
    }
    assert list(json.loads(text)["sockets"][0]) == NAMES
    assert text.endswith("}\n")


def test_ndjson_is_one_socket_a_line() -> None:
    lines = written(view_of(), "ndjson").splitlines()
    assert [json.loads(line) for line in lines] == [LEAK, TIME_WAIT]


def test_nothing_to_report_is_still_valid() -> None:
    view = build(update_of(["java"]), query.compile("pid = 1"), Sort("cookie"), None)
    assert json.loads(written(view, "json"))["sockets"] == []
    assert written(view, "ndjson") == ""
    assert written(view, "csv") == ",".join(NAMES) + "\r\n"
    assert len(written(view, "table").splitlines()) == 1
    assert len(written(view, "markdown").splitlines()) == 2


def test_csv_to_the_letter() -> None:
    assert written(view_of(), "csv") == (
        ",".join(NAMES)
        + "\r\ntcp,inet,CLOSE_WAIT,10.0.0.5,8080,192.168.1.7,50000,4312,java,17,0,root,225749,1,/app,java,1,0,42.0,"
        "43.1,last_ack,off,,0,1.5,10,100,200,43000,43001,42000,4312/17\r\n"
        "tcp,inet,TIME_WAIT,10.0.0.5,8080,192.168.1.7,50000,,,,,,,2,,,1,0,17.5,,timer,timewait,42.5,0,,,,,,,,\r\n"
    )


def test_the_table_at_80_cells() -> None:
    assert written(view_of(), "table", width=80) == (
        "State           Age Recv-Q Send-Q Local            Remote            Process\n"
        "CLOSE_WAIT  42s-44s      1      0 10.0.0.5:8080    192.168.1.7:50000 java/4312\n"
        "TIME_WAIT      ≥17s      1      0 10.0.0.5:8080    192.168.1.7:50000 kernel\n"
    )


@pytest.mark.parametrize("width", [40, 80, 100, 120, 160, 200])
def test_a_table_never_exceeds_the_terminal(width: int) -> None:
    view = view_of("a-very-long-name-of-a-process-" * 5, "进程" * 30)
    for line in written(view, "table", width=width).splitlines():
        assert fmt.cells(line) <= width


def test_a_table_for_a_pipe_cuts_no_usual_text_and_has_no_empty_cell() -> None:
    columns = [require(name) for name in ("process", "rtt", "remote", "command")]
    text = written(view_of("x" * 15, "long" * 99), "table", columns=columns)
    assert "x" * 15 + "/4312" in text
    assert "long" * 99 in text.splitlines()[-1]  # the last column is never cut
    assert text.splitlines()[2].split() == ["kernel", "-", "192.168.1.7:50000", "-"]


@pytest.mark.parametrize("width", [None, 100, 200])
def test_columns_stay_in_line_whatever_they_hold(width: int | None) -> None:
    view = view_of("lab-db", "a-name-" * 9, "进程" * 9, "\x1b" * 15)
    sockets = view.update.sockets
    sockets["owner"][3:], sockets["pid"][3] = Owner.LISTENER, 4_000_000
    sockets["remote_high"][4], sockets["remote_low"][4] = 0x20010DB8_00010002, 0x0003000400050006
    columns = [require(name) for name in ("local", "remote", "process", "age", "user", "unit")]
    text = written(view, "table", columns=columns, width=width)
    header, *lines = text.splitlines()
    if width is None:
        assert "[2001:db8:1:2:3:4:5:6]:50000" in text
        assert "lab-db/4312" in text
    starts = [header.index(title) for title in ("Remote", "Process", "User", "Unit") if title in header]
    assert len(starts) >= 2
    for line in lines:
        placed = "".join(character + "\0" * (fmt.cells(character) - 1) for character in line).ljust(300)  # by cells
        for start in starts:
            assert placed[start - 1] == " ", (line, start)
            assert placed[start] != " " or (width and not placed[start:].split("  ")[0]), (line, start)


def test_a_long_name_that_is_not_accepted_keeps_its_column_without_a_terminal() -> None:
    view = view_of("fifteen-letters")
    view.update.sockets["owner"][0], view.update.sockets["pid"][0] = Owner.LISTENER, 4_194_304
    process = view.update.snapshot.processes[4312]
    cast("dict[int, Process]", view.update.snapshot.processes)[4_194_304] = process
    line = written(view, "table").splitlines()[1]
    assert "fifteen-letters/4194304 (not accepted) " in line


def test_the_envelope_names_the_network_namespace() -> None:
    snapshot = update_of(["java"]).snapshot
    inside = dataclasses.replace(snapshot, host=dataclasses.replace(snapshot.host, namespace="blue\x1b"))
    assert report.envelope(inside)["netns"] == "blue\\e"


def test_markdown_to_the_letter() -> None:
    columns = [require(name) for name in ("state", "age", "remote", "process", "recvq")]
    assert written(view_of("a|b`<@here>*[x](y)"), "markdown", columns=columns) == (
        "| State | Age | Remote | Process | Recv-Q |\n"
        "| --- | ---: | --- | --- | ---: |\n"
        "| CLOSE_WAIT | 42s-44s | `192.168.1.7:50000` | `a\\x7cb\\x60<@here>*[x](y)/4312` | 1 |\n"
        "| TIME_WAIT | ≥17s | `192.168.1.7:50000` | `kernel` | 1 |\n"
    )


HOSTILE = [
    "=1+cmd|' /C calc'!A0",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    'a"b,c\nd',
    "\x1b]52;c;cHduZWQ=\x07",
    "\u202eexe.txt",
    "`|`|\\|<script>",
    "[/x] [bold]",
    b"\xff\xfe".decode(errors="surrogateescape"),
    "진행\u200b",
]


EXTRA_LINES = {"table": 1, "json": 23, "ndjson": 0, "csv": 1, "markdown": 2}


@pytest.mark.parametrize("form", report.FORMATS)
def test_hostile_names_stay_text(form: str) -> None:
    text = written(view_of(*HOSTILE), form, columns=[*COLUMNS.values(), *SCREEN.values()])
    end = "\r\n" if form == "csv" else "\n"
    assert text.endswith(end)
    lines = text.removesuffix(end).split(end)
    assert len(lines) == EXTRA_LINES[form] + 1 + len(HOSTILE)
    assert not set("".join(lines)) & set("\x1b\x07\u202e\u200b\r\n\t\udcff")
    text.encode("utf-8")


def test_spreadsheets_run_nothing() -> None:
    rows = list(csv.DictReader(io.StringIO(written(view_of(*HOSTILE), "csv"), newline="")))
    assert len(rows) == len(HOSTILE) + 1
    for row in rows:
        for cell in row.values():
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert [row["process"] for row in rows if row["process"]][:5] == [
        "'=1+cmd|' /C calc'!A0",
        "'+1",
        "'-1",
        "'@SUM(A1)",
        "\\t=1",
    ]


def test_no_markdown_cell_ends_its_span_or_its_row() -> None:
    lines = written(view_of(*HOSTILE), "markdown").splitlines()
    assert len({line.count("|") for line in lines}) == 1
    for line in lines[2:]:
        for cell in line.strip("|").split("|"):
            assert cell.count("`") in (0, 2)


def test_chosen_columns_in_their_order() -> None:
    columns = [require(name) for name in ("pid", "state")]
    assert written(view_of(), "csv", columns=columns) == "pid,state\r\n4312,CLOSE_WAIT\r\n,TIME_WAIT\r\n"
    assert written(view_of(), "ndjson", columns=columns).splitlines()[0] == '{"pid": 4312, "state": "CLOSE_WAIT"}'


class Pieces(io.StringIO):
    """Remembers how much was written at once."""

    largest = 0

    def write(self, text: str) -> int:
        self.largest = max(self.largest, len(text))
        return super().write(text)


@pytest.mark.parametrize("form", report.FORMATS)
def test_many_rows_are_written_in_pieces(form: str) -> None:
    out = Pieces()
    report.write(view_of(*["java"] * 10_000), form, out)
    assert out.getvalue().count("CLOSE_WAIT") == 10_000
    assert out.largest < len(out.getvalue()) / 3


class Closed(io.StringIO):
    """A pipe whose reader has gone after the first write."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        if self.writes > 1:
            raise BrokenPipeError
        return len(text)


@pytest.mark.parametrize("form", report.FORMATS)
def test_a_closed_pipe_reaches_the_caller_as_it_is(form: str) -> None:
    out = Closed()
    with pytest.raises(BrokenPipeError):
        report.write(view_of(*["java"] * 10_000), form, out)
    assert out.writes == 2


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="xml"):
        written(view_of(), "xml")


def test_a_text_without_time_and_host_has_null() -> None:
    snapshot = view_of().update.snapshot
    told = report.envelope(dataclasses.replace(snapshot, taken_at=0.0, host=Host("", ""), source="text"))
    assert (told["taken_at"], told["host"], told["netns"], told["source"]) == (None, None, None, "text")
