"""ProcessTable against real processes with awkward names, and processes that change or end."""

from __future__ import annotations

import contextlib
import os
import pwd
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sockui.collector.processes import (
    TURNS,
    ProcessTable,
    Seen,
    parse_cgroup,
    parse_cmdline,
    parse_fd_limits,
    with_ancestors,
)
from sockui.model import Process

ROOT = Path(__file__).parents[2]
READY = "import sys; print('ready', flush=True); sys.stdin.read()"
NAMED = f"import ctypes, sys; ctypes.CDLL(None).prctl(15, bytes.fromhex(sys.argv[1])); {READY}"  # PR_SET_NAME
OBEY = "import sys; print('ready', flush=True)\nfor line in sys.stdin: exec(line); print('done', flush=True)"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: pid namespaces, proc mounts, other users")


@contextlib.contextmanager
def child(script: str, *arguments: str | bytes, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process that has said "ready"."""
    command = [sys.executable, "-c", script, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def obey(process: subprocess.Popen[bytes], command: str) -> None:
    """Let a child that runs OBEY execute one line of Python."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(command.encode() + b"\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"done\n"


@pytest.fixture
def table() -> ProcessTable:
    made = ProcessTable()
    made.refresh()
    return made


def test_this_process_is_told_as_the_system_calls_tell_it(table: ProcessTable) -> None:
    process = table.get(os.getpid())
    assert process is not None
    assert (process.pid, process.ppid, process.uid) == (os.getpid(), os.getppid(), os.geteuid())
    assert process.user == pwd.getpwuid(os.geteuid()).pw_name
    assert process.name == Path("/proc/self/comm").read_text().removesuffix("\n")
    assert process.cmdline[-1] == sys.orig_argv[-1]
    assert process.fd_limit == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert f"0::{process.cgroup}\n" in Path("/proc/self/cgroup").read_text() or not process.cgroup


def test_the_start_time_is_a_time_of_day() -> None:
    before = time.time()
    with child(READY) as process:
        after = time.time()
        table = ProcessTable()
        table.refresh()
        told = table.get(process.pid)
        assert told is not None
        assert before - 0.1 <= told.started_at <= after + 0.1  # ticks are 10 ms, the clock is slewed


@pytest.mark.parametrize("counts_by_stat", [True, False], ids=["st_size", "before Linux 6.2"])
def test_descriptors_are_counted(table: ProcessTable, *, counts_by_stat: bool) -> None:
    table._counts_by_stat &= counts_by_stat
    with child(OBEY) as process:

        def count() -> int | None:
            for _ in range(1 if table._counts_by_stat else TURNS):
                table.refresh()
            told = table.get(process.pid)
            assert told is not None
            assert told.fd_count == table.seen[process.pid].fd_count
            return told.fd_count

        assert count() == len(os.listdir(f"/proc/{process.pid}/fd"))
        obey(process, "files = [open('/dev/null') for _ in range(7)]")
        assert count() == len(os.listdir(f"/proc/{process.pid}/fd")) >= 10


@pytest.mark.parametrize("name", [b") (", b"a) R 1 (b", b"(sd-pam)", b"one\ntwo", b"\xff\x1b[31m", b"\\n", b"\n"])
def test_a_hostile_name_neither_breaks_parsing_nor_is_changed(name: bytes) -> None:
    with child(NAMED, name.hex()) as process:
        table = ProcessTable()
        table.refresh()
        told = table.get(process.pid)
        assert told is not None
        assert told.name.encode("utf-8", "surrogateescape") == name
        assert told.ppid == os.getpid()


def test_arguments_are_kept_byte_for_byte() -> None:
    arguments = [b"", b"two words", b"new\nline", b"\xff\xfe", b"", "é".encode(), b"last"]
    with child(READY, *arguments) as process:
        table = ProcessTable()
        table.refresh()
        told = table.get(process.pid)
        assert told is not None
        assert [part.encode("utf-8", "surrogateescape") for part in told.cmdline[3:]] == arguments


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("a\0", ("a",)),
        ("a\0b c\0", ("a", "b c")),
        ("a\0\0b\0", ("a", "", "b")),
        ("a\0b\0\0", ("a", "b", "")),
        ("nginx: worker process\0\0\0\0", ("nginx: worker process",)),
        ("no end", ("no end",)),
        ("\0", ("",)),
    ],
)
def test_command_lines(text: str, expected: tuple[str, ...]) -> None:
    assert parse_cmdline(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("", "")),
        ("0::/\n", ("/", "")),
        ("0::/system.slice/nginx.service\n", ("/system.slice/nginx.service", "nginx.service")),
        (
            "0::/user.slice/user-0.slice/session-3.scope\n",
            ("/user.slice/user-0.slice/session-3.scope", "session-3.scope"),
        ),
        ("0::/system.slice/a.service/workers\n", ("/system.slice/a.service/workers", "a.service")),
        ("0::/system.slice/a:b.service\n", ("/system.slice/a:b.service", "a:b.service")),
        ("0::/system.slice/a.service (deleted)\n", ("/system.slice/a.service", "a.service")),
        ("4:memory:/m.slice\n1:name=systemd:/system.slice/old.service\n0::/\n", ("/", "old.service")),
        ("4:memory:/m.slice\n", ("", "")),
    ],
)
def test_cgroups(text: str, expected: tuple[str, str]) -> None:
    assert parse_cgroup(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Limit  Soft  Hard\nMax open files            1024                 524288             files\n",
            (1024, 524288),
        ),
        ("Max open files            1024            unlimited            files\n", (1024, None)),
        ("Max open files            unlimited            unlimited            files\n", (None, None)),
        ("Max open files", (None, None)),
        ("", (None, None)),
    ],
)
def test_limits(text: str, expected: tuple[int | None, int | None]) -> None:
    assert parse_fd_limits(text) == expected


@pytest.mark.parametrize("stat", [b"", b"7 (a", b"7 (a) S x 1", b"7 (a) S" + b" x" * 20, b"7 (a) S 1" + b" 9" * 17])
def test_a_process_whose_stat_cannot_be_read_is_none_and_the_others_are_seen(tmp_path: Path, stat: bytes) -> None:
    for pid, text in ((1, b"1 (init) S 0" + b" 0" * 17 + b" 5"), (7, stat)):
        (tmp_path / f"{pid}/fd").mkdir(parents=True)
        (tmp_path / f"{pid}/stat").write_bytes(text)
    (tmp_path / "1/limits").write_text("Max open files\n")
    table = ProcessTable(str(tmp_path))
    table.refresh()
    assert list(table.seen) == [1]
    first = table.get(1)
    assert first is not None
    assert (first.started_ticks, first.fd_limit) == (5, None)


def test_ancestors_come_along(table: ProcessTable) -> None:
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {READY!r}])"
    with child(script) as parent:
        table.refresh()
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        grandchild = next(pid for pid in table.seen if (told := table.get(pid)) and told.ppid == parent.pid)
        found = with_ancestors([grandchild], table.get)
        assert list(found)[:3] == [grandchild, parent.pid, os.getpid()]
        assert not children.exists() or str(grandchild) in children.read_text().split()
        for _ in range(4):  # so often that it is not read again for being young
            table.refresh()
            table.get(grandchild)
        parent.kill()
        parent.wait()
        table.refresh()
        orphan = table.get(grandchild)
        assert orphan is not None
        assert orphan.ppid != parent.pid


def test_exec_is_noticed_within_a_round_of_turns(table: ProcessTable) -> None:
    with child(OBEY) as process:
        for _ in range(TURNS + 3):
            table.refresh()
            old = table.get(process.pid)
        assert old is not None
        assert old.cmdline != ("nap", "60")
        obey(process, "import os; print('done', flush=True); os.execv('/bin/sleep', ['nap', '60'])")
        cmdline = Path(f"/proc/{process.pid}/cmdline")  # which comes after comm
        deadline = time.monotonic() + 10
        while cmdline.read_bytes() != b"nap\x0060\0":
            assert time.monotonic() < deadline
        for _ in range(TURNS):
            table.refresh()
            new = table.get(process.pid)
        assert new is not None
        assert (new.name, new.cmdline) == ("sleep", ("nap", "60"))


def test_a_young_process_is_read_again_at_once(table: ProcessTable) -> None:
    with child(OBEY) as process:
        names = []
        for name in ("before", "after"):
            obey(process, f"import ctypes; ctypes.CDLL(None).prctl(15, {name!r}.encode())")
            table.refresh()
            told = table.get(process.pid)
            names.append(told and told.name)
        assert names == ["before", "after"]


def test_a_process_is_not_read_again_in_every_poll(table: ProcessTable, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[int] = []
    load = table._load

    def counted(pid: int, seen: Seen) -> Process | None:
        loads.append(pid)
        return load(pid, seen)

    monkeypatch.setattr(table, "_load", counted)
    for _ in range(3 + 2 * TURNS):
        table.refresh()
        table.get(os.getpid())
    assert 5 <= len(loads) <= 6


@pytest.mark.parametrize("file", ["stat", "comm", "cmdline", "limits"])
def test_a_process_that_dies_while_it_is_read(table: ProcessTable, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    with child(READY) as process:
        table.refresh()
        stat, text = table._stat, table._text

        def kill() -> None:
            process.kill()
            process.wait()

        def dying_stat(pid: int) -> tuple[int, int]:
            kill() if file == "stat" else None
            return stat(pid)

        def dying_text(pid: int, name: str, *limit: int) -> str:
            kill() if file == name else None
            return text(pid, name, *limit)

        monkeypatch.setattr(table, "_stat", dying_stat)
        monkeypatch.setattr(table, "_text", dying_text)
        told = table.get(process.pid)
        assert told is None if file == "stat" else told is not None
        table.refresh()
        assert table.get(process.pid) is None
        assert process.pid not in with_ancestors([process.pid], table.get)


def test_a_zombie_is_a_process_without_arguments_and_descriptors(table: ProcessTable) -> None:
    with child(READY) as process:
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        table.refresh()
        told = table.get(process.pid)
        assert told is not None
        assert (told.cmdline, told.fd_count) == ((), 0 if table._counts_by_stat else None)


def test_without_proc_nothing_is_seen_and_that_is_said(tmp_path: Path) -> None:
    table = ProcessTable(str(tmp_path / "none"))
    table.refresh()
    assert (table.seen, table.hidden) == ({}, True)


REUSE = """
import os, sys
from pathlib import Path
from sockui.collector.processes import ProcessTable
table = ProcessTable()
def start(pid):
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
    r, w = os.pipe()
    child = os.fork()
    if not child:
        os.close(w)
        os.read(r, 1)
        os._exit(0)
    os.close(r)
    assert child == pid, (child, pid)
    for _ in range(4):  # so often that it is not read again for being young
        table.refresh()
        told = table.seen[pid], table.get(pid).started_ticks
    os.close(w)
    os.waitpid(pid, 0)
    return told
import time
first = start(500)
time.sleep(0.05)  # the start time counts in ticks of 10 ms
second = start(500)
print(first[0].started_ticks == first[1] < second[1] == second[0].started_ticks, first[0].inode != second[0].inode)
"""


@needs_root
@pytest.mark.kernel
def test_another_process_with_the_same_pid_is_another_process() -> None:
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", REUSE]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if "unshare failed" in result.stderr or "ns_last_pid" in result.stderr:
        pytest.skip(f"cannot choose pids here: {result.stderr.strip().splitlines()[-1]}")
    assert result.stdout == "True True\n", result.stderr


HIDE = """
import os, sys
from sockui.collector.processes import ProcessTable
shown = ProcessTable(sys.argv[1])
os.setgroups([]), os.setgid(65534), os.setuid(65534)
shown.refresh()
print(shown.hidden, os.getppid() in shown.seen, os.getpid() in shown.seen)
"""


@needs_root
@pytest.mark.kernel
@pytest.mark.parametrize("hidepid", [0, 1, 2])
def test_hidepid_is_noticed(hidepid: int, mounted_proc: str) -> None:
    result = subprocess.run([sys.executable, "-c", HIDE, mounted_proc], capture_output=True, text=True, cwd=ROOT)
    assert result.stdout == ("True False True\n" if hidepid else "False True True\n"), result.stderr


def test_one_process_that_may_not_be_looked_at_is_enough_to_say_so(
    table: ProcessTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = os.stat

    def refused(path: str) -> os.stat_result:
        if path == f"/proc/{os.getpid()}/fd":
            raise PermissionError
        return stat(path)

    before = table.hidden
    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", refused)
        table.refresh()
    assert (before, table.hidden) == (False, True)
    assert os.getpid() not in table.seen


def test_a_stopped_process_is_read_like_any_other(table: ProcessTable) -> None:
    with child(READY) as process:
        os.kill(process.pid, signal.SIGSTOP)
        table.refresh()
        assert table.get(process.pid) is not None
