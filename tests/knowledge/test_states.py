"""The states are whole and true to RFC 9293: every edge, every claim's source, every wrong belief, real sysctls."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from sockui.diagnosis.thresholds import Thresholds
from sockui.knowledge import finding_words, notes, topics, words
from sockui.knowledge.files import File
from sockui.model import State

TCP = [state.name.lower() for state in State]
ALSO = ["bound_inactive", "half_open", "orphan", "unaccepted", "unconn"]
"""What people call states too: cases of a state of TCP, and UDP."""
NO_SOCKET = "no socket"
"""The end of an arrow before socket() and after close()."""

FIGURE_5 = {
    # every arrow of RFC 9293 figure 5, top to bottom; CLOSED is spelt CLOSE, SYN-RECEIVED SYN_RECV
    ("CLOSE", "LISTEN"): "listen",  # passive OPEN
    ("CLOSE", "SYN_SENT"): "connect",  # active OPEN
    ("LISTEN", "CLOSE"): "close",
    ("LISTEN", "SYN_RECV"): "SYN received",
    ("LISTEN", "SYN_SENT"): "send",
    ("SYN_SENT", "CLOSE"): "close",
    ("SYN_SENT", "SYN_RECV"): "SYN received",
    ("SYN_SENT", "ESTABLISHED"): "SYN-ACK received",
    ("SYN_RECV", "LISTEN"): "RST",  # with note 1
    ("SYN_RECV", "ESTABLISHED"): "ACK of our SYN",
    ("SYN_RECV", "FIN_WAIT1"): "close",
    ("ESTABLISHED", "FIN_WAIT1"): "close",
    ("ESTABLISHED", "CLOSE_WAIT"): "FIN received",
    ("FIN_WAIT1", "FIN_WAIT2"): "ACK of our FIN",
    ("FIN_WAIT1", "CLOSING"): "FIN received",
    ("FIN_WAIT1", "TIME_WAIT"): "FIN and ACK of our FIN",  # note 2
    ("FIN_WAIT2", "TIME_WAIT"): "FIN received",
    ("CLOSING", "TIME_WAIT"): "ACK of our FIN",
    ("CLOSE_WAIT", "LAST_ACK"): "close",
    ("LAST_ACK", "CLOSE"): "ACK of our FIN",
    ("TIME_WAIT", "CLOSE"): "60 s",  # 2 MSL
}
NOTE_3 = {
    (state, "CLOSE"): "RST" for state in ("SYN_RECV", "ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "CLOSE_WAIT", "CLOSING")
}
"""An RST ends every state; those that the figure leads to CLOSED anyway are above."""
NOT_ON_LINUX = {("LISTEN", "SYN_SENT"): "not on Linux|in the RFC only"}

BELIEFS = [  # state, words of the belief, words of the truth
    ("time_wait", "4 minutes", "60 s"),
    ("time_wait", "tcp_fin_timeout shortens", "60 s with tcp_fin_timeout=10"),
    ("time_wait", "descriptor 64 KB", "256 bytes"),
    ("time_wait", "tcp_tw_recycle", "4.12 NAT"),
    ("time_wait", "SO_REUSEADDR enough", "old listener must have set it too"),
    ("time_wait", "tcp_tw_reuse off by default", "2 loopback"),
    ("time_wait", "tcp_rfc1337", "ends it"),
    ("time_wait", "RST keeps TIME_WAIT", "nothing is left"),
    ("time_wait", "ports server", "one port"),
    ("close_wait", "Keepalive cures", "descriptor"),
    ("close_wait", "crashed blocks port", "kill -9 bind()"),
    ("close_wait", "two hours", "No kernel timer"),
    ("close_wait", "we have closed ACK", "The peer has closed"),
    ("close_wait", "tcp_fin_timeout", "No sysctl"),
    ("close_wait", "port again", "challenge ACK"),
    ("close_wait", "Recv-Q 1", "FIN"),
    ("established", "client server has accepted", "accept() may come later or never"),
    ("established", "dead peer two hours", "SO_KEEPALIVE 7875 s"),
    ("established", "tcp_keepalive_time", "SO_KEEPALIVE"),
    ("listen", "tcp_max_syn_backlog", "tcp_syncookies=0"),
    ("listen", "tcp_abort_on_overflow", "SYNs are dropped"),
    ("listen", "SO_REUSEADDR enough", "old listener must have set it too"),
    ("listen", "somaxconn at once", "fixed when listen()"),
    ("syn_recv", "tcp_max_syn_backlog", "backlog of listen()"),
    ("syn_recv", "client is not connected", "client is ESTABLISHED"),
    ("syn_sent", "overloaded refuses", "dropped"),
    ("fin_wait1", "tcp_orphan_retries 8", "reads 0"),
    ("fin_wait1", "tcp_orphan_retries every", "no process holds"),
    ("fin_wait1", "FIN sent", "queued"),
    ("fin_wait2", "tcp_fin_timeout=N", "2 x (N-60)"),
    ("fin_wait2", "tcp_fin_timeout every", "no timer runs"),
    ("unaccepted", "connected accepted", "lastsnd"),
    ("orphan", "tcp_max_orphans", "quarter"),
    ("half_open", "notices", "no timer runs"),
]

ABSENT = {
    "net.ipv4.tcp_tw_recycle": "removed in Linux 4.12; named as what does not help",
    "tcp_tw_recycle": "the same",
    **dict.fromkeys(("tcp_keepalives_idle", "tcp_user_timeout"), "a setting of PostgreSQL"),
    "tcp_proxy": "a filter of Envoy",
}
"""What looks like a sysctl of Linux and need not be one on the kernel that runs the tests, with the reason."""
CONNTRACK = Path("/proc/sys/net/netfilter/nf_conntrack_max")
"""Only where this exists is the module loaded, and its sysctls must exist too."""


# --- edges ----------------------------------------------------------------------------------------


def out() -> dict[tuple[str, str], words.Edge]:
    return {(state.upper(), edge.state): edge for state in TCP for edge in words.state(state).left_by}


def into() -> dict[tuple[str, str], words.Edge]:
    return {(edge.state, state.upper()): edge for state in TCP for edge in words.state(state).entered_by}


def test_every_edge_of_the_rfc_is_named_out_of_one_state_and_into_the_other() -> None:
    assert set(out()) == set(into()) == set(FIGURE_5) | set(NOTE_3)
    for state in TCP:
        known = words.state(state)
        for edges in (known.entered_by, known.left_by):
            assert len({edge.state for edge in edges}) == len(edges), f"{state}: one arrow, one entry"


@pytest.mark.parametrize(("edge", "cause"), (FIGURE_5 | NOTE_3).items())
def test_an_edge_names_the_packet_or_call_at_both_ends(edge: tuple[str, str], cause: str) -> None:
    assert cause in out()[edge].on
    assert cause in into()[edge].on
    if edge in NOT_ON_LINUX:
        assert re.search(NOT_ON_LINUX[edge], out()[edge].on)
        assert re.search(NOT_ON_LINUX[edge], into()[edge].on)


@pytest.mark.parametrize("edge", FIGURE_5 | NOTE_3)
def test_the_source_of_an_edge_is_the_figure_and_of_what_linux_adds_the_kernel(edge: tuple[str, str]) -> None:
    for one in (out()[edge], into()[edge]):
        assert "figure 5" in one.source
        if edge in NOTE_3:
            assert "figure 5 note 3" in one.source
        if edge in NOT_ON_LINUX or re.search(r"on Linux|in time|no answer|tcp_fin_timeout", one.on):
            assert re.search(r"net/ipv4/\w+\.c|measured", one.source), "what Linux adds is in the kernel, or measured"


@pytest.mark.parametrize("name", ALSO)
def test_what_is_called_a_state_too_is_entered_from_and_left_to_states(name: str) -> None:
    known = words.state(name)
    states = {state.upper() for state in TCP} | {NO_SOCKET}
    assert known.entered_by
    assert known.left_by
    assert {edge.state for edge in known.entered_by + known.left_by} <= states


# --- claims, sources, links -----------------------------------------------------------------------

_SOURCE = re.compile(
    r"RFC \d+( |$|;|\)|,)"
    r"|(?:net|include|Documentation)/[\w./-]+"
    r"|measured |read on Linux|no such file on Linux"
    r"|\b[a-z_]+\(\d\)"
    r"|\brules? [RX]\d"
    r"|kernel commit|github\.com/"
    r"|judgement"
)


def every_source() -> Iterator[tuple[str, str]]:
    """Where a source is given, and the source, in all files of states, situations and findings."""
    for name in words.names("states"):
        state = words.state(name)
        yield from ((f"{name} {claim}", source) for claim, source in state.sources.items())
        yield from ((f"{name} {edge.state}", edge.source) for edge in state.entered_by + state.left_by)
        yield from ((f"{name} {one.belief}", one.source) for one in state.beliefs)
    for name in words.names("situations"):
        yield from ((f"{name} {claim}", source) for claim, source in words.situation(name).sources.items())
    for name in words.names("findings"):
        finding = finding_words.finding(name)
        yield from ((f"{name} {claim}", source) for claim, source in finding.sources.items())
        yield from ((f"{name} {one.belief}", one.source) for one in finding.beliefs)


def test_every_source_is_one_that_can_be_looked_up() -> None:
    vague = [(where, source) for where, source in every_source() if not _SOURCE.search(source)]
    assert not vague


@pytest.mark.parametrize("name", words.names("states"))
def test_a_state_says_everything_with_its_source(name: str) -> None:
    known = words.state(name)
    assert tuple(sorted(known.sources)) == tuple(sorted(words.STATE_CLAIMS))
    for claim in words.STATE_CLAIMS:
        text = getattr(known, claim)
        assert text.endswith("."), text
        assert "  " not in text
    assert known.see
    assert known.beliefs
    assert {placeholder for placeholder in words.placeholders(known.problem) if "." not in placeholder} <= {
        field.name for field in fields(Thresholds)
    }
    for one in known.beliefs:
        assert not one.belief.endswith("."), "it stands in quotes"
        assert one.truth.endswith(".")


@pytest.mark.parametrize("name", words.names("states"))
def test_the_rules_that_a_problem_names_exist_and_are_linked(name: str) -> None:
    known = words.state(name)
    named = set(re.findall(r"\b[RX]\d+\b", known.problem))
    assert named <= set(finding_words.rules())
    assert named <= set(known.see)


@pytest.mark.parametrize("kind", ["situations", "findings"])
def test_a_source_is_of_something_that_the_file_says(kind: str) -> None:
    for name in words.names(kind):
        known: Any = words.situation(name) if kind == "situations" else finding_words.finding(name)
        for claim in known.sources:
            assert getattr(known, claim), f"{name}: [sources] has {claim}, the file has none"


@pytest.mark.parametrize("kind", ["states", "findings", *notes.KINDS])
def test_every_link_leads_somewhere(kind: str) -> None:
    lost = []
    for name in words.names(kind):
        for link in _read(kind, name).get("see", ()):
            found = topics.find(link)
            if found is None:
                lost.append(f"{kind}/{name}.toml: {link}")
            else:
                assert (found.kind, found.name) != (kind[:-1], name), f"{kind}/{name}.toml leads to itself"
    assert not lost


@pytest.mark.parametrize(("state", "belief", "truth"), BELIEFS)
def test_a_wrong_belief_is_set_right_where_a_reader_looks_for_it(state: str, belief: str, truth: str) -> None:
    about = [one for one in words.state(state).beliefs if all(word in one.belief for word in belief.split())]
    assert len(about) == 1, f"{state}: {belief}"
    for word in truth.split():
        assert word in about[0].truth
    assert about[0].source


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("ESTAB", "established"),
        ("SYN_RCVD", "syn_recv"),
        ("SYN_RECEIVED", "syn_recv"),
        ("SYN-RECEIVED", "syn_recv"),
        ("NEW_SYN_RECV", "syn_recv"),
        ("SYN-SENT", "syn_sent"),
        ("LISTENING", "listen"),
        ("CLOSED", "close"),
        ("FIN_WAIT_1", "fin_wait1"),
        ("FIN-WAIT-2", "fin_wait2"),
        ("finwait2", "fin_wait2"),
        ("TIME-WAIT", "time_wait"),
        ("last-ack", "last_ack"),
        ("UNCONN", "unconn"),
        ("bound-inactive", "bound_inactive"),
        ("un-accepted", "unaccepted"),
        ("orphan", "orphan"),
        ("half-open", "half_open"),
        ("half open", "half_open"),
    ],
)
def test_a_state_is_found_by_every_spelling(spelling: str, name: str) -> None:
    found = topics.find(spelling)
    assert found is not None
    assert (found.kind, found.name) == ("state", name)


def test_no_name_means_two_states() -> None:
    meant: dict[str, str] = {}
    for name in words.names("states"):
        known = words.state(name)
        for spelling in {re.sub(r"[-_ ,]", "", each.lower()) for each in (name, known.name, *known.names)}:
            assert meant.setdefault(spelling, name) == name, spelling


# --- sysctls --------------------------------------------------------------------------------------

_FULL = re.compile(
    r"\b(?:net|fs|kernel|vm)\.(?:[a-z0-9_-]+\.)*[a-z0-9_-]*_[a-z0-9_]*[a-z0-9]\b|\bfs\.[a-z-]+|\bnet\.core\.\w+"
)
_SHORT = re.compile(r"(?<![\w.])(?:tcp_[a-z0-9_]*[a-z0-9]|somaxconn|ip_local_\w*[a-z]|nf_conntrack_\w*[a-z])\b(?![(*])")
_FOLDERS = ("net/ipv4", "net/core", "net/netfilter")


def _read(kind: str, name: str) -> dict[str, Any]:
    return tomllib.loads((resources.files("sockui.knowledge") / kind / f"{name}.toml").read_text("utf-8"))


def _texts(value: Any) -> Iterator[str]:
    """Every text in a file, but not links, nor where it is known from: sources name functions of the kernel."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if key not in ("source", "sources", "see", "names"):
                yield from _texts(each)


def _named() -> dict[str, str]:
    """Every sysctl of Linux that a file of knowledge names, in full or without its folder, with a file that does."""
    found: dict[str, str] = {}
    for kind in ("states", "situations", "findings", *notes.KINDS, "runtimes"):
        for name in words.names(kind):
            for text in _texts(_read(kind, name)):
                for match in (*_FULL.finditer(text), *_SHORT.finditer(text)):
                    found.setdefault(match.group(), f"{kind}/{name}.toml")
    for setting in _read("systems", "linux")["settings"]:
        found.setdefault(setting["name"], "systems/linux.toml")
    return found


def _exists(name: str) -> bool:
    if "nf_conntrack" in name and not CONNTRACK.exists():
        return True
    if "." in name:
        return Path("/proc/sys", *name.split(".")).exists()
    return any(Path("/proc/sys", folder, name).exists() for folder in _FOLDERS)


def test_every_sysctl_that_is_named_exists_on_this_kernel() -> None:
    named = _named()
    assert {"net.ipv4.tcp_fin_timeout", "tcp_fin_timeout", "net.core.somaxconn", "fs.file-max"} <= named.keys()
    assert not {name: file for name, file in named.items() if name not in ABSENT and not _exists(name)}


def test_nothing_is_excused_that_exists_or_is_not_named() -> None:
    named = _named()
    for name in ABSENT:
        assert name in named
        assert not _exists(name)


# --- the loader -----------------------------------------------------------------------------------


def test_a_state_without_a_source_or_a_problem_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _read("states", "close_wait")
    damages: list[tuple[dict[str, Any], str]] = [
        ({key: value for key, value in whole.items() if key != "problem"}, "problem is missing"),
        ({key: value for key, value in whole.items() if key != "see"}, "see is missing"),
        (whole | {"sources": {k: v for k, v in whole["sources"].items() if k != "costs"}}, "no source of costs"),
        (whole | {"sources": whole["sources"] | {"colour": "x"}}, "colour in \\[sources\\] is no claim"),
        (whole | {"sources": whole["sources"] | {"costs": " "}}, "no source of costs"),
        (whole | {"beliefs": [{"belief": "b", "truth": "t."}]}, "beliefs 1: source is missing"),
        (whole | {"left_by": [{"to": "CLOSE", "on": "RST"}]}, "left_by 1: source is missing"),
    ]
    for damaged, complaint in damages:
        words.state.cache_clear()
        with monkeypatch.context() as patch:
            patch.setattr(File, "open", lambda kind, name, damaged=damaged: File(f"{kind}/{name}.toml", damaged))
            with pytest.raises(ValueError, match=rf"^states/close_wait.toml.*{complaint}"):
                words.state("close_wait")
    words.state.cache_clear()
