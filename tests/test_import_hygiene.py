"""Headless commands start fast: they load nothing of the UI, and `import sockui` loads nothing at all."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# The command's output goes into a pipe; what was loaded is told on stderr.
_PROGRAM = """
import json, sys
import sockui.cli
code = sockui.cli.main(sys.argv[1:])
json.dump({"code": code, "modules": sorted({name.split(".")[0] for name in sys.modules})}, sys.stderr)
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
