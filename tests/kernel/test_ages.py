"""Ages that sockui prints for sockets that were stuck before it started contain the true age."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from sockui.lab.run import Lab

pytestmark = pytest.mark.kernel

EXACT = {"time-wait", "fin-wait2-orphan", "syn-sent", "accept-queue", "fin-wait2-held"}
"""States whose age TCP-FACTS calls exact for a socket that was left alone."""
DATED = EXACT | {"close-wait-unread", "close-wait-read", "fin-wait1", "last-ack", "closing", "syn-recv"}
LOOKS = 4
"""So often is looked: nothing dates a SYN_RECV whose SYN-ACK timer is due, which lasts 0.2 s at the age of 7 s."""
CLOCK = 0.15
"""Seconds by which the lab may be late in noting that a socket entered its state."""


def test_the_true_age_lies_in_the_interval(aged_lab: Lab, sockui_list: Callable[..., dict[str, Any]]) -> None:
    looks = (dated(aged_lab, sockui_list()) for _ in range(LOOKS))
    assert any(look >= DATED for look in looks)


def dated(lab: Lab, answer: dict[str, Any]) -> set[str]:
    """What has an age, which is right."""
    wall_minus_monotonic = time.time() - time.monotonic()
    taken_at = datetime.fromisoformat(answer["taken_at"]).timestamp()
    rows = {(r["local_address"], r["local_port"], r["remote_address"], r["remote_port"]): r for r in answer["sockets"]}
    checked = set()
    for made in lab.made:
        row = rows.get((*made.local, *(made.remote if made.remote[1] else (None, None))))
        if made.made_at_monotonic is None or row is None or row["state"] != made.state.name:
            continue
        age = taken_at - (made.made_at_monotonic + wall_minus_monotonic)
        least, most = row["state_age_min_seconds"], row["state_age_max_seconds"]
        if least is not None:
            assert least - CLOCK <= age, (made, least, most, age)
        if most is not None:
            assert age <= most + CLOCK, (made, least, most, age)
        if made.name in EXACT:
            assert most is not None, made
            assert most - least <= 1.0, (made, least, most)
        if least is not None or most is not None:
            assert row["state_age_source"] in ("timer", "last_ack", "busy", "retransmits")
            checked.add(made.name)
    return checked
