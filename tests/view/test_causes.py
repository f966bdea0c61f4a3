"""Which causes are said, and for which of them the numbers speak."""

from __future__ import annotations

from typing import Any

import pytest

from sockui.model import Owner, State, Timer
from sockui.view.explain import Explanation, explain
from sockui.view.facts import Facts
from sockui.view.remedy import remedy
from tests.view.scenes import CLOSE_WAIT, DEFAULTS, LISTEN, MINI, MakeProcess, MakeUpdate

LOOPBACK = {"local": ("127.0.0.1", 40_000), "remote": ("127.0.0.1", 80)}
REPEATS = {"timer": Timer.ON, "retransmits": 5, "backoff": 5, "rto": 6_528_000, "snd_wnd": 65_536, "snd_mss": 1448}


def supported(known: Explanation) -> list[str]:
    return [cause.text for cause in known.causes if cause.supported]


def test_possible_is_not_likely(make_update: MakeUpdate) -> None:
    """A cause that is shown because nothing rules it out stays behind those that the numbers speak for."""
    row = {"pid": 9, "send_queue": 5_000, "bytes_acked": 9, "last_ack_recv": 60_000, **REPEATS}
    known = explain(make_update([row]), 0)
    assert any(cause.text.startswith("An MTU black hole") for cause in known.causes)
    assert supported(known) == []
    heard = explain(make_update([row | {"last_ack_recv": 90}]), 0)
    assert supported(heard) == [heard.causes[0].text] == ["One-way loss: asymmetric route or firewall."]


def test_a_small_backlog_does_not_explain_a_queue_that_stays_full(make_update: MakeUpdate) -> None:
    known = explain(make_update([LISTEN | {"recv_queue": 3, "drops": 900}]), 0)
    assert known.causes[-1].text == "The backlog is small (2): a burst fills it."
    assert known.causes[-1].tell.startswith("Full for a moment only: Recv-Q is 0 at the next look, ")
    assert supported(known) == []


def test_time_wait_blames_short_connections_only_if_there_are_many(make_update: MakeUpdate) -> None:
    row = {"state": State.TIME_WAIT, "known": MINI, "inode": 0, "owner": Owner.KERNEL, "timer": Timer.TIMEWAIT}
    rows = [row | {"local": ("10.0.0.1", 33_000 + n), "remote": ("10.9.9.9", 443)} for n in range(100)]
    few, many = explain(make_update(rows[:99], host=DEFAULTS), 0), explain(make_update(rows, host=DEFAULTS), 0)
    assert [cause.text for cause in few.causes] == ["Normal: whoever closes first gets TIME_WAIT."]
    assert many.causes[0].text == (
        "This side opens and closes many short connections instead of keeping them: 100 to this peer and port."
    )
    assert supported(many) == [many.causes[0].text]
    assert "100 sockets to 10.9.9.9:443 are in TIME_WAIT" in many.evidence


@pytest.mark.parametrize(("repeats", "said"), [(0, True), (1, False)])
def test_a_handshake_has_just_begun_only_if_nothing_was_repeated(
    make_update: MakeUpdate, repeats: int, said: bool
) -> None:
    row = {"state": State.SYN_RECV, "known": MINI, "inode": 0, "owner": Owner.KERNEL, "timer": Timer.ON}
    known = explain(make_update([row | {"timer_ms": 900, "retransmits": repeats}]), 0)
    assert any(cause.text == "Just begun: one round trip." for cause in known.causes) == said


@pytest.mark.parametrize(("port", "queued", "likely"), [(40_000, 1, True), (80, 1, False), (40_000, 9, False)])
def test_an_idle_pool_is_a_clients(make_update: MakeUpdate, port: int, queued: int, likely: bool) -> None:
    row = CLOSE_WAIT | {"local": ("10.0.0.1", port), "recv_queue": queued}
    texts = supported(explain(make_update([row], host=DEFAULTS), 0))
    assert ("An idle pooled connection: nobody reads it until its next use." in texts) == likely


def test_a_plain_cause_of_last_ack(make_update: MakeUpdate) -> None:
    row = {"state": State.LAST_ACK, "inode": 0, "owner": Owner.KERNEL, "send_queue": 1, **REPEATS}
    known = explain(make_update([row | {"last_ack_recv": 60_000}]), 0)
    assert known.causes[0].text == "The peer's host or the path to it is gone."


@pytest.mark.parametrize(
    "row",
    [
        {"pid": 9, "send_queue": 5_000, "bytes_acked": 9, **REPEATS},
        {"pid": 9, "last_data_sent": 90_000, "last_data_recv": 90_000},
        {"pid": 9, "send_queue": 5_000, "timer": Timer.PERSIST, "probes": 3, "backoff": 4},
        {"pid": 9, "state": State.FIN_WAIT2},
        {"state": State.FIN_WAIT2, "known": MINI, "inode": 0, "timer": Timer.TIMEWAIT, "timer_ms": 9_000},
        {"state": State.FIN_WAIT1, "inode": 0, "send_queue": 1, **REPEATS},
        {"state": State.FIN_WAIT1, "inode": 0, "send_queue": 9, "timer": Timer.PERSIST, "probes": 3, "backoff": 4},
        {"state": State.LAST_ACK, "inode": 0, "send_queue": 1, **REPEATS},
        {"state": State.LAST_ACK, "inode": 0, "send_queue": 9, "timer": Timer.PERSIST, "probes": 3, "backoff": 4},
        {"state": State.CLOSING, "inode": 0, "send_queue": 1, "recv_queue": 1, **REPEATS},
        {"state": State.CLOSE_WAIT, "pid": 9, "send_queue": 5, **REPEATS},
    ],
    ids=lambda row: State(row.get("state", 1)).name,
)
def test_no_host_vanishes_and_no_route_breaks_between_two_ends_of_one_host(
    make_update: MakeUpdate, row: dict[str, Any]
) -> None:
    other = {"local": ("127.0.0.1", 80), "remote": ("127.0.0.1", 40_000), "pid": 5}
    update = make_update([{"owner": Owner.KERNEL} | row | LOOPBACK, other], host=DEFAULTS)
    impossible = ("peer's host", "vanished", "NAT", "asymmetric", "the path", "MTU", "on the way")
    for cause in explain(update, 0).causes:
        assert not any(word in cause.text for word in impossible), cause.text
    for step in remedy(update, 0).steps:
        assert "ip neigh" not in (step.command or "")
        assert "ip route" not in (step.command or "")


def test_a_syn_to_loopback_is_not_lost_on_a_route(make_update: MakeUpdate) -> None:
    row = {"state": State.SYN_SENT, "pid": 9, "send_queue": 1, "timer": Timer.ON, "retransmits": 3, **LOOPBACK}
    update = make_update([row], host=DEFAULTS)
    assert not any("ip route" in (step.command or "") for step in remedy(update, 0).steps)
    assert explain(update, 0).causes[0].text == "Both ends are on this host: a packet filter here drops the segments."


DEAF = {**LOOPBACK, "local": ("127.0.0.1", 80), "remote": ("127.0.0.1", 40_000)}


def test_the_other_end_that_does_not_read_is_not_said_to_wait_for_data(
    make_update: MakeUpdate, make_process: MakeProcess
) -> None:
    ours = {"pid": 9, "send_queue": 5_000, "timer": Timer.PERSIST, "timer_ms": 900, "backoff": 3, **LOOPBACK}
    theirs = {"pid": 991, "recv_queue": 4_096, "last_data_recv": 44_000, **DEAF}
    api = make_process(991, "lab-api")
    line = "Other end, on this host: lab-api 991 in ESTABLISHED, 4,096 bytes unread; it does not read"
    assert line in explain(make_update([ours, theirs], [api]), 0).evidence
    closed = {"state": State.FIN_WAIT1, "inode": 0, "owner": Owner.KERNEL, "pid": 0}
    assert line in explain(make_update([ours | closed, theirs], [api]), 0).evidence
    fresh = explain(make_update([ours, theirs | {"last_data_recv": 3, "rcv_wnd": 900}], [api]), 0).evidence
    assert any(text.endswith("4,096 bytes unread; it has not read them yet") for text in fresh)


@pytest.mark.parametrize("idle", [0, 90_000])
def test_the_other_end_that_was_not_accepted_is_not_said_to_be_held(
    make_update: MakeUpdate, make_process: MakeProcess, idle: int
) -> None:
    ours = {"pid": 9, "last_data_sent": idle, "last_data_recv": idle, **LOOPBACK}
    theirs = {"inode": 0, "owner": Owner.LISTENER, "pid": 22_226, "fd": 3, "last_data_sent": idle, **DEAF}
    listener = LISTEN | {"local": ("127.0.0.1", 80), "recv_queue": 1, "pid": 22_226, "inode": 77}
    update = make_update([ours, theirs, listener], [make_process(22_226, "lab-api")], [(77, 22_226, 3)])
    known = explain(update, 0)
    assert known.turn == "Our application: lab-api 22226 must accept()."
    assert (
        "Other end, on this host: not accepted yet by lab-api 22226, in ESTABLISHED; it waits for accept()"
        in known.evidence
    )
    assert explain(update, 1).turn == "Our application: lab-api 22226 must accept()."


def test_deferred_accept_says_that_the_handshake_is_done(make_update: MakeUpdate) -> None:
    row = {"state": State.SYN_RECV, "known": MINI, "inode": 0, "owner": Owner.KERNEL, "timer": Timer.ON}
    known = explain(make_update([row | {"timer_ms": 7_336}]), 0)
    assert "No process holds it yet: not handed to accept()" in known.evidence
    assert known.ends == (
        "The first data; at the end of the deferral it is handed to accept() without any, if the peer still answers."
    )


def test_a_full_queue_drops_an_ack_when_it_comes(make_update: MakeUpdate) -> None:
    row = {"state": State.SYN_RECV, "known": MINI, "inode": 0, "owner": Owner.KERNEL, "timer": Timer.ON}
    update = make_update([row | {"retransmits": 2}, LISTEN | {"recv_queue": 1, "send_queue": 0}])
    assert explain(update, 0).sentence == (
        "The listener's accept queue is full (1 waits, 1 fits), so the final ACK is dropped when it comes. "
        "The peer may believe it is connected."
    )


def test_a_full_queue_of_one(make_update: MakeUpdate) -> None:
    assert explain(make_update([LISTEN | {"recv_queue": 1, "send_queue": 0}]), 0).sentence == (
        "The accept queue is full: 1 waits, only 1 fits. New SYNs and final ACKs are dropped; clients hang in SYN_SENT."
    )


def test_a_listener_without_descriptors_left(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    row = LISTEN | {"recv_queue": 1, "send_queue": 16, "pid": 24_677}

    def known(used: int, waiting: int = 1) -> Explanation:
        leaky = make_process(24_677, "lab-leaky", fd_count=used, fd_limit=256)
        return explain(make_update([row | {"recv_queue": waiting}], [leaky]), 0)

    assert known(256).sentence == (
        "1 waits for accept(); lab-leaky 24677 has 256 of 256 descriptors open: accept() probably fails with EMFILE."
    )
    assert supported(known(256))[0].startswith("The process is at its descriptor limit")
    assert known(231).sentence == "lab-leaky 24677 takes connections here; 1 waits for accept(), 17 fit."
    assert known(256, waiting=0).sentence == "lab-leaky 24677 takes connections here."
    leaky = make_process(24_677, "lab-leaky", fd_count=256, fd_limit=256)
    commands = [step.command for step in remedy(make_update([row], [leaky]), 0).steps]
    assert "prlimit --pid 24677 --nofile=512:" in commands


def test_peers_are_counted_without_their_ports(make_update: MakeUpdate) -> None:
    row = {"state": State.FIN_WAIT2, "known": MINI, "inode": 0, "owner": Owner.KERNEL, "timer": Timer.TIMEWAIT}
    first = explain(make_update([row | {"timer_ms": 9_000}]), 0).first
    assert first is not None
    assert first.command == (
        "ss -Htn state fin-wait-2 | awk '{print $4}' | sed 's/:[^:]*$//' | sort | uniq -c | sort -rn | head"
    )


def test_conditions_of_a_pair_that_is_not_on_this_host(make_update: MakeUpdate) -> None:
    assert not {"same_host", "local_peer"} & Facts(make_update([{"pid": 9}]), 0).conditions
    assert "same_host" in Facts(make_update([{"pid": 9, "remote": ("10.0.0.1", 7)}]), 0).conditions
