"""How ages and amounts are said, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from sockui.ages import AgeSource
from sockui.model import Owner, Protocol, State, Timer
from sockui.view import evidence
from sockui.view.explain import explain
from tests.view.scenes import CLOSE_WAIT, DEFAULTS, LISTEN, MINI, MakeProcess, MakeUpdate


def test_age_is_said_with_its_relation(make_update: MakeUpdate) -> None:
    def line(low: int, high: int) -> str:
        row = {"state": State.CLOSE_WAIT, "age": (low, high), "last_ack_recv": low}
        return explain(make_update([row]), 0).evidence[0]

    assert line(40_000, 40_010) == "In CLOSE_WAIT for 40 s (from its last segments)"
    assert line(12_000, -1) == "In CLOSE_WAIT ≥ 12 s (from its last segments)"
    assert line(0, 10_790_000) == "In CLOSE_WAIT ≤ 3 h (from its last segments)", "an upper bound is rounded up"
    assert line(120_000, 300_000) == "In CLOSE_WAIT for 2 min to 5 min (from its last segments)"
    assert line(0, -1) == "In CLOSE_WAIT since before sockui looked."


def test_a_lower_bound_that_only_watching_gives_is_said_to_be_watched(make_update: MakeUpdate) -> None:
    def line(low: int, high: int, now: int) -> str:
        row = {"state": State.CLOSE_WAIT, "age": (low, high), "last_ack_recv": now}
        return explain(make_update([row]), 0).evidence[0]

    assert line(8_700, 208_000, 100) == "In CLOSE_WAIT for 8.7 s (watched) to 3 min 28 s (last segments)"
    assert line(8_700, -1, 100) == "In CLOSE_WAIT ≥ 8.7 s (watched that long)"
    assert line(8_700, 208_000, 8_700) == "In CLOSE_WAIT for 8.7 s to 3 min 28 s (from its last segments)"


def test_a_range_of_fin_wait1_names_both_sources(make_update: MakeUpdate) -> None:
    row = {"state": State.FIN_WAIT1, "age": (8_700, 208_000), "busy_time": 208_000_000, "bytes_sent": 9}
    update = make_update([row])
    update.ages["source"] = AgeSource.BUSY
    assert explain(update, 0).evidence[0] == "In FIN_WAIT1 for 8.7 s (watched) to 3 min 28 s (busy time)"


@pytest.mark.parametrize(
    "milliseconds", [1, 999, 1_001, 9_901, 59_001, 599_001, 600_001, 3_599_999, 86_399_999, 90_000_001]
)
def test_an_upper_bound_is_never_shown_smaller(milliseconds: int) -> None:
    units = {"ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
    parts = evidence.at_most(milliseconds).split()
    shown = sum(float(number) * units[unit] for number, unit in zip(parts[::2], parts[1::2], strict=True))
    assert milliseconds <= shown <= milliseconds * 1.1 + 1


def test_sources_of_age_all_have_words() -> None:
    assert set(evidence._SOURCES) == set(AgeSource) - {AgeSource.NONE}


def test_a_leak_is_told_in_the_first_lines(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    rows = [CLOSE_WAIT | {"pid": 24_677, "fd": 4 + n, "inode": 100 + n} for n in range(252)]
    leaky = make_process(24_677, "lab-leaky", fd_count=256, fd_limit=256)
    known = explain(make_update(rows, [leaky]), 0)
    assert known.evidence[:4] == (
        "In CLOSE_WAIT for 42 min (from its last segments)",
        "252 sockets of lab-leaky 24677 are in CLOSE_WAIT",
        "lab-leaky 24677: user app, 256 of 256 descriptors",
        "0 unread bytes; the 1 in Recv-Q is the peer's FIN",
    )
    assert known.evidence[-2:] == ("No timer runs", "Peer last heard 42 min ago; data received: none, sent: none")


def test_descriptors_come_first_in_any_state_once_they_are_short(
    make_update: MakeUpdate, make_process: MakeProcess
) -> None:
    def second(used: int) -> str:
        return explain(make_update([{"pid": 9}], [make_process(9, fd_count=used, fd_limit=100)]), 0).evidence[1]

    assert second(95) == "java 9: user app, 95 of 100 descriptors"
    assert second(50) == "Held by java 9 as fd 7"


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (LISTEN | {"recv_queue": 1, "send_queue": 0, "drops": 1}, "Accept queue: 1 waits, 1 fits (backlog 0 + 1)"),
        (LISTEN | {"recv_queue": 1, "send_queue": 0, "drops": 1}, "1 SYN or ACK dropped since listen()"),
        (LISTEN | {"recv_queue": 3, "drops": 7}, "Accept queue: 3 wait, 3 fit (backlog 2 + 1)"),
        (LISTEN | {"recv_queue": 3, "drops": 7}, "7 SYNs and ACKs dropped since listen()"),
        (CLOSE_WAIT | {"recv_queue": 2}, "1 unread byte; the other 1 in Recv-Q is the peer's FIN"),
        ({"send_queue": 1}, "Send-Q: 1 byte not acknowledged"),
        ({"send_queue": 1, "notsent_bytes": 1}, "Send-Q: 1 byte waits, none of it sent yet"),
        (
            {"send_queue": 2_803_712, "notsent_bytes": 2_803_712},
            "Send-Q: 2,803,712 bytes wait, none of them sent yet",
        ),
        (
            {"send_queue": 2_803_712, "notsent_bytes": 2_740_000},
            "Send-Q: 2,803,712 bytes not acknowledged, 2,740,000 of them not sent yet",
        ),
        (
            {"state": State.SYN_RECV, "known": MINI, "timer": Timer.ON, "timer_ms": 900, "retransmits": 1},
            "1 SYN-ACK repeated",
        ),
        (
            {"state": State.CLOSE, "protocol": Protocol.UDP, "drops": 1},
            "1 datagram dropped since it was opened",
        ),
    ],
)
def test_one_is_not_several(make_update: MakeUpdate, row: dict[str, Any], line: str) -> None:
    assert line in explain(make_update([row]), 0).evidence


@pytest.mark.parametrize(
    ("probes", "line"),
    [
        (0, "The peer answers window probes"),
        (1, "The last window probe is not answered yet"),
        (2, "2 window probes without answer"),
    ],
)
def test_an_answer_is_claimed_only_if_none_is_missing(make_update: MakeUpdate, probes: int, line: str) -> None:
    row = {"pid": 9, "send_queue": 9, "timer": Timer.PERSIST, "timer_ms": 900, "backoff": 4, "probes": probes}
    found = explain(make_update([row], host=DEFAULTS), 0).evidence
    assert [text for text in found if "window probe" in text and "Next" not in text] == [line]


def test_a_repeated_fin_is_heard_but_acknowledges_nothing(make_update: MakeUpdate) -> None:
    row = {"state": State.CLOSING, "inode": 0, "owner": Owner.KERNEL, "recv_queue": 1, "send_queue": 1}
    row |= {"timer": Timer.ON, "retransmits": 6, "backoff": 6, "rto": 13_056_000, "timer_ms": 12_000}
    row |= {"last_ack_recv": 1_800, "busy_time": 14_300_000, "snd_wnd": 65_536, "shutdown": 3, "bytes_received": 1}
    found = explain(make_update([row]), 0).evidence
    assert any(text.startswith("No acknowledgement for 13 s") for text in found)
    assert found[-1].startswith("Peer last heard 1.8 s ago; ")


def test_a_user_is_named_where_the_host_knows_the_name(make_update: MakeUpdate) -> None:
    hidden = CLOSE_WAIT | {"pid": 0, "fd": -1, "owner": Owner.HIDDEN}
    named = explain(make_update([hidden | {"uid": 0}]), 0).evidence
    assert "Held by a process of root; which one may not be read" in named
    nameless = explain(make_update([hidden | {"uid": 4_000_000_000}]), 0).evidence
    assert "Held by a process of uid 4000000000; which one may not be read" in nameless
