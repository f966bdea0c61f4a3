"""The picture fits its place, marks by characters, and shows no edge that the kernel does not take."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from sockui.model import Protocol, State
from sockui.tracker import Update
from sockui.view.diagram import beside, diagram, large

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


def whole(chosen: State, counts: dict[str, int], ascii_only: bool = False) -> str:
    return "\n".join("".join(text for text, _ in line) for line in large(chosen, counts, ascii_only))


@pytest.mark.parametrize("chosen", list(State))
@pytest.mark.parametrize("number", [0, 1_000_000])
def test_the_large_one_fits_with_any_count_and_marks_the_chosen_state(chosen: State, number: int) -> None:
    counts = {state.name: number + state for state in State}
    lines = whole(chosen, counts).split("\n")
    assert len(lines) == 15
    assert max(map(len, lines)) <= 78
    for state in State:
        before, after = ("[", "]") if state == chosen else (" ", " ")
        assert f"{before}{state.name} {counts[state.name]:,}{after}" in whole(chosen, counts)
    roles = {
        text.strip(" []").split()[0]: role for line in large(chosen, counts) for text, role in line if role != "plain"
    }
    assert roles.pop(chosen.name) == "chosen"
    assert set(roles.values()) == {"some"}


def test_nothing_else_moves_when_counts_grow() -> None:
    few, many = whole(State.LISTEN, {}), whole(State.LISTEN, {state.name: 999_999 for state in State})
    for before, after in zip(few.split("\n"), many.split("\n"), strict=True):
        assert [match.start() for match in re.finditer("[A-Z_]{4,}[12]?", before)] == [
            match.start() for match in re.finditer("[A-Z_]{4,}[12]?", after)
        ] or "ACK received" in before


def test_a_state_without_sockets_is_told_from_one_with_some() -> None:
    roles = {text.strip(): role for line in large(State.LISTEN, {"TIME_WAIT": 2}) for text, role in line}
    assert (roles["TIME_WAIT 2"], roles["CLOSING 0"]) == ("some", "none")


def test_the_large_one_is_ascii_where_asked() -> None:
    assert whole(State.LISTEN, {}, ascii_only=True).isascii()
    assert not whole(State.LISTEN, {}).isascii()


STEPS = [(1, 0), (-1, 0), (0, 1), (0, -1)]


def test_every_state_can_be_walked_to_from_every_other() -> None:
    for start in State:
        reached = {start}
        while more := {beside(state, *step) for state in reached for step in STEPS} - reached:
            reached |= more
        assert reached == set(State)


@pytest.mark.parametrize(
    ("state", "ways"),
    [
        (State.ESTABLISHED, (State.ESTABLISHED, State.SYN_RECV, State.CLOSE_WAIT, State.SYN_SENT)),
        (State.FIN_WAIT1, (State.CLOSE_WAIT, State.FIN_WAIT1, State.FIN_WAIT2, State.SYN_RECV)),
        (State.CLOSING, (State.LAST_ACK, State.FIN_WAIT2, State.TIME_WAIT, State.FIN_WAIT1)),
        (State.CLOSE_WAIT, (State.CLOSE_WAIT, State.FIN_WAIT1, State.LAST_ACK, State.ESTABLISHED)),
        (State.TIME_WAIT, (State.CLOSE, State.TIME_WAIT, State.TIME_WAIT, State.FIN_WAIT2)),
        (State.LISTEN, (State.SYN_SENT, State.LISTEN, State.SYN_RECV, State.LISTEN)),
    ],
)
def test_a_step_leads_where_the_picture_says(state: State, ways: tuple[State, ...]) -> None:
    assert tuple(beside(state, *step) for step in STEPS) == ways
