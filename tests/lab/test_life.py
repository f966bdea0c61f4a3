"""The lab's beginning and end: names, who may be where, and that nothing is left on any way to die."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from sockui.collector.namespace import list_namespaces
from sockui.errors import NamespaceError, UsageError
from sockui.lab.recipes import RECIPES, choose
from sockui.lab.run import Lab, list_lab
from sockui.model import State

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
STATES = ["fin-wait1", "last-ack", "time-wait", "close-wait-leak"]


Start: TypeAlias = Callable[..., tuple[subprocess.Popen[str], list[str]]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Run the lab as a program, until it says that everything is made; gives its lines so far."""
    started: list[subprocess.Popen[str]] = []

    def run(names: list[str], namespace: str, *prefix: str) -> tuple[subprocess.Popen[str], list[str]]:
        code = f"import sys; from sockui.lab.run import run_lab; sys.exit(run_lab({names!r}, namespace={namespace!r}))"
        command = [*prefix, sys.executable, "-c", code]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        started.append(process)
        lines: list[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith("Ctrl-C"):
                return process, lines
        raise AssertionError(f"the lab ended: {lines}")

    yield run
    for process in started:
        process.kill()
        process.communicate()


def children(pid: int) -> dict[int, str]:
    """Every child of a process, by name."""
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for task in Path(f"/proc/{pid}/task").iterdir():
        pids += (task / "children").read_text().split()
    return {int(each): Path(f"/proc/{each}/comm").read_text().strip() for each in pids}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(condition: Callable[[], bool], wanted: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, wanted
        time.sleep(0.05)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    rest, _ = process.communicate(timeout=60)
    return process.returncode, rest


def nothing_left(pids: dict[int, str], namespace: str) -> Callable[[], bool]:
    return lambda: (
        not any(alive(pid) for pid in pids)
        and not [name for name in list_namespaces() if name in (namespace, f"{namespace}-peer")]
    )


# --- ways to die ----------------------------------------------------------------------------------


@NEEDS_ROOT
@pytest.mark.kernel
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=lambda n: n.name)
def test_nothing_is_left(start: Start, namespace: str, number: signal.Signals) -> None:
    process, lines = start(STATES, namespace)
    assert lines[-2] == f"Look at them: sockui --netns {namespace}"
    born = children(process.pid)
    assert {"lab-client", "lab-leaky", "lab-peer"} <= set(born.values())
    assert {namespace, f"{namespace}-peer"} <= set(list_namespaces())
    if number == signal.SIGKILL:
        process.kill()
    else:
        os.killpg(process.pid, number)  # as a terminal does
    code, _ = finish(process)
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    until(nothing_left(born, namespace), "no process and no namespace")


@NEEDS_ROOT
@pytest.mark.kernel
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
@pytest.mark.parametrize("name", ["fin-wait2-crowd", "syn-flood", "time-wait-overflow"])
def test_nothing_is_left_of_what_is_made_alone(start: Start, namespace: str, name: str, number: signal.Signals) -> None:
    process, lines = start([name], namespace)
    assert lines[0].startswith(f"{name} ")
    born = children(process.pid)
    process.send_signal(number)
    finish(process)
    until(nothing_left(born, namespace), "no process and no namespace")


@NEEDS_ROOT
@pytest.mark.kernel
def test_a_childs_death_ends_the_lab(start: Start, namespace: str) -> None:
    process, _ = start(STATES, namespace)
    born = children(process.pid)
    (worker,) = [pid for pid, name in born.items() if name == "lab-worker"]
    os.kill(worker, signal.SIGKILL)
    code, rest = finish(process)
    assert code == 1
    assert f"lab-worker (pid {worker}) died" in rest
    until(nothing_left(born, namespace), "no process and no namespace")


@NEEDS_ROOT
@pytest.mark.kernel
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_stopped_child_does_not_outlive_the_lab(start: Start, namespace: str, number: signal.Signals) -> None:
    process, _ = start(["close-wait-leak"], namespace)
    born = children(process.pid)
    (leaky,) = [pid for pid, name in born.items() if name == "lab-leaky"]
    os.kill(leaky, signal.SIGSTOP)
    waiting = Path(f"/proc/{process.pid}/task")
    until(
        lambda: any("pipe" in (task / "wchan").read_text() for task in waiting.iterdir()),
        "the lab waits for its child",
    )
    process.send_signal(number)
    finish(process)
    until(nothing_left(born, namespace), "no process and no namespace")


# --- whose namespace ------------------------------------------------------------------------------


@NEEDS_ROOT
@pytest.mark.kernel
def test_a_living_lab_keeps_its_names(namespace: str) -> None:
    with Lab(["time-wait"], namespace=namespace) as lab:
        with (
            pytest.raises(NamespaceError, match=rf"{namespace}.*running, pid {os.getpid()}$"),
            Lab(namespace=namespace),
        ):
            pass
        assert namespace in list_namespaces()
        lab.make(lab.recipes[0])


@NEEDS_ROOT
@pytest.mark.kernel
def test_a_dead_labs_namespaces_are_taken_over(start: Start, namespace: str) -> None:
    process, _ = start(["time-wait"], namespace)
    born = children(process.pid)
    (watchdog,) = [pid for pid, name in born.items() if name == "sh"]
    os.kill(watchdog, signal.SIGSTOP)
    process.kill()
    finish(process)
    os.kill(watchdog, signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in born), "its processes are gone")
    subprocess.run(["ip", "-n", namespace, "link", "delete", "lab0"], check=True)  # either may outlive the veth pair
    assert namespace in list_namespaces()
    with Lab(["time-wait"], namespace=namespace) as lab:
        assert lab.made
    assert namespace not in list_namespaces()


@NEEDS_ROOT
@pytest.mark.kernel
def test_somebody_elses_namespace_is_not_touched(namespace: str) -> None:
    subprocess.run(["ip", "netns", "add", f"{namespace}-peer"], check=True)
    try:
        with pytest.raises(NamespaceError, match="no lab made"), Lab(["time-wait"], namespace=namespace):
            pass
        assert f"{namespace}-peer" in list_namespaces()
        assert namespace not in list_namespaces()
    finally:
        subprocess.run(["ip", "netns", "delete", f"{namespace}-peer"], check=True)


# --- without root ---------------------------------------------------------------------------------


def test_without_root_it_makes_what_it_can(start: Start) -> None:
    # CAP_DAC_READ_SEARCH only lets the other user reach this interpreter, wherever it is installed.
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all,+dac_read_search"]
    prefix = [*drop, "--ambient-caps=-all,+dac_read_search"] if os.geteuid() == 0 else []
    process, lines = start([], "unused", *prefix)
    born = children(process.pid)
    skipped = {line.split()[0] for line in lines if line.endswith("skipped: needs root")}
    assert skipped == {recipe.name for recipe in choose([]) if recipe.needs_root}
    assert not [line for line in lines if "skipped" in line and "needs root" not in line]
    assert lines[-2] == "Look at them: sockui"
    shown = subprocess.run(["ss", "-tanH"], capture_output=True, text=True, check=True).stdout
    for recipe in choose([]):
        if not recipe.needs_root and recipe.state != State.CLOSE:
            (line, *_) = [line for line in lines if line.startswith(f"{recipe.name} ")]
            ends = re.search(r"(127[\d.]+:\d+)(?: -> (127[\d.]+:\d+))?", line)
            assert ends, line
            assert re.search(rf"{re.escape(ends[1])} +{re.escape(ends[2] or '0.0.0.0:*')}", shown), line
    process.terminate()
    assert finish(process)[0] == 0
    until(lambda: not any(alive(pid) for pid in born), "its processes are gone")


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["close-wait-read", "CLOSE_WAIT_READ", "CloseWaitRead", "close_wait-read"])
def test_any_spelling(spelling: str) -> None:
    assert [recipe.name for recipe in choose([spelling])] == ["close-wait-read"]


def test_a_state_means_all_that_end_in_it() -> None:
    chosen = choose(["CLOSE_WAIT", "fin_wait_2", "close-wait-read"])
    assert {recipe.state for recipe in chosen} == {State.CLOSE_WAIT, State.FIN_WAIT2}
    assert len(chosen) == len({recipe.name for recipe in chosen}) == 7
    assert [recipe.name for recipe in choose(["fin-wait1"])] == ["fin-wait1"]


def test_what_would_spoil_the_others_is_made_alone() -> None:
    assert choose([]) == [recipe for recipe in RECIPES if not recipe.alone]
    assert [recipe.name for recipe in choose(["SynFlood", "syn-flood"])] == ["syn-flood"]
    for names in (["syn-flood", "time-wait"], ["fin-wait2", "fin-wait2-crowd"], ["sysctl-traps", "somaxconn-cap"]):
        with pytest.raises(UsageError, match=r"only by itself.*Name it alone"):
            choose(names)


def test_every_fault_that_a_rule_names_can_be_made() -> None:
    made = {rule for recipe in RECIPES for rule in recipe.rules}
    wanted = {f"R{number:02}" for number in range(1, 26)} | {f"X{number}" for number in range(1, 6)}
    kernels_own, whole_host = "R09", "R24"  # a socket of the kernel itself; memory and orphans of all namespaces
    assert made == wanted - {kernels_own, whole_host}


def test_unknown_name_says_what_there_is() -> None:
    with pytest.raises(UsageError) as raised:
        choose(["time-wiat"])
    text = str(raised.value)
    assert "did you mean time-wait" in text
    assert all(recipe.name in text for recipe in RECIPES)


def test_what_ends_is_made_again_in_time() -> None:
    for recipe in RECIPES:
        if recipe.ends_after:
            assert recipe.again_after is not None
            assert recipe.ends_after / 2 < recipe.again_after < recipe.ends_after


def test_list_fits_and_is_complete() -> None:
    out = io.StringIO()
    list_lab(out)
    text = out.getvalue()
    assert all(len(line) <= 80 for line in text.splitlines())
    usual, alone = text.split("\n\n")
    assert "Only when named" in alone
    for part, is_alone in ((usual, False), (alone, True)):
        lines = part.splitlines()
        lines = lines[next(at for at, line in enumerate(lines) if line.split() == ["NAME", "STATE", "ROOT", "WHAT"]) :]
        assert [line.split()[0] for line in lines[1:]] == [each.name for each in RECIPES if each.alone == is_alone]
        assert {line.split()[0] for line in lines[1:] if line.split()[2] == "yes"} == {
            each.name for each in RECIPES if each.needs_root and each.alone == is_alone
        }


def test_actor_starts_light() -> None:
    code = "import sys, sockui.lab.actor; print([name for name in ('numpy', 'subprocess') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
