"""Findings as text, JSON and Markdown: which are shown, in which form, and what is said when there is none."""

from __future__ import annotations

import dataclasses
import io
import json
from typing import Any

import numpy as np
import pytest

from sockui import findings_report
from sockui.diagnosis.finding import Finding, Findings, Severity
from sockui.diagnosis.trend import Forecast, Trend
from sockui.model import Host, State
from sockui.view import query
from sockui.view.columns import COLUMNS
from sockui.view.findings import Cause, Said
from sockui.view.step import Step
from tests.diagnosis.conftest import MINI, SETTINGS, Ward, aged, process

LISTEN: dict[str, Any] = {"state": State.LISTEN, "remote": "0.0.0.0", "remote_port": 0, "send_queue": 128}
OUT: dict[str, Any] = {"pid": 812, "local_port": 50_000, "remote_port": 5432, "remote": "10.0.0.9"}
LINTED = SETTINGS | {"net.ipv4.tcp_abort_on_overflow": "1"}
KEYS = (
    "id key severity title summary process pid count oldest_seconds newest_seconds trend_per_minute forecast evidence "
    "causes remedy do_not explains sockets"
)
COMMAND = "ss -tanpe state close-wait '( sport = :8080 )' | grep --line-buffered -w pid=4312 | sort -k5 | uniq -c"


def said(findings: Findings, item: Finding) -> Said:
    """Words of which only the form matters here."""
    return Said(
        id=item.rule,
        severity=item.severity.name.lower(),
        title="CLOSE_WAIT: EOF read, not closed",
        summary="java 4312 holds sockets whose peer has closed. " * 3 + "It has read the EOF and does not close them.",
        process="java 4312",
        where=":8080",
        age="5 min to 9 min",
        trend="+12/min for 9 min",
        forecast="out of file descriptors (812 of 1,024) in about 14 min",
        evidence=(("Sockets", "812"), ("Oldest", "9 min")),
        turn="Our application: it must close().",
        ends="Nothing but close().",
        causes=(Cause("A missing close().", "Look at the error path.", True),),
        steps=(
            Step("look", "See which sockets they are.", COMMAND, "reads"),
            Step("look", "Ask the owner.", None, ""),
            Step("mitigate with loss", "Restart it.", "systemctl restart java", "drops connections, needs root"),
            Step("fix in code", "Close in finally.", None, ""),
        ),
        do_not=(("tcp_fin_timeout", "It is not about CLOSE_WAIT."), ("SO_LINGER 0", "It resets.")),
        filter="pid = 4312",
    )


@pytest.fixture(autouse=True)
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings_report, "say", said)
    monkeypatch.setattr(findings_report, "markdown", lambda _, item, *, host, moment: f"{item.key} on {host} {moment}")


@pytest.fixture
def found() -> Findings:
    """A leak of java's, one of nginx's at the other end of which is a database, and a setting of the host."""
    ward = Ward(settings=LINTED)
    rows = [LISTEN, *(aged(State.CLOSE_WAIT, 300 + n, recv_queue=0) for n in range(30))]
    rows += [aged(State.CLOSE_WAIT, 60, recv_queue=0, **OUT)]
    ward.poll(*rows)
    return ward.poll(*rows)


def written(selection: findings_report.Selection, form: str, width: int | None = None) -> str:
    out = io.StringIO()
    findings_report.write(selection, form, out, width)
    return out.getvalue()


def with_fields(item: Any, **fields: Any) -> Any:
    return dataclasses.replace(item, **fields)


def keys(found: Findings, filter_text: str) -> list[str]:
    return [item.key for item in findings_report.select(found, query.compile(filter_text)).items]


class TestSelection:
    """Which findings a filter shows."""

    def test_without_a_filter_all_the_worst_first(self, found: Findings) -> None:
        assert keys(found, "") == [item.key for item in found.items]
        assert [item.rule for item in found.items] == ["R02", "R02", "X5"]

    def test_one_matching_socket_is_enough_and_the_whole_host_has_none(self, found: Findings) -> None:
        assert keys(found, "pid = 812") == ["R02/812/" + found.items[1].key.removeprefix("R02/812/")]
        assert keys(found, "sport = :8080 and cookie = 31") == ["R02/4312/:8080"]
        assert keys(found, "state listen") == []
        assert keys(found, "pid > 0") == [item.key for item in found.items[:2]]

    def test_the_worst_is_of_what_is_shown(self, found: Findings) -> None:
        assert findings_report.select(found).worst == Severity.WARNING
        assert findings_report.select(found, query.compile("state listen")).worst is None

    def test_sockets_that_ended_match_nothing(self) -> None:
        ward = Ward()
        for rows in ([LISTEN, aged(State.CLOSE_WAIT, 60, pid=812)], [LISTEN], [LISTEN]):
            last = ward.poll(*rows)
        assert len(last.update.sockets) == 2
        assert not findings_report.select(last, query.compile("pid = 812")).sockets.any()


class TestJson:
    """The contract of scripts."""

    def test_the_keys_of_a_finding_and_of_the_report(self, found: Findings) -> None:
        told = json.loads(written(findings_report.select(found), "json"))
        assert list(told) == [
            "taken_at",
            "host",
            "netns",
            "source",
            "coverage",
            "watched_seconds",
            "polls",
            "left_out",
            "findings",
        ]
        assert (told["watched_seconds"], told["polls"], len(told["findings"])) == (2.0, 2, 3)
        for each in told["findings"]:
            assert list(each) == KEYS.split()

    def test_a_leak_to_the_letter(self, found: Findings) -> None:
        leak = json.loads(written(findings_report.select(found), "json"))["findings"][0]
        sockets = leak.pop("sockets")
        summary = leak.pop("summary")
        assert summary.startswith("java 4312 holds")
        assert leak == {
            "id": "R02",
            "key": "R02/4312/:8080",
            "severity": "warning",
            "title": "CLOSE_WAIT: EOF read, not closed",
            "process": "java",
            "pid": 4312,
            "count": 30,
            "oldest_seconds": 330.9,
            "newest_seconds": 301.9,
            "trend_per_minute": None,
            "forecast": None,
            "evidence": [{"name": "Sockets", "value": "812"}, {"name": "Oldest", "value": "9 min"}],
            "causes": [{"text": "A missing close().", "tell": "Look at the error path.", "likely": True}],
            "remedy": [
                {"step": "See which sockets they are.", "command": COMMAND, "effect": "reads"},
                {"step": "Ask the owner.", "command": None, "effect": None},
                {"step": "Restart it.", "command": "systemctl restart java", "effect": "drops connections, needs root"},
                {"step": "Close in finally.", "command": None, "effect": None},
            ],
            "do_not": [
                {"what": "tcp_fin_timeout", "why": "It is not about CLOSE_WAIT."},
                {"what": "SO_LINGER 0", "why": "It resets."},
            ],
            "explains": {},
        }
        assert [row["cookie"] for row in sockets] == list(range(31, 11, -1)), "the oldest twenty"
        assert list(sockets[0]) == list(COLUMNS)

    def test_what_is_not_known_is_null(self, found: Findings) -> None:
        setting = json.loads(written(findings_report.select(found), "json"))["findings"][2]
        unknown = ("process", "pid", "oldest_seconds", "newest_seconds", "trend_per_minute", "forecast")
        assert [setting[name] for name in unknown] == [None] * len(unknown)
        assert setting["sockets"] == []

    def test_a_process_that_is_gone_from_sight_has_no_name(self, found: Findings) -> None:
        processes = found.update.snapshot.processes
        assert isinstance(processes, dict)
        del processes[4312]
        leak = json.loads(written(findings_report.select(found), "json"))["findings"][0]
        assert (leak["process"], leak["pid"]) == (None, 4312)

    def test_a_hostile_name_is_harmless(self) -> None:
        ward = Ward(processes=[process(4312, "a\x1b]0;x\x07\n`<@here>")])
        text = written(findings_report.select(ward.poll(LISTEN, aged(State.CLOSE_WAIT, 60, recv_queue=0))), "json")
        assert "\\\\e]0;x\\\\x07\\\\n" in text
        assert "\x1b" not in text

    @pytest.mark.parametrize(
        ("slope", "per_minute"),
        [
            (Trend(12.3456, 10.0, 14.0, 60.0, 6, 10, 22), 12.35),
            (Trend(-3.0, -4.0, -2.0, 60.0, 6, 10, 7), -3.0),
            (Trend(0.0, -1.0, 1.0, 60.0, 6, 10, 10), 0.0),
            (Trend(5.0, -1.0, 11.0, 60.0, 6, 10, 15), None),  # it may as well fall
            (None, None),
        ],
    )
    def test_only_a_certain_slope_is_a_number(self, found: Findings, slope: Trend | None, per_minute: float) -> None:
        assert findings_report._per_minute(with_fields(found.items[0], trend=slope)) == per_minute

    def test_a_forecast_says_what_runs_out_and_when(self, found: Findings) -> None:
        leak = with_fields(found.items[0], forecast=Forecast(812.0, 1024.0, 840.4, 700.2, None))
        filled = with_fields(leak.draft, filled=("descriptors", 812.0, 1024.0))
        assert findings_report._forecast(with_fields(leak, draft=filled)) == {
            "what": "descriptors",
            "used": 812,
            "limit": 1024,
            "seconds": 840,
            "low_seconds": 700,
            "high_seconds": None,
        }


class TestText:
    """What a person reads."""

    def test_a_finding_to_the_letter(self, found: Findings) -> None:
        text = written(findings_report.select(found, query.compile("sport = :8080 and state close-wait")), "text")
        assert text == (
            "WARNING R02: CLOSE_WAIT: EOF read, not closed\n"
            "  java 4312, :8080, 5 min to 9 min\n"
            "  java 4312 holds sockets whose peer has closed. java 4312 holds sockets whose peer has closed. java\n"
            "  4312 holds sockets whose peer has closed. It has read the EOF and does not close them.\n"
            "    Sockets  812\n"
            "    Oldest   9 min\n"
            "  Trend: +12/min for 9 min\n"
            "  Forecast: out of file descriptors (812 of 1,024) in about 14 min\n"
            "  1. See which sockets they are. (reads)\n"
            f"     {COMMAND}\n"
            "  2. Restart it. (drops connections, needs root)\n"
            "     systemctl restart java\n"
            "  3. Close in finally.\n"
            "  Not: tcp_fin_timeout; SO_LINGER 0\n"
            "\n"
            "32 sockets of 2 known processes, 2 looks in 2 s, through netlink on web1, 2023-11-15 01:00:04 UTC.\n"
            "30 of them match the filter. 2 other findings without a socket that matches.\n"
        )

    @pytest.mark.parametrize("width", [40, 60, 80, 200])
    def test_lines_fit_the_terminal_but_commands_stay_whole(self, width: int, found: Findings) -> None:
        lines = written(findings_report.select(found), "text", width).splitlines()
        assert f"     {COMMAND}" in lines
        assert max(len(line) for line in lines if COMMAND not in line) <= width

    def test_no_findings_are_said_with_what_was_looked_at(self) -> None:
        ward = Ward()
        ward.poll(LISTEN)
        quiet = findings_report.select(ward.poll(LISTEN, seconds=10))
        assert written(quiet, "text") == (
            "No findings.\n"
            "1 socket of 1 known process, 2 looks in 10 s, through netlink on web1, 2023-11-15 01:00:12 UTC.\n"
        )

    def test_a_short_look_says_what_it_cannot_have_seen(self) -> None:
        ward = Ward()
        once = written(findings_report.select(ward.poll(LISTEN)), "text")
        assert "It was one look only" in once
        twice = written(findings_report.select(ward.poll(LISTEN)), "text")
        assert "may take longer to be seen: --for 10s" in twice

    @pytest.mark.parametrize(("number", "normal"), [(28_000, True), (10_000, False)])
    def test_many_time_wait_are_called_normal(self, number: int, normal: bool) -> None:
        rows = [{"state": State.TIME_WAIT, "known": MINI}] * number
        text = " ".join(written(findings_report.select(Ward().poll(LISTEN, *rows)), "text").split())
        expected = "28,000 sockets in TIME_WAIT are normal: about 466 connections a second that this host closed first"
        assert (expected in text) == normal

    def test_what_psutil_cannot_show_is_said(self, found: Findings) -> None:
        update = with_fields(found.update, snapshot=with_fields(found.update.snapshot, source="psutil"))
        quiet = findings_report.Selection(
            with_fields(found, update=update, items=()), query.EVERYTHING, (), np.ones(32, np.bool_)
        )
        assert "cannot be seen through this source" in written(quiet, "text")

    def test_a_text_is_of_another_host_and_perhaps_of_no_known_time(self, found: Findings) -> None:
        snapshot = with_fields(found.update.snapshot, source="text", taken_at=0.0, host=Host("", "Linux"))
        pasted = with_fields(found, update=with_fields(found.update, snapshot=snapshot))
        said = " ".join(written(findings_report.select(pasted), "text").split())
        assert "32 sockets of 2 known processes, in 2 texts over 2 s of unknown host, an unknown time." in said
        assert said.endswith("The commands are for that host: its processes and sockets are not those of this one.")
        assert written(findings_report.select(pasted), "markdown").startswith(
            "**3 findings** on `unknown host`, an unknown time\n\nR02/4312/:8080 on unknown host an unknown time"
        )
        nothing = findings_report.Selection(with_fields(pasted, items=()), query.EVERYTHING, (), np.ones(32, np.bool_))
        said = written(nothing, "text")
        assert "cannot be seen in a text" in said
        assert "The commands" not in said
        assert "--for" not in said


class TestMarkdown:
    """What goes into an incident channel."""

    def test_a_heading_then_each_finding(self, found: Findings) -> None:
        text = written(findings_report.select(found), "markdown")
        head, *parts = text.rstrip("\n").split("\n\n")
        assert head == "**3 findings** on `web1`, 2023-11-15 01:00:04 UTC"
        assert parts[:-1] == [f"{item.key} on web1 2023-11-15 01:00:04 UTC" for item in found.items]
        assert parts[-1].startswith("32 sockets of 2 known processes, 2 looks in 2 s, through netlink on `web1`, ")

    def test_none(self) -> None:
        text = written(findings_report.select(Ward().poll(LISTEN)), "markdown")
        assert text.startswith("**No findings** on `web1`")


def test_an_unknown_format_is_refused(found: Findings) -> None:
    with pytest.raises(ValueError, match="csv"):
        written(findings_report.select(found), "csv")


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_only_so_many_are_printed_and_the_rest_is_counted(found: Findings, form: str) -> None:
    many = with_fields(found, items=found.items[:1] * (findings_report.SHOWN + 7))
    said = written(findings_report.select(many), form)
    assert said.count("R02/4312/:8080") == findings_report.SHOWN or said.count("R02:") == findings_report.SHOWN
    assert "7 more findings: a filter shows them" in " ".join(said.split())
    assert len(json.loads(written(findings_report.select(many), "json"))["findings"]) == findings_report.SHOWN + 7
