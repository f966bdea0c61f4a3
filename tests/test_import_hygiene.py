"""What is loaded when: by headless commands nothing of the UI, by the UI nothing before it is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pexpect
import pytest

# The command's output goes into a pipe; what was loaded is told on stderr.
_PROGRAM = """
import json, sys
import sockui.cli
code = sockui.cli.main(sys.argv[1:])
json.dump({"code": code, "modules": sorted({name.split(".")[0] for name in sys.modules})}, sys.stderr)
"""

# What the UI has written to the terminal and loaded, told twice: when the first frame is painted, and when the first
# poll is shown.
_UI = """
import json, sys
from textual.drivers.linux_driver import LinuxDriver
import sockui.cli
from sockui.tui.app import SockuiApp

told, painted = open(sys.argv.pop(), "w"), []
write, begin = LinuxDriver.write, SockuiApp.begin

def written(driver, text):
    painted.append(text)
    write(driver, text)

def tell():
    json.dump({"painted": "".join(painted), "modules": sorted(sys.modules)}, told)
    told.write("\\n")

def shown(app):
    if app.main.view is not None:
        tell()
        told.close()
        app.exit()

async def begun(app):
    tell()
    await begin(app)
    app.set_interval(0.02, lambda: shown(app))

LinuxDriver.write, SockuiApp.begin = written, begun
SockuiApp._load_ahead = lambda app: None  # which comes after the first table
sys.exit(sockui.cli.main())
"""


def loaded(*arguments: str) -> set[str]:
    """Top-level packages that a command loads."""
    ran = subprocess.run([sys.executable, "-c", _PROGRAM, *arguments], capture_output=True, text=True, check=True)
    told = json.loads(ran.stderr.splitlines()[-1])
    assert told["code"] == 0
    assert ran.stdout
    return set(told["modules"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--format", "json"],
        ["list", "state", "established", "--format", "table"],
        ["diagnose"],
        ["diagnose", "--format", "markdown"],
        ["explain", "close-wait"],
        ["explain", "R02"],
        ["lab", "--list"],
        ["--help"],
        ["--version"],
        ["--print-config"],
    ],
    ids=" ".join,
)
def test_headless_commands_load_nothing_of_the_ui(arguments: list[str]) -> None:
    assert loaded(*arguments) & {"textual", "rich", "pyperclip", "asyncio"} == set()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["--print-config"]], ids=" ".join)
def test_what_shows_no_socket_loads_no_numpy(arguments: list[str]) -> None:
    assert loaded(*arguments) & {"numpy", "psutil", "lark"} == set()


@pytest.mark.parametrize("command", ["list", "diagnose"])
def test_without_a_filter_no_parser_is_loaded(command: str) -> None:
    assert loaded(command, "--format", "json") & {"lark"} == set()


def test_importing_the_package_loads_nothing() -> None:
    program = "import sys; before = set(sys.modules); import sockui; print(*sorted(set(sys.modules) - before))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["sockui"]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the UI had painted and loaded at its first frame, and at its first table."""
    file = tmp_path_factory.mktemp("hygiene") / "told"
    environ = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "XDG_CONFIG_HOME": str(file.parent)}
    child = pexpect.spawn(sys.executable, ["-c", _UI, str(file)], env=environ, dimensions=(24, 80), timeout=60)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.pty
def test_the_first_frame_is_painted_before_sockets_can_be_read(told: list[dict[str, Any]]) -> None:
    first, _ = told
    for words in ("sockui", "Reading sockets", "filter", "quit"):
        assert words in first["painted"]
    ours = {name for name in first["modules"] if name.startswith("sockui.")}
    parts = {name.split(".")[1] for name in ours}
    assert parts & {"model", "collector", "tracker", "poller", "view", "knowledge", "actions", "handbook"} == set()
    assert {name for name in ours if name.startswith("sockui.diagnosis.")} == {
        "sockui.diagnosis.thresholds"
    }  # settings
    assert set(first["modules"]) & {"numpy", "lark", "psutil", "pyperclip"} == set()


@pytest.mark.pty
def test_the_first_table_is_shown_without_what_only_a_key_needs(told: list[dict[str, Any]]) -> None:
    _, table = told
    screens = {f"sockui.tui.{name}_screen" for name in ("confirm", "diagram", "help", "page", "remedy", "text")}
    others = {"sockui.actions", "sockui.handbook", "sockui.report", "sockui.view.pages", "sockui.knowledge.topics"}
    assert set(table["modules"]) & {*screens, *others, "sockui.tui.pickers", "lark", "pyperclip"} == set()
