"""`sockui diagnose` on a host with faults that were planted: it names exactly those, to people and to scripts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from sockui.lab.run import Lab
from sockui.view.columns import COLUMNS

pytestmark = pytest.mark.kernel

PLANTED = {"listen-full": "R16", "close-wait-read": "R02", "retransmitting": "R18"}
DEADLINE = 60.0
SOON = "[thresholds]\naccept_wait_seconds = 0.1\nclose_wait_seconds = 1\nretransmitting_seconds = 1\n"
"""The lab's faults are young; nobody waits half a minute for them to be called old."""
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    if os.geteuid() != 0:
        pytest.skip("making network namespaces needs root")
    with Lab(list(PLANTED), namespace=f"diagnosetest-{os.getpid()}") as made:
        yield made


@pytest.fixture
def command(lab: Lab, tmp_path: Path) -> list[str]:
    (tmp_path / "soon.toml").write_text(SOON)
    where = ["--netns", str(lab.namespace), "--config", str(tmp_path / "soon.toml")]
    return [sys.executable, "-m", "sockui", *where, "diagnose"]


@pytest.fixture
def diagnose(command: list[str]) -> Run:
    """Run it without a terminal."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, timeout=DEADLINE)

    return run


@pytest.fixture
def told(diagnose: Run) -> dict[str, Any]:
    """The report when every fault is old enough to be one."""
    end = time.monotonic() + DEADLINE
    while True:
        done = diagnose("--format", "json")
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        if len(answer["findings"]) >= len(PLANTED) or time.monotonic() > end:
            return answer


def test_three_planted_faults_are_three_findings(told: dict[str, Any], lab: Lab) -> None:
    assert {each["id"] for each in told["findings"]} == set(PLANTED.values())
    assert len(told["findings"]) == len(PLANTED)
    assert told["findings"][0]["severity"] == "critical", "the worst first"
    assert (told["polls"], told["netns"]) == (2, lab.namespace)
    made = {PLANTED[each.name]: each for each in lab.made}
    for found in told["findings"]:
        fault = made[found["id"]]
        assert (found["process"], found["pid"]) == (fault.process, fault.pid)
        assert found["title"]
        assert str(fault.pid) in found["summary"]
        assert found["evidence"]
        assert found["remedy"]
        assert found["do_not"]
        assert found["sockets"]
        assert {tuple(row) for row in found["sockets"]} == {tuple(COLUMNS)}
        assert all(row["pid"] == fault.pid for row in found["sockets"])
        for step in found["remedy"]:
            assert set(step) == {"step", "command", "effect"}
            assert (step["command"] is None) == (step["effect"] is None)
    full = next(each for each in told["findings"] if each["id"] == "R16")
    assert full["explains"] == {"R03": 3}, "those who wait are explained by the full queue, not findings of their own"


def test_a_filter_shows_the_findings_with_a_socket_that_matches(told: dict[str, Any], lab: Lab, diagnose: Run) -> None:
    leak = next(each for each in told["findings"] if each["id"] == "R02")
    shown = json.loads(diagnose("--format", "json", "state", "close-wait").stdout)
    assert [each["key"] for each in shown["findings"]] == [leak["key"]]
    nothing = diagnose("state", "last-ack")
    assert nothing.stdout.startswith("No findings.\n")
    assert "3 other findings without a socket that matches." in " ".join(nothing.stdout.split())


def test_the_exit_code_says_whether_it_is_bad_enough(told: dict[str, Any], diagnose: Run) -> None:
    codes = {
        ("--fail-on", "critical"): 1,
        ("--fail-on", "warning"): 1,
        (): 0,
        ("--fail-on", "critical", "state", "close-wait"): 0,  # a warning
        ("--fail-on", "warning", "state", "close-wait"): 1,
        ("--fail-on", "warning", "state", "last-ack"): 0,
    }
    assert {arguments: diagnose(*arguments).returncode for arguments in codes} == codes


def test_text_has_the_worst_first_and_commands_that_can_be_pasted(told: dict[str, Any], diagnose: Run) -> None:
    text = diagnose().stdout
    severities = re.findall(r"^(CRITICAL|WARNING) (R\d\d): ", text, re.MULTILINE)
    assert [rule for _, rule in severities] == [each["id"] for each in told["findings"]]
    assert "\x1b" not in text
    for found in told["findings"]:
        assert found["title"] in " ".join(text.split())
        look = found["remedy"][0]  # beside it the first step to mitigate and the first to fix
        assert look["command"] is None or f"     {look['command']}\n" in text
        assert max(len(line) for line in text.splitlines() if not line.startswith("     ")) <= 100
    looked_at = text.split("\n\n")[-1]
    assert re.search(r"\d+ sockets of \d+ known processes, 2 looks in 1 s, through netlink on ", looked_at)


def test_markdown_has_every_finding(told: dict[str, Any], diagnose: Run) -> None:
    text = diagnose("--format", "markdown").stdout
    assert text.startswith("**3 findings** on `")
    for found in told["findings"]:
        assert found["title"] in text


def test_a_reader_that_stops_early_gets_no_complaint_and_the_same_verdict(
    told: dict[str, Any], command: list[str]
) -> None:
    for arguments, code in ([], 0), (["--fail-on", "critical"], 1):
        ended = subprocess.run(
            ["bash", "-c", 'set -o pipefail; "$@" | true', "-", *command, "--format", "json", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE,
        )
        assert (ended.returncode, ended.stderr) == (code, "")


def test_an_empty_namespace_has_no_findings(command: list[str]) -> None:
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo made; exec cat"], stdin=-1, stdout=-1, text=True)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "made\n"
        at = command.index("--netns") + 1
        inside = subprocess.run(
            [*command[:at], str(holder.pid), *command[at + 1 :]], capture_output=True, text=True, check=False
        )
        holder.communicate()
    assert (inside.returncode, inside.stderr) == (0, "")
    assert "0 sockets of 0 known processes" in inside.stdout


@pytest.mark.parametrize(("looks", "code"), [(1, 130), (4, 0)])
@pytest.mark.pty
def test_on_a_terminal_it_counts_down_and_ctrl_c_prints_what_is_known(
    looks: int, code: int, told: dict[str, Any], command: list[str]
) -> None:
    interval = ["--interval", "0.3"] if looks > 1 else []
    child = pexpect.spawn(
        command[0],
        [*command[1:], "--for", "60s", *interval],
        dimensions=(50, 80),
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        encoding="utf-8",
        timeout=DEADLINE,
    )
    for _ in range(looks):
        child.expect(r"\rlooking, \d+ s left \.\.\. *")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    shown = child.before
    assert shown is not None
    report = shown.rpartition("\r" + " " * 36 + "\r")[2]
    assert "looking" not in report
    assert report.startswith("CRITICAL R16: ")
    assert "looks in" in report if looks > 1 else "1 look," in report
    assert child.exitstatus == code
