"""What is said of a port and of the way to a destination, over updates made by hand; kernel/ asks the kernel."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from sockui.errors import UsageError
from sockui.model import Coverage, Host, Known, Owner, Process, Protocol, State
from sockui.tracker import Life, Update
from sockui.view.destination import destination
from sockui.view.page import Page, Section, plain
from sockui.view.port import Verdict, holders, judge, parse_endpoint

MakeUpdate = Callable[..., Update]
MakeProcess = Callable[..., Process]

RANGE = {"net.ipv4.ip_local_port_range": "40000 40019", "net.ipv4.tcp_timestamps": "1", "net.ipv4.tcp_tw_reuse": "0"}
HOST = Host("testhost", "Linux 6.18.0", {**RANGE, "net.ipv4.tcp_orphan_retries": "0", "net.ipv4.tcp_fin_timeout": "60"})
MINI = int(Known.MINI | Known.TIMER | Known.COOKIE)


def listening(address: str = "0.0.0.0", port: int = 8080, **fields: Any) -> dict[str, Any]:
    return {"state": State.LISTEN, "local": (address, port), "remote": ("0.0.0.0", 0), "uid": 33, **fields}


def left(state: State, port: int = 8080, **fields: Any) -> dict[str, Any]:
    """A connection that no process holds any more."""
    return {"state": state, "local": ("10.0.0.1", port), "owner": Owner.KERNEL, "inode": 0, **fields}


def words(sections: Iterable[Section]) -> str:
    return " ".join(plain(Page("", tuple(sections))).split())


def said(update: Update, wanted: str = ":8080") -> str:
    return words(holders(update, parse_endpoint(wanted)))


@pytest.mark.parametrize(
    ("text", "shown", "family"),
    [
        (":8080", "*:8080", 0),
        ("8080", "*:8080", 0),
        ("*:8080", "*:8080", 0),
        (" 127.0.0.1:8080 ", "127.0.0.1:8080", 4),
        ("0.0.0.0:8080", "0.0.0.0:8080", 4),
        ("[::ffff:127.0.0.1]:8080", "127.0.0.1:8080", 4),
        ("[::1]:8080", "[::1]:8080", 6),
        ("[::]:8080", "[::]:8080", 6),
        ("tcp:8080", "*:8080", 0),
        ("TCP 127.0.0.1:8080", "127.0.0.1:8080", 4),
        ("udp:8080", "UDP *:8080", 0),
        ("udp :8080", "UDP *:8080", 0),
        ("udp 8080", "UDP *:8080", 0),
        ("udp [::1]:53", "UDP [::1]:53", 6),
    ],
)
def test_every_spelling_of_an_endpoint(text: str, shown: str, family: int) -> None:
    endpoint = parse_endpoint(text)
    assert (str(endpoint), endpoint.family) == (shown, family)


@pytest.mark.parametrize(
    "text",
    ["", ":", "0", ":0", ":65536", "99999", "-1", "10.0.0.1", "::1", "udp:", "a.example:80", "[::1]", "1:2:3", "\x1b"],
)
def test_what_is_no_endpoint_is_refused_with_what_is_understood(text: str) -> None:
    with pytest.raises(UsageError, match=r"understood are :8080, .*udp:8080") as refused:
        parse_endpoint(text)
    assert "\x1b" not in str(refused.value)


def test_a_listener_is_named_with_everybody_who_keeps_it(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    update = make_update(
        [listening(pid=812, inode=5, holders=3)],
        [make_process(812, "nginx"), make_process(813, "nginx", ppid=812), make_process(900, "sh\x1b[2J", ppid=1)],
        [(5, 812, 6), (5, 813, 6), (5, 900, 3)],
        host=HOST,
    )
    text = said(update)
    assert (
        "nginx 812 (and 2 more processes) listens on 0.0.0.0:8080: bind() fails with EADDRINUSE until the last" in text
    )
    assert "nginx 812 (fd 6), nginx 813 (fd 6, child of 812), sh\\e[2J 900 (fd 3)" in text
    assert "All of these must close() it or exit" in text
    assert "SO_REUSEADDR: changes nothing against a listener." in text
    assert "and the user is the same (uid 33)" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(("fix", "how"), [("sudo sockui", "without root"), (None, "with these rights")])
def test_a_hidden_owner_is_told_by_user(make_update: MakeUpdate, fix: str | None, how: str) -> None:
    update = make_update([listening(uid=0, owner=Owner.HIDDEN, inode=5)], host=HOST, coverage=Coverage(1, 0, fix=fix))
    text = said(update)
    assert f"A process of user root (uid 0), which cannot be known {how}, listens on 0.0.0.0:8080: bind() fails" in text
    assert f"LISTEN 0.0.0.0:8080: a process of user root (uid 0), which cannot be known {how}" in text
    assert ("sudo ss -Hltnp" in text) == bool(fix)


def test_connections_are_counted_with_what_ends_them(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    held = [{"state": State.CLOSE_WAIT, "local": ("10.0.0.1", 8080), "pid": pid, "inode": 0} for pid in (812, 812, 9)]
    for number, row in enumerate(held):
        row["inode"] = 70 + number
    update = make_update(
        [
            *held,
            left(State.TIME_WAIT, known=MINI, timer_ms=38_000),
            left(State.TIME_WAIT, known=MINI, timer_ms=12_000),
            left(State.FIN_WAIT2, known=MINI, timer_ms=20_000),
            left(State.LAST_ACK),
            left(State.SYN_RECV, known=MINI),
            left(State.TIME_WAIT, port=8081, known=MINI, timer_ms=59_000),
            left(State.ESTABLISHED, life=Life.ENDED),
        ],
        [make_process(812, "java"), make_process(9, "python")],
        host=HOST,
    )
    text = said(update)
    assert text.startswith(
        "Nobody listens on *:8080; sockets on it: 1 FIN_WAIT2, 2 TIME_WAIT, 3 CLOSE_WAIT, 1 LAST_ACK. bind()"
    )
    assert "3 CLOSE_WAIT, held by java 812 (2), python 9 (1): until closed there" in text
    assert "2 TIME_WAIT, no process: the last ends within 41 s" in text
    assert (
        "1 FIN_WAIT2, closed, no process: the last ends within 23 s; if the peer's FIN comes, 60 s of TIME_WAIT" in text
    )
    assert "1 LAST_ACK, closed, no process: ended by an ACK or RST of the peer, or after all retries" in text
    assert "tcp_orphan_retries=0, which means 8; about 107 s in all" in text
    assert "if the old listener had set it too, else when they have ended." in text


def test_time_wait_alone_ends_by_itself(make_update: MakeUpdate) -> None:
    rows = [left(State.TIME_WAIT, known=MINI, timer_ms=left_ms) for left_ms in (38_000, 500)]
    text = said(make_update(rows, host=HOST))
    assert "with it bind() succeeds now if the old listener had set it too, else within 41 s." in text
    assert "whoever the user is" in text


def test_a_time_that_is_not_known_is_not_said(make_update: MakeUpdate) -> None:
    text = said(make_update([left(State.TIME_WAIT, known=int(Known.MINI))], host=HOST, source="psutil"))
    assert "each ends 60 s after it began" in text
    assert "within" not in text


def test_a_port_of_connect_is_told_apart(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    row = {"local": ("10.0.0.1", 40_007), "remote": ("10.9.9.9", 443), "pid": 5, "inode": 8}
    outgoing = said(make_update([row], [make_process(5, "curl")], host=HOST), ":40007")
    assert "if the sockets that connected had set it too" in outgoing
    assert "connect() chose the port for them (ip_local_port_range)" in outgoing
    served = said(
        make_update([row, listening("10.0.0.2", 40_007)], [make_process(5, "curl")], host=HOST), "10.0.0.1:40007"
    )
    assert "connect()" not in served
    assert "Listens on port 40007, not in the way: - LISTEN 10.0.0.2:40007" in served


def test_many_sockets_take_few_lines(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    listeners = [listening(f"10.0.0.{number}", pid=1 + number, inode=90 + number) for number in range(1, 41)]
    connections = [{"local": ("10.0.0.1", 8080), "pid": 50 + n % 30, "inode": 200 + n} for n in range(300)]
    text = plain(Page("", holders(make_update([*listeners, *connections], host=HOST), parse_endpoint(":8080"))))
    assert len(text.splitlines()) < 40
    assert "32 more such sockets" in text
    assert "26 more holders" in " ".join(text.split())


def test_what_is_free_says_what_else_may_refuse(make_update: MakeUpdate) -> None:
    elsewhere = listening("127.0.0.1", 80, pid=812, inode=5)
    update = make_update([elsewhere], host=HOST)
    text = said(update, "10.0.0.1:80")
    assert judge(update, parse_endpoint("10.0.0.1:80")) == Verdict(True, True, True)
    assert "is in the way of 10.0.0.1:80: bind() succeeds now." in text
    assert "Other network namespaces (containers) are not seen" in text
    assert "(unless set, 1024) bind() without CAP_NET_BIND_SERVICE fails with EACCES, not EADDRINUSE" in text
    assert "EADDRNOTAVAIL" in text
    assert "not in the way: - LISTEN 127.0.0.1:80" in text
    lowered = Host("h", "Linux 6.18.0", {"net.ipv4.ip_unprivileged_port_start": "80"})
    assert "EACCES" not in said(make_update([elsewhere], host=lowered), "10.0.0.1:80")


@pytest.mark.parametrize(
    ("source", "system"), [("psutil", "Linux 6.18.0"), ("netlink", "Linux 6.1.0"), ("text", "Linux")]
)
def test_a_source_that_does_not_list_bound_sockets_cannot_say_that_a_port_is_free(
    make_update: MakeUpdate, source: str, system: str
) -> None:
    update = make_update([], host=Host("h", system), source=source)
    assert judge(update, parse_endpoint(":8080")) == Verdict(None, None, None)
    assert "bind() succeeds unless a socket is only bound to it." in said(update)


def test_udp_and_tcp_are_apart(make_update: MakeUpdate) -> None:
    row = {"protocol": Protocol.UDP, "state": State.CLOSE, "local": ("0.0.0.0", 53), "remote": ("0.0.0.0", 0)}
    update = make_update([{**row, "pid": 5, "inode": 8}], host=HOST)
    assert judge(update, parse_endpoint(":53")).plain is True
    assert judge(update, parse_endpoint("udp:53")) == Verdict(False, None, None)
    text = said(update, "udp:53")
    assert "process 5 has bound UDP 0.0.0.0:53: bind() fails with EADDRINUSE until it is closed" in text
    assert "listen()" not in text


def test_commands_can_be_pasted(make_update: MakeUpdate) -> None:
    update = make_update([listening(pid=812, inode=5)], host=Host("h", "Linux 6.18", namespace="a b"))
    blocks = [block for each in holders(update, parse_endpoint(":8080")) for block in each.blocks]
    first, second = (shlex.split(block.text) for block in blocks if block.kind == "command")
    assert first == ["nsenter", "--net=/run/netns/a b", "ss", "-Hltnp", "sport = :8080"]
    assert second[-1] == "812"


def way(ports: Iterable[int], state: State, **fields: Any) -> list[dict[str, Any]]:
    return [
        {"state": state, "local": ("10.0.0.1", port), "remote": ("10.0.0.5", 443), "inode": port, **fields}
        for port in ports
    ]


def test_a_destination_without_ports_left(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    waiting = way(range(40_008, 40_020), State.TIME_WAIT, known=MINI)
    for seconds, row in enumerate(waiting, 10):
        row["timer_ms"] = seconds * 1000
    rows = [*way(range(40_000, 40_008), State.ESTABLISHED, pid=812), *waiting]
    text = words(destination(make_update(rows, [make_process(812, "java")], host=HOST), parse_endpoint("10.0.0.5:443")))
    assert "No port is left from 10.0.0.1: connect() to 10.0.0.5:443 fails with EADDRNOTAVAIL." in text
    assert "10.0.0.1 to 10.0.0.5:443: 20 of 20 ports used; 12 TIME_WAIT, 8 ESTABLISHED" in text
    assert "Most are held by java 812 (8)." in text
    assert "The first TIME_WAIT ends within 13 s, the last within 24 s." in text


def test_a_destination_with_ports_left(make_update: MakeUpdate) -> None:
    update = make_update(way(range(40_000, 40_005), State.ESTABLISHED), host=HOST)
    text = words(destination(update, parse_endpoint("10.0.0.5:443")))
    assert "No local address is seen to have used up its ports towards 10.0.0.5:443" in text
    assert "5 of 20 ports used" in text
    assert "No timer frees one" in text
    assert words(destination(update, parse_endpoint(":443"))).count("5 of 20 ports used") == 1
    other = words(destination(update, parse_endpoint("10.0.0.6:443")))
    assert "This host has opened no connection to 10.0.0.6:443: all 20 ports are left." in other
    one = make_update(way(range(40_000, 40_001), State.ESTABLISHED), host=HOST)
    assert "1 of 20 ports used" in words(destination(one, parse_endpoint("10.0.0.5:443")))


def test_udp_needs_no_port_towards_a_destination(make_update: MakeUpdate) -> None:
    with pytest.raises(UsageError, match="TCP only"):
        destination(make_update([], host=HOST), parse_endpoint("udp:53"))


def test_a_range_that_cannot_be_read_is_not_judged(make_update: MakeUpdate) -> None:
    text = words(destination(make_update([], host=Host("h", "Linux")), parse_endpoint("10.0.0.5:443")))
    assert "cannot be read" in text
    assert "fails" not in text
