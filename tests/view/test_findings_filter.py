"""The filter of a finding shows its sockets, and no others where the language can say it."""

from __future__ import annotations

import numpy as np
import pytest

from sockui.model import State
from sockui.view import query
from sockui.view.findings import filter_text
from tests.diagnosis.conftest import Ward, aged
from tests.view.finding_scenes import LISTEN, SCENES, leak, scene

NAMES = sorted(SCENES)
WIDER = {
    "R08": "the peer's window is no field",
    "R13": "which of several listeners is asked is no field",
    "R16": "the address of the listener is not part of what its finding shares",
    "R18": "how long a segment was not acknowledged is no field",
    "R19": "the peer's window is no field",
    "R20": "our window is no field",
    "R22": "the range of ports is not part of the finding",
    "R24": "how many are the largest is no field",
    "X3": "drops are no field",
}
"""Rules whose filter may choose more than the finding's sockets, and what the language cannot say."""


@pytest.mark.parametrize("name", NAMES)
def test_the_filter_shows_its_sockets_and_no_others_if_it_can_be_said(name: str) -> None:
    found, item = scene(name)
    text = filter_text(item)
    if not len(item.rows):
        assert text == ""
        return
    chosen = np.flatnonzero(query.compile(text).mask(found.update))
    assert set(item.rows.tolist()) <= set(chosen.tolist()), text
    if item.rule not in WIDER:
        assert sorted(item.rows.tolist()) == chosen.tolist(), text
    else:
        assert len(chosen) <= len(item.rows) + 2, text


def test_the_filter_of_a_leak_stays_the_same_while_it_goes_on() -> None:
    ward = Ward()
    (text,) = {filter_text(ward.only(LISTEN, *leak(3, 100), seconds=2)) for _ in range(5)}
    assert text == (
        "pid = 4312 and state close-wait and recvq = 0 and sendq = 0 and not timer = on,persist and not inode = 0 "
        "and sport = :8080 and age >= 1m"
    )


def test_the_filter_tells_apart_what_two_findings_part() -> None:
    """The same port and process: what was read to the end, and what was not."""
    found = Ward().poll(LISTEN, *leak(3), *(aged(State.CLOSE_WAIT, 400) for _ in range(2)))
    assert sorted(item.rule for item in found.items) == ["R01", "R02"]
    for item in found.items:
        chosen = np.flatnonzero(query.compile(filter_text(item)).mask(found.update))
        assert sorted(item.rows.tolist()) == chosen.tolist()
