"""Closing sockets: what a plan shows, that nothing else is hit, what is found afterwards."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sockui.actions import Outcome, Plan, plan_close, run
from sockui.collector.destroy import Answer, Destroyer
from sockui.errors import ActionError, NetlinkError
from sockui.model import State
from tests.actions.scenes import CLIENTS, HOSTS, Network, holder, network, row_to, rows_of, transfers, until

pytestmark = pytest.mark.kernel


@pytest.fixture
def net() -> Iterator[Network]:
    with network() as made:
        yield made


@pytest.fixture
def act(net: Network, tmp_path: Path) -> Any:
    """Run a plan in the network, with the log in the test's own directory."""

    def do(plan: Plan, word: str = "", **options: Any) -> Outcome:
        settings = {"destroyer": net.destroyer, "allowed": True, "directory": tmp_path / "state", "environ": {}}
        return net(run, plan, word, **{**settings, **options})

    return do


def in_ss(net: Network, state: str) -> int:
    """How many sockets ``ss`` lists in a state: somebody else's view."""
    done = net(subprocess.run, ["ss", "-Htan", "state", state], capture_output=True, text=True, check=True)
    return len(done.stdout.splitlines())


class TestOneSocket:
    """The one under the cursor."""

    @pytest.mark.parametrize("kind", HOSTS)
    def test_it_is_closed_and_those_alike_still_transfer_data(self, net: Network, act: Any, kind: str) -> None:
        servers, clients = zip(*net.connect(kind, 3), strict=True)
        with holder("java", list(servers)) as java:
            update = net.update()
            plan = plan_close(update, row_to(update, java.pid, clients[1]), allowed=True)
            port = clients[1].getsockname()[1]
            peer = f"[::1]:{port}" if kind == "v6" else f"127.0.0.2:{port}"
            assert (plan.title, plan.states) == ("Close 1 socket", ("1 ESTABLISHED",))
            assert (plan.processes, plan.peers) == ((f"java {java.pid}",), (peer,))
            assert (plan.left_alone, plan.obstacle, plan.word) == ((), "", "")
            descriptor = f"fd {java.descriptors[1]} of java {java.pid}"
            assert plan.warnings == (
                "Its peer gets a reset (RST).",
                f"{descriptor} stays open; the process learns of it at its next read or write.",
            )
            outcome = act(plan)
            assert (outcome.done, outcome.closed, outcome.left, outcome.ended) == (True, 1, 0, None)
            assert outcome.sentences == (
                "Closed: the kernel lists it no more.",
                f"{descriptor} is still open: a read gives what had arrived, then ECONNABORTED; so does a write.",
            )
            assert java.recv(java.descriptors[1]) == "ECONNABORTED"
            with pytest.raises(ConnectionResetError):
                clients[1].recv(1)
            assert in_ss(net, "established") == 4  # both ends of two
            for each in (0, 2):
                assert transfers(java, java.descriptors[each], clients[each])

    @pytest.mark.parametrize("kind", HOSTS)
    def test_a_stale_cookie_closes_nothing_and_says_so(self, net: Network, act: Any, kind: str) -> None:
        ((server, client),) = net.connect(kind)
        with holder("java", [server]) as java:
            update = net.update()
            rows = rows_of(update, java.pid)
            sockets = update.sockets.copy()
            sockets["cookie"][rows] += 1_000_000
            outcome = act(plan_close(dataclasses.replace(update, sockets=sockets), rows, allowed=True))
            assert (outcome.closed, outcome.gone_before, outcome.refused) == (0, 1, 0)
            assert outcome.sentences == (
                "Nothing was closed.",
                "1 socket had ended before: the kernel has none with that cookie at those endpoints.",
            )
            assert transfers(java, java.descriptors[0], client)

    @pytest.mark.parametrize("kind", HOSTS)
    def test_a_new_connection_with_the_same_endpoints_is_not_hit(self, net: Network, act: Any, kind: str) -> None:
        here, there = HOSTS[kind]
        family = socket.AF_INET if kind == "v4" else socket.AF_INET6
        listener = net(socket.create_server, (here, 0), family=family, dualstack_ipv6=kind == "mapped")
        place, source = (there, listener.getsockname()[1]), (CLIENTS[kind], 5999)
        first = net(socket.create_connection, place, source_address=source)
        with holder("java", [listener.accept()[0]]) as java:
            update = net.update()
            old = rows_of(update, java.pid)
            plan = plan_close(update, old, allowed=True)
            first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00" + bytes(4))
            first.close()  # a reset: no TIME_WAIT, the endpoints are free
            second = net(socket.create_connection, place, source_address=source)
            with holder("java", [listener.accept()[0]]) as again:
                now = net.update()
                (row,) = now.sockets[rows_of(now, again.pid)]
                for name in ("local_low", "local_port", "remote_low", "remote_port", "family"):
                    assert row[name] == update.sockets[old][name][0]
                outcome = act(plan)
                assert (outcome.closed, outcome.gone_before) == (0, 1)
                assert transfers(again, again.descriptors[0], second)

    def test_a_port_that_stays_bound_is_said(self, net: Network, act: Any) -> None:
        listener = net(socket.create_server, ("127.0.0.1", 0))
        client = net(socket.create_connection, listener.getsockname(), source_address=("127.0.0.1", 5999))
        with holder("java", [client]) as java:
            update = net.update()
            outcome = act(plan_close(update, rows_of(update, java.pid), allowed=True))
            assert (outcome.done, outcome.closed) == (True, 1)
            assert "1 local port stays bound until the descriptor is closed." in outcome.sentences
            with pytest.raises(OSError, match="in use"):
                net(socket.socket).bind(("127.0.0.1", 5999))
            again = act(plan_close(update, rows_of(update, java.pid), allowed=True))
            assert again.sentences == ("Nothing was closed.", "Left alone, having moved on before: 1 CLOSE.")

    def test_what_is_queued_is_counted_as_lost(self, net: Network) -> None:
        ((server, client),) = net.connect()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        server.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                server.send(bytes(65536))
        with holder("java", [server]) as java:
            until(lambda: net.update().sockets["send_queue"].max() > 0)
            update = net.update()
            rows = rows_of(update, java.pid)
            queued = int(update.sockets["send_queue"][rows[0]])
            warnings = plan_close(update, rows, allowed=True).warnings
            assert f"Up to {queued:,} bytes that were not acknowledged are lost." in warnings

    def test_one_that_is_not_accepted(self, net: Network, act: Any) -> None:
        listener = net(socket.create_server, ("127.0.0.1", 0))
        net(socket.create_connection, listener.getsockname())
        with holder("java", [listener]) as java:
            update = net.update()
            plan = plan_close(update, rows_of(update, java.pid, State.ESTABLISHED), allowed=True)
            assert plan.processes == (f"java {java.pid}",)
            assert plan.warnings[-1] == "It is not accepted yet: accept() still returns it, and its first read fails."
            assert act(plan).closed == 1


class TestMany:
    """The sockets of a finding."""

    def test_fifty_leaked_ones_are_closed_and_their_descriptors_stay(self, net: Network, act: Any) -> None:
        servers, clients = zip(*net.connect(count=50), strict=True)
        with holder("java", list(servers)) as java:
            for client in clients:
                client.close()
            until(lambda: len(rows_of(net.update(), java.pid, State.CLOSE_WAIT)) == 50)
            bystander, friend = next(net.connect())
            update = net.update()
            plan = plan_close(update, rows_of(update, java.pid), allowed=True)
            assert (plan.title, plan.states, plan.word) == ("Close 50 sockets", ("50 CLOSE_WAIT",), "close 50")
            assert plan.processes == (f"java {java.pid}",)
            assert (len(plan.peers), plan.peers[-1]) == (11, "and 40 more")
            leak = "Frees the kernel's memory only: 50 descriptors of java {} stay open, the leak remains."
            assert plan.warnings == ("50 peers get a reset (RST).", leak.format(java.pid))
            for word in ("", "close", "close 5", "java"):
                with pytest.raises(ActionError, match='type "close 50" to confirm'):
                    act(plan, word)
            assert in_ss(net, "close-wait") == 50
            outcome = act(plan, " close 50 ")
            assert (outcome.done, outcome.closed, outcome.gone_before, outcome.left) == (True, 50, 0, 0)
            assert outcome.sentences == (
                "Closed 50 of 50 sockets: the kernel lists them no more.",
                (
                    f"50 descriptors of java {java.pid} are still open: the leak remains; "
                    "a read gives what had arrived, then end of file; the first write gives ECONNABORTED."
                ),
            )
            assert (in_ss(net, "close-wait"), java.holds()) == (0, 50)
            assert java.recv(java.descriptors[0]) == b""
            assert java.send(java.descriptors[1]) == "ECONNABORTED"
            friend.sendall(b"still here")
            assert bystander.recv(100) == b"still here"

    def test_what_makes_no_sense_is_left_alone_with_the_reason(self, net: Network, act: Any) -> None:
        server, _client = next(net.connect())
        listener = net(socket.create_server, ("127.0.0.1", 0))
        datagrams = net(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind(("127.0.0.1", 0))
        with holder("java", [server, listener, datagrams]) as java:
            update = net.update()
            plan = plan_close(update, rows_of(update, java.pid), allowed=True)
            assert (plan.title, plan.states, plan.word) == ("Close 1 socket", ("1 ESTABLISHED",), "")
            assert plan.left_alone == (
                "1 socket left alone: UDP has no connection to close, the owner would only get an error.",
                (
                    "1 socket left alone: nobody could connect and the process would not know; "
                    "end or restart the process instead."
                ),
            )
            nothing = plan_close(update, rows_of(update, java.pid, State.LISTEN), allowed=True)
            assert (nothing.title, nothing.obstacle) == ("Close 0 sockets", "There is nothing to close.")
            with pytest.raises(ActionError, match="nothing to close"):
                act(nothing)
            assert act(plan).closed == 1
            assert in_ss(net, "listening") == 2

    def test_the_session_that_looks_on_is_left_alone(self, net: Network) -> None:
        list(net.connect())
        update = net.update()
        plan = plan_close(update, rows_of(update, os.getpid()), allowed=True)
        assert "held by a process that this sockui runs under" in plan.left_alone[-1]
        assert plan.obstacle == "There is nothing to close."

    def test_one_that_went_on_to_time_wait_is_not_cut_short(self, net: Network, act: Any) -> None:
        (server, client), (other, friend) = net.connect(count=2)
        with holder("java", [server, other]) as java:
            update = net.update()
            plan = plan_close(update, rows_of(update, java.pid), allowed=True)
            java.close()  # closes first, the client after it
            until(lambda: client.recv(1) == b"")
            client.close()
            until(lambda: in_ss(net, "time-wait") == 1)
            friend.close()
            until(lambda: in_ss(net, "time-wait") == 2)
            outcome = act(plan, plan.word)
            assert (outcome.closed, outcome.gone_before, outcome.done) == (0, 2, True)
            assert outcome.sentences[-1] == "Left alone, having moved on before: 2 TIME_WAIT."
            assert in_ss(net, "time-wait") == 2

    def test_a_kernel_that_falls_silent_half_way(self, net: Network, act: Any) -> None:
        class Silent(Destroyer):
            asked = 0

            def destroy(self, row: Any) -> Answer:
                self.asked += 1
                if self.asked > 1:
                    raise NetlinkError("the kernel did not answer within 5 s")
                return super().destroy(row)

        silent = net(Silent)
        servers, _clients = zip(*net.connect(count=3), strict=True)
        with holder("java", list(servers)) as java:
            update = net.update()
            outcome = act(plan_close(update, rows_of(update, java.pid), allowed=True), "close 3", destroyer=silent)
            assert (outcome.done, outcome.closed, outcome.refused) == (False, 1, 2)
            assert "2 sockets not tried: the kernel did not answer within 5 s." in outcome.sentences
            assert in_ss(net, "established") == 4
        silent.close()

    @pytest.mark.parametrize(("code", "words"), [(95, "without CONFIG_INET_DIAG_DESTROY"), (22, "EINVAL (Invalid arg")])
    def test_a_kernel_that_refuses(self, net: Network, act: Any, code: int, words: str) -> None:
        class Refusing(Destroyer):
            def destroy(self, row: Any) -> Answer:
                return Answer(code)

        refusing = net(Refusing)
        server, _client = next(net.connect())
        with holder("java", [server]) as java:
            update = net.update()
            outcome = act(plan_close(update, rows_of(update, java.pid), allowed=True), destroyer=refusing)
            assert (outcome.done, outcome.closed, outcome.refused) == (False, 0, 1)
            assert outcome.sentences[0] == "Nothing was closed."
            assert words in outcome.sentences[1]
        refusing.close()

    def test_a_socket_that_stays_although_the_kernel_said_it_was_destroyed(self, net: Network, act: Any) -> None:
        class Lying(Destroyer):
            def destroy(self, row: Any) -> Answer:
                return Answer(0)

        lying = net(Lying)
        server, _client = next(net.connect())
        with holder("java", [server]) as java:
            update = net.update()
            plan = plan_close(update, rows_of(update, java.pid), allowed=True)
            outcome = act(plan, destroyer=lying, seconds=0.2)
            assert (outcome.done, outcome.closed, outcome.left) == (False, 0, 1)
            assert outcome.sentences == ("Still listed after 0.2 s: 1 ESTABLISHED.",)
        lying.close()


class TestPermission:
    """Who may."""

    def test_nothing_is_planned_or_run_unless_it_is_allowed(self, net: Network, act: Any, tmp_path: Path) -> None:
        server, client = next(net.connect())
        with holder("java", [server]) as java:
            update = net.update()
            rows = rows_of(update, java.pid)
            with pytest.raises(ActionError, match="actions are off: start sockui with --allow-actions"):
                plan_close(update, rows, allowed=False)
            with pytest.raises(ActionError, match="actions are off"):
                act(plan_close(update, rows, allowed=True), allowed=False)
            assert transfers(java, java.descriptors[0], client)
            assert not (tmp_path / "state").exists()

    def test_a_user_without_the_capability_is_told_what_is_missing(self, net: Network, tmp_path: Path) -> None:
        server, client = next(net.connect())
        with holder("java", [server]) as java:
            update = net.update()
            rows = rows_of(update, java.pid)
            plan = plan_close(update, rows, allowed=True)
            tmp_path.chmod(0o777)
            answer, question = os.pipe()

            def as_nobody() -> None:
                child = os.fork()
                if child == 0:
                    try:
                        os.setresgid(65534, 65534, 65534)
                        os.setresuid(65534, 65534, 65534)
                        told: list[str] = [plan_close(update, rows, allowed=True).obstacle]
                        try:
                            run(dataclasses.replace(plan, obstacle=told[0]), "", net.destroyer, allowed=True)
                        except ActionError as error:
                            told.append(str(error))
                        # the plan of somebody who might: the kernel says no
                        outcome = run(
                            plan, "", net.destroyer, allowed=True, directory=Path("/proc/nowhere"), environ={}
                        )
                        told += [str((outcome.closed, outcome.refused, outcome.done)), *outcome.sentences]
                        os.write(question, json.dumps(told).encode())
                    finally:
                        os._exit(0)
                os.waitpid(child, 0)

            net(as_nobody)
            os.close(question)
            with os.fdopen(answer) as pipe:
                up_front, raised, numbers, first, refused, *_ = json.load(pipe)
            assert up_front == raised
            assert up_front.startswith("Closing sockets needs CAP_NET_ADMIN in the user namespace")
            assert up_front.endswith(" --allow-actions`.")
            assert "start `sudo " in up_front
            assert (numbers, first) == ("(0, 1, False)", "Nothing was closed.")
            assert refused == f"1 socket refused: EPERM. {up_front}"
            assert transfers(java, java.descriptors[0], client)


def test_rows_without_a_cookie_are_left_alone(net: Network) -> None:
    server, _client = next(net.connect())
    with holder("java", [server]) as java:
        update = net.update()
        rows = rows_of(update, java.pid)
        sockets = update.sockets.copy()
        sockets["known"] &= np.uint16(0xFFFF ^ 1 << 4)
        plan = plan_close(dataclasses.replace(update, sockets=sockets), rows, allowed=True)
        assert (len(plan.targets), plan.obstacle) == (0, "There is nothing to close.")
        assert "names no cookie" in plan.left_alone[0]
