"""Every command of the README is known to work: run here, or by .ci/run, which is named beside it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines() if line]
BY_CI = {"make run", "make test"}
"""Commands that .ci/run itself runs."""
INLINE_BY_CI = {"pipx install .", "uv tool install ."}


def test_the_readme_begins_with_a_picture_and_then_the_two_commands() -> None:
    assert README.index("![") < README.index("make run") < README.index("make test")
    assert COMMANDS[:2] == ["make run", "make test"]


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in BY_CI])
def test_the_command_works(command: str) -> None:
    words = shlex.split(command)
    assert words[0] == "sockui"
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_ci_runs_the_others() -> None:
    script = (ROOT / ".ci/run").read_text("utf-8")
    for command in BY_CI | INLINE_BY_CI:
        program, _, arguments = command.partition(" ")
        assert re.search(rf'\b{program}"? {re.escape(arguments)}', script), command


def test_every_picture_is_there_and_taken_by_the_script() -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    script = (ROOT / "screenshots/take.py").read_text("utf-8")

    assert len(pictures) >= 4
    for picture in pictures:
        assert (ROOT / picture).is_file()
        assert f'"{Path(picture).stem}"' in script
