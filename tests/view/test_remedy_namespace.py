"""Commands about a network namespace that is not the one in which they are pasted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sockui.diagnosis.situations import Situation
from sockui.knowledge import words
from sockui.model import Host, State
from sockui.tracker import Update
from sockui.view.remedy import from_outside, remedy

MakeUpdate = Callable[..., Update]
CLOSE_WAIT: dict[str, Any] = {"state": State.CLOSE_WAIT, "recv_queue": 1, "pid": 4312, "fd": 87, "inode": 225749}


@pytest.mark.parametrize(
    ("namespace", "command", "outside"),
    [
        ("", "ss -tan", "ss -tan"),
        ("blue", "ss -K '( sport = :80 )'", "nsenter --net=/run/netns/blue ss -K '( sport = :80 )'"),
        ("4312", "ip route get 10.0.0.1", "nsenter -t 4312 -n ip route get 10.0.0.1"),
        ("a $b", "sysctl net.core.somaxconn", "nsenter --net='/run/netns/a $b' sysctl net.core.somaxconn"),
        ("7", "nstat -asz X; sysctl net.a", "nsenter -t 7 -n nstat -asz X; nsenter -t 7 -n sysctl net.a"),
        ("7", "ss -t '(x)' | wc -l", "nsenter -t 7 -n ss -t '(x)' | wc -l"),
        ("7", "ss -Htanpo | grep -E 'a | ss'", "nsenter -t 7 -n ss -Htanpo | grep -E 'a | ss'"),
        ("7", "cat /proc/net/tcp; nstat X", "nsenter -t 7 -n cat /proc/net/tcp; nsenter -t 7 -n nstat X"),
        ("blue", "grep TCP: /proc/net/sockstat", "nsenter --net=/run/netns/blue grep TCP: /proc/net/sockstat"),
        ("blue", "tcpdump -c 9 -ni any", "nsenter --net=/run/netns/blue tcpdump -c 9 -ni any"),
        ("blue", "ls /proc/5/fd | wc -l; grep 'open files' /proc/5/limits", None),
        ("blue", "ps -L -o tid -p 5", None),
        ("blue", "kill 5", None),
        ("blue", "prlimit --pid 5 --nofile=9:", None),
        ("blue", "systemctl restart -- x.service", None),
    ],
)
def test_what_asks_the_network_stack_enters_the_namespace(namespace: str, command: str, outside: str | None) -> None:
    assert from_outside(command, namespace) == (outside or command)


def test_every_first_word_is_known_to_be_of_the_stack_or_of_processes() -> None:
    processes = {"grep", "kill", "ls", "prlimit", "ps", "systemctl"}
    every = {step.command for name in words.names("situations") for step in words.situation(name).steps}
    for command in every - {""}:
        assert (from_outside(command, "x") == command) == (
            command.split()[0] in processes and "/proc/net/" not in command
        ), command


def test_entering_a_namespace_needs_root(make_update: MakeUpdate) -> None:
    plain = remedy(make_update([CLOSE_WAIT]), 0)
    page = remedy(make_update([CLOSE_WAIT], host=Host("h", "Linux", namespace="blue")), 0)
    for before, step in zip(plain.steps, page.steps, strict=True):
        if step.command and step.command.startswith("nsenter --net=/run/netns/blue "):
            assert step.effect in ("reads, needs root", "drops connections, needs root")
        else:
            assert step == before
    assert sum((step.command or "").startswith("nsenter") for step in page.steps) >= 3


@pytest.mark.parametrize(
    ("remote", "command"),
    [("10.9.9.9", "ss -tanpeoi '("), ("127.0.0.1", "nsenter --net=/run/netns/blue ss -tanpeoi '(")],
)
def test_what_is_run_on_the_peer_does_not_enter_our_namespace(
    make_update: MakeUpdate, remote: str, command: str
) -> None:
    row = {"state": State.FIN_WAIT2, "pid": 9, "remote": (remote, 443), "local": (remote, 50_000)}
    row |= {"local": ("10.0.0.1", 50_000)} if remote == "10.9.9.9" else {}
    page = remedy(make_update([row], host=Host("h", "Linux", namespace="blue")), 0)
    assert page.situation is Situation.FIN_WAIT2_HELD
    (there,) = [step for step in page.steps if step.command and "sport = :443 and dport = :50000" in step.command]
    assert (there.command or "").startswith(command)
