"""``sockui explain ... --os``: what another system's page says, and what it must not say; settings of Linux."""

from __future__ import annotations

import re

import pytest

from sockui.errors import UsageError
from sockui.knowledge import systems, words
from sockui.model import Host
from sockui.view import pages
from sockui.view.page import WIDTH, Page, plain

HOST = Host("web1", "Linux", {"net.ipv4.tcp_fin_timeout": "65", "net.ipv4.tcp_mem": "100\t200\t300"})
OTHERS = [each.key for each in systems.systems() if each.key != "linux"]
STATES = ["listen", "syn_sent", "syn_recv", "established", "fin_wait1", "fin_wait2", "closing", "time_wait",
          "close_wait", "last_ack", "close"]  # fmt: skip


def page(name: str, system: str = "") -> Page:
    return pages.page(pages.find(name), HOST, None, pages.find_system(system) if system else None)


def told(name: str, system: str = "") -> str:
    """A page with its lines joined."""
    return " ".join(plain(page(name, system)).split())


def part(name: str, system: str, title: str) -> str:
    """One section of a page with its lines joined."""
    (found,) = [each for each in page(name, system).sections if each.title == title]
    return " ".join(plain(Page("", (found,))).split())


@pytest.mark.parametrize("system", OTHERS)
@pytest.mark.parametrize("state", STATES)
def test_a_page_of_another_system_is_whole_and_fits(state: str, system: str) -> None:
    found = page(state, system)
    printed = plain(found)
    commands = {block.text for each in found.sections for block in each.blocks if block.kind == "command"}
    for line in printed.splitlines():
        assert len(line) <= WIDTH or line.strip() in commands, line
    assert not re.search(r"\{[a-z_.]+\}", printed)
    assert not [line for line in commands if "/proc/" in line or line.startswith("ss ") or "net.ipv4" in line]


@pytest.mark.parametrize("system", OTHERS)
def test_what_is_true_of_linux_only_says_so_on_the_page_of_another_system(system: str) -> None:
    found = page("time_wait", system)
    for each in found.sections:
        if "net.ipv4" in plain(Page("", (each,))):
            assert each.title in ("Left to, on Linux", "Entered from, on Linux", "See also"), each.title


@pytest.mark.parametrize(
    ("state", "system", "expected"),
    [
        ("FIN_WAIT2", "hpux", ["ndd -get /dev/tcp tcp_fin_wait_2_timeout", "Default 0 ms (no limit)", "NDD_NAME[$n]"]),
        ("FIN_WAIT2", "aix", ["no -o tcp_finwait2=120", "in half-seconds", "no -p -o tcp_finwait2=120"]),
        ("FIN_WAIT2", "freebsd", ["fast_finwait2_recycle=1", "Default 60000 ms", ">> /etc/sysctl.conf"]),
        ("TIME_WAIT", "windows", ["240 s", "120 s", "/v TcpTimedWaitDelay", "as Administrator"]),
        ("TIME_WAIT", "solaris", ["ipadm set-prop -t -p _time_wait_interval=", "ndd -set /dev/tcp", "240000"]),
        ("TIME_WAIT", "macos", ["30 s by default", "net.inet.tcp.msl", "/Library/LaunchDaemons/"]),
        ("CLOSE_WAIT", "solaris", ["tcp_close_wait_interval", "it was TIME_WAIT", "Gone since Solaris 7"]),
        ("CLOSE_WAIT", "windows", ["Nothing but the application", "None is known that is about it."]),
        ("CLOSING", "aix", ["Found in no document."]),
    ],
)
def test_the_page_of_another_system_has_its_settings(state: str, system: str, expected: list[str]) -> None:
    text = told(state, system)
    for each in expected:
        assert each in text, each


def test_a_page_of_another_system_has_no_values_of_this_host() -> None:
    for system in OTHERS:
        assert "Now " not in told("fin_wait2", system)


def test_a_page_of_linux_has_the_values_of_the_host_and_reads_only() -> None:
    text = part("fin_wait2", "", "Settings of Linux")
    assert "Default 60 s, set for each network namespace. Now 65 s." in text
    assert "sysctl net.ipv4.tcp_fin_timeout # reads" in text
    assert "sysctl -w" not in text
    assert "sockui explain and its name" in text


def test_the_page_of_a_setting_of_linux_changes_and_persists_it() -> None:
    text = told("tcp_fin_timeout")
    assert "sysctl -w net.ipv4.tcp_fin_timeout=30 # changes settings, as root, until the next boot" in text
    assert "> /etc/sysctl.d/90-tcp_fin_timeout.conf" in text
    assert "FIN_WAIT2" in text
    assert "Default: depends on memory; in pages. Now 100 200 300 pages." in told("tcp_mem")


def test_a_setting_that_is_gone_says_so_and_has_no_command() -> None:
    found = page("tcp_tw_recycle")
    assert "Gone since Linux 4.12" in plain(found)
    assert not [block for each in found.sections for block in each.blocks if block.kind == "command"]


def test_a_setting_of_two_systems_is_told_of_both_the_asked_one_first() -> None:
    def order(system: str) -> list[str]:
        return [each.title for each in page("tcp_time_wait_interval", system).sections if each.title[:3] == "On "]

    assert order("") == ["On HP-UX", "On Solaris"]
    assert order("solaris") == ["On Solaris", "On HP-UX"]
    assert pages.find("_time_wait_interval") == pages.find("tcp_time_wait_interval")


@pytest.mark.parametrize("name", ["R22", "SO_KEEPALIVE", "EADDRNOTAVAIL"])
def test_other_topics_of_another_system_leave_out_what_is_true_of_linux_only(name: str) -> None:
    found = page(name, "aix")
    titles = [each.title for each in found.sections]
    assert titles == ["", "Settings of AIX", "How it is known, AIX", "On Linux"]
    assert f"sockui explain {name}" in part(name, "aix", "On Linux")


def test_settings_of_another_system_are_found_by_what_they_are_about() -> None:
    assert "tcp_ephemeral_low" in part("R22", "aix", "Settings of AIX")


def test_an_unknown_system_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="solaris"):
        pages.find_system("plan9")


def test_every_state_of_this_test_is_one() -> None:
    assert set(STATES) <= set(words.names("states"))
