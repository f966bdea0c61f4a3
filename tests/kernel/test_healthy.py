"""Nothing is found on a host where nothing is wrong: idle, and under load."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sockui.collector.linux import NetlinkCollector
from sockui.collector.namespace import enter_namespace
from sockui.diagnosis.engine import Diagnosis
from sockui.diagnosis.finding import Findings
from sockui.tracker import Tracker
from tests.diagnosis.healthy import healthy_load

pytestmark = pytest.mark.kernel


def watch(namespace: str, polls: int, pause: float) -> list[Findings]:
    enter_namespace(namespace)
    collector, tracker, diagnosis = NetlinkCollector(namespace), Tracker(), Diagnosis()
    try:
        found = []
        for _ in range(polls):
            found.append(diagnosis.update(tracker.update(collector.collect())))
            threading.Event().wait(pause)
        return found
    finally:
        collector.close()


def test_nothing_is_found_on_a_busy_healthy_host(capsys: pytest.CaptureFixture[str]) -> None:
    if os.geteuid() != 0:
        pytest.skip("making network namespaces needs root")
    with healthy_load(f"healthy-{os.getpid()}") as load, ThreadPoolExecutor(1) as pool:
        found = pool.submit(watch, load.namespace, 40, 0.5).result()  # 20 s: trends have what they need
        rate = load.rate()
    with capsys.disabled():
        print(f" {rate:.0f} connections/s, {max(len(f.update.sockets) for f in found)} sockets ", end="")
    assert [(item.key, item.count, dict(item.draft.values)) for each in found for item in each.items] == []
    assert rate > 300
    assert max(len(each.update.sockets) for each in found) > 1000
