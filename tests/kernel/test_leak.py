"""A program that leaks at a known rate: the slope is that rate, and accept() fails when the forecast says."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from sockui.collector.linux import NetlinkCollector
from sockui.diagnosis.engine import Diagnosis
from sockui.diagnosis.finding import Finding, Severity
from sockui.diagnosis.thresholds import Thresholds
from sockui.tracker import Tracker

pytestmark = pytest.mark.kernel

EVERY = 0.25  # s between two leaked sockets
LIMIT = 200  # descriptors
LEAKY = f"""
import errno, resource, socket, subprocess, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, ({LIMIT}, {LIMIT}))
listener = socket.create_server(("127.0.0.1", 0))
port = listener.getsockname()[1]
client = subprocess.Popen([sys.executable, "-c", "import socket, sys\\nfor line in sys.stdin: "
                           f"socket.create_connection(('127.0.0.1', {{port}})).close(); print(flush=True)"],
                          stdin=-1, stdout=-1)
print(port, flush=True)
kept, began = [], time.monotonic()
while True:
    time.sleep(max(0, began + len(kept) * {EVERY} - time.monotonic()))
    client.stdin.write(b"\\n"); client.stdin.flush(); client.stdout.readline()
    try:
        kept.append(listener.accept()[0])
    except OSError as error:
        print(time.monotonic(), errno.errorcode[error.errno], flush=True)
        break
sys.stdin.read()
"""


@pytest.fixture
def leaky() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", LEAKY], stdin=-1, stdout=-1, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def test_slope_and_forecast_of_a_leak(leaky: subprocess.Popen[str]) -> None:
    assert leaky.stdout is not None
    port = int(leaky.stdout.readline())
    collector, tracker = NetlinkCollector(), Tracker()
    diagnosis = Diagnosis(Thresholds(close_wait_seconds=1))
    last: Finding | None = None
    try:
        until = time.monotonic() + 20  # of the 47 s that it lasts
        while time.monotonic() < until:
            time.sleep(1)
            update = tracker.update(collector.collect())
            found = [item for item in diagnosis.update(update).items if item.pid == leaky.pid]
            last = found[0] if found else last
            seen = update.snapshot.monotonic
    finally:
        collector.close()
    assert last is not None
    assert last.key == f"R02/{leaky.pid}/:{port}" or last.key == f"R01/{leaky.pid}/:{port}"
    assert last.severity == Severity.CRITICAL
    assert last.trend is not None
    assert last.forecast is not None
    assert last.trend.per_minute == pytest.approx(60 / EVERY, rel=0.15)
    assert last.trend.low <= 60 / EVERY <= last.trend.high
    foretold = seen + last.forecast.seconds

    failed_at, error = leaky.stdout.readline().split()
    assert error == "EMFILE"
    assert foretold - seen == pytest.approx(float(failed_at) - seen, rel=0.2)
    assert seen + last.forecast.low_seconds - 2 <= float(failed_at)
