"""The runtimes' files are whole, their commands are shell and say what they do, and no signal kills by mistake."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sockui.knowledge import words
from sockui.knowledge.files import File

RUNTIMES = words.names("runtimes")
TOOLS = [pytest.param(tool, id=f"{name}-{n}") for name in RUNTIMES for n, tool in enumerate(words.runtime(name).tools)]
SIGNALS = [
    pytest.param(tool.command, match[1], id=match[1])
    for name in RUNTIMES
    for tool in words.runtime(name).tools
    if (match := re.search(r"kill -([A-Z0-9]+) ", tool.command))
]


def filled(command: str, pid: int = 4312) -> str:
    return words.fill(command, {"pid": str(pid), "unit": "'app@1.service'"})


@pytest.mark.parametrize("name", RUNTIMES)
def test_texts_are_short_and_end_like_sentences(name: str) -> None:
    known = words.runtime(name)
    assert len(known.name) <= 32
    for tool in known.tools:
        assert len(tool.text) <= 200, tool.text
    for text in known.usual_bug.values():
        assert len(text) <= 240, text
    for text in [*(tool.text for tool in known.tools), *known.usual_bug.values(), *(item.why for item in known.do_not)]:
        assert text.endswith("."), text
        assert not list(words.placeholders(text)), text


@pytest.mark.parametrize("name", sorted(set(RUNTIMES) - {"unknown"}))
def test_the_faults_of_the_program_itself_have_a_usual_bug(name: str) -> None:
    assert {"idle", "ports", "time_wait"} <= set(words.runtime(name).usual_bug)


@pytest.mark.parametrize("theme", ["close_wait", "accept", "not_reading", "peer_not_reading", "fd"])
@pytest.mark.parametrize("name", RUNTIMES)
def test_whoever_holds_a_stuck_socket_can_be_looked_into(name: str, theme: str) -> None:
    known = words.runtime(name)
    assert any(theme in tool.themes and tool.rung == "look" for tool in known.tools) or theme in known.usual_bug


@pytest.mark.parametrize("name", RUNTIMES)
def test_harm_only_grows_along_the_ladder(name: str) -> None:
    effects = [words.EFFECTS.index(tool.effect) for tool in words.runtime(name).tools]
    assert effects == sorted(effects)


@pytest.mark.parametrize("tool", TOOLS)
def test_a_command_is_one_line_of_shell(tool: words.ToolWords) -> None:
    command = filled(tool.command)
    assert command == command.strip()
    assert command.isprintable()
    subprocess.run(["bash", "-n", "-c", command], check=True)


@pytest.mark.parametrize("tool", TOOLS)
def test_what_changes_or_drops_says_so(tool: words.ToolWords) -> None:
    acts = re.search(r"GC\.run|kill -USR1|-s reload|-k graceful|systemctl|config set|terminate", tool.command)
    assert (tool.effect == "reads") == (acts is None)
    assert (tool.rung == "mitigate with loss") == (tool.effect == "drops connections")


@pytest.mark.parametrize("tool", TOOLS)
def test_what_needs_root_says_so(tool: words.ToolWords) -> None:
    if re.match(r"py-spy|rbspy|gdb|strace|timeout 5 strace|phpspy|runuser|systemctl|nginx|apachectl", tool.command):
        assert tool.root


@pytest.fixture
def child() -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts a Python process that runs a line, then waits."""
    started: list[subprocess.Popen[str]] = []

    def start(line: str) -> subprocess.Popen[str]:
        code = f"import os, signal\n{line}\nprint(flush=True)\nwhile True: signal.pause()"
        process = subprocess.Popen(
            [sys.executable, "-c", code, "--report-on-signal"], stdout=subprocess.PIPE, text=True, env={}
        )
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_there_are_signals_to_test() -> None:
    assert {parameter.id for parameter in SIGNALS} >= {"QUIT", "USR1", "USR2", "PWR"}


@pytest.mark.parametrize(("command", "name"), SIGNALS)
def test_a_signal_reaches_a_process_that_catches_it(
    child: Callable[[str], subprocess.Popen[str]], command: str, name: str
) -> None:
    process = child(f"signal.signal(signal.SIG{name}, lambda *_: os._exit(42))")
    subprocess.run(["bash", "-c", filled(command, process.pid)], check=True)
    assert process.wait(10) == 42


@pytest.mark.parametrize(("command", "name"), SIGNALS)
def test_a_signal_is_not_sent_to_a_process_that_it_would_end(
    child: Callable[[str], subprocess.Popen[str]], command: str, name: str
) -> None:
    process = child(  # every other signal is caught: a guard that looks at the wrong one lets it through
        f"for n in signal.valid_signals() - {{signal.SIG{name}, signal.SIGKILL, signal.SIGSTOP}}:\n"
        "    signal.signal(n, lambda *_: None)"
    )
    assert subprocess.run(["bash", "-c", filled(command, process.pid)]).returncode == 1
    process.send_signal(signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[dict[str, Any]], words.RuntimeWords]]:
    """Loads a runtime from a dict in place of a file."""

    def load(data: dict[str, Any]) -> words.RuntimeWords:
        words.runtime.cache_clear()
        monkeypatch.setattr(File, "open", lambda kind, name: File(f"{kind}/{name}.toml", data))
        return words.runtime("made_up")

    yield load
    words.runtime.cache_clear()


def tool(**changes: Any) -> dict[str, Any]:
    given = {"rung": "look", "themes": ["fd"], "text": "T.", "command": "true", "effect": "reads"} | changes
    return {key: value for key, value in given.items() if value is not None}


def test_a_good_file_loads(load: Callable[[dict[str, Any]], words.RuntimeWords]) -> None:
    known = load({"name": "N", "tools": [tool()], "usual_bugs": [{"themes": ["fd", "ports"], "text": "B."}]})
    assert known.tools[0].command == "true"
    assert known.usual_bug == {"fd": "B.", "ports": "B."}


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({"tools": []}, "name is missing"),
        ({"name": "N", "tool": []}, "unknown key tool"),
        ({"name": "N", "tools": [tool(themes=["closewait"])]}, "tools 1: themes must be some of close_wait"),
        ({"name": "N", "tools": [tool(themes=[])]}, "tools 1: themes must be some of close_wait"),
        ({"name": "N", "tools": [tool(command=None)]}, "command is missing"),
        ({"name": "N", "tools": [tool(effect=None)]}, "effect is missing"),
        ({"name": "N", "tools": [tool(effect="harmless")]}, "effect is 'harmless'"),
        ({"name": "N", "tools": [tool(when=["unit"])]}, "unknown key when"),
        ({"name": "N", "tools": [tool(rung="fix in code"), tool()]}, "not in the order of the ladder"),
        ({"name": "N", "usual_bugs": [{"themes": ["fd"], "text": "B."}] * 2}, "two usual bugs for one theme"),
    ],
)
def test_a_slip_is_an_error_that_names_file_and_place(
    load: Callable[[dict[str, Any]], words.RuntimeWords], data: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=r"^runtimes/made_up.toml") as raised:
        load(data)
    assert complaint in str(raised.value)
