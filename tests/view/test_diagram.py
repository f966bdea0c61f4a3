"""The picture fits its place, marks by characters, and shows no edge that the kernel does not take."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from sockui.model import Protocol, State
from sockui.tracker import Update
from sockui.view.diagram import diagram

MakeUpdate = Callable[..., Update]


def drawn(update: Update, ascii_only: bool = False) -> str:
    return "\n".join("".join(text for text, _ in line) for line in diagram(update, 0, ascii_only))


def with_path(make_update: MakeUpdate, *states: State) -> Update:
    update = make_update([{"state": states[-1]}])
    path = 0
    for state in states:
        path = path << 4 | state
    update.path[0] = np.uint64(path)
    return update


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("ascii_only", [False, True])
def test_fits_and_marks_the_present_state(make_update: MakeUpdate, state: State, ascii_only: bool) -> None:
    update = with_path(make_update, state)
    lines = drawn(update, ascii_only).split("\n")
    assert len(lines) <= 11
    assert max(map(len, lines)) <= 38
    assert re.findall(r"\[(\w+)\]", drawn(update, ascii_only)) == [state.name]
    assert [text for line in diagram(update, 0) for text, role in line if role == "present"] == [f"[{state.name}]"]


def test_every_state_is_there_once(make_update: MakeUpdate) -> None:
    names = re.findall(r"\b[A-Z_]+[12]?\b", drawn(make_update([{}])))
    for state in State:
        assert names.count(state.name) == 1


def test_the_path_that_was_seen_is_marked(make_update: MakeUpdate) -> None:
    update = with_path(make_update, State.SYN_SENT, State.ESTABLISHED, State.CLOSE_WAIT)
    picture = drawn(update)
    assert "(SYN_SENT)" in picture
    assert "(ESTABLISHED)" in picture
    assert "[CLOSE_WAIT]" in picture
    assert "(LISTEN)" not in picture
    roles = {text.strip("()[]"): role for line in diagram(update, 0) for text, role in line if role != "plain"}
    assert roles == {"SYN_SENT": "seen", "ESTABLISHED": "seen", "CLOSE_WAIT": "present"}


def test_neighbours_can_both_be_marked(make_update: MakeUpdate) -> None:
    picture = drawn(with_path(make_update, State.FIN_WAIT2, State.CLOSING))
    assert "(FIN_WAIT2)[CLOSING]" in picture.replace(" ", "")


def test_marks_do_not_move_anything(make_update: MakeUpdate) -> None:
    plain, marked = (drawn(with_path(make_update, *states)).split("\n") for states in ((State.LISTEN,), tuple(State)))
    for before, after in zip(plain, marked, strict=True):
        assert re.sub(r"[\[\]()]", " ", before).rstrip() == re.sub(r"[\[\]()]", " ", after).rstrip()


def test_ascii_is_ascii(make_update: MakeUpdate) -> None:
    assert drawn(make_update([{}]), ascii_only=True).isascii()
    assert not drawn(make_update([{}])).isascii()


def test_udp_has_no_picture(make_update: MakeUpdate) -> None:
    lines = diagram(make_update([{"protocol": Protocol.UDP}]), 0)
    assert lines == [[("UDP has no handshake and no states.", "plain")]]
