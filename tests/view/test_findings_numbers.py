"""Ages, trends, forecasts, threads and endpoints of findings as texts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sockui.diagnosis.finding import Endpoint
from sockui.diagnosis.stalls import waited
from sockui.diagnosis.trend import Forecast, Trend
from sockui.model import Call, Threads
from sockui.view.finding_evidence import threads_text
from sockui.view.finding_facts import FindingFacts, amount, forecast_text, trend_text, where
from tests.view.finding_scenes import BUSY, STOPPED, UNSEEN, scene


def of_ages(*bounds: tuple[int, int]) -> FindingFacts:
    found, item = scene("read")
    rows = np.arange(len(bounds))
    draft = dataclasses.replace(
        item.draft,
        rows=rows,
        waits=waited(np.array([low for low, _ in bounds]), np.array([high for _, high in bounds])),
    )
    return FindingFacts(found, dataclasses.replace(item, draft=draft, rows=rows))


@pytest.mark.parametrize(
    ("bounds", "age", "since"),
    [
        ([(60_000, 60_000)], "1 min", " for 1 min"),
        ([(60_000, -1)], "≥ 1 min", " for at least 1 min"),
        ([(0, 9_000)], "≤ 9 s", " for at most 9 s"),
        ([(0, -1)], "", ""),
        ([(60_000, 60_000), (600_000, 600_000)], "1 min to 10 min", " for 1 min to 10 min"),
        ([(60_000, -1), (600_000, -1)], "newest ≥ 1 min, oldest ≥ 10 min", ", the oldest for at least 10 min"),
        ([(60_000, 60_000), (600_000, -1)], "newest 1 min, oldest ≥ 10 min", ", the oldest for at least 10 min"),
        ([(0, -1), (600_000, -1)], "oldest ≥ 10 min", ", the oldest for at least 10 min"),
        ([(60_000, 60_000), (60_000, 60_000)], "1 min", " for 1 min"),
        ([(2_000, 9_000), (60_000, 120_000)], "newest 2 s to 9 s, oldest 1 min to 2 min",
         ", the oldest for 1 min to 2 min"),
    ],
)  # fmt: skip
def test_ages_keep_their_relation(bounds: list[tuple[int, int]], age: str, since: str) -> None:
    facts = of_ages(*bounds)
    assert (facts.age, facts.since) == (age, since)


def test_the_oldest_is_bounded_above_only_if_every_socket_is() -> None:
    assert of_ages((60_000, 60_000), (50_000, -1)).age == "newest 50 s to 1 min, oldest ≥ 1 min"


@pytest.mark.parametrize(
    ("slope", "text", "exact"),
    [
        (Trend(12.2, 10.4, 14.1, 540, 100, 1, 100), "+12/min for 9 min", "+12/min (10 to 14) for 9 min"),
        (Trend(-3.5, -4, -3, 90, 20, 9, 4), "-3.5/min for 1 min", "-3.5/min (3 to 4) for 1 min"),
        (Trend(0.05, 0.03, 0.07, 7_200, 100, 1, 7), "+3/h for 2 h", "+3/h (1.8 to 4.2) for 2 h"),
        (Trend(0, -0.1, 0.1, 90, 20, 5, 5), "steady for 1 min", "steady for 1 min"),
        (Trend(2, -1, 5, 90, 20, 5, 9), "", ""),
        (None, "", ""),
    ],
)
def test_trends(slope: Trend | None, text: str, exact: str) -> None:
    item = dataclasses.replace(scene("read")[1], trend=slope)
    assert (trend_text(item), trend_text(item, exact=True)) == (text, exact)


@pytest.mark.parametrize(
    ("ahead", "text"),
    [
        (
            Forecast(812, 1024, 840, 720, 1020),
            "in about 14 min (12 min to 17 min)",
        ),
        (
            Forecast(812, 1024, 7_300, 6_000, None),
            "in about 2 h 1 min (not before 1 h 40 min)",
        ),
        (None, ""),
    ],
)
def test_forecasts(ahead: Forecast | None, text: str) -> None:
    item = scene("read")[1]
    item = dataclasses.replace(
        item, forecast=ahead, draft=dataclasses.replace(item.draft, filled=("descriptors", 812, 1024))
    )
    begin = "out of file descriptors (812 of 1,024) " if text else ""
    assert forecast_text(item, exact=True) == begin + text
    assert forecast_text(item) == begin + text.partition(" (")[0]


@pytest.mark.parametrize(
    ("threads", "stopped", "text"),
    [
        (BUSY, False, "3 threads: sleeping (S); 2 in recvfrom(fd 12), 1 in futex"),
        (UNSEEN, False, "40 threads: sleeping (S); what they wait in may not be seen (needs root)"),
        (STOPPED, True, "Stands still: 3 threads: stopped (T); 3 in do_signal_stop"),
        (STOPPED, False, "3 threads: stopped (T); 3 in do_signal_stop"),
        (Threads(1, 1, {"R": 1}, {}, {}, True, False), False, "1 thread: running"),
        (Threads(9, 9, {"S": 8, "D": 1}, {"nfs_wait": 1, "ep_poll": 8}, {}, True, False), False,
         "9 threads: 1 in the kernel (D), 8 sleeping (S); 8 in ep_poll, 1 in nfs_wait"),
        (Threads(900, 256, {"S": 256}, {}, {Call("futex", None): 200, Call("read", 3): 50, Call("poll", None): 4,
                                            Call("accept4", 5): 2}, False, True), False,
         "900 threads (the first 256 looked at): sleeping (S); 200 in futex, 50 in read(fd 3), 4 in poll, 2 elsewhere"),
    ],
)  # fmt: skip
def test_threads(threads: Threads, stopped: bool, text: str) -> None:
    assert threads_text(threads, stopped=stopped) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1, "1 byte"), (9_999, "9,999 bytes"), (10_000, "9.8 KiB"), (63_713, "62 KiB"), (3 << 20, "3 MiB"),
     (5 << 30, "5 GiB")],
)  # fmt: skip
def test_sizes(size: int, text: str) -> None:
    assert amount(size) == text


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (None, ""),
        (Endpoint(True, 0, 0, 8080), ":8080"),
        (Endpoint(False, 0, 0xFFFF << 32 | 0x0A000005, 5432), "10.0.0.5:5432"),
        (Endpoint(False, 0x20010DB8 << 32, 5, 443), "[2001:db8::5]:443"),
        (Endpoint(False, 0, 0, 0), ""),
        (Endpoint(False, 0, 0xFFFF << 32, 0), ""),
    ],
)
def test_endpoints(end: Endpoint | None, text: str) -> None:
    assert where(end) == text
