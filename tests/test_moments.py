"""Texts as moments: what is not listed any more has ended, no process here is looked at, and in the end rest."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from sockui.cli import main
from sockui.collector.text import TextCollector, read_text
from sockui.config import Config
from sockui.diagnosis.engine import Diagnosis
from sockui.diagnosis.finding import Findings, Severity
from sockui.errors import TextError
from sockui.model import Snapshot
from sockui.moments import Replay, ReplayPoller, judge, last
from sockui.poller import Poll
from sockui.tracker import Life, Tracker, Update
from sockui.view.findings import say

KEPT = "CLOSE-WAIT 1 0 10.0.0.1:1 10.0.0.2:2\n"
GONE = (
    "CLOSE-WAIT 1 0 10.0.0.1:3 10.0.0.2:2 ino:5 sk:6 --> cubic rto:204 cwnd:10 lastsnd:9000 lastrcv:9000 lastack:8000\n"
)


def moments(*texts: str, seconds: float = 60.0) -> list[Snapshot]:
    read = [read_text(text.encode()).snapshot for text in texts]
    return [
        dataclasses.replace(each, monotonic=each.monotonic + at * seconds, boottime=each.boottime + at * seconds)
        for at, each in enumerate(read)
    ]


def tracked(*texts: str) -> list[Update]:
    tracker = Tracker()
    return [tracker.update(each) for each in moments(*texts)]


def test_what_is_not_listed_any_more_has_ended_with_its_age_as_last_seen() -> None:
    first, second = tracked(KEPT + GONE, KEPT)
    assert second.life.tolist() == [Life.PRESENT, Life.ENDED]
    assert second.closed == 1
    assert first.ages["min_ms"].tolist() == [0, 7990]
    assert second.ages["min_ms"].tolist() == [60_000, 7990]


def test_it_may_come_back_and_nothing_bounds_its_age_above() -> None:
    *_, third = tracked(KEPT + GONE, KEPT, KEPT + GONE)
    assert third.life.tolist()[1] != Life.ENDED
    assert (third.ages["max_ms"] == -1).all()


def test_lines_that_are_equal_are_as_many_sockets_in_the_next_text_too() -> None:
    heading = "Proto Recv-Q Send-Q Local Address Foreign Address State\n"
    shared = "udp 0 0 0.0.0.0:5353 0.0.0.0:*\n" * 3
    ends = [f"tcp 0 0 10.0.0.1:{port} 10.0.0.2:2 ESTABLISHED\n" for port in (1, 3)]
    *_, second = tracked(*(heading + shared + each for each in ends))
    assert (second.opened, second.closed) == (1, 1)
    ended = second.sockets["local_port"][second.life == Life.ENDED]
    assert ended.tolist() == [1]


def test_a_connection_that_its_process_let_go_goes_on() -> None:
    heading = "Proto Recv-Q Send-Q Local Address Foreign Address State PID/Program name\n"
    states = ("ESTABLISHED 7/java", "TIME_WAIT -")
    *_, second = tracked(*(f"{heading}tcp 0 0 10.0.0.1:1 10.0.0.2:2 {each}\n" for each in states))
    assert (second.life.tolist(), second.opened, second.closed) == ([Life.PRESENT], 0, 0)
    assert 60_000 <= second.ages["max_ms"][0] <= 62_000, "it changed between the two"


def leak(pid: int) -> str:
    return "".join(
        f'CLOSE-WAIT 0 0 10.0.0.1:80 10.0.0.2:{port} users:(("java",pid={pid},fd={port}))\n' for port in range(20, 40)
    )


def found_by(diagnosis: Diagnosis) -> Findings:
    text = "LISTEN 0 128 10.0.0.1:80 0.0.0.0:*\n" + leak(os.getpid())
    return last(map(diagnosis.update, tracked(text, text)))


def test_no_process_of_this_host_is_looked_at() -> None:
    (finding,) = found_by(judge(Config())).items
    assert (finding.rule, finding.pid, finding.threads) == ("R02", os.getpid(), None)
    (looked,) = found_by(Diagnosis()).items
    assert looked.threads is not None, "which a look would have found"


def test_polling_gets_to_the_last_moment_and_rests_whoever_asks() -> None:
    polls: list[Poll] = []
    poller = ReplayPoller(Replay(moments(KEPT, KEPT + GONE)), Config(), polls.append)
    rests = [poller.paused]
    for _ in range(2):
        poller.tick()
        rests.append(poller.paused)
    poller.paused = False
    assert [*rests, poller.paused] == [False, False, True, True]
    assert [len(poll.update.sockets) for poll in polls if poll.update] == [1, 2]


def test_after_the_last_moment_there_is_none() -> None:
    replay = Replay(moments(KEPT))
    replay.collect()
    with pytest.raises(TextError):
        replay.collect()


def test_moments_of_an_unknown_time_between_can_be_judged(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_text(leak(812))
        os.utime(tmp_path / name, (1000, 1000))
    collector = TextCollector([str(tmp_path / name) for name in "abc"])
    tracker, diagnosis = Tracker(), judge(Config())
    found = last(diagnosis.update(tracker.update(collector.collect())) for _ in range(len(collector)))
    assert (found.polls, [item.severity for item in found.items]) == (3, [Severity.INFO])
    assert round(found.watched) == 0


def netstat(state: str, ports: range, program: str = "4312/java") -> str:
    head = "Proto Recv-Q Send-Q Local Address  Foreign Address  State  PID/Program name\n"
    return head + "".join(f"tcp 0 0 10.0.0.5:8080 10.0.0.9:{port} {state} {program}\n" for port in ports)


def test_a_netstat_that_does_not_tell_since_when_is_a_finding_that_says_so() -> None:
    (found,) = (judge(Config()).update(each) for each in tracked(netstat("CLOSE_WAIT", range(1, 401))))
    (leak_,) = found.items
    assert (leak_.rule, leak_.severity, leak_.count) == ("R02", Severity.INFO, 400)
    said = say(found, leak_)
    assert said.age == ""
    assert "take a second text" in said.summary
    assert "a descriptor leak" not in said.summary


def test_the_second_netstat_dates_what_is_in_both() -> None:
    diagnosis = judge(Config())
    first, second = tracked(netstat("CLOSE_WAIT", range(1, 401)), netstat("CLOSE_WAIT", range(1, 421)))
    diagnosis.update(first)
    (leak_,) = diagnosis.update(second).items
    assert (leak_.severity, leak_.count) == (Severity.WARNING, 400)  # the 20 new ones are not counted as old
    assert leak_.newest_ms == 60_000


def test_a_fin_wait2_of_which_nobody_knows_whether_it_is_held_is_for_information() -> None:
    texts = tracked(*[netstat("FIN_WAIT2", range(1, 4), "-")] * 2)
    diagnosis = judge(Config())
    for update in texts:
        (waits,) = diagnosis.update(update).items
        assert (waits.rule, waits.severity) == ("R05", Severity.INFO)


def test_a_close_wait_that_ss_dates_as_young_is_no_finding() -> None:
    times = "lastsnd:900 lastrcv:900 lastack:900"
    (update,) = tracked(f"CLOSE-WAIT 0 0 10.0.0.1:3 10.0.0.2:2 ino:5 sk:6 --> cubic rto:204 cwnd:10 {times}\n")
    assert not judge(Config()).update(update).items


def test_what_another_system_does_is_not_told_of_linux(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = tmp_path / "hpux.txt"
    text.write_text(
        "Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)\n"
        "tcp        0      0  10.116.50.30.53081     10.116.50.34.1521      FIN_WAIT_2\n"
        "tcp        0      0  10.116.50.30.53082     10.116.50.34.1521      CLOSE_WAIT\n"
    )
    assert main(["diagnose", "--from", str(text), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)["findings"]
    assert {each["id"] for each in found} == {"R02", "R05"}
    assert not [step for each in found for step in each["remedy"] if step["command"]]
    assert main(["diagnose", "--from", str(text)]) == 0
    out = capsys.readouterr().out
    assert "Commands are left out" in out
    assert "unreadable" not in out
