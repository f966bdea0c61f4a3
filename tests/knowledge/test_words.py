"""The files are whole and short enough for a panel; slips are errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sockui.diagnosis.situations import Situation
from sockui.knowledge import words
from sockui.knowledge.files import File
from sockui.model import State

STATES = [state.name.lower() for state in State]
SITUATIONS = [situation.name.lower() for situation in Situation]
CALLED_STATES = ["bound_inactive", "half_open", "orphan", "unaccepted", "unconn"]  # by people, not by TCP


def test_there_is_a_file_for_every_state_and_situation_and_no_other() -> None:
    assert sorted(words.names("states")) == sorted(STATES + CALLED_STATES)
    assert sorted(words.names("situations")) == sorted(SITUATIONS)


def test_every_situation_belongs_to_a_state() -> None:
    named = {name for state in STATES for name in words.state(state).situations}
    plain = {"close_wait", "fin_wait2"}  # only for sources that cannot tell the cases apart
    assert named == set(SITUATIONS) - plain


@pytest.mark.parametrize("name", SITUATIONS)
def test_texts_are_short_enough_for_a_panel(name: str) -> None:
    known = words.situation(name)
    assert len(known.title) <= 56
    for variant in known.meaning:
        assert len(variant.text) <= 180, variant.text
    for variant in known.turn:
        assert len(variant.text) <= 110, variant.text
    for variant in known.ends:
        assert len(variant.text) <= 210, variant.text
    for cause in known.causes:
        assert len(cause.text) <= 125, cause.text
        assert len(cause.tell) <= 125, cause.tell
    for step in known.steps:
        assert len(step.text) <= 125, step.text


@pytest.mark.parametrize("name", SITUATIONS)
def test_sentences_end_like_sentences(name: str) -> None:
    known = words.situation(name)
    texts = [variant.text for variant in known.meaning + known.turn + known.ends]
    texts += [text for cause in known.causes for text in (cause.text, cause.tell)] + [item.why for item in known.do_not]
    for text in [*texts, *(step.text for step in known.steps)]:
        assert text.endswith((".", "?", ":")), text
        assert "  " not in text
        assert text == text.strip()


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_step_before_the_last_rungs_can_be_pasted(name: str) -> None:
    for step in words.situation(name).steps:
        if step.rung not in ("fix in code", "prevent"):
            assert step.command, step.text
        assert "\n" not in step.command


@pytest.mark.parametrize("name", SITUATIONS)
def test_harm_only_grows_along_the_ladder(name: str) -> None:
    effects = [words.EFFECTS.index(step.effect) for step in words.situation(name).steps if step.effect]
    assert effects == sorted(effects)


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_destroys_a_socket_says_that_it_needs_root(name: str) -> None:
    for step in words.situation(name).steps:
        if step.command.startswith(("ss -tK", "ss -taK", "sysctl -w", "tcpdump", "systemctl")):
            assert step.root, step.command


def test_nstat_never_moves_the_history_that_somebody_else_counts_from() -> None:
    files = sorted(Path(words.__file__).parent.glob("*/*.toml"))
    used = [options for file in files for options in re.findall(r"nstat (-\w+)", file.read_text())]
    assert used
    assert all("s" in options for options in used), "without -s it rewrites the history of its user"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[dict[str, Any]], words.SituationWords]]:
    """Loads a situation from a dict in place of a file."""

    def load(data: dict[str, Any]) -> words.SituationWords:
        words.situation.cache_clear()
        monkeypatch.setattr(File, "open", lambda kind, name: File(f"{kind}/{name}.toml", data))
        return words.situation("made_up")

    yield load
    words.situation.cache_clear()


def good() -> dict[str, Any]:
    return {
        "title": "T",
        "meaning": [{"text": "M."}],
        "turn": [{"who": "nobody", "text": "t."}],
        "ends": [{"text": "E."}],
        "steps": [{"rung": "look", "text": "L.", "command": "true", "effect": "reads"}],
        "sources": {"meaning": "RFC 1", "ends": "RFC 2"},
    }


def test_a_good_file_loads(load: Callable[[dict[str, Any]], words.SituationWords]) -> None:
    assert load(good()).steps[0].command == "true"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"titel": "T"}, "unknown key titel"),
        ({"title": None}, "title is missing"),
        ({"title": " "}, "title must be a text"),
        ({"meaning": "M."}, "meaning must be tables"),
        ({"meaning": []}, "the last of meaning must have no condition"),
        ({"ends": [{"text": "E.", "when": ["orphan"]}]}, "the last of ends must have no condition"),
        ({"turn": [{"who": "somebody", "text": "t."}]}, "who is 'somebody'"),
        ({"causes": [{"text": "C.", "tell": "T.", "wen": []}]}, "causes 1: unknown key wen"),
        ({"causes": [{"text": "C.", "tell": "T.", "when": "orphan"}]}, "when must be a list of texts"),
        ({"steps": [{"rung": "stare", "text": "L."}]}, "rung is 'stare'"),
        ({"steps": [{"rung": "look", "text": "L.", "command": "true"}]}, "a command needs its effect"),
        ({"steps": [{"rung": "look", "text": "L.", "effect": "reads"}]}, "a command needs its effect"),
        ({"steps": [{"rung": "look", "text": "L.", "root": "yes"}]}, "root must be true or false"),
        (
            {"steps": [{"rung": "prevent", "text": "P."}, {"rung": "look", "text": "L."}]},
            "not in the order of the ladder",
        ),
        ({"do_not": [{"what": "W"}]}, "do_not 1: why is missing"),
        ({"sources": {"meaning": "RFC 1"}}, "no source of ends"),
        ({"sources": {"meaning": "RFC 1", "ends": "RFC 2", "title": "RFC 3"}}, "title in [sources] is no claim"),
        ({"sources": {"meaning": "RFC 1", "ends": "RFC 2", "turn": " "}}, "turn in [sources] is no claim, or has no"),
    ],
)
def test_a_slip_is_an_error_that_names_file_and_place(
    load: Callable[[dict[str, Any]], words.SituationWords], change: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=r"^situations/made_up.toml") as raised:
        load({key: value for key, value in (good() | change).items() if value is not None})
    assert complaint in str(raised.value)


def test_filling_names_a_placeholder_without_a_value() -> None:
    assert words.fill("{a} and {net.ipv4.tcp_x}", {"a": "1", "net.ipv4.tcp_x": "2"}) == "1 and 2"
    with pytest.raises(KeyError, match="missing"):
        words.fill("{missing}", {})


def test_braces_in_values_are_left_alone() -> None:
    assert words.fill("{a}", {"a": "{b}"}) == "{b}"


def test_awk_braces_are_no_placeholders() -> None:
    assert list(words.placeholders("awk '{print $4}' {pid}")) == ["pid"]
