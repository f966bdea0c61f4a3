"""What is said of findings, word for word."""

from __future__ import annotations

import dataclasses
import re

import pytest

from sockui.model import State
from sockui.view.findings import age, say
from tests.diagnosis.conftest import Ward, aged
from tests.view.finding_scenes import DEFERRED, LISTEN, STOPPED, leak, poll, scene, told, whole


def test_a_leak_that_grows() -> None:
    said = told("read_growing")
    assert said.severity == "critical"
    assert said.title == "CLOSE_WAIT: EOF read, not closed"
    assert said.summary == (
        "java 4312: 25 sockets in CLOSE_WAIT on :8080 for 6 min to 28 min. The peers have closed and all is read, "
        "but close() was not called: a descriptor leak. Growing: +12/min for 1 min; out of file descriptors "
        "(813 of 1,024) in about 17 min. First: win time with a higher descriptor limit (prlimit), then restart in a "
        "quiet moment; the fix is a missing close()."
    )
    assert (said.process, said.where, said.age) == ("java 4312", ":8080", "6 min to 28 min")
    assert (said.trend, said.forecast) == (
        "+12/min for 1 min",
        "out of file descriptors (813 of 1,024) in about 17 min",
    )
    evidence = dict(said.evidence)
    assert evidence["Sockets"] == "25"
    assert evidence["In CLOSE_WAIT"] == "6 min to 28 min"
    assert evidence["Descriptors"] == "813 of 1,024 (79 %)"
    assert evidence["First found"] == "1 min ago, worse since (1 time)"
    assert re.fullmatch(r"\+12/min \(\d+ to \d+\) for 1 min \(all CLOSE_WAIT of the process\)", evidence["Trend"])
    assert re.fullmatch(r".* in about 17 min \(\d+ min to \d+ min\)", evidence["Forecast"])
    assert said.causes[0].likely, "close() is missing: the number only grows"
    assert not [cause for cause in said.causes if cause.text.startswith(("Half-close", "A pool keeps"))], "ruled out"
    assert "prlimit --pid 4312 --nofile=2048:" in [step.command for step in said.steps]
    assert not [step for step in said.steps if "this one socket" in step.text], "there are 25"


def test_a_stopped_process_is_named_before_anything_else() -> None:
    said = told("unread_stopped")
    assert said.summary.endswith("First: find out who stopped java 4312, then let it go on: kill -CONT.")
    assert said.causes[0].text.startswith("java 4312 is stopped")
    assert said.causes[0].likely
    first = next(step for step in said.steps if step.rung == "mitigate without loss")
    assert (first.command, first.effect) == ("kill -CONT 4312", "changes settings")
    assert dict(said.evidence)["Threads"] == "Stands still: 3 threads: stopped (T); 3 in do_signal_stop"


def test_a_process_that_was_looked_at_and_runs_is_not_suspected_of_standing_still() -> None:
    assert "The process is stopped or hangs in the kernel." in [cause.text for cause in told("unread").causes]
    assert "stopped" not in " ".join(cause.text for cause in told("unread_busy").causes)


def test_the_client_of_a_full_listener_is_not_the_one_whose_threads_matter() -> None:
    """What was looked at is the client; the one that has to act is the listener."""
    found, item = scene("syn_here")
    said = say(found, dataclasses.replace(item, threads=STOPPED, stopped=True))
    assert said.turn == "Our application: java 4312 must accept()."
    assert "kill -CONT" not in whole(said)
    assert [step.command for step in said.steps if step.command and step.command.endswith("-p 4312")]


def test_both_ends_on_this_host() -> None:
    said = told("unread_both_ends")
    assert "The other end, nginx 812 on this host, has closed" in said.summary
    evidence = dict(said.evidence)
    assert evidence["Other end, on this host"] == "nginx 812 (1 socket), in FIN_WAIT2, waiting for its peer's close()"
    assert evidence["Explains"] == "1 socket: 1 of R05 (FIN_WAIT2 held: the peer does not close)"


def test_the_other_end_that_does_not_read() -> None:
    evidence = dict(told("window_here").evidence)
    assert evidence["Other end, on this host"] == "nginx 812 (1 socket), in ESTABLISHED, 4,096 bytes unread"


def test_what_one_finding_explains() -> None:
    assert dict(told("descriptors_leak").evidence)["Explains"] == (
        "812 sockets: 812 of R02 (CLOSE_WAIT: EOF read, not closed)"
    )


def test_sockets_of_a_process_that_may_not_be_read() -> None:
    said = told("unread_hidden")
    assert said.process == ""
    assert said.summary.startswith("Processes of ")
    assert "may not be read" in dict(said.evidence)["Process"]
    assert "pid" not in said.filter.split()


def test_every_holder_of_a_shared_socket_is_named() -> None:
    said = told("read_shared")
    assert dict(said.evidence)["Held by"] == "nginx 812 and java 4312: each must close()"
    assert "other processes hold them too, and each must close()" in said.summary


def test_another_socket_of_the_process_lends_no_conditions() -> None:
    """The process has a listener that is full; the handshake that waits for data is another one's."""
    deferred = DEFERRED | {"cookie": 3}
    full = LISTEN | {"recv_queue": 129, "local_port": 81, "cookie": 6}
    ward = Ward()
    for _ in range(2):
        found = ward.poll(full, LISTEN | {"cookie": 7}, deferred)
    (item,) = [item for item in found.items if item.rule == "R15"]
    assert "TCP_DEFER_ACCEPT" in say(found, item).summary


def test_ports() -> None:
    said = told("ports_time_wait")
    assert said.summary.startswith("At least 80 of 100 ports from 10.0.0.1 to 10.0.0.5:5432 are in use: 80 TIME_WAIT.")
    evidence = dict(said.evidence)
    assert evidence["Room for"] == "1.7 closes a second by us; each keeps its port for 60 s"
    commands = [step.command for step in said.steps]
    assert "sysctl -w net.ipv4.tcp_tw_reuse=1" in commands
    assert "sysctl -w net.ipv4.ip_local_port_range='10240 65535'" in commands


def test_the_trap_without_a_single_socket() -> None:
    said = told("orphans_trap_alone")
    assert said.summary == (
        "tcp_fin_timeout is 70: FIN_WAIT2 without a process then lives 20 s, not 70 s. Such sockets now: 0. "
        "First: set tcp_fin_timeout to 60, its default."
    )
    assert (said.filter, said.age, said.process) == ("", "", "")
    assert "sysctl -w net.ipv4.tcp_fin_timeout=60" in [step.command for step in said.steps]


def test_a_setting_is_never_made_smaller_by_a_step_that_raises_it() -> None:
    found, item = scene("backlog_capped")
    sysctls = {**found.update.snapshot.host.sysctls, "net.core.somaxconn": "65535"}
    host = dataclasses.replace(found.update.snapshot.host, sysctls=sysctls)
    update = dataclasses.replace(found.update, snapshot=dataclasses.replace(found.update.snapshot, host=host))
    commands = [step.command for step in say(dataclasses.replace(found, update=update), item).steps]
    assert "sysctl -w net.core.somaxconn=131070" in commands


def test_a_cap_that_does_not_limit_is_not_raised() -> None:
    commands = [step.command or "" for step in told("backlog").steps]
    assert not [command for command in commands if command.startswith("sysctl -w net.core.somaxconn")]


@pytest.mark.parametrize(("now", "wanted"), [("3", 131_072), ("131072", 262_144)])
def test_a_lowered_limit_of_time_wait_is_raised_to_its_default_at_least(now: str, wanted: int) -> None:
    found, item = scene("time_wait_cut")
    before = found.update.snapshot.host
    host = dataclasses.replace(before, sysctls={**before.sysctls, "net.ipv4.tcp_max_tw_buckets": now})
    update = dataclasses.replace(found.update, snapshot=dataclasses.replace(found.update.snapshot, host=host))
    said = say(dataclasses.replace(found, update=update), item)
    assert f"sysctl -w net.ipv4.tcp_max_tw_buckets={wanted}" in [step.command for step in said.steps]
    assert "Rate" not in dict(said.evidence), "what is capped tells no rate"


def test_those_that_are_too_young_are_told_of() -> None:
    found = poll(*leak(4), *(aged(State.CLOSE_WAIT, 9, recv_queue=0) for _ in range(3)))
    (item,) = found.items
    assert (item.count, item.rule) == (4, "R02")
    assert dict(say(found, item).evidence)["Sockets"] == "4 of 7 in CLOSE_WAIT of the process"


def test_evidence_with_a_setting_that_cannot_be_read_is_left_out() -> None:
    """A network namespace of its own has no tcp_max_orphans."""
    found, item = scene("fin_unanswered")
    assert "Orphans on this host" in dict(say(found, item).evidence)
    host = found.update.snapshot.host
    sysctls = {name: value for name, value in host.sysctls.items() if name != "net.ipv4.tcp_max_orphans"}
    snapshot = dataclasses.replace(found.update.snapshot, host=dataclasses.replace(host, sysctls=sysctls))
    found = dataclasses.replace(found, update=dataclasses.replace(found.update, snapshot=snapshot))
    assert "Orphans on this host" not in dict(say(found, item).evidence)


@pytest.mark.parametrize(("name", "shown"), [("read", "≥6h"), ("descriptors_leak", "")])
def test_a_finding_is_as_old_as_its_sockets_only_if_its_fault_is(name: str, shown: str) -> None:
    _, item = scene(name)
    assert item.oldest_ms
    assert age(item) == shown
    assert bool(told(name).age) == bool(shown)
