"""What is said of a socket whose end the kernel told: cell, filter, sentence, lines; and of all of a poll."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sockui.model import ENDING, How, State
from sockui.tracker import Life, Update
from sockui.view import endings, fields, query
from sockui.view.columns import COLUMNS, require
from sockui.view.explain import explain
from sockui.view.table_view import Sort, build

MakeUpdate = Callable[..., Update]
CONNECTED = {"state": State.ESTABLISHED, "rtt": 500, "min_rtt": 300}


def told(make_update: MakeUpdate, *rows: dict[str, Any]) -> Update:
    """An update of rows; those with ``how`` have ended and were told of, after 1.5 to 2 s."""
    fields = [{**row} for row in rows]
    hows = [each.pop("how", None) for each in fields]
    for each, how in zip(fields, hows, strict=True):
        if how is not None:
            each["life"] = Life.ENDED
    update = make_update(fields)
    ended = [at for at, how in enumerate(hows) if how is not None]
    facts = np.zeros(len(ended), ENDING)
    facts["how"] = [hows[at] for at in ended]
    facts["lifetime_min_ms"], facts["lifetime_max_ms"] = 1500, 4000
    counts = np.bincount(facts["how"], minlength=len(How))
    return replace(update, ended_keys=update.keys[ended], endings=facts, hows=counts, seconds=2.0)


def said(make_update: MakeUpdate, how: How, **fields: Any) -> str:
    explained = explain(told(make_update, {**CONNECTED, "how": how, **fields}), 0)
    return "\n".join((explained.sentence, *explained.evidence))


def test_every_way_to_end_has_words(make_update: MakeUpdate) -> None:
    for how in How:
        assert 0 < len(fields.ENDED_TEXTS[how]) <= require("ended").width
        explained = explain(told(make_update, {**CONNECTED, "how": how}), 0)
        assert explained.title == "It has ended"
        assert "{" not in explained.sentence + "".join(explained.evidence)
        assert explained.sentence.endswith(".")


def test_the_column_is_for_the_screen_and_empty_where_nothing_was_told(make_update: MakeUpdate) -> None:
    update = told(make_update, {}, {"how": How.RESET_BY_PEER}, {"life": Life.ENDED}, {"how": How.NORMAL})
    assert require("ended").texts(update) == ["", "reset by peer", "", "both closed"]
    assert "ended" not in COLUMNS


def test_it_can_be_filtered_and_sorted_by(make_update: MakeUpdate) -> None:
    update = told(make_update, {}, {"how": How.TIMED_OUT}, {"how": How.RESET})
    assert query.compile("ended = timed_out").mask(update).tolist() == [False, True, False]
    assert build(update, sort=Sort("ended")).rows.tolist() == [2, 1, 0]


def test_a_timeout_says_how_often_it_was_tried_what_was_lost_and_how_long_it_lived(make_update: MakeUpdate) -> None:
    text = said(make_update, How.TIMED_OUT, retransmits=6, total_retrans=6, send_queue=9, bytes_sent=63, pid=7)
    for words in (
        "The kernel gave up while 6 retransmissions were without an answer.",
        "Lived 1.5 s to 4 s, from the handshake on",
        "Sent 63 bytes; received 0 bytes",
        "6 segments retransmitted in all its life",
        "Send-Q: 9 not acknowledged",
        "When last seen:",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("how", "state", "said_of_bytes"),
    [
        (How.NORMAL, State.CLOSE_WAIT, "received 10 bytes"),
        (How.RESET, State.ESTABLISHED, "received 11 bytes"),
        (How.CLOSED, State.ESTABLISHED, "received 11 bytes (or 1 less: a FIN of the peer counts)"),
    ],
)
def test_the_peers_fin_is_not_taken_for_data(
    make_update: MakeUpdate, how: How, state: State, said_of_bytes: str
) -> None:
    assert said_of_bytes in said(make_update, how, state=state, bytes_received=11).split("\n")[2]


def test_without_a_handshake_there_is_no_lifetime(make_update: MakeUpdate) -> None:
    text = said(make_update, How.REFUSED, state=State.SYN_SENT, rtt=0)
    assert "Lived" not in text
    assert "RST" in text


def test_what_the_kernel_cleared_is_said_as_last_seen(make_update: MakeUpdate) -> None:
    lines = said(make_update, How.DISCONNECTED, bytes_sent=5, pid=7).split("\n")
    assert lines.index("When last seen:") < lines.index("Sent 5 bytes; received 0 bytes")


def test_data_not_read_is_told_from_the_peers_fin(make_update: MakeUpdate) -> None:
    assert "Recv-Q: 3 not read\n" in said(make_update, How.RESET_HERE, recv_queue=3)
    assert "Recv-Q: 3 not read (a FIN" in said(make_update, How.NORMAL, state=State.CLOSE_WAIT, recv_queue=3)
    assert "Recv-Q" not in said(make_update, How.NORMAL, state=State.CLOSE_WAIT, recv_queue=1)


def test_what_was_in_no_dump_says_so(make_update: MakeUpdate) -> None:
    text = said(make_update, How.CLOSED, state=State.CLOSE)
    assert "In no dump near its end: who held it is not known" in text
    assert "When last seen" not in text


def test_the_summary_counts_all_and_names_what_did_not_just_close(make_update: MakeUpdate) -> None:
    rows = [{"how": how} for how in (How.CLOSED, How.NORMAL, How.RESET, How.RESET, How.REFUSED, How.NO_CONNECTION)]
    assert endings.summary(told(make_update, *rows)) == "5 ended in 2.0 s: 2 reset, 1 refused"
    assert endings.summary(told(make_update, {"how": How.CLOSED})) == "1 ended in 2.0 s"
    assert endings.summary(told(make_update, {"how": How.NO_CONNECTION})) == ""
