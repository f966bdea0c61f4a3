"""What is pasted into a chat: short, true, and nothing from outside gets out of its code span."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from sockui.model import SOCKET, Host, Known, Owner, Process, State, Timer
from sockui.tracker import Update
from sockui.view import summary as module
from sockui.view.markdown import code
from sockui.view.summary import full, remedy_text, summary, summary_process

MakeUpdate = Callable[..., Update]
MakeProcess = Callable[..., Process]
CLOSE_WAIT: dict[str, Any] = {
    "state": State.CLOSE_WAIT,
    "recv_queue": 1,
    "pid": 4312,
    "fd": 87,
    "inode": 225749,
    "shutdown": 1,
    "age": (2_530_000, 2_530_020),
    "bytes_received": 1,
}


def test_one_socket(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    update = make_update(
        [CLOSE_WAIT | {"last_ack_recv": 2_530_000}],
        [make_process(4312)],
        [(225749, 4312, 87)],
        host=Host("web1", "Linux"),
    )
    assert summary(update, [0]) == "\n".join(
        [
            "`CLOSE_WAIT` `tcp 10.0.0.1:80 → 10.9.9.9:40000` on `web1` at 2023-11-14 22:13:20 UTC",
            "- What: The peer has closed. `java 4312` has not read to the end of the stream and still holds fd 87.",
            "- Whose turn: Our application: `java 4312` must read to EOF, then close().",
            (
                "- Ends: Nothing but close() by every holder, or their exit. No kernel timer runs. "
                "An RST would end the socket, not the open descriptor."
            ),
            "- In CLOSE_WAIT for 42 min (from its last segments)",
            "- `java 4312`: user `app`",
            "- 0 unread bytes; the 1 in Recv-Q is the peer's FIN",
            "- Held by `java 4312` as fd 87",
            "- First: See what its threads do instead of reading. `ps -L -o tid,stat,wchan:24,comm -p 4312`",
        ]
    )


def test_several_are_grouped(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    leak = [CLOSE_WAIT | {"age": (n * 60_000, -1), "remote": ("10.9.9.9", 1000 + n)} for n in range(1, 6)]
    others = [
        CLOSE_WAIT | {"recv_queue": 0},
        CLOSE_WAIT | {"remote": ("10.8.8.8", 5)},
        {"state": State.TIME_WAIT, "owner": Owner.KERNEL, "inode": 0, "remote": ("10.9.9.9", 77)},
        CLOSE_WAIT,  # not chosen
    ]
    update = make_update(leak + others, [make_process(4312)])
    lines = summary(update, [0, 1, 2, 3, 4, 5, 6, 7]).split("\n")
    assert lines[0] == "8 sockets on `testhost` at 2023-11-14 22:13:20 UTC"
    assert lines[1] == (
        "- 6 `CLOSE_WAIT` of `java 4312` with 2 hosts, oldest ≥ 42 min: The peer has closed; we have not read its FIN"
    )
    assert len(lines) == 4
    assert any("`TIME_WAIT` of no process (the kernel finishes alone)" in line for line in lines)


def test_a_leak_to_many_hosts_is_one_group_and_before_what_is_not_stuck(
    make_update: MakeUpdate, make_process: MakeProcess
) -> None:
    leak = [CLOSE_WAIT | {"inode": 100 + n, "remote": (f"10.1.{n}.9", 443)} for n in range(9)]
    fine = [{"pid": 77, "remote": ("10.9.9.9", 1000 + n), "known": int(Known.INODE)} for n in range(30)]
    hidden = [CLOSE_WAIT | {"owner": Owner.HIDDEN, "pid": 0, "uid": uid} for uid in (54_321, 54_321, 54_322)]
    update = make_update(fine + leak + hidden, [make_process(4312), make_process(77, "nginx")])
    lines = summary(update, range(len(update.sockets))).split("\n")
    assert [line.split(", oldest")[0] for line in lines[1:4]] == [
        "- 9 `CLOSE_WAIT` of `java 4312` with 9 hosts",
        "- 2 `CLOSE_WAIT` of a process of `uid 54321` that may not be read with `10.9.9.9`",
        "- 1 `CLOSE_WAIT` of a process of `uid 54322` that may not be read with `10.9.9.9`",
    ]
    assert lines[4].startswith("- 30 `ESTABLISHED` of `nginx 77` with `10.9.9.9`: ")
    assert len(lines) == 5


@pytest.mark.parametrize(
    ("ages", "said"),
    [
        ([(2_530_000, 2_530_020), (60_000, 60_010)], ", oldest 42 min: "),  # exact
        ([(2_530_000, 2_530_020), (60_000, -1)], ", oldest ≥ 42 min: "),  # the second may be older
        ([(120_000, 300_000), (60_000, 180_000)], ", oldest 2 min to 5 min: "),
        ([(60_000, 180_000), (50_000, 300_000)], ", oldest 1 min to 5 min: "),
        ([(0, -1), (0, -1)], "`10.9.9.9`: "),
    ],
)
def test_the_age_of_the_oldest_is_as_certain_as_it_is(
    make_update: MakeUpdate, ages: list[tuple[int, int]], said: str
) -> None:
    assert said in summary(make_update([CLOSE_WAIT | {"age": age} for age in ages]), [0, 1])


def test_sockets_without_a_peer_name_none(make_update: MakeUpdate) -> None:
    listening = {"state": State.LISTEN, "pid": 4312, "remote": ("0.0.0.0", 0)}
    assert (
        summary(make_update([listening, listening]), [0, 1]).split("\n")[1]
        == "- 2 `LISTEN` of process 4312: Listens for connections"
    )


def test_many_groups_are_cut_and_counted(make_update: MakeUpdate) -> None:
    update = make_update([{"pid": n} for n in range(1, 31)])
    lines = summary(update, list(range(30))).split("\n")
    assert len(lines) == 1 + module.GROUPS_SHOWN + 1
    assert lines[-1] == f"- and {30 - module.GROUPS_SHOWN} more in {30 - module.GROUPS_SHOWN} groups"


def test_the_namespace_that_was_looked_at_is_named(make_update: MakeUpdate) -> None:
    update = make_update([CLOSE_WAIT, CLOSE_WAIT], host=Host("vm", "Linux", namespace="blue"))
    for text in (summary(update, [0]), summary(update, [0, 1]), full(update, 0), summary_process(update, 4312)):
        assert " on `vm` netns `blue` at 2023-" in text.split("\n")[0]
    assert "netns" not in full(make_update([CLOSE_WAIT]), 0)


def test_no_socket(make_update: MakeUpdate) -> None:
    assert summary(make_update([]), []) == "No sockets, on `testhost` at 2023-11-14 22:13:20 UTC"


HOSTILE = [
    "`",
    "``",
    "``` ```",
    "a`b`c",
    "\x1b[31m",
    "\n# x",
    "*b*_i_~s~",
    "<!channel>",
    "[x](http://e)",
    "|",
    "",
    "\u202e",
    "|||`|",
]


def outside_code(text: str) -> str:
    """What a Markdown reader sees outside of code spans."""
    assert text.count("`") % 2 == 0
    return re.sub(r"`[^`\n]*`", "", text)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_in_its_code_span(make_update: MakeUpdate, make_process: MakeProcess, name: str) -> None:
    tame = make_process(4312, "x", user="u", unit="s.service", cgroup="/c", cmdline=("/bin/x", "y"))
    evil = make_process(
        4312, "x" + name, user="u" + name, unit=f"s{name}.service", cgroup="/c" + name, cmdline=("/bin/x" + name, "y")
    )
    rows = [CLOSE_WAIT, CLOSE_WAIT | {"owner": Owner.HIDDEN, "pid": 0, "uid": 1000}]

    def texts(process: Process, host: str) -> list[str]:
        update = make_update(rows, [process], [(225749, 4312, 87)], host=Host(host, "Linux"))
        every = [summary(update, [0]), summary(update, [1]), summary(update, [0, 1]), full(update, 0), full(update, 1)]
        return [*every, remedy_text(update, 0), summary_process(update, 4312)]

    for wild, usual in zip(texts(evil, "h" + name), texts(tame, "h"), strict=True):
        assert outside_code(wild) == outside_code(usual)
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", wild)


def test_code_spans() -> None:
    assert code("a`b") == "`a\\x60b`"
    assert code("") == "` `"
    assert code("a\nb") == "`a\\nb`"


@pytest.mark.parametrize("make", [lambda u: summary(u, [0]), lambda u: full(u, 0), lambda u: summary_process(u, 4312)])
def test_no_secret_argument_no_trailing_newline(
    make_update: MakeUpdate, make_process: MakeProcess, make: Callable[[Update], str]
) -> None:
    process = make_process(4312, cmdline=("/usr/bin/java", "-Dpassword=hunter2"))
    text = make(make_update([CLOSE_WAIT], [process]))
    assert "hunter2" not in text
    assert text == text.rstrip()


def test_bullets_numbered_steps_and_code_spans_only(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    text = outside_code(full(make_update([CLOSE_WAIT], [make_process(4312)]), 0))
    assert not re.search(r"(?m)^(#|\||>|```)|\*\*|\|", text)


def test_full_has_every_known_field(make_update: MakeUpdate) -> None:
    text = full(make_update([CLOSE_WAIT | {"cgroup": 77}]), 0)
    shown = set(re.findall(r"`([a-z_]+)=", text))
    told = {
        "local_high",
        "local_low",
        "remote_high",
        "remote_low",
        "local_port",
        "remote_port",
        "known",
    }  # in the heading
    assert shown == set(SOCKET.names or ()) - told
    assert "`state=CLOSE_WAIT`" in text
    assert "`recv_queue=1`" in text


def test_full_shows_no_field_that_is_not_known(make_update: MakeUpdate) -> None:
    text = full(make_update([CLOSE_WAIT | {"known": int(Known.QUEUES), "rto": 987_654, "cookie": 987_654}]), 0)
    assert "987654" not in text
    assert "shutdown=" not in text
    assert "`recv_queue=1` `send_queue=0`" in text


@pytest.mark.parametrize("state", [State.SYN_SENT, State.LISTEN])
def test_full_leaves_out_times_that_are_garbage(make_update: MakeUpdate, state: State) -> None:
    text = full(make_update([{"state": state, "timer": Timer.ON, "last_ack_recv": 710_876}]), 0)
    assert "last_ack_recv" not in text
    assert "710876" not in text


def test_full_has_the_settings_that_matter(make_update: MakeUpdate) -> None:
    host = Host("h", "Linux", {"net.ipv4.tcp_fin_timeout": "60", "net.ipv4.tcp_mem": "1 2 3"})
    text = full(make_update([{"state": State.FIN_WAIT2, "pid": 9}], host=host), 0)
    assert "- `net.ipv4.tcp_fin_timeout = 60`" in text
    assert "tcp_mem" not in text


def test_the_remedy_alone(make_update: MakeUpdate) -> None:
    text = remedy_text(make_update([CLOSE_WAIT]), 0)
    assert "What to do: The peer has closed; we have not read its FIN" in text
    assert "- Do not: SO_LINGER with 0. It changes what close() does; here close() is not called." in text
    assert "(drops connections, needs root)" in text


def test_a_process(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    update = make_update([CLOSE_WAIT, {"pid": 4312}], [make_process(4312, fd_count=9, fd_limit=10)])
    assert summary_process(update, 4312).split("\n") == [
        "`java 4312` on `testhost` at 2023-11-14 22:13:20 UTC",
        "- Sockets: 1 `CLOSE_WAIT`, 1 `ESTABLISHED`",
        "- Stuck: 1, the oldest `CLOSE_WAIT` 42 min, `10.9.9.9:40000`: The peer has closed; we have not read its FIN",
        "- First: See what its threads do instead of reading. `ps -L -o tid,stat,wchan:24,comm -p 4312`",
        "- `User app`",
        "- `9 of 10 descriptors open (90 %)`",
        "- Command `/usr/bin/java`",
    ]
