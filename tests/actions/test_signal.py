"""Signalling a process: that one and no successor of its pid, and what became of it."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sockui.actions import Outcome, Plan, plan_signal, run
from sockui.errors import ActionError
from sockui.tracker import Update
from tests.actions.scenes import Holder, Network, holder, network, transfers, until

pytestmark = pytest.mark.kernel
TERM, KILL, STOP, CONT, HUP = signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT, signal.SIGHUP


@pytest.fixture
def net() -> Iterator[Network]:
    with network() as made:
        yield made


@pytest.fixture
def act(net: Network, tmp_path: Path) -> Any:
    def do(plan: Plan, word: str, **options: Any) -> Outcome:
        settings = {"allowed": True, "directory": tmp_path / "state", "environ": {}}
        return net(run, plan, word, net.destroyer, **{**settings, **options})

    return do


def with_other_start(update: Update, pid: int) -> Update:
    """As if the pid had been another, older process's when it was looked at."""
    processes = dict(update.snapshot.processes)
    processes[pid] = dataclasses.replace(processes[pid], started_ticks=processes[pid].started_ticks - 1)
    return dataclasses.replace(update, snapshot=dataclasses.replace(update.snapshot, processes=processes))


def alive(process: Holder) -> bool:
    return process.process.poll() is None


def test_only_the_named_process_ends_and_its_sockets_with_it(net: Network, act: Any, tmp_path: Path) -> None:
    (first, one), (second, two), (third, three) = net.connect(count=3)
    listener = net(socket.create_server, ("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with holder("java", [first, second, listener]) as java, holder("java", [third]) as other:
        update = net.update()
        plan = plan_signal(update, java.pid, TERM, allowed=True)
        assert (plan.title, plan.processes) == (f"Send SIGTERM to java {java.pid}", (f"java {java.pid}",))
        assert (plan.states, plan.word, plan.obstacle) == (("2 ESTABLISHED", "1 LISTEN"), "java", "")
        assert len(plan.peers) == 2
        assert plan.warnings == (
            f"Nobody can connect to port {port} until it is started again.",
            "3 sockets end with it: 2 ESTABLISHED, 1 LISTEN.",
        )
        with pytest.raises(ActionError, match='type "java" to confirm'):
            act(plan, "jav")
        assert alive(java)
        outcome = act(plan, "java")
        assert (outcome.done, outcome.ended, outcome.refused) == (True, True, 0)
        assert outcome.sentences[0].startswith(f"java {java.pid} ended ")
        assert outcome.sentences[0].endswith(" s after SIGTERM.")
        assert outcome.closed + outcome.left == 3
        assert java.process.wait(5) == -TERM
        assert one.recv(1) == two.recv(1) == b""
        assert transfers(other, other.descriptors[0], three)
        assert alive(other)
    (line,) = (tmp_path / "state" / "actions.log").read_text().splitlines()
    entry = json.loads(line)
    assert entry["action"] == "SIGTERM"
    assert entry["process"] == {
        "pid": java.pid,
        "name": "java",
        "started_ticks": update.snapshot.processes[java.pid].started_ticks,
    }
    assert sorted(each["cookie"] for each in entry["targets"]) == sorted(plan.targets["cookie"].tolist())
    assert entry["result"] == list(outcome.sentences)


def test_a_pid_that_is_another_process_by_now_is_not_signalled(net: Network, act: Any) -> None:
    ((server, client),) = net.connect()
    with holder("java", [server]) as java:
        plan = plan_signal(with_other_start(net.update(), java.pid), java.pid, KILL, allowed=True)
        outcome = act(plan, "java")
        assert outcome.sentences == (
            f"java {java.pid} had ended before, and pid {java.pid} is another process by now: nothing was sent.",
        )
        assert (outcome.ended, outcome.closed) == (True, 0)
        assert transfers(java, java.descriptors[0], client)


def test_a_process_that_has_ended_meanwhile(net: Network, act: Any) -> None:
    ((server, client),) = net.connect()
    with holder("java", [server]) as java:
        update = net.update()
        plan = plan_signal(update, java.pid, TERM, allowed=True)
        os.kill(java.pid, KILL)
        client.recv(1)  # it has let go; nobody has reaped it yet
        said = (f"java {java.pid} had ended before: nothing was sent.",)
        until(lambda: act(plan, "java").sentences == said)
        java.close()
        assert act(plan, "java").sentences == said
        assert plan_signal(update, java.pid, TERM, allowed=True).obstacle == f"java {java.pid} has ended."


def test_one_that_ignores_it_is_still_there_and_why(net: Network, act: Any) -> None:
    ((server, client),) = net.connect()
    with holder("java", [server], ignore=TERM) as java:
        outcome = act(plan_signal(net.update(), java.pid, TERM, allowed=True), "java", seconds=0.3)
        assert (outcome.done, outcome.ended, outcome.left) == (False, False, 1)
        assert outcome.sentences == (
            f"java {java.pid} got SIGTERM and is still there after 0.3 s: it ignores SIGTERM.",
        )
        assert transfers(java, java.descriptors[0], client)


def test_stop_and_go(net: Network, act: Any) -> None:
    ((server, _client),) = net.connect()
    with holder("java", [server]) as java:
        update = net.update()
        stop = plan_signal(update, java.pid, STOP, allowed=True)
        assert stop.warnings == ("It stands still until SIGCONT: it reads nothing and accepts nobody.",)
        assert act(stop, "java", seconds=0.1).done
        outcome = act(plan_signal(update, java.pid, TERM, allowed=True), "java", seconds=0.3)
        assert outcome.sentences[0].endswith("it is stopped and takes the signal when it is continued (SIGCONT).")
        act(plan_signal(update, java.pid, CONT, allowed=True), "java", seconds=0.1)
        assert java.process.wait(5) == -TERM


def test_a_signal_that_is_up_to_the_process(net: Network, act: Any) -> None:
    ((server, _client),) = net.connect()
    with holder("java", [server], ignore=HUP) as java:
        plan = plan_signal(net.update(), java.pid, HUP, allowed=True)
        assert plan.warnings == ("What SIGHUP does is up to the process; most that are not prepared for it end.",)
        outcome = act(plan, "java", seconds=0.2)
        assert (outcome.done, outcome.ended) == (True, False)
        assert outcome.sentences == (f"java {java.pid} got SIGHUP and is still there after 0.2 s.",)


def test_sockets_that_others_hold_too_do_not_end(net: Network) -> None:
    (first, _one), (second, _two) = net.connect(count=2)
    with holder("java", [first.dup()]) as other, holder("java", [first, second]) as java:
        plan = plan_signal(net.update(), java.pid, KILL, allowed=True)
        assert plan.warnings == (
            "It ends at once: nothing is finished or flushed.",
            "1 socket ends with it: 1 ESTABLISHED.",
            "1 socket stays: another process holds it too.",
        )
        assert alive(other)


def test_a_port_stays_open_whose_listener_another_process_holds_too(net: Network, act: Any) -> None:
    """As behind a server that forks its workers, or socket activation."""
    shared, alone = (net(socket.create_server, ("127.0.0.1", 0)) for _ in range(2))
    port, own_port = (each.getsockname()[1] for each in (shared, alone))
    with holder("parent", [shared.dup()]) as parent, holder("worker", [shared, alone]) as worker:
        waiting = net(socket.create_connection, ("127.0.0.1", port), 5)
        doomed = net(socket.create_connection, ("127.0.0.1", own_port), 5)
        update = net.update()
        plans = {each.pid: plan_signal(update, each.pid, TERM, allowed=True) for each in (parent, worker)}
        first = (
            f"Port {port} stays open: another process holds its listener too, and clients wait if it does not accept."
        )
        stays = "1 socket stays: another process holds it too."
        assert plans[worker.pid].warnings[:2] == (
            f"Nobody can connect to port {own_port} until it is started again.",
            first,
        )
        assert "2 sockets end with it: 1 LISTEN, 1 ESTABLISHED." in plans[worker.pid].warnings
        assert stays in plans[worker.pid].warnings
        assert plans[parent.pid].warnings[:1] == (first,)
        # what waits is counted with the process that stands in the row of its listener
        goes_on = "1 connection waits on for accept() in another process."
        assert sum(goes_on in plan.warnings for plan in plans.values()) == 1
        assert act(plans[worker.pid], "worker").ended
        net(socket.create_connection, ("127.0.0.1", port), 5)
        waiting.settimeout(5)
        waiting.sendall(b"still there")
        with pytest.raises(ConnectionRefusedError):
            net(socket.create_connection, ("127.0.0.1", own_port), 5)
        with pytest.raises(ConnectionResetError):
            doomed.recv(1)
        assert alive(parent)
        alone_now = plan_signal(net.update(), parent.pid, TERM, allowed=True)
        assert alone_now.warnings[0] == f"Nobody can connect to port {port} until it is started again."


def test_a_port_stays_open_on_which_another_process_listens(net: Network, act: Any) -> None:
    def listen(host: str, port: int) -> socket.socket:
        return socket.create_server((host, port), reuse_port=True)

    first = net(listen, "127.0.0.1", 0)
    port = first.getsockname()[1]
    second, elsewhere, third = (net(listen, *end) for end in (("0.0.0.0", port), ("127.0.0.2", 0), ("127.0.0.3", 0)))
    not_there = net(listen, "127.0.0.4", third.getsockname()[1])
    ports = (elsewhere.getsockname()[1], third.getsockname()[1])
    with holder("one", [first, elsewhere, third]) as one, holder("two", [second, not_there]):
        plan = plan_signal(net.update(), one.pid, TERM, allowed=True)
        nobody = ", ".join(map(str, sorted(ports)))
        assert plan.warnings == (
            f"Nobody can connect to port {nobody} until it is started again.",
            f"Port {port} stays open: another process listens on it too.",
            "3 sockets end with it: 3 LISTEN.",
        )
        assert act(plan, "one").ended
        net(socket.create_connection, ("127.0.0.1", port), 5)
        for end in (("127.0.0.2", ports[0]), ("127.0.0.3", ports[1])):
            with pytest.raises(ConnectionRefusedError):
                net(socket.create_connection, end, 5)


def test_the_address_is_said_where_one_port_both_stays_open_and_does_not(net: Network) -> None:
    shared = net(socket.create_server, ("127.0.0.1", 0))
    port = shared.getsockname()[1]
    alone = net(socket.create_server, ("127.0.0.2", port))
    with holder("parent", [shared.dup()]), holder("worker", [shared, alone]) as worker:
        gone, stays, *_ = plan_signal(net.update(), worker.pid, TERM, allowed=True).warnings
        assert gone == f"Nobody can connect to port 127.0.0.2:{port} until it is started again."
        assert stays.startswith(f"Port 127.0.0.1:{port} stays open: another process holds its listener too, ")


@pytest.mark.parametrize("name", ["[kworker/0:1]", "a\x1bb", "naïve", " x "])
def test_a_name_that_cannot_be_typed_is_confirmed_by_its_pid(net: Network, act: Any, name: str) -> None:
    ((server, _client),) = net.connect()
    with holder(name, [server]) as process:
        plan = plan_signal(net.update(), process.pid, KILL, allowed=True)
        assert plan.word == (name if name.startswith("[") else str(process.pid))
        assert plan.title.isprintable()
        assert act(plan, plan.word).ended


def test_sockui_and_what_it_runs_under_are_not_signalled(net: Network, act: Any) -> None:
    list(net.connect())
    update = net.update()
    for pid in (os.getpid(), os.getppid()):
        plan = plan_signal(update, pid, TERM, allowed=True)
        assert plan.obstacle.endswith("it would end your own session.")
        with pytest.raises(ActionError, match="your own session"):
            act(plan, plan.word)


def test_nothing_is_signalled_unless_it_is_allowed(net: Network, act: Any) -> None:
    ((server, _client),) = net.connect()
    with holder("java", [server]) as java:
        update = net.update()
        with pytest.raises(ActionError, match="actions are off"):
            plan_signal(update, java.pid, TERM, allowed=False)
        with pytest.raises(ActionError, match="actions are off"):
            act(plan_signal(update, java.pid, TERM, allowed=True), "java", allowed=False)
        with pytest.raises(ActionError, match="not among those"):
            plan_signal(update, 2**22 + 1, TERM, allowed=True)
        assert alive(java)


def test_somebody_elses_process_is_refused_with_what_is_missing(net: Network) -> None:
    ((server, _client),) = net.connect()
    with holder("java", [server]) as java:
        update = net.update()
        plan = plan_signal(update, java.pid, KILL, allowed=True)
        answer, question = os.pipe()

        def as_nobody() -> None:
            child = os.fork()
            if child == 0:
                try:
                    os.setresgid(65534, 65534, 65534)
                    os.setresuid(65534, 65534, 65534)
                    obstacle = plan_signal(update, java.pid, KILL, allowed=True).obstacle
                    outcome = run(
                        plan, "java", net.destroyer, allowed=True, directory=Path("/proc/nowhere"), environ={}
                    )
                    os.write(question, json.dumps([obstacle, outcome.ended, *outcome.sentences]).encode())
                finally:
                    os._exit(0)
            os.waitpid(child, 0)

        net(as_nobody)
        os.close(question)
        with os.fdopen(answer) as pipe:
            obstacle, ended, refused, *_ = json.load(pipe)
        assert obstacle.startswith("Signalling a process of user root needs CAP_KILL: start `sudo ")
        assert (ended, refused) == (False, f"Nothing was sent: EPERM. {obstacle}")
        assert alive(java)


@pytest.mark.parametrize(("free", "said"), [(0, "cannot be held on to"), (1, "/proc cannot be read")])
def test_without_descriptors_nothing_is_sent_and_nobody_is_said_to_have_ended(
    free: int, said: str, net: Network, act: Any
) -> None:
    ((ours, _),) = net.connect(count=1)
    with holder("java", [ours]) as java:
        plan = plan_signal(net.update(), java.pid, TERM, allowed=True)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + free, hard))
        try:
            with pytest.raises(ActionError, match=f"nothing was sent: .*{said}: Too many open files"):
                act(plan, "java")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert alive(java)
