"""The log of actions: one line each, private, harmless, and there even if sockui breaks."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sockui.actions import Outcome, Plan, plan_close, run
from sockui.collector.destroy import Answer, Destroyer
from tests.actions.scenes import Network, holder, network, rows_of

pytestmark = pytest.mark.kernel


@pytest.fixture
def net() -> Iterator[Network]:
    with network() as made:
        yield made


@pytest.fixture
def act(net: Network, tmp_path: Path) -> Any:
    """Run a plan in the network, with the log in the test's own directory."""

    def do(plan: Plan, word: str = "", **options: Any) -> Outcome:
        settings = {"destroyer": net.destroyer, "allowed": True, "directory": tmp_path / "state", "environ": {}}
        return net(run, plan, word, **{**settings, **options})

    return do


def test_a_line_for_each_action_with_who_what_and_the_result(net: Network, act: Any, tmp_path: Path) -> None:
    hostile = "a\x1b[2J\u202e\n"
    servers, clients = zip(*net.connect(count=2), strict=True)
    port = clients[0].getpeername()[1]
    with holder(hostile, list(servers)) as process:
        update = net.update()
        rows = rows_of(update, process.pid)
        plan = plan_close(update, rows, allowed=True)
        outcome = act(plan, plan.word, environ={"SUDO_USER": "eve\n\x1b]0;x\x07\x7f"})
        act(plan, plan.word)
        for text in (*plan.processes, *plan.warnings, *outcome.sentences):
            assert text.isprintable(), repr(text)
    path = tmp_path / "state" / "actions.log"
    assert outcome.log == path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert text.endswith("\n")
    lines = text.splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() and line.isascii() for line in lines)
    first, second = map(json.loads, lines)
    assert first["time"][10] == "T"
    assert first["time"][-6] in "+-"
    assert (first["uid"], first["user"], first["action"]) == (0, "root", "close")
    assert first["sudo_user"] == r"eve\n\e]0;x\x07\x7f"
    assert second["sudo_user"] is None
    assert first["processes"] == [rf"a\e[2J\u202e\n {process.pid}"]
    assert [each["cookie"] for each in first["targets"]] == update.sockets["cookie"][rows].tolist()
    assert {each["local"] for each in first["targets"]} == {f"127.0.0.1:{port}"}
    assert [each["answer"] for each in first["targets"]] == ["destroyed"] * 2
    assert [each["answer"] for each in second["targets"]] == ["ENOENT"] * 2
    assert first["result"] == list(outcome.sentences)


def test_what_was_begun_is_written_down_even_if_sockui_breaks(net: Network, act: Any, tmp_path: Path) -> None:
    class Breaking(Destroyer):
        def destroy(self, row: Any) -> Answer:
            super().destroy(row)
            raise RuntimeError("broke")

    breaking = net(Breaking)
    server, _client = next(net.connect())
    with holder("java", [server]) as java:
        update = net.update()
        with pytest.raises(RuntimeError):
            act(plan_close(update, rows_of(update, java.pid), allowed=True), destroyer=breaking)
    (line,) = (tmp_path / "state" / "actions.log").read_text().splitlines()
    assert json.loads(line)["result"] == ["broken off: RuntimeError('broke')"]
    breaking.close()
