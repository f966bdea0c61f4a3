"""Every finding in words: its file fits its rule, all is filled in, commands are sound, outside text stays text."""

from __future__ import annotations

import dataclasses
import re
import shlex
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from sockui.diagnosis.finding import Draft, Severity
from sockui.knowledge import finding_words, words
from sockui.view import finding_facts, findings
from sockui.view.finding_facts import FindingFacts
from sockui.view.findings import full, markdown, remedy_text, say, title
from tests.diagnosis.conftest import Ward, process
from tests.view.finding_scenes import LISTEN, SCENES, leak, poll, renamed, scene, told, whole

RULES = finding_words.rules()
NAMES = sorted(SCENES)


def test_every_rule_is_seen() -> None:
    assert {rule for rule, _ in SCENES.values()} == set(RULES)


@pytest.mark.parametrize("rule", RULES)
def test_every_variant_is_said_in_some_scene(rule: str) -> None:
    """So every condition that a file names is one that the rule, or its socket, provides."""
    known = finding_words.finding(RULES[rule])
    seen: set[words.Variant] = set()
    lines: set[str] = set()
    for name in (name for name in NAMES if SCENES[name][0] == rule):
        facts = FindingFacts(*scene(name))
        for variants in (known.title, known.filter):
            seen |= {words.choose(variants, finding_facts.conditions(facts.finding))} if variants else set()
        for variants in (known.summary, known.first, known.turn, known.ends):
            seen |= {words.choose(variants, facts.conditions)} if variants else set()
        lines |= {line for line, _ in say(*scene(name)).evidence}
    texts = (known.title, known.filter, known.summary, known.first, known.turn, known.ends)
    missing = [variant.text for variants in texts for variant in variants if variant not in seen]
    assert not missing
    assert {line.name for line in known.evidence} <= lines


def test_what_many_small_groups_share_is_said_without_an_endpoint_or_a_process() -> None:
    out: dict[str, Any] = {"local_port": 50_000, "remote_port": 5432}
    rows = [leak(1, pid=1000 + n, remote=f"10.1.{n >> 8}.{n & 255}", **out)[0] for n in range(300)]
    found = poll(*rows)
    said = say(found, found.items[0])
    assert said.summary.startswith("300 processes: 300 sockets in CLOSE_WAIT to 300 addresses for ")
    assert (said.process, said.where) == ("", "")
    assert ("Process", "300, each with some of them") in said.evidence
    for row in rows:
        row["pid"] = 4312
    found = poll(*rows)
    assert say(found, found.items[0]).summary.startswith("java 4312: 300 sockets in CLOSE_WAIT to 300 addresses for ")


@pytest.mark.parametrize("rule", RULES)
def test_every_condition_of_causes_and_steps_can_hold(rule: str) -> None:
    known = finding_words.finding(RULES[rule])
    possible: set[str] = {"growing", "runs_out", "shared", "stopped", "traced", "uninterruptible", "critical"}
    for name in (name for name in NAMES if SCENES[name][0] == rule):
        facts = FindingFacts(*scene(name))
        possible |= facts.conditions | set(facts.finding.draft.values)
        possible |= set(facts.oldest.tests) if facts.oldest is not None else set()
        possible |= set(facts.of_process.tests) if facts.of_process is not None else set()
    used = {name for cause in known.causes for name in cause.when + cause.unless}
    used |= {name for step in known.steps for name in step.when + step.unless}
    used |= {name for cause in known.causes for name in cause.likely}
    used |= {name for weight in known.weights for name in weight.likely + weight.unless}
    used |= {name for item in known.without for name in item.when}
    assert used <= possible


@pytest.mark.parametrize("name", NAMES)
def test_everything_is_filled_in(name: str) -> None:
    said = told(name)
    assert not re.search(r"\{[a-z_.]+\}|an unknown time", whole(said)), whole(said)
    for text in (said.summary, said.turn, said.ends, *(value for _, value in said.evidence)):
        assert not re.search(r" ,|\.\.|\( |  |^ | $", text), text
    assert said.id == SCENES[name][0]
    assert said.severity in ("critical", "warning", "info")
    assert said.title == title(scene(name)[1])
    assert said.summary
    assert said.turn
    assert said.ends
    assert said.evidence
    assert said.steps
    assert said.do_not
    assert len({what for what, _ in said.do_not}) == len(said.do_not)
    assert len(set(said.steps)) == len(said.steps)


@pytest.mark.parametrize("name", NAMES)
def test_the_summary_alone_says_who_what_and_what_first(name: str) -> None:
    said = told(name)
    assert " First: " in said.summary
    assert len(said.summary) <= 420, said.summary
    assert re.match(r"[A-Z0-9]|tcp_", said.summary) or said.summary.startswith(said.process or "?")
    if said.process and said.id not in ("R22", "X1"):
        assert said.process in said.summary
    assert not re.search(r"\b1 (sockets|connections|wait|addresses|bytes|datagrams|SYNs)\b", said.summary), said.summary


@pytest.mark.parametrize("name", NAMES)
def test_steps_go_up_the_ladder_and_commands_are_sound_shell(name: str) -> None:
    said = told(name)
    order = [(words.RUNGS.index(step.rung), _harm(step.effect)) for step in said.steps]
    assert order == sorted(order)
    for step in said.steps:
        assert bool(step.command) == bool(step.effect)
        if step.command:
            assert step.command == step.command.strip()
            assert "\n" not in step.command
            assert subprocess.run(["bash", "-n", "-c", step.command], check=False).returncode == 0, step.command


def _harm(effect: str) -> int:
    return ("", *words.EFFECTS).index(effect.split(",")[0])


def test_a_command_that_asks_the_network_stack_enters_the_namespace_it_is_about() -> None:
    found, item = scene("read")
    host = dataclasses.replace(found.update.snapshot.host, namespace="blue")
    inside = dataclasses.replace(
        found, update=dataclasses.replace(found.update, snapshot=dataclasses.replace(found.update.snapshot, host=host))
    )
    said = say(inside, item)
    for step in said.steps:
        if step.command and shlex.split(step.command)[0] in ("ss", "sysctl", "nstat", "ip", "tcpdump"):
            pytest.fail(step.command)
    (by_peer,) = [step for step in said.steps if step.text.startswith("Its CLOSE_WAIT sockets by peer")]
    assert by_peer.command is not None
    assert by_peer.command.startswith("nsenter --net=/run/netns/blue ss ")
    assert by_peer.effect == "reads, needs root"
    for step in said.steps:
        assert subprocess.run(["bash", "-n", "-c", step.command or ""], check=False).returncode == 0
    text = markdown(inside, item, host="web1", moment="now")
    assert "netns `blue`" in text
    assert "sockui --netns blue 'pid = 4312" in text


# --- from outside ----------------------------------------------------------------------------------------------

HOSTILE = ["[/x]", "a`b", "$(id)", "\x1b[31mred", "@here", "x\u202ey", "#general", "; rm -rf /", "'\"", "{who}"]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("of", ["read_growing", "unread_both_ends", "queue_full", "ports_held", "window_here"])
def test_a_name_from_outside_stays_text(of: str, name: str) -> None:
    found, item = scene(of)
    said = say(renamed(found, name), item)
    text = whole(said)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    for step in said.steps:
        assert not step.command or name not in step.command, "no command holds a name"
    for make in (markdown, remedy_text, full):
        copied = make(renamed(found, name), item, host="web1", moment="now")
        outside = re.sub("`[^`]*`", "", copied)
        assert "`" not in outside, "every code span is closed"
        assert name not in outside, copied


def test_a_host_name_from_outside_stays_text() -> None:
    assert "on `a\\x60@here` at" in markdown(*scene("read"), host="a`@here", moment="now")


@pytest.mark.parametrize("name", NAMES)
def test_markdown_is_short_and_plain(name: str) -> None:
    text = markdown(*scene(name), host="web1", moment="2026-11-21 03:12:09 UTC")
    lines = text.splitlines()
    assert len(lines) <= 25, text
    assert not text.endswith("\n")
    said = told(name)
    assert lines[0] == f"{said.severity.upper()} {said.title} ({said.id}) on `web1` at 2026-11-21 03:12:09 UTC"
    assert lines[1].startswith("- What: ")
    for line in lines[1:]:
        assert re.match(r"- |[1-3]\. ", line), line
    assert "**" not in text
    assert [line for line in lines if line.startswith("1. ")]
    shows = said.filter and scene(name)[0].update.snapshot.source != "text"  # of a text there is nothing to show here
    assert lines[-1].startswith("- Show: ") == bool(shows)
    if shows:
        assert lines[-1] == f"- Show: `sockui {shlex.quote(said.filter)}`"


@pytest.mark.parametrize("name", NAMES)
def test_all_that_is_copied_of_a_finding_is_what_its_pages_show(name: str) -> None:
    said = told(name)
    short, page, all_ = (make(*scene(name), host="web1", moment="now") for make in (markdown, remedy_text, full))
    assert short.splitlines()[0] == page.splitlines()[0] == all_.splitlines()[0]
    numbered = [line for line in page.splitlines() if re.match(r"\d+\. ", line)]
    assert len(numbered) == len(said.steps)
    for number, (line, step) in enumerate(zip(numbered, said.steps, strict=True), 1):
        assert line.startswith(f"{number}. {step.rung.capitalize()}: ")
        assert not step.command or f"`{step.command}` ({step.effect})" in line
    assert [line for line in all_.splitlines() if re.match(r"\d+\. ", line)] == numbered
    for text in (page, all_):
        assert text.count("\n- Do not: ") == len(said.do_not)
    assert len([line for line in all_.splitlines() if line.startswith("- ")]) >= (
        3 + len(said.evidence) + len(said.causes) + len(said.do_not)
    )


def test_markdown_names_the_step_of_each_kind() -> None:
    lines = markdown(*scene("read_growing"), host="web1", moment="now").splitlines()
    look, mitigate, fix = (line for line in lines if re.match(r"[1-3]\. ", line))
    assert "(reads)" in look
    assert "`prlimit --pid 4312 --nofile=2048:` (changes settings)" in mitigate
    assert fix.startswith("3. Java (JVM): ")


def test_a_finding_of_nothing_but_numbers_has_no_process() -> None:
    """The words do not lean on what only some findings have."""
    found, item = scene("time_wait")
    draft = Draft("R23", Severity.WARNING, np.empty(0, np.intp), values=item.draft.values)
    said = say(found, dataclasses.replace(item, draft=draft, rows=draft.rows))
    assert (said.process, said.where, said.filter, said.age) == ("", "", "", "")
    assert said.title == "TIME_WAIT near tcp_max_tw_buckets"


def test_what_is_said_does_not_cost_an_object_per_socket() -> None:
    def calls(count: int) -> int:
        found = Ward(processes=(process(4312, "java"),)).poll(LISTEN, *leak(count))
        say(found, found.items[0])
        total = 0

        def trace(frame: object, event: str, argument: Any) -> None:
            nonlocal total
            total += event in ("call", "c_call")

        sys.setprofile(trace)
        try:
            findings.say(found, found.items[0])
        finally:
            sys.setprofile(None)
        return total

    assert calls(3_000) <= calls(10) + 50
