"""The words about options, calls and errors are whole, name their sources, lead on, and have commands that work."""

from __future__ import annotations

import errno
import os
import re
import subprocess
from collections.abc import Iterator
from itertools import chain

import pytest

from sockui.collector.host import SETTINGS
from sockui.knowledge import notes, topics, words
from sockui.knowledge.notes import NoteWords
from sockui.model import Host
from sockui.view import settings

OPTIONS = (
    "SO_REUSEADDR",
    "SO_REUSEPORT",
    "SO_LINGER",
    "SO_KEEPALIVE",
    "TCP_KEEPIDLE",
    "TCP_KEEPINTVL",
    "TCP_KEEPCNT",
    "TCP_USER_TIMEOUT",
    "TCP_DEFER_ACCEPT",
    "TCP_LINGER2",
    "IP_BIND_ADDRESS_NO_PORT",
    "shutdown() and close()",
    "shutdown()",
    "close()",
    "SHUT_WR",
    "listen() backlog",
    "listen()",
    "backlog",
)
ERRORS = (
    "ETIMEDOUT",
    "ECONNREFUSED",
    "ECONNRESET",
    "ECONNABORTED",
    "EPIPE",
    "EADDRINUSE",
    "EADDRNOTAVAIL",
    "EMFILE",
    "ENFILE",
    "EHOSTUNREACH",
    "ENETUNREACH",
)
FILES = [(kind, name) for kind in notes.KINDS for name in words.names(kind)]
TIMES = set(settings.times(Host("", "Linux")))


def texts(known: NoteWords) -> Iterator[str]:
    """Every text that is filled in before it is shown."""
    yield from filter(None, (known.sentence, known.turn, known.ends, known.costs, known.problem))
    yield from (claim.text for claim in known.claims)
    yield from chain.from_iterable((cause.text, cause.tell) for cause in known.causes)
    yield from (step.text for step in known.steps)
    yield from (each.why for each in known.do_not)
    yield from (each.truth for each in known.beliefs)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_found(name: str) -> None:
    found = topics.find(name)
    assert found is not None
    assert found.kind == "option"


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_is_found_by_its_name_and_by_what_programs_print(name: str) -> None:
    found = topics.find(name)
    assert found is not None
    assert found.kind == "error"
    assert topics.find(os.strerror(getattr(errno, name))) == found


def test_what_a_log_says_is_found() -> None:
    assert topics.find("Address already in use") == topics.find("EADDRINUSE")


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_claims_and_beliefs_name_their_sources(kind: str, name: str) -> None:
    known = notes.note(kind, name)
    assert known.sources.keys() >= {"sentence", "problem"}
    assert known.sources.keys() <= {"sentence", "ends", "problem", "costs"}
    assert ("ends" in known.sources) == bool(known.ends)
    assert len(known.claims) >= 3
    assert known.beliefs
    for source in (*(each.source for each in known.claims), *(each.source for each in known.beliefs)):
        assert re.search(r"measured on|\(\d\)|RFC \d+|\.c:|\.h:|\.rst|\.conf", source), source


@pytest.mark.parametrize("name", words.names("errors"))
def test_an_error_has_causes_and_how_to_tell_them_apart(name: str) -> None:
    assert len(notes.note("errors", name).causes) >= 3


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_every_topic_to_see_exists(kind: str, name: str) -> None:
    missing = [each for each in notes.note(kind, name).see if topics.find(each) is None]
    assert not missing


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_settings_are_read_and_placeholders_are_known(kind: str, name: str) -> None:
    known = notes.note(kind, name)
    assert set(known.settings) <= set(SETTINGS)
    for text in texts(known):
        assert set(words.placeholders(text)) <= TIMES | set(SETTINGS), text


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_sentences_end_like_sentences(kind: str, name: str) -> None:
    for text in texts(notes.note(kind, name)):
        assert text.endswith((".", "?", ":")), text
        assert text == " ".join(text.split())
        assert text.isascii(), text


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_commands_are_shell_without_holes(kind: str, name: str) -> None:
    for step in notes.note(kind, name).steps:
        assert step.command or step.rung in ("fix in code", "prevent"), step.text
        assert not list(words.placeholders(step.command))  # a page leaves out a command that has one
        done = subprocess.run(["bash", "-n", "-c", step.command], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), step.command


@pytest.mark.parametrize(("kind", "name"), FILES)
def test_harm_only_grows_and_what_needs_root_says_so(kind: str, name: str) -> None:
    steps = [step for step in notes.note(kind, name).steps if step.effect]
    effects = [words.EFFECTS.index(step.effect) for step in steps]
    assert effects == sorted(effects)
    for step in steps:
        if step.command.startswith(("sysctl -w", "tcpdump", "prlimit")) or ' -p "$(pgrep' in step.command:
            assert step.root, step.command
