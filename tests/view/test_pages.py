"""``sockui explain NAME``: the page of a state, option, error, finding or setting, with this host's settings."""

from __future__ import annotations

import dataclasses
import re

import pytest

from sockui.diagnosis.thresholds import Thresholds
from sockui.errors import UsageError
from sockui.knowledge import finding_words, systems, topics, words
from sockui.knowledge.topics import Topic
from sockui.model import Host
from sockui.view import pages
from sockui.view.page import plain
from tests.view.scenes import DEFAULTS

RULES = finding_words.rules()
STATES = words.names("states")


def shown(name: str, host: Host = DEFAULTS, limits: Thresholds | None = None, system: str = "linux") -> str:
    return plain(pages.page(pages.find(name), host, limits, systems.system(system)))


def flat(text: str) -> str:
    return " ".join(text.split())


def part(text: str, title: str) -> str:
    """The section below a title, in one line."""
    return flat(text.split(f"\n{title}:\n", 1)[1].split("\n\n", 1)[0])


# --- every page -----------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", topics.topics(), ids=lambda topic: f"{topic.kind} {topic.name}")
@pytest.mark.parametrize("host", [DEFAULTS, Host("h", "Linux")], ids=["settings known", "unreadable"])
def test_a_page_has_no_hole_and_fits_a_terminal(topic: Topic, host: Host) -> None:
    page = pages.page(topic, host)
    text = plain(page)
    assert text.startswith(f"{page.title}\n")
    assert not text.endswith("\n")
    assert not re.search(r"\{[a-z_.]+[a-z0-9_.]*\}", text)
    commands = {block.text for section in page.sections for block in section.blocks if block.kind == "command"}
    for line in text.splitlines():
        assert len(line) <= 78 or any(command in line for command in commands), line


# --- states ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("close-wait", "CLOSE_WAIT"),
        ("CLOSE_WAIT", "CLOSE_WAIT"),
        ("FIN_WAIT_2", "FIN_WAIT2"),
        ("ESTAB", "ESTABLISHED"),
        ("syn-received", "SYN_RECV"),
        ("unconn", "UNCONN"),
        ("TIME-WAIT", "TIME_WAIT"),
        ("half open", "half-open"),
    ],
)
def test_a_state_is_found_in_any_spelling(text: str, title: str) -> None:
    assert shown(text).startswith(f"{title}\n\n")


@pytest.mark.parametrize("name", STATES)
def test_a_state_has_its_edges_its_problem_its_beliefs_and_sources(name: str) -> None:
    known = words.state(name)
    text = shown(name)
    for title, edges in (("Entered from", known.entered_by), ("Left to", known.left_by)):
        for edge in edges:
            assert flat(f"- {edge.state}: {edge.on} {edge.source}") in part(text, title)
    assert "Is it a problem: " in text
    wrong = part(text, "Believed, and wrong")
    for one in known.beliefs:
        assert f'- "{one.belief}"' in wrong
        assert flat(f"Source: {one.source}") in wrong
    sources = part(text, "Sources")
    for claim, source in known.sources.items():
        assert flat(f"{claim}: {source}") in sources
    for situation in known.situations:
        assert f"\nCase: {words.situation(situation).title}:\n" in text


def test_a_problem_is_told_with_the_thresholds_as_they_are_configured() -> None:
    assert "One older than 30 s is a leak" in flat(shown("close-wait"))
    limits = dataclasses.replace(Thresholds(), close_wait_seconds=1200)
    assert "One older than 1,200 s is a leak" in flat(shown("close-wait", limits=limits))


def test_a_state_is_told_with_this_hosts_settings() -> None:
    assert "After close() also tcp_fin_timeout: 1 min." in flat(shown("fin-wait-2"))
    trap = Host("h", "Linux", {"net.ipv4.tcp_fin_timeout": "70"})
    assert "After close() also tcp_fin_timeout: 20 s." in flat(shown("fin-wait-2", trap))


def test_a_state_on_another_system_has_nothing_that_is_true_of_linux_only() -> None:
    text = shown("fin-wait-2", system="hpux")
    assert "tcp_fin_wait_2_timeout" in text
    assert "\nOn Linux:\n" in text
    for title in ("Case", "Believed, and wrong", "What not to do"):
        assert f"\n{title}" not in text


# --- findings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_found_by_id_in_any_spelling_and_says_everything(rule: str) -> None:
    text = shown(rule)
    assert text == shown(f" {rule.lower()} ")
    assert text.startswith(f"{rule} {RULES[rule].replace('_', '-')}\n")
    for label in ("Fires", "Severity", "False positives", "Whose turn", "What ends it", "Evidence"):
        assert f"\n  {label}: " in text, label
    for title in ("In short", "Causes", "What to do: look", "What not to do", "Sources"):
        assert f"\n{title}:\n" in text, title
    known = finding_words.finding(RULES[rule])
    assert flat(f"fires: {known.sources['fires']}") in part(text, "Sources")
    for one in known.beliefs:
        assert f'- "{one.belief}"' in part(text, "Believed, and wrong")


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_found_by_its_name(rule: str) -> None:
    assert shown(RULES[rule].replace("_", "-")) == shown(rule)


def test_a_rule_is_explained_with_its_threshold_as_it_is_configured() -> None:
    assert "CLOSE_WAIT for at least 30 s" in flat(shown("R02"))
    limits = dataclasses.replace(Thresholds(), close_wait_seconds=1200, ports_warning=0.5)
    assert "CLOSE_WAIT for at least 1,200 s" in flat(shown("R02", limits=limits))
    assert "At least 50 % of the ephemeral ports" in flat(shown("R22", limits=limits))


def test_every_threshold_that_a_text_names_exists() -> None:
    names = {field.name for field in dataclasses.fields(Thresholds)}
    for file in RULES.values():
        known = finding_words.finding(file)
        for text in (known.fires, known.severity, *known.false_positives):
            assert set(words.placeholders(text)) <= names


# --- what cannot be explained ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("clos-wait", 'did you mean "close-wait"'),
        ("fin_wait", 'did you mean "fin-wait'),
        ("R99", ""),
        ("qqq", "sockui explain --all"),
        ("", "there are states of tcp"),
    ],
)
def test_an_unknown_name_gets_suggestions(text: str, hint: str) -> None:
    with pytest.raises(UsageError, match="is nothing that can be explained") as raised:
        pages.find(text)
    assert hint in str(raised.value).lower().replace("_", "-")


def test_a_hostile_name_is_shown_escaped() -> None:
    with pytest.raises(UsageError) as raised:
        pages.find("\x1b[31mR02\x1b[0m")
    assert "\x1b" not in str(raised.value)


def test_an_unknown_system_gets_suggestions() -> None:
    assert pages.find_system("HP-UX").key == "hpux"
    with pytest.raises(UsageError, match="hpux"):
        pages.find_system("hpxu")


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_tells_what_it_costs_and_how_its_states_are_entered_and_left(rule: str) -> None:
    text, known = shown(rule), finding_words.finding(RULES[rule])
    assert "Costs: " in text
    for name in STATES:
        if set(words.state(name).situations) & set(known.situations) and words.state(name).name.isupper():
            told = part(text, "Its sockets are in")
            assert f"- {name.upper()}. " in told
            for edge in words.state(name).entered_by:
                assert f"{edge.state} ({edge.on})" in told
