"""Several texts are moments of one host: what the time between them is, and what ages then may claim."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sockui.ages import AgeSource, bounds
from sockui.collector.text import TextCollector, read_text
from sockui.collector.text.collector import UNKNOWN_TIME, hosts
from sockui.errors import CollectError, TextError
from sockui.model import Snapshot, State
from sockui.tracker import Tracker, Update

CLOSE_WAIT = "CLOSE-WAIT 1 0 10.0.0.1:1 10.0.0.2:2\n"
ESTABLISHED = "ESTAB 0 0 10.0.0.1:1 10.0.0.2:2\n"


def moments(directory: Path, *texts: tuple[str, int]) -> TextCollector:
    paths = []
    for number, (text, written) in enumerate(texts):
        path = directory / f"{number}.txt"
        path.write_text(text)
        os.utime(path, (written, written))
        paths.append(str(path))
    return TextCollector(paths, "web-1")


def last(collector: TextCollector) -> Update:
    tracker = Tracker()
    updates = [tracker.update(collector.collect()) for _ in range(len(collector))]
    return updates[-1]


def test_the_time_between_is_that_of_the_files(tmp_path: Path) -> None:
    collector = moments(tmp_path, (CLOSE_WAIT, 1000), (CLOSE_WAIT, 1060))
    update = last(collector)
    assert update.ages["min_ms"].tolist() == [60_000]
    assert update.ages["max_ms"].tolist() == [-1]
    assert update.snapshot.taken_at == 1060
    assert update.snapshot.host.name == "web-1"
    assert any("last written" in note for note in update.snapshot.notes)
    assert [told.form for told in collector.read] == ["Linux ss -tan"] * 2


def test_what_the_texts_say_goes_before_the_times_of_the_files(tmp_path: Path) -> None:
    early, late = "2025-11-21T03:00:00Z\n", "2025-11-21T03:00:20Z\n"
    update = last(moments(tmp_path, (early + ESTABLISHED, 1060), (late + CLOSE_WAIT, 1000)))
    assert update.ages[["min_ms", "source"]].tolist() == [(0, AgeSource.OBSERVED)]
    assert 20_000 <= update.ages["max_ms"][0] <= 22_000, "it changed in between, or while the first was made"


@pytest.mark.parametrize("times", [(1000, 1000), (1060, 1000)])
def test_an_unknown_time_between_claims_nothing(tmp_path: Path, times: tuple[int, int]) -> None:
    same = last(moments(tmp_path, (CLOSE_WAIT, times[0]), (CLOSE_WAIT, times[1])))
    assert same.ages["min_ms"].tolist() == [0]
    changed = last(moments(tmp_path, (ESTABLISHED, times[0]), (CLOSE_WAIT, times[1])))
    assert changed.ages["min_ms"].tolist() == [0]
    assert changed.ages["max_ms"][0] >= UNKNOWN_TIME * 1000


def test_after_the_last_text_there_is_none(tmp_path: Path) -> None:
    collector = moments(tmp_path, (CLOSE_WAIT, 1000))
    collector.collect()
    with pytest.raises(CollectError, match="no further"):
        collector.collect()


@pytest.mark.parametrize("path", ["/nonexistent/x", "/", "a\0b"])
def test_a_file_that_cannot_be_read(path: str) -> None:
    with pytest.raises(TextError, match="cannot be read"):
        TextCollector([path]).collect()


def test_hosts_and_files(tmp_path: Path) -> None:
    odd = tmp_path / "a=b.txt"
    odd.touch()
    assert hosts(["x.txt", "web=1.txt", "web=2.txt", "db=3.txt", str(odd), "-"]) == {
        "": ["x.txt", str(odd), "-"],
        "web": ["1.txt", "2.txt"],
        "db": ["3.txt"],
    }


def ages_of(line: str) -> tuple[Snapshot, list[tuple[int, int, int]]]:
    snapshot = read_text(line.encode()).snapshot
    ages = bounds(snapshot.sockets, snapshot.host, snapshot.monotonic, snapshot.dump_seconds)
    return snapshot, ages.tolist()


def test_a_timer_in_whole_seconds_gives_bounds_that_hold_for_all_of_that_second() -> None:
    _, ((least, most, source),) = ages_of("TIME-WAIT 0 0 10.0.0.1:1 10.0.0.2:2 timer:(timewait,40sec,0)")
    assert source == AgeSource.TIMER
    assert least <= 60_000 - 40_999
    assert most >= 60_000 - 40_000
    assert least > 18_000


def test_the_uptime_is_not_known_so_counters_bound_from_below_only() -> None:
    line = f"{CLOSE_WAIT.strip()} ino:5 sk:6 --> cubic rto:204 cwnd:10 lastsnd:9000 lastrcv:9000 lastack:8000"
    _, ((least, most, _),) = ages_of(line)
    assert (least, most) == (7990, -1)


def test_in_syn_sent_nothing_is_claimed_without_the_timer() -> None:
    line = "SYN-SENT 0 1 10.0.0.1:1 10.0.0.2:2 cubic rto:64000 backoff:6 cwnd:1 unacked:1"
    snapshot, ((least, most, _),) = ages_of(line)
    assert (least, most) == (0, -1)
    assert snapshot.sockets["state"][0] == State.SYN_SENT


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("2025-11-21T03:12:45Z", 1763694765.0),
        ("2025-11-21 04:12:45.500+01:00", 1763694765.5),
        ("[2025-11-21 03:12:45 UTC]", 1763694765.0),
        ("Fri Nov 21 03:12:45 UTC 2025", 1763694765.0),
        ("Fri 21 Nov 2025 03:12:45 AM UTC", 1763694765.0),
        ("Fri Nov 31 03:12:45 UTC 2025", None),
        ("0000-00-00T00:00:00Z", None),
    ],
)
def test_times_in_the_text(line: str, seconds: float | None) -> None:
    assert read_text(f"{line}\n{CLOSE_WAIT}".encode()).taken_at == seconds


def test_a_time_before_every_line() -> None:
    told = read_text(f"2025-11-21T03:12:45Z {ESTABLISHED}2025-11-21T03:12:46Z {CLOSE_WAIT}".encode())
    assert (told.taken_at, told.not_understood) == (1763694766.0, 0)
