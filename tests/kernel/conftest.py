"""A lab of real sockets in namespaces of their own, made once for these tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sockui.lab.run import Lab

ENDLESS = (
    "listen-full", "accept-queue", "close-wait-unread", "close-wait-read", "close-wait-unaccepted", "fin-wait2-held",
    "fin-wait2-orphan", "time-wait", "syn-sent", "syn-recv", "defer-accept", "fin-wait1", "fin-wait1-zero-window",
    "last-ack", "closing", "established", "retransmitting", "zero-window", "half-open", "bound-inactive",
)  # fmt: skip
"""Every state of which the lab can say when it was entered, or that ss can show."""
OLD_ENOUGH = 6.0  # s


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    if os.geteuid() != 0:
        pytest.skip("making network namespaces needs root")
    with Lab(ENDLESS, namespace=f"kerneltest-{os.getpid()}") as made:
        yield made


@pytest.fixture(scope="session")
def aged_lab(lab: Lab) -> Lab:
    """The lab when everything in it has been stuck for ``OLD_ENOUGH`` seconds: the age is what is tested."""
    entered = [made.made_at_monotonic for made in lab.made if made.made_at_monotonic is not None]
    while time.monotonic() < max(entered) + OLD_ENOUGH:
        time.sleep(0.1)
    return lab


@pytest.fixture(scope="session")
def sockui_list(lab: Lab) -> Callable[..., dict[str, Any]]:
    """Run ``sockui list --format json`` in the lab's namespace, as a person would."""

    def run(*arguments: str) -> dict[str, Any]:
        command = [
            sys.executable,
            "-m",
            "sockui",
            "list",
            "--netns",
            str(lab.namespace),
            "--format",
            "json",
            *arguments,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return run
