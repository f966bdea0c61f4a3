"""Rule by lab state: every fault that the lab makes raises its rules and no other, on the kernel's own sockets."""

from __future__ import annotations

import dataclasses
import math
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from sockui.collector.linux import NetlinkCollector
from sockui.collector.namespace import enter_namespace
from sockui.diagnosis.engine import Diagnosis
from sockui.diagnosis.finding import Findings
from sockui.diagnosis.thresholds import Thresholds
from sockui.lab.recipes import RECIPES, Recipe
from sockui.lab.run import Lab
from sockui.model import State
from sockui.tracker import Tracker

pytestmark = pytest.mark.kernel

OLD_ENOUGH = 62.0  # s: the least age of R05; that of R21, two hours, is set to 60 s
LIMITS = {"half-open": dataclasses.replace(Thresholds(), idle_seconds=60)}
POLLS, PAUSE = 2, 1.5  # s between


@pytest.fixture(scope="module")
def wards() -> Iterator[dict[str, str]]:
    """A lab for each recipe, each in namespaces of its own; recipe -> namespace."""
    if os.geteuid() != 0:
        pytest.skip("making network namespaces needs root")
    with ExitStack() as stack:
        youngest_last = sorted(RECIPES, key=lambda recipe: -(recipe.ends_after or math.inf))  # they are made again
        names = {recipe.name: f"kf{number}-{os.getpid()}" for number, recipe in enumerate(youngest_last)}
        labs = [stack.enter_context(Lab([name], namespace=namespace)) for name, namespace in names.items()]
        until = time.monotonic() + OLD_ENOUGH
        while time.monotonic() < until:
            time.sleep(0.2)
        assert not [lab.broken for lab in labs if lab.broken]
        yield names


def look(recipe: str, namespace: str) -> Findings:
    """What is found in a namespace, in a thread of its own: it is the thread that enters."""
    enter_namespace(namespace)
    collector, tracker = NetlinkCollector(namespace), Tracker()
    diagnosis = Diagnosis(LIMITS.get(recipe, Thresholds()))
    try:
        for poll in range(POLLS):
            if poll:
                threading.Event().wait(PAUSE)
            findings = diagnosis.update(tracker.update(collector.collect()))
        return findings
    finally:
        collector.close()


@pytest.fixture(scope="module")
def found(wards: dict[str, str]) -> dict[str, Findings]:
    """What is found in each of them, at the same time."""
    with ThreadPoolExecutor(len(wards)) as pool:
        futures = {name: pool.submit(look, name, namespace) for name, namespace in wards.items()}
    return {name: future.result() for name, future in futures.items()}


def rules(findings: Findings) -> set[str]:
    """The rules that are found or explained by one that is; X4 where a finding names the other end's process."""
    named = {item.rule for item in findings.items} | {rule for item in findings.items for rule in item.explains}
    paired = any((item.rule == "R05" or "R05" in item.explains) and item.others for item in findings.items)
    return named | ({"X4"} if paired else set())


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_fault_raises_its_rules_and_no_other(recipe: Recipe, found: dict[str, Findings]) -> None:
    assert rules(found[recipe.name]) == set(recipe.rules), [
        (item.key, item.count, dict(item.explains), dict(item.draft.values)) for item in found[recipe.name].items
    ]


def test_every_rule_but_two_is_raised_by_the_kernel_itself(found: dict[str, Findings]) -> None:
    """R09 needs a socket that belongs to the kernel (ksmbd, NFS); R24 settings of the whole host."""
    every = {f"R{number:02}" for number in range(1, 26)} | {"X1", "X2", "X3", "X4", "X5"}
    assert every - set().union(*map(rules, found.values())) == {"R09", "R24"}


def test_a_listener_that_holds_bare_acks_back_is_not_taken_for_one_that_overflows() -> None:
    if os.geteuid() != 0:
        pytest.skip("making network namespaces needs root")
    namespace = f"kfd-{os.getpid()}"

    def asked() -> set[int]:
        """The ports of R16, after silent clients came to the one that defers."""
        enter_namespace(namespace)
        collector, tracker, diagnosis = NetlinkCollector(namespace), Tracker(), Diagnosis()
        with ExitStack() as stack:
            stack.callback(collector.close)
            listening = {made.local[1]: made.local for made in lab.made if made.state == State.LISTEN}
            diagnosis.update(tracker.update(collector.collect()))
            for _ in range(6):
                stack.enter_context(socket.create_connection((listening[8107][0], 8092)))
            until = time.monotonic() + 20
            while time.monotonic() < until:
                time.sleep(0.5)
                found = diagnosis.update(tracker.update(collector.collect()))
                ports = {item.draft.endpoint.port for item in found.items if item.rule == "R16" and item.draft.endpoint}
                host, drops = found.update.snapshot.host, found.update.sockets["drops"]
                if ports and drops[found.update.sockets["local_port"] == 8092].max() >= 6:
                    break
            assert host.counters["TcpExt.TCPDeferAcceptDrop"] >= 6
            return ports

    with Lab(["defer-accept", "listen-overflow"], namespace=namespace) as lab, ThreadPoolExecutor(1) as inside:
        assert inside.submit(asked).result() == {8107}
