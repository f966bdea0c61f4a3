"""What is said of a socket: exact sentences from rows with numbers that a kernel gave."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sockui.diagnosis.situations import Situation
from sockui.model import Coverage, Gap, Host, Owner, Protocol, State, Timer
from sockui.tracker import Life
from sockui.view.explain import explain, explain_process
from sockui.view.facts import Facts
from tests.view.scenes import CLOSE_WAIT, DEFAULTS, MINI, MakeProcess, MakeUpdate, said


def test_close_wait_unread(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    java = make_process(4312, started_at=1_700_000_000 - 3 * 86_400, fd_count=812, fd_limit=1024)
    update = make_update([CLOSE_WAIT], [java], [(225749, 4312, 87)], host=DEFAULTS)
    known = explain(update, 0)
    assert known.situation is Situation.CLOSE_WAIT_UNREAD
    assert known.heading == "CLOSE_WAIT tcp 10.0.0.1:80 → 10.9.9.9:40000"
    assert (
        known.sentence == "The peer has closed. java 4312 has not read to the end of the stream and still holds fd 87."
    )
    assert known.evidence == (
        "In CLOSE_WAIT for 42 min (from its last segments)",
        "java 4312: user app, started 3 d ago, 812 of 1,024 descriptors",
        "0 unread bytes; the 1 in Recv-Q is the peer's FIN",
        "Held by java 4312 as fd 87",
        "No timer runs",
        "Peer last heard 42 min ago; data received: none, sent: none",
    )
    assert known.turn == "Our application: java 4312 must read to EOF, then close()."
    assert known.ends == (
        "Nothing but close() by every holder, or their exit. No kernel timer runs. "
        "An RST would end the socket, not the open descriptor."
    )
    assert known.first is not None
    assert known.first.command == "ps -L -o tid,stat,wchan:24,comm -p 4312"


def test_close_wait_counts_the_fin_out_of_recv_q(make_update: MakeUpdate) -> None:
    update = make_update([CLOSE_WAIT | {"recv_queue": 1_301, "bytes_received": 1_301}])
    known = explain(update, 0)
    assert "1,300 unread bytes; the other 1 in Recv-Q is the peer's FIN" in known.evidence
    slow = next(cause for cause in known.causes if cause.text.startswith("It reads slowly"))
    assert slow.text == "It reads slowly: 1,300 bytes still to be read."
    assert not slow.supported, "one blocked thread looks the same"


def test_close_wait_read_with_two_holders(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    processes = [make_process(100, "master"), make_process(101, "worker")]
    row = CLOSE_WAIT | {"recv_queue": 0, "pid": 100, "fd": 9, "holders": 2}
    update = make_update([row], processes, [(225749, 100, 9), (225749, 101, 12)])
    known = explain(update, 0)
    assert known.situation is Situation.CLOSE_WAIT_READ
    assert "Recv-Q 0: read to the end, the peer's FIN too" in known.evidence
    assert {"Held by master 100 as fd 9", "Held by worker 101 as fd 12"} <= set(known.evidence)
    assert known.turn == "Our application: every holder must close(); master 100 is only one of them."
    assert known.causes[0].text.startswith("Another process holds it too")
    assert known.causes[0].supported


def test_another_holder_is_ruled_out_only_if_every_process_could_be_read(
    make_update: MakeUpdate, make_process: MakeProcess
) -> None:
    row = CLOSE_WAIT | {"recv_queue": 0}
    whole = make_update([row], [make_process(4312)], [(225749, 4312, 87)])
    gaps = Coverage(1, 1, gaps=(Gap(3, "belong to other users' processes"),))
    partial = make_update([row], [make_process(4312)], [(225749, 4312, 87)], coverage=gaps)
    assert "Another process" not in said(whole)
    assert "Another process" in said(partial)


def test_close_wait_under_keepalive_still_leaks_the_descriptor(make_update: MakeUpdate) -> None:
    update = make_update([CLOSE_WAIT | {"timer": Timer.KEEPALIVE, "timer_ms": 3_600_000}])
    assert explain(update, 0).ends == (
        "close() by every holder, or their exit. Keepalive (next in 1 h) ends only the socket, "
        "once the peer has forgotten it: the descriptor stays open."
    )


def test_psutil_claims_nothing_about_queues_timers_or_reading(make_update: MakeUpdate) -> None:
    update = make_update([CLOSE_WAIT | {"known": 0, "pid": 0, "fd": -1, "owner": Owner.UNKNOWN, "age": (0, -1)}])
    known = explain(update, 0)
    assert known.situation is Situation.CLOSE_WAIT
    assert known.evidence == (
        "In CLOSE_WAIT since before sockui looked.",
        "Recv-Q and Send-Q are not known from this source.",
        "Which process holds it is not known",
    )
    assert known.sentence == (
        "The peer has closed; the application has not. Whether it has read everything is not known from this source."
    )
    assert known.turn == "Our application: it must close()."


@pytest.mark.parametrize("state", [state for state in State if state != State.CLOSE])
def test_a_row_that_knows_nothing_is_explained_without_its_fields(make_update: MakeUpdate, state: State) -> None:
    """Every number of the row is one that nobody could miss in the text."""
    loud = dict.fromkeys(("recv_queue", "send_queue", "timer_ms", "drops", "rto", "snd_wnd", "notsent_bytes"), 987_654)
    loud |= dict.fromkeys(("last_data_sent", "last_data_recv", "last_ack_recv", "busy_time", "total_rto_time"), 987_654)
    update = make_update([{"state": state, "known": 0, "timer": Timer.ON, "retransmits": 98, "probes": 98, **loud}])
    assert not re.search("987,654|987654|98|16 min", said(update).replace(":9898", ""))


def test_hidden_owner_says_whose_and_what_would_help(make_update: MakeUpdate) -> None:
    row = CLOSE_WAIT | {"pid": 0, "fd": -1, "owner": Owner.HIDDEN, "uid": 0}
    coverage = Coverage(1, 0, gaps=(Gap(1, "belong to other users"),), fix="sudo sockui")
    known = explain(make_update([row], coverage=coverage), 0)
    assert "Held by a process of root; naming it needs root" in known.evidence
    assert known.turn == "Our application: a process of root must read to EOF, then close()."
    assert known.first is not None
    assert known.first.command == "sudo sockui"


def test_fin_wait2_held_names_the_culprit_on_this_host(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    ours = {"state": State.FIN_WAIT2, "local": ("127.0.0.1", 5000), "remote": ("127.0.0.1", 443), "pid": 1, "inode": 11}
    theirs = CLOSE_WAIT | {"local": ("127.0.0.1", 443), "remote": ("127.0.0.1", 5000), "pid": 991, "inode": 12}
    decoys = [
        theirs | {"remote": ("127.0.0.1", 5001), "pid": 5},
        theirs | {"local": ("127.0.0.2", 443), "pid": 5},
        theirs | {"protocol": Protocol.UDP, "pid": 5},
        theirs | {"life": Life.ENDED, "pid": 5},
    ]
    update = make_update([ours, *decoys, theirs], [make_process(991, "python3")], host=DEFAULTS)
    known = explain(update, 0)
    assert "Other end, on this host: python3 991 in CLOSE_WAIT; it waits for its own application's close()" in (
        known.evidence
    )
    assert known.turn == "The peer's application: python3 991 must close(). Ours may close() at any time."
    assert known.ends == (
        "Nothing but the peer's FIN or RST, or our close(). tcp_fin_timeout (60) does not run while a process holds it."
    )
    assert known.causes[0].supported


ORPHAN = {"state": State.FIN_WAIT2, "known": MINI, "inode": 0, "owner": Owner.KERNEL, "timer": Timer.TIMEWAIT}


@pytest.mark.parametrize(
    ("seconds", "row", "ends"),
    [
        (
            "60",
            ORPHAN | {"timer_ms": 40_000},
            "In 40 s, by tcp_fin_timeout=60. A FIN before that makes it TIME_WAIT for 60 s more.",
        ),
        (
            "60",
            ORPHAN | {"timer_ms": 0},
            "Now: the timer is due, by tcp_fin_timeout=60. A FIN before that makes it TIME_WAIT for 60 s more.",
        ),
        (
            "70",
            ORPHAN | {"timer_ms": 7_000},
            "In 7 s. tcp_fin_timeout=70 is above 60, so the whole life is 2 x (N-60): 20 s.",
        ),
        (
            "240",
            {"state": State.FIN_WAIT2, "inode": 0, "owner": Owner.KERNEL, "timer": Timer.KEEPALIVE, "timer_ms": 90_000},
            (
                "In 1 min 30 s its first half is over, then it waits as long again: "
                "tcp_fin_timeout=240 above 60 gives 2 x (N-60), 6 min in all."
            ),
        ),
    ],
)
def test_fin_wait2_orphan_ends_as_this_host_is_set(
    make_update: MakeUpdate, seconds: str, row: dict[str, Any], ends: str
) -> None:
    host = Host("h", "Linux", {**DEFAULTS.sysctls, "net.ipv4.tcp_fin_timeout": seconds})
    assert explain(make_update([row], host=host), 0).ends == ends


@pytest.mark.parametrize("seconds", ["60", "61", "119", "120"])
def test_the_fin_timeout_trap(make_update: MakeUpdate, seconds: str) -> None:
    host = Host("h", "Linux", {"net.ipv4.tcp_fin_timeout": seconds})
    facts = Facts(make_update([ORPHAN | {"timer_ms": 900}], host=host), 0)
    assert ("fin_timeout_trap" in facts.conditions) == (seconds in ("61", "119"))


def test_fin_wait1_orphan_says_eight_and_107_seconds(make_update: MakeUpdate) -> None:
    row = {
        "state": State.FIN_WAIT1,
        "inode": 0,
        "owner": Owner.KERNEL,
        "send_queue": 1,
        "timer": Timer.ON,
        "snd_wnd": 65_536,
        "retransmits": 6,
        "backoff": 6,
        "rto": 12_800_000,
        "timer_ms": 2_308,
        "busy_time": 25_000_000,
        "last_ack_recv": 25_000,
        "total_rto": 6,
        "total_rto_recoveries": 1,
        "total_rto_time": 22_892,
    }
    known = explain(make_update([row], host=DEFAULTS), 0)
    assert known.situation is Situation.FIN_WAIT1_UNANSWERED
    assert known.ends == (
        "The kernel gives up at the first timeout after 1 min 42 s (tcp_orphan_retries=0, which means 8; about 107 s "
        "in all); earlier if there are too many orphans. About 1 min 19 s until then."
    )
    assert "0 bytes not acknowledged; the 1 in Send-Q is our FIN" in known.evidence
    assert "6 retransmissions unanswered, back-off 6, RTO 12 s" in known.evidence
    assert "No acknowledgement for 23 s to 25 s" in known.evidence
    assert "Next retransmission in 2.3 s" in known.evidence


def test_a_held_fin_wait1_lives_by_retries2(make_update: MakeUpdate) -> None:
    row = {
        "state": State.FIN_WAIT1,
        "pid": 9,
        "send_queue": 1,
        "timer": Timer.ON,
        "snd_wnd": 65_536,
        "retransmits": 3,
        "backoff": 3,
    }
    ends = explain(make_update([row], host=DEFAULTS), 0).ends
    assert "after 15 min 24 s (tcp_retries2=15)" in ends
    assert "orphan" not in ends


def test_fin_that_was_not_sent_yet(make_update: MakeUpdate) -> None:
    row = {"state": State.FIN_WAIT1, "inode": 0, "send_queue": 63_713, "notsent_bytes": 63_713, "timer": Timer.PERSIST}
    row |= {"owner": Owner.KERNEL, "last_data_sent": 25_000, "backoff": 6}
    known = explain(make_update([row]), 0)
    assert "63,712 bytes wait, none of them sent yet; the other 1 in Send-Q is our FIN" in known.evidence
    half = explain(make_update([row | {"notsent_bytes": 3_001}]), 0)
    assert (
        "63,712 bytes not acknowledged, 3,000 of them not sent yet; the other 1 in Send-Q is our FIN" in half.evidence
    )
    assert "The FIN has not been sent yet" in known.evidence
    assert "Peer's window 0: no data sent for 25 s" in known.evidence
    assert "The peer answers window probes" in known.evidence
    assert known.turn == "The peer's application: it must read."


def test_time_wait(make_update: MakeUpdate) -> None:
    row = {"state": State.TIME_WAIT, "known": MINI, "inode": 0, "owner": Owner.KERNEL, "timer": Timer.TIMEWAIT}
    known = explain(make_update([row | {"timer_ms": 37_000, "age": (22_990, 23_010)}]), 0)
    assert known.turn == "Nobody: nothing has to be done."
    assert known.ends == "In 37 s. The 60 s are a constant in the kernel; late segments of the peer start them again."


def test_of_settings_that_nobody_can_read_the_default_is_told_as_such(make_update: MakeUpdate) -> None:
    row = {
        "state": State.FIN_WAIT1,
        "inode": 0,
        "send_queue": 1,
        "timer": Timer.ON,
        "snd_wnd": 65_536,
        "retransmits": 3,
    }
    ends = explain(make_update([row | {"owner": Owner.KERNEL}], host=Host("h", "Linux")), 0).ends
    assert "after 1 min 42 s (default) (tcp_orphan_retries=0 (default))" in ends
    assert "until then" not in ends


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (
            {"state": State.TIME_WAIT, "known": MINI, "timer": Timer.TIMEWAIT, "timer_ms": 1_500},
            "TIME_WAIT ran out after 60 s.",
        ),
        (
            {"state": State.TIME_WAIT, "known": MINI, "timer": Timer.TIMEWAIT, "timer_ms": 41_000},
            (
                "TIME_WAIT ended with up to 41 s left when last seen: "
                "it ran out since, or a new connection or an RST took it."
            ),
        ),
        (
            CLOSE_WAIT,
            (
                "It was CLOSE_WAIT with a holder: closed by the application, or reset; "
                "which cannot be known from two polls."
            ),
        ),
    ],
)
def test_an_ended_socket(make_update: MakeUpdate, row: dict[str, Any], sentence: str) -> None:
    known = explain(make_update([row | {"life": Life.ENDED}]), 0)
    assert known.sentence == sentence
    assert known.evidence[0] == "As last seen:"
    assert known.first is None
    assert known.ends == "It has ended."


@pytest.mark.parametrize("state", list(State))
def test_every_state_can_end(make_update: MakeUpdate, state: State) -> None:
    assert explain(make_update([{"state": state, "life": Life.ENDED}]), 0).sentence.endswith(".")


def test_one_absence_proves_nothing(make_update: MakeUpdate) -> None:
    known = explain(make_update([CLOSE_WAIT | {"life": Life.MISSED}]), 0)
    assert known.evidence[0] == "Not in the last dump; one absence proves nothing."


def test_hostile_names_are_made_harmless_everywhere(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    evil = make_process(4312, "\x1b[2J\u202e`[/x]\n", user="\x9b1m", unit="a\x07.service", cmdline=("\x1b]0;x\x07",))
    update = make_update([CLOSE_WAIT], [evil], [(225749, 4312, 87)])
    process = explain_process(update, 4312, ())
    text = said(update) + "\n".join([process.heading, *process.facts, process.oldest_text])
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
