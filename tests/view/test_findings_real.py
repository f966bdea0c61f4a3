"""Findings of sockets that are stuck in a real kernel: their words hold, commands run, filters find them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from sockui.collector.linux import NetlinkCollector
from sockui.collector.namespace import enter_namespace
from sockui.diagnosis.engine import Diagnosis
from sockui.diagnosis.finding import Findings
from sockui.diagnosis.thresholds import Thresholds
from sockui.lab.run import Lab
from sockui.tracker import Tracker
from sockui.view import query
from sockui.view.findings import filter_text, markdown, say

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="making network namespaces needs root"),
]
AT_ONCE = Thresholds(
    close_wait_seconds=0.1,
    fin_wait2_seconds=0.1,
    accept_wait_seconds=0.1,
    fin_unanswered_retransmits=1,
    syn_unanswered=1,
    retransmitting_seconds=0.1,
    zero_window_seconds=0.1,
    unread_seconds=0.1,
)
WANTED = {"R01", "R02", "R07", "R08", "R10", "R12", "R16", "R18"}
PATIENCE = 30.0  # s
TOOLS = {"ss", "ps", "ls", "grep", "sysctl", "nstat", "ip", "sh", "uname"}


@pytest.fixture(scope="module")
def stuck() -> Iterator[tuple[str, Findings]]:
    """A namespace in which sockets are stuck, and what is found of them."""
    found: list[Findings] = []

    def look(namespace: str) -> None:
        enter_namespace(namespace)  # this thread's alone
        collector, tracker, diagnosis = NetlinkCollector(), Tracker(), Diagnosis(AT_ONCE)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            found.append(diagnosis.update(tracker.update(collector.collect())))
            if {item.rule for item in found[-1].items} >= WANTED and len(found) > 2:
                break
            threading.Event().wait(0.5)
        collector.close()

    with Lab(namespace=f"findings-{os.getpid()}") as lab:
        thread = threading.Thread(target=look, args=(str(lab.namespace),))
        thread.start()
        thread.join()
        yield str(lab.namespace), found[-1]


def test_the_faults_are_there(stuck: tuple[str, Findings]) -> None:
    assert {item.rule for item in stuck[1].items} >= WANTED


def test_the_filter_shows_at_least_the_sockets_of_each_finding(stuck: tuple[str, Findings]) -> None:
    _, found = stuck
    for item in found.items:
        text = filter_text(item)
        if not len(item.rows):
            continue
        mask = query.compile(text).mask(found.update)
        assert mask[item.rows].all(), (item.key, text)
        assert mask.sum() < len(mask) / 2, (item.key, text)


def test_every_finding_is_said_whole(stuck: tuple[str, Findings]) -> None:
    _, found = stuck
    for item in found.items:
        said = say(found, item)
        assert " First: " in said.summary
        assert said.turn
        assert said.ends
        assert {step.rung for step in said.steps} >= {"look", "prevent"}, item.key
        assert not re.search(r"\{[a-z_.]+\}|unreadable|unknown (time|number)", f"{said}"), f"{said}"
        assert len(markdown(found, item, host="web1", moment="now").splitlines()) <= 25
        if item.pid:
            assert said.process.endswith(f" {item.pid}")
            assert dict(said.evidence)["Threads"]


def test_commands_that_read_run_where_sockui_was_started(stuck: tuple[str, Findings]) -> None:
    namespace, found = stuck
    done: set[tuple[str, str]] = set()
    shown = 0
    for item in found.items:
        for step in say(found, item).steps:
            if step.command is None or (item.rule, step.text) in done:
                continue
            done.add((item.rule, step.text))
            assert subprocess.run(["bash", "-n", "-c", step.command], check=False).returncode == 0, step.command
            program = shlex.split(step.command)[0]
            if not step.effect.startswith("reads") or program not in TOOLS or "kill" in step.command:
                continue
            inside = ["nsenter", f"--net=/run/netns/{namespace}", "bash", "-c", step.command]
            ran = subprocess.run(inside, capture_output=True, text=True, check=False, timeout=20)
            assert ran.returncode == 0, (item.key, step.command, ran)
            assert ran.stderr == "", (item.key, step.command, ran)
            port = item.draft.endpoint.port if item.draft.endpoint is not None else 0
            if program == "ss" and f":{port} " in step.command and "uniq" not in step.command and item.rule != "X1":
                assert f":{port} " in ran.stdout, (item.key, step.command, ran.stdout)
                shown += 1
    assert len(done) > 60
    assert shown > 10
