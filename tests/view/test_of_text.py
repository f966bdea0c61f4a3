"""Columns, filters and sorting of a text: what it does not tell is not taken from this host; it may name anything."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from sockui.collector.text import read_text
from sockui.tracker import Tracker, Update
from sockui.view import query
from sockui.view.column import distinct_pids, holder_pids, rank
from sockui.view.columns import require

ESTABLISHED = "ESTAB 0 0 10.0.0.1:1 10.0.0.2:2"


def told(text: str) -> Update:
    return Tracker().update(read_text(text.encode()).snapshot)


def test_a_user_has_the_name_that_the_text_gives_it_and_none_of_this_host() -> None:
    ours = resource.getpagesize()  # a uid that nobody has here; 1 is daemon on every Linux
    text = (
        f"{ESTABLISHED} uid:1 ino:5 sk:6 <->\n{ESTABLISHED}0 uid:{ours} ino:7 sk:8 <->\n{ESTABLISHED}1 ino:9 sk:a <->\n"
    )
    update = told(text)
    assert require("user").json(update) == ["1", str(ours), "root"]
    assert not query.compile("user = daemon").mask(update).any()


@pytest.mark.parametrize(("text", "number"), [("dev = lo", 0), ("dev != lo", 0), ("not dev = lo", 1)])
def test_no_text_tells_the_device(text: str, number: int) -> None:
    assert query.compile(text).mask(told(ESTABLISHED)).sum() == number


def test_a_pid_beyond_every_kernel_s_is_one_like_others() -> None:
    numbered = enumerate((999_999_999, 7, 999_999_998))
    text = "".join(f'{ESTABLISHED}{at} users:(("x{at}",pid={pid},fd=3))\n' for at, pid in numbered)
    update = told(text + ESTABLISHED)
    pids, codes = holder_pids(update)
    assert (pids.tolist(), codes.tolist()) == ([7, 999_999_998, 999_999_999], [2, 0, 1, -1])
    small = update.sockets["pid"][[1, 1, 3]]
    assert distinct_pids(small).tolist() == [7]


def test_a_pid_beyond_every_kernel_s_takes_no_memory() -> None:
    text = f'{ESTABLISHED} users:(("x",pid=999999999,fd=3))\n'
    limit = ("prlimit", f"--as={1 << 30}")
    for wanted in (["x"], ["process ~ x"], ["pid = 999999999"], ["--sort", "process"]):
        command = [*limit, sys.executable, "-m", "sockui", "list", "-", *wanted]
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
        assert (done.returncode, "10.0.0.2:2" in done.stdout) == (0, True), done.stderr


def test_the_rank_of_texts_takes_no_more_room_than_they() -> None:
    import tracemalloc

    texts = ["x" * 65_536, *(f"Java {number}" for number in range(1000)), "java 7"]
    tracemalloc.start()
    try:
        ranks = rank(texts)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert ranks[-1] == len(texts)
    assert ranks[8] == ranks[-2], "case does not count"
    assert ranks[0] == ranks[:-1].max()
    assert rank(["b", "a", "B"]).tolist() == [1, 0, 1, 3]
