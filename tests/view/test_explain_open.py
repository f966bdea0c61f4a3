"""What is said of connections that begin or are open: exact sentences from a kernel's numbers."""

from __future__ import annotations

import pytest

from sockui.diagnosis.situations import Situation
from sockui.model import Owner, State, Timer
from sockui.view.explain import explain
from tests.view.scenes import DEFAULTS, LISTEN, MINI, MakeProcess, MakeUpdate


def test_syn_sent_says_when_connect_fails(make_update: MakeUpdate) -> None:
    row = {
        "state": State.SYN_SENT,
        "pid": 9,
        "send_queue": 1,
        "timer": Timer.ON,
        "timer_ms": 9_348,
        "retransmits": 8,
        "backoff": 4,
        "rto": 16_000_000,
        "age": (25_600, 25_900),
        "last_ack_recv": 710_876,
    }
    known = explain(make_update([row], host=DEFAULTS), 0)
    assert known.ends == (
        "connect() fails with ETIMEDOUT 2 min 11 s after the first SYN or a few seconds later, "
        "unless the application set its own limit. About 1 min 45 s until then."
    )
    assert "8 SYNs repeated, back-off 4, RTO 16 s" in known.evidence
    assert "Next SYN in 9.3 s" in known.evidence
    assert not any("last heard" in line for line in known.evidence), "these fields are garbage in SYN_SENT"


def test_syn_sent_blames_the_peer_if_other_connections_work(make_update: MakeUpdate) -> None:
    row = {"state": State.SYN_SENT, "remote": ("10.1.1.1", 443), "timer": Timer.ON, "retransmits": 2}
    alone = explain(make_update([row]), 0)
    working = explain(make_update([row, {"remote": ("10.1.1.1", 443)}]), 0)
    assert "firewall" in alone.causes[0].text
    assert working.causes[0].text.startswith("The peer takes no more")
    assert not any("firewall" in cause.text for cause in working.causes)


def test_syn_sent_to_a_full_listener_here_names_who_must_accept(
    make_update: MakeUpdate, make_process: MakeProcess
) -> None:
    ends = {"local": ("127.0.0.1", 40_000), "remote": ("127.0.0.1", 80)}
    asking = {"state": State.SYN_SENT, "pid": 9, "timer": Timer.ON, "retransmits": 5, **ends}
    full = LISTEN | {"local": ("127.0.0.1", 80), "recv_queue": 3}
    nginx = make_process(812, "nginx", fd_count=1_020, fd_limit=1_024)
    known = explain(make_update([asking, full], [make_process(9, "curl"), nginx]), 0)
    assert known.situation is Situation.SYN_SENT_LOCAL_QUEUE_FULL
    assert known.turn == "Our application: nginx 812 must accept()."
    assert "3 wait, 3 fit" in known.sentence
    assert known.causes[0].text == "accept() fails with EMFILE: the listening process is at its descriptor limit."
    assert known.causes[0].supported


def test_accept_queue_waits_since_the_handshake(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    waiting = {"inode": 0, "owner": Owner.LISTENER, "pid": 812, "fd": 6, "last_data_sent": 20_000}
    update = make_update([waiting, LISTEN | {"recv_queue": 3}], [make_process(812, "nginx")])
    known = explain(update, 0)
    assert known.situation is Situation.ACCEPT_QUEUE
    assert "Has waited 20 s for accept()" in known.evidence
    assert "Not accepted; the listener is held by nginx 812 as fd 6" in known.evidence
    assert known.causes[0].text in {cause.text for cause in known.causes if cause.supported}
    assert "The whole queue is full: 3 wait, 3 fit." in [cause.text for cause in known.causes if cause.supported]


def test_retransmitting_says_when_the_kernel_gives_up(make_update: MakeUpdate) -> None:
    row = {
        "pid": 9,
        "send_queue": 500,
        "timer": Timer.ON,
        "snd_wnd": 65_536,
        "timer_ms": 5_380,
        "retransmits": 6,
        "backoff": 6,
        "rto": 13_056_000,
        "last_ack_recv": 20_900,
        "last_data_sent": 7_600,
        "bytes_acked": 900,
        "bytes_sent": 9_000,
        "busy_time": 99_000_000,
        "total_rto": 9,
        "total_rto_recoveries": 2,
        "total_rto_time": 70_000,
        "snd_mss": 1448,
    }
    known = explain(make_update([row], host=DEFAULTS), 0)
    assert known.situation is Situation.ESTABLISHED_RETRANSMITTING
    assert known.sentence == "500 bytes are not acknowledged and being repeated; the peer is silent."
    # 13.056 s - 0.204 s of back-off behind it, 7.676 s of the running timeout; the total of two episodes proves nothing
    assert "No acknowledgement for 20 s" in known.evidence
    assert known.ends.startswith(
        "An acknowledgement; or ETIMEDOUT at the first timeout after 15 min 24 s without one (tcp_retries2=15)"
    )


def test_one_way_loss_is_told_from_silence(make_update: MakeUpdate) -> None:
    row = {
        "pid": 9,
        "send_queue": 500,
        "timer": Timer.ON,
        "snd_wnd": 65_536,
        "timer_ms": 5_380,
        "retransmits": 6,
        "backoff": 6,
        "rto": 13_056_000,
        "last_ack_recv": 1_200,
        "bytes_acked": 900,
        "bytes_received": 9_000,
    }
    known = explain(make_update([row]), 0)
    assert known.sentence.endswith("though the peer is still heard: packets from here to it are lost.")
    assert known.causes[0].text.startswith("One-way loss")


def test_unreachable_is_told_from_a_black_hole(make_update: MakeUpdate) -> None:
    row = {
        "pid": 9,
        "send_queue": 500,
        "timer": Timer.ON,
        "snd_wnd": 65_536,
        "retransmits": 122,
        "backoff": 4,
        "rto": 3_300_000,
    }
    known = explain(make_update([row]), 0)
    assert known.situation is Situation.ESTABLISHED_UNREACHABLE
    assert "Retransmissions (122) are far above back-off (4)" in known.sentence
    assert known.first is not None
    assert known.first.command == "ip neigh show 10.9.9.9"


def test_connected_here_and_half_open_there_is_a_full_queue(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    ours = {"local": ("127.0.0.1", 5000), "remote": ("127.0.0.1", 80), "pid": 9, "send_queue": 5, "bytes_acked": 1}
    ours |= {"timer": Timer.ON, "retransmits": 5, "backoff": 5, "snd_wnd": 65_536}
    theirs = {"local": ("127.0.0.1", 80), "remote": ("127.0.0.1", 5000), "state": State.SYN_RECV, "known": MINI}
    full = LISTEN | {"local": ("127.0.0.1", 80), "recv_queue": 3}
    update = make_update([ours, theirs | {"owner": Owner.KERNEL}, full], [make_process(812, "nginx")])
    known = explain(update, 0)
    assert known.turn == "The peer's application: nginx 812 must accept()."
    assert any("not accepted, in SYN_RECV" in line for line in known.evidence)
    assert known.first is not None
    assert known.first.command == "ss -ltnpem '( sport = :80 )'"


def test_both_ends_writing_and_neither_reading_is_called_a_deadlock(make_update: MakeUpdate) -> None:
    row = {"pid": 9, "send_queue": 500, "timer": Timer.PERSIST, "recv_queue": 70, "last_data_recv": 9_000}
    known = explain(make_update([row]), 0)
    assert known.situation is Situation.PEER_NOT_READING
    assert known.causes[0].text == "Both ends write and neither reads: a deadlock. 70 bytes wait here, unread by us."


def test_idle_without_keepalive_cannot_know_whether_the_peer_exists(make_update: MakeUpdate) -> None:
    quiet = {"pid": 9, "last_data_sent": 7_300_000, "last_data_recv": 7_200_000}
    idle = explain(make_update([quiet]), 0)
    guarded = explain(make_update([quiet | {"timer": Timer.KEEPALIVE, "timer_ms": 60_000}]), 0)
    assert idle.sentence == (
        "Connected; no data in either direction for 2 h. Whether the peer still exists cannot be known without sending."
    )
    assert "no timer runs, so it can last for ever" in idle.ends
    assert guarded.ends.endswith("keepalive finds the peer gone (next timer in 1 min).")
    assert not any("vanished" in cause.text for cause in guarded.causes)


@pytest.mark.parametrize(("port", "asked"), [(40_000, True), (22, False)])
def test_a_full_queue_far_away_is_possible_only_for_whoever_connected(
    make_update: MakeUpdate, port: int, asked: bool
) -> None:
    row = {"local": ("10.0.0.1", port), "send_queue": 5, "snd_wnd": 65_536, "timer": Timer.ON, "retransmits": 5}
    causes = explain(make_update([row | {"pid": 9, "backoff": 5, "bytes_acked": 1}], host=DEFAULTS), 0).causes
    found = [cause for cause in causes if cause.text.startswith("The peer never took us in")]
    assert bool(found) == asked
    assert not any(cause.supported for cause in found), "possible, not proved"


def test_what_waits_is_claimed_only_if_the_queues_are_known(make_update: MakeUpdate) -> None:
    assert explain(make_update([{"pid": 9}]), 0).turn == "Nobody: nothing waits in its queues."
    assert explain(make_update([{"pid": 9, "known": 0}]), 0).turn == (
        "Nobody: what waits in its queues is not known from this source."
    )
