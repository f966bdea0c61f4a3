"""A process in its sockets."""

from __future__ import annotations

from sockui.model import Owner, State
from sockui.tracker import Life
from sockui.view.explain import ProcessExplanation, explain_process
from tests.view.scenes import CLOSE_WAIT, MakeProcess, MakeUpdate


def test_a_process_in_its_sockets(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    java = make_process(
        4312,
        started_at=1_700_000_000 - 7_200,
        fd_count=900,
        fd_limit=1_000,
        unit="app.service",
        cgroup="/system.slice/app.service",
        cmdline=("java", "-jar", "a b.jar"),
    )
    rows = [
        CLOSE_WAIT | {"age": (5_000, -1), "inode": 1},
        CLOSE_WAIT | {"age": (90_000, -1), "inode": 2, "recv_queue": 0},
        {"pid": 4312, "inode": 3},
        {"pid": 4313, "inode": 4, "age": (999_000, -1), "state": State.FIN_WAIT2},
        {"pid": 50, "inode": 5, "holders": 2},  # the lowest holder is named; 4312 holds it too
        {"pid": 50, "inode": 6},
        CLOSE_WAIT | {"life": Life.ENDED, "age": (9_999_999, -1), "inode": 7},
        {"pid": 4312, "inode": 0, "owner": Owner.LISTENER},
    ]
    update = make_update(rows, [java], [(5, 50, 3), (5, 4312, 4)])
    own = explain_process(update, 4312, ())
    assert own.heading == "java 4312"
    assert own.totals == (("ESTABLISHED", 3), ("CLOSE_WAIT", 2))
    assert own.stuck == 3
    assert own.oldest == 1
    assert own.oldest_text == "CLOSE_WAIT ≥ 1 min, 10.9.9.9:40001: The peer has closed; we read all but have not closed"
    assert own.facts == (
        "User app",
        "Unit app.service",
        "Cgroup /system.slice/app.service",
        "Started 2 h ago",
        "Command java -jar 'a b.jar'",
        "900 of 1,000 descriptors open (90 %)",
        "1 socket with more than one holder",
        "1 connection not accepted yet",
    )
    subtree = explain_process(update, 4312, (4312, 4313))
    assert dict(subtree.totals)["FIN_WAIT2"] == 1
    assert subtree.oldest == 3
    assert "With 1 process below it" in subtree.facts


def test_a_process_without_descriptors_left(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    listener = {"state": State.LISTEN, "remote": ("0.0.0.0", 0), "recv_queue": 1, "send_queue": 16, "pid": 24_677}

    def own(used: int, waiting: int = 1) -> ProcessExplanation:
        leaky = make_process(24_677, "lab-leaky", fd_count=used, fd_limit=256)
        return explain_process(make_update([listener | {"recv_queue": waiting}], [leaky]), 24_677, ())

    line = "256 of 256 descriptors open (100 %), at its limit: accept(), open() and socket() fail"
    assert line in own(256).facts
    assert "255 of 256 descriptors open (99 %)" in own(255).facts
    assert own(256).stuck == 1
    assert own(256, waiting=0).stuck == own(200).stuck == 0


def test_an_unknown_process(make_update: MakeUpdate) -> None:
    known = explain_process(make_update([]), 4242, ())
    assert known.heading == "process 4242"
    assert known.totals == ()
    assert known.oldest == -1
