"""Every recipe's socket, as ss and /proc show it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sockui.lab.recipes import choose
from sockui.lab.run import Lab
from sockui.model import State
from tests.lab.seen import Row, drops, inodes, number, of, row_of, rows, spelt, sysctl, until

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]

BEFORE_AND_AFTER: list[float] = []
SCHEDULED = 2.0
"""Seconds that a process of the lab may wait for a processor between its system call and reading the clock."""


@pytest.fixture(scope="module")
def lab(namespace: str) -> Iterator[Lab]:
    BEFORE_AND_AFTER[:] = [time.monotonic()]
    with Lab(namespace=namespace) as lab:
        BEFORE_AND_AFTER.append(time.monotonic())
        yield lab


@dataclass
class Sign:
    """What ss shows of one made socket: its state, and the signature by which a rule finds it."""

    name: str
    made: State
    state: str
    signature: Callable[[Row], bool]
    held: bool = True


S = State
SIGNS = [
    Sign("listen-full", S.LISTEN, "LISTEN", lambda row: row.recv_queue > row.send_queue),
    Sign("accept-queue", S.ESTABLISHED, "ESTAB", lambda row: not row.timer and "<->" in row.rest, held=False),
    Sign("close-wait-unread", S.CLOSE_WAIT, "CLOSE-WAIT", lambda row: row.recv_queue == 301 and not row.timer),
    Sign("close-wait-read", S.CLOSE_WAIT, "CLOSE-WAIT", lambda row: row.recv_queue == 0 and "-->" in row.rest),
    Sign("close-wait-unaccepted", S.CLOSE_WAIT, "CLOSE-WAIT", lambda row: row.recv_queue == 1, held=False),
    Sign(
        "close-wait-sending",
        S.CLOSE_WAIT,
        "CLOSE-WAIT",
        lambda row: row.recv_queue == 0 and row.send_queue > 0 and row.timer == "persist",
    ),
    Sign("close-wait-sending", S.FIN_WAIT2, "FIN-WAIT-2", lambda row: row.recv_queue > 0 and "<--" in row.rest),
    Sign("close-wait-leak", S.CLOSE_WAIT, "CLOSE-WAIT", lambda row: row.recv_queue == 0 and row.send_queue == 0),
    Sign("fin-wait2-held", S.FIN_WAIT2, "FIN-WAIT-2", lambda row: not row.timer and "<--" in row.rest),
    Sign("fin-wait2-orphan", S.FIN_WAIT2, "FIN-WAIT-2", lambda row: row.timer == "timewait", held=False),
    Sign("time-wait", S.TIME_WAIT, "TIME-WAIT", lambda row: row.timer == "timewait", held=False),
    Sign("syn-sent", S.SYN_SENT, "SYN-SENT", lambda row: row.timer == "on" and row.retransmits >= 1),
    Sign("syn-recv", S.SYN_RECV, "SYN-RECV", lambda row: row.timer == "on" and row.retransmits >= 1, held=False),
    Sign("syn-recv-queue-full", S.SYN_RECV, "SYN-RECV", lambda row: row.retransmits >= 1, held=False),
    Sign("syn-recv-queue-full", S.ESTABLISHED, "ESTAB", lambda row: row.send_queue == 5 and row.retransmits >= 2),
    Sign(
        "defer-accept", S.SYN_RECV, "SYN-RECV", lambda row: row.retransmits == 0 and row.timer_seconds > 1, held=False
    ),
    Sign("defer-accept", S.ESTABLISHED, "ESTAB", lambda row: not row.timer),
    Sign(
        "fin-wait1",
        S.FIN_WAIT1,
        "FIN-WAIT-1",
        lambda row: row.retransmits >= 3 and row.send_queue == 1 and "---" in row.rest,
        held=False,
    ),
    Sign(
        "fin-wait1-zero-window",
        S.FIN_WAIT1,
        "FIN-WAIT-1",
        lambda row: row.timer == "persist" and number("notsent", row) > 1,
        held=False,
    ),
    Sign("last-ack", S.LAST_ACK, "LAST-ACK", lambda row: row.retransmits >= 3 and row.recv_queue == 1, held=False),
    Sign("closing", S.CLOSING, "CLOSING", lambda row: row.retransmits >= 3 and row.recv_queue == 1, held=False),
    Sign("established", S.ESTABLISHED, "ESTAB", lambda row: not row.timer and number("bytes_received", row) == 120),
    Sign(
        "retransmitting",
        S.ESTABLISHED,
        "ESTAB",
        lambda row: row.send_queue == 500 and row.retransmits >= 3 and row.retransmits == number("backoff", row),
    ),
    Sign(
        "host-unreachable",
        S.ESTABLISHED,
        "ESTAB",
        lambda row: row.send_queue == 500 and row.retransmits >= 3 and row.retransmits > number("backoff", row),
    ),
    Sign("half-open", S.ESTABLISHED, "ESTAB", lambda row: not row.timer and row.send_queue == 0),
    Sign("port-exhaustion", S.ESTABLISHED, "ESTAB", lambda row: 40000 <= int(row.local.rpartition(":")[2]) <= 40049),
]


@pytest.mark.parametrize("sign", SIGNS, ids=lambda sign: f"{sign.name}-{sign.made.name}")
def test_state_is_there_with_its_signature(lab: Lab, namespace: str, sign: Sign) -> None:
    found = of(lab, sign.name, sign.made)
    assert found
    for made in found:
        seen = row_of(namespace, made)
        deadline = time.monotonic() + 60
        while seen is not None and not sign.signature(seen) and time.monotonic() < deadline:
            time.sleep(0.1)
            seen = row_of(namespace, made)
        assert seen is not None
        assert seen.state == sign.state
        assert sign.signature(seen), seen
        assert seen.inode == made.inode
        assert (made.inode != 0) == sign.held
        if sign.held:
            assert made.inode in inodes(made.pid)


def test_every_recipe_is_made_and_tested(lab: Lab) -> None:
    assert lab.skipped == {}
    assert lab.broken is None
    assert {made.name for made in lab.made} == {recipe.name for recipe in lab.recipes}
    elsewhere = {"zero-window", "bound-inactive", "ghost-close", "udp-drops"}
    in_test_limits = {"listen-overflow", "backlog-small", "descriptors-gone", "port-leftovers"}
    assert {sign.name for sign in SIGNS} | elsewhere | in_test_limits == {recipe.name for recipe in lab.recipes}
    for recipe in lab.recipes:
        if recipe.name != "port-leftovers":  # has another state in every other turn
            assert recipe.state in {made.state for made in of(lab, recipe.name)}


def test_entry_times_lie_in_the_making(lab: Lab) -> None:
    before, after = BEFORE_AND_AFTER
    first = [made for made in lab.made if made.name not in ("close-wait-leak", "port-leftovers")]
    assert first
    assert all(made.made_at_monotonic is not None and before < made.made_at_monotonic < after for made in first)


def test_entry_time_agrees_with_the_kernels_timer(lab: Lab, namespace: str) -> None:
    for name in ("time-wait", "fin-wait2-orphan"):
        made = of(lab, name)[-1]
        assert made.made_at_monotonic is not None
        begun = time.monotonic()
        row = row_of(namespace, made)
        ended = time.monotonic()
        assert row is not None
        entered_before, entered_after = ended + row.timer_seconds - 60, begun + row.timer_seconds - 60
        assert entered_after - 1.5 < made.made_at_monotonic < entered_before + SCHEDULED + 1.5  # ss rounds to a second


def test_entry_time_agrees_with_the_last_ack(lab: Lab, namespace: str) -> None:
    (made,) = of(lab, "fin-wait2-held")
    assert made.made_at_monotonic is not None
    begun = time.monotonic()
    row = row_of(namespace, made)
    ended = time.monotonic()
    assert row is not None
    last_ack = number("lastack", row) / 1000
    assert begun - last_ack - 0.01 <= made.made_at_monotonic <= ended - last_ack + SCHEDULED


def test_zero_window_at_both_ends(lab: Lab, namespace: str) -> None:
    first, second = (row_of(namespace, made) for made in of(lab, "zero-window"))
    assert first is not None
    assert second is not None
    assert first.timer == "persist"
    assert first.send_queue > 0
    assert second.recv_queue > 0
    assert (first.local, first.remote) == (second.remote, second.local)


def test_processes_have_telling_names_and_both_ends_differ(lab: Lab) -> None:
    for made in lab.made:
        if made.pid:
            assert Path(f"/proc/{made.pid}/comm").read_text().strip() == made.process
    assert len({made.process for made in lab.made if made.pid}) >= 5
    client, server = of(lab, "established")
    assert client.pid != server.pid


def test_unaccepted_sockets_name_the_listeners_process(lab: Lab) -> None:
    for name in ("accept-queue", "close-wait-unaccepted"):
        for made in of(lab, name):
            assert made.inode == 0
            assert made.process in ("lab-api", "lab-db")


def test_leak_grows_in_its_own_process(lab: Lab, namespace: str) -> None:
    def leaked() -> int:
        return sum(row.state == "CLOSE-WAIT" and row.local.endswith(":9000") for row in rows(namespace))

    before = leaked()
    until(lambda: leaked() >= before + 2, "two more leaked sockets")
    assert {made.process for made in of(lab, "close-wait-leak")} == {"lab-leaky"}
    (pid,) = {made.pid for made in of(lab, "close-wait-leak")}
    assert pid not in {made.pid for made in lab.made if made.name != "close-wait-leak"}


def test_bound_inactive_is_in_no_row_and_keeps_its_port(lab: Lab, namespace: str) -> None:
    (made,) = of(lab, "bound-inactive")
    assert made.inode in inodes(made.pid)
    assert not [row for row in rows(namespace) if row.inode == made.inode]
    bind = f"""
import socket
from sockui.collector.namespace import enter_namespace
enter_namespace({namespace!r})
try:
    socket.socket().bind({made.local!r})
except OSError as error:
    print(error.errno)
"""
    done = subprocess.run([sys.executable, "-c", bind], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(errno.EADDRINUSE)


def test_ghosts_are_descriptors_without_a_row(lab: Lab, namespace: str) -> None:
    made = of(lab, "ghost-close")
    assert len(made) >= 5
    ghosts = {each.inode for each in made}
    assert ghosts <= set(inodes(made[0].pid))
    assert not ghosts & {row.inode for row in rows(namespace)}


def test_half_open_has_no_other_end(lab: Lab, namespace: str) -> None:
    (made,) = of(lab, "half-open")
    ends = [(row.local, row.remote) for row in rows(f"{namespace}-peer")]
    assert (spelt(made.remote), spelt(made.local)) not in ends


def test_syn_sent_meets_a_full_listener_and_a_black_hole(lab: Lab, namespace: str) -> None:
    full, hole = of(lab, "syn-sent")
    (listener,) = [row for row in rows(namespace) if row.state == "LISTEN" and row.local == spelt(full.remote)]
    assert listener.recv_queue > listener.send_queue
    assert hole.remote[0].startswith("10.9.")


def test_ports_are_nearly_exhausted(lab: Lab, namespace: str) -> None:
    first, last = map(int, sysctl(namespace, "net/ipv4/ip_local_port_range").split())
    made = of(lab, "port-exhaustion")
    assert len({each.remote for each in made}) == 1
    assert len({each.local[1] for each in made}) >= 0.95 * (last - first + 1)
    assert Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split() != [str(first), str(last)]


def test_udp_drops_rise(lab: Lab, namespace: str) -> None:
    (made,) = of(lab, "udp-drops")

    before = drops(namespace, made.inode, "--udp")
    assert before > 0
    until(lambda: drops(namespace, made.inode, "--udp") > before, "more drops")


def test_what_ends_is_made_again_while_the_old_one_lives(namespace: str) -> None:
    names = [recipe.name for recipe in choose([]) if recipe.ends_after]
    with Lab(names, namespace=f"{namespace}-again") as lab:
        first = lab.made
        for recipe in lab.recipes:
            lab.make(recipe)
        both = lab.made
        assert len(both) == 2 * len(first)
        assert len({(made.local, made.remote) for made in both}) == len(both)
        for made in both:
            row = row_of(f"{namespace}-again", made)
            assert row is not None, made
            assert row.state.replace("-", "") == made.state.name.replace("_", "").replace("ESTABLISHED", "ESTAB")
        for recipe in lab.recipes:
            lab.make(recipe)
        assert len(lab.made) == 2 * len(first)
        assert not set(first) & set(lab.made)


def test_the_timetable_is_kept(namespace: str) -> None:
    lab = Lab(["time-wait"], namespace=f"{namespace}-time")
    (recipe,) = lab.recipes
    lab.recipes = [replace(recipe, ends_after=1.0)]
    with lab:
        first = lab.made
        until(lambda: len(lab.made) == 2 and lab.made[0] not in first, "it is made again and again")
