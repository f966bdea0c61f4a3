"""The files' placeholders and conditions are all known here, and what comes out fits a panel."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import numpy as np
import pytest

from sockui.knowledge import words
from sockui.model import Owner, Protocol, State, Timer
from sockui.tracker import Update
from sockui.view.explain import Explanation, explain
from sockui.view.facts import Facts
from sockui.view.remedy import commands
from tests.view.scenes import CLOSE_WAIT, DEFAULTS, LISTEN, MINI, MakeProcess, MakeUpdate, said


def prose(name: str) -> str:
    known = words.situation(name)
    texts = [variant.text for variant in known.meaning + known.turn + known.ends]
    texts += [cause.text + cause.tell for cause in known.causes] + [step.text for step in known.steps]
    return "".join(texts + [item.what + item.why for item in known.do_not])


@pytest.mark.parametrize("name", words.names("situations"))
def test_every_placeholder_and_condition_of_a_situation_is_known(make_update: MakeUpdate, name: str) -> None:
    holder = {"pid": 9, "local": ("::1", 80), "remote": ("::1", 40_000)}
    update = make_update([holder, LISTEN])
    facts = Facts(update, 0)
    for placeholder in words.placeholders(prose(name)):
        assert "." in placeholder or placeholder in facts.values
    known = words.situation(name)
    named = {condition for variant in known.meaning + known.turn + known.ends for condition in variant.when}
    named |= {condition for cause in known.causes for condition in cause.when + cause.unless + cause.likely}
    named |= {condition for step in known.steps for condition in step.when + step.unless}
    assert named <= set(facts.tests)
    possible = {"listener_pid", "unit", "fd_limits"}  # known of some sockets only
    for step in known.steps:
        assert set(words.placeholders(step.command)) <= set(commands(facts)) | possible


@pytest.mark.parametrize("name", words.names("states"))
def test_every_placeholder_and_condition_of_a_state_is_known(make_update: MakeUpdate, name: str) -> None:
    facts = Facts(make_update([{}]), 0)
    known = words.state(name)
    for variant in known.ended:
        assert set(words.placeholders(variant.text)) <= set(facts.values)
        assert set(variant.when) <= set(facts.tests)
    for situation in known.situations:
        words.situation(situation)


def test_no_condition_is_computed_for_nothing(make_update: MakeUpdate) -> None:
    used: set[str] = set()
    for name in words.names("situations"):
        known = words.situation(name)
        used |= {condition for variant in known.meaning + known.turn + known.ends for condition in variant.when}
        used |= {condition for cause in known.causes for condition in cause.when + cause.unless + cause.likely}
        used |= {condition for step in known.steps for condition in step.when + step.unless}
    for name in words.names("states"):
        used |= {condition for variant in words.state(name).ended for condition in variant.when}
    assert used == set(Facts(make_update([{}]), 0).tests)


def rows_of_every_situation() -> list[dict[str, Any]]:
    wait = {
        "timer": Timer.ON,
        "timer_ms": 900,
        "retransmits": 4,
        "backoff": 4,
        "rto": 3_000_000,
        "send_queue": 2_803_713,
    }
    shut = {
        "timer": Timer.PERSIST,
        "timer_ms": 900,
        "backoff": 6,
        "probes": 3,
        "send_queue": 2_803_713,
        "snd_mss": 1448,
    }
    gone: dict[str, Any] = {"inode": 0, "owner": Owner.KERNEL}
    held = {"pid": 4312}
    return [
        held | {"state": State.CLOSE_WAIT, "recv_queue": 70_001},
        held | {"state": State.CLOSE_WAIT},
        held | {"state": State.CLOSE_WAIT, **wait},
        held | {"state": State.CLOSE_WAIT, **shut},
        {"state": State.CLOSE_WAIT, "inode": 0, "owner": Owner.LISTENER, "pid": 4312, "fd": 3},
        held | {"state": State.FIN_WAIT2},
        gone | {"state": State.FIN_WAIT2, "known": MINI, "timer": Timer.TIMEWAIT, "timer_ms": 9_000},
        gone | {"state": State.FIN_WAIT1, **wait},
        gone | {"state": State.FIN_WAIT1, **shut},
        gone | {"state": State.FIN_WAIT1, "send_queue": 1, "age": (9_000, -1)},
        gone | {"state": State.LAST_ACK, **wait},
        gone | {"state": State.LAST_ACK, **shut},
        gone | {"state": State.CLOSING, **wait},
        gone | {"state": State.TIME_WAIT, "known": MINI, "timer": Timer.TIMEWAIT, "timer_ms": 9_000},
        held | {"state": State.SYN_SENT, "age": (9_000, 9_400), **wait},
        gone | {"state": State.SYN_RECV, "known": MINI, "timer": Timer.ON, "timer_ms": 900, "retransmits": 2},
        gone | {"state": State.SYN_RECV, "known": MINI, "timer": Timer.ON, "timer_ms": 3_900},
        held | {"state": State.LISTEN, "remote": ("0.0.0.0", 0), "recv_queue": 129, "send_queue": 128, "drops": 12},
        {"inode": 0, "owner": Owner.LISTENER, "pid": 4312, "fd": 3, "last_data_sent": 99_000},
        held | {"last_data_sent": 9_999_999, "last_data_recv": 9_999_999},
        held | wait | {"snd_wnd": 9_000, "snd_mss": 1448},
        held | wait | {"snd_wnd": 9_000, "retransmits": 99},
        held | shut,
        held | {"recv_queue": 70_000, "last_data_recv": 99_000},
        held | {"state": State.CLOSE, "remote": ("0.0.0.0", 0)},
        held | {"state": State.CLOSE, "remote": ("0.0.0.0", 0), "protocol": Protocol.UDP, "drops": 9, "recv_queue": 9},
    ]


@pytest.mark.parametrize("row", rows_of_every_situation(), ids=lambda row: State(row.get("state", 1)).name)
def test_an_explanation_fits_a_panel(make_update: MakeUpdate, make_process: MakeProcess, row: dict[str, Any]) -> None:
    java = make_process(4312, "java", fd_count=1_000, fd_limit=1_024, unit="app.service")
    known = explain(make_update([row], [java], host=DEFAULTS), 0)
    urgent = [known.heading, known.sentence, known.turn, known.ends, known.first.text if known.first else ""]
    assert sum(len(textwrap.wrap(text, 40)) for text in urgent) <= 24
    for line in known.evidence:
        assert len(line) <= 100, line
    assert not re.search(r"\{(?!print)", said(make_update([row], [java], host=DEFAULTS)))


def test_a_sentence_does_not_begin_with_a_small_letter_of_ours(make_update: MakeUpdate) -> None:
    known: Explanation = explain(make_update([CLOSE_WAIT | {"pid": 0, "owner": Owner.UNFOUND}]), 0)
    assert "closed. The application has not read" in known.sentence


def test_the_cost_does_not_depend_on_python_objects_per_socket(make_update: MakeUpdate) -> None:
    """The number of Python calls for one explanation is the same among 10 sockets and among 3,000."""
    import sys

    def calls(update: Update) -> int:
        count = 0

        def trace(frame: object, event: str, argument: object) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        explain(update, 0)
        sys.setprofile(trace)
        try:
            explain(update, 0)
        finally:
            sys.setprofile(None)
        return count

    few, many = (make_update([CLOSE_WAIT | {"inode": np.uint32(n + 1)} for n in range(size)]) for size in (10, 3_000))
    assert calls(many) <= calls(few) + 20
