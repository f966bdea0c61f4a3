"""Programs are known by what they are called, however they are called, and by what their executables prove."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sockui.collector.processes import ProcessTable
from sockui.diagnosis.situations import Situation
from sockui.knowledge import words
from sockui.view import runtime
from sockui.view.facts import Facts
from sockui.view.remedy import commands
from sockui.view.runtime import RUNTIMES, recognise, runtime_words, theme_of, tools_for
from sockui.view.step import Step
from tests.view.scenes import CLOSE_WAIT, MakeProcess, MakeUpdate

COMM_BYTES = 15

CALLED = [
    # runtime, comm, argv
    ("jvm", "java", ("/usr/lib/jvm/java-17-openjdk-amd64/bin/java", "-Xmx1g", "-jar", "app.jar")),
    ("jvm", "java", ("kafka",)),  # argv[0] is free
    ("jvm", "java", ()),
    ("jvm", "jsvc.exec", ("jsvc.exec", "-home", "/usr/lib/jvm/default")),
    ("jvm", "app-main", ("/opt/My App/bin/java", "-jar", "x.jar")),
    ("cpython", "python3", ("python3", "app.py")),
    ("cpython", "python3.11", ("/srv/venv/bin/python3.11", "-m", "uvicorn")),
    ("cpython", "uvicorn", ("/srv/venv/bin/python", "/srv/venv/bin/uvicorn", "app:app")),  # a script's comm is its own
    ("cpython", "gunicorn: worke", ("gunicorn: worker [app]",)),
    ("cpython", "uwsgi", ("/usr/bin/uwsgi-core", "--ini", "/etc/uwsgi/app.ini")),
    ("cpython", "[celeryd: celer", ("[celeryd: celery@web1:MainProcess] -active- (worker)",)),
    ("cpython", "nginx", ("/usr/bin/python3", "/usr/local/bin/nginx")),  # a script may be called anything
    ("node", "node", ("node", "server.js")),
    ("node", "nodejs", ("nodejs", "server.js")),
    ("node", "node-18", ("/usr/bin/node-18", "server.js")),
    ("node", "MainThread", ("/usr/bin/node", "server.js")),  # newer Node.js names its threads
    ("node", "node /srv/x", ("node /srv/x",)),  # under pm2
    ("node", "PM2 v5.3.0: God", ("PM2 v5.3.0: God Daemon (/root/.pm2)",)),
    ("node", "next-server (v1", ("next-server (v14.2.3)",)),
    ("node", "npm run start", ("npm run start",)),
    ("ruby", "ruby3.1", ("ruby3.1", "app.rb")),
    ("ruby", "ruby", ("puma 6.4.0 (tcp://0.0.0.0:3000) [app]",)),
    ("ruby", "ruby", ("puma: cluster worker 0: 812 [app]",)),
    ("ruby", "unicorn", ("unicorn worker[0] -c config/unicorn.rb",)),
    ("ruby", "bundle", ("sidekiq 7.1.2 app [3 of 10 busy]",)),
    ("php_fpm", "php-fpm8.2", ("php-fpm: pool www",)),
    ("php_fpm", "php-fpm8.2", ("php-fpm: master process (/etc/php/8.2/fpm/php-fpm.conf)",)),
    ("php_fpm", "php-fpm-8.2", ()),
    ("dotnet", "dotnet", ("dotnet", "App.dll")),
    ("dotnet", ".NET Main", ("/usr/share/dotnet/dotnet", "App.dll")),
    ("nginx", "nginx", ("nginx: worker process",)),
    ("nginx", "nginx", ("nginx: master process /usr/sbin/nginx -g daemon off;",)),
    ("postgresql", "postgres", ("postgres: app shop 10.0.0.7(51234) idle",)),
    ("postgresql", "postgres", ("postgres: 15/main: app shop 10.0.0.7(51234) idle in transaction",)),
    ("postgresql", "postgres", ("/usr/lib/postgresql/15/bin/postgres", "-D", "/var/lib/postgresql/15/main")),
    ("redis", "redis-server", ("redis-server *:6379",)),
    ("redis", "redis-server", ("/usr/bin/redis-server 127.0.0.1:6379 [cluster]",)),
    ("apache", "apache2", ("/usr/sbin/apache2", "-k", "start")),
    ("apache", "httpd", ("/usr/sbin/httpd", "-DFOREGROUND")),
    ("envoy", "envoy", ("/usr/local/bin/envoy", "-c", "/etc/envoy.yaml")),
    ("haproxy", "haproxy", ("/usr/sbin/haproxy", "-Ws", "-f", "/etc/haproxy/haproxy.cfg")),
    ("go", "kube-controller", ()),  # cut by the kernel
    ("go", "k3s-server", ("/usr/local/bin/k3s server",)),
    ("go", "traefik", ("traefik", "--providers.docker")),
    ("unknown", "sshd", ("sshd: root@pts/0",)),
    ("unknown", "bash", ("bash", "-c", "java -jar app.jar")),
    ("unknown", "pypy3", ("pypy3", "app.py")),  # py-spy cannot read it
    ("unknown", "php", ("php", "artisan", "serve")),
    ("unknown", "javac", ("javac", "App.java")),
    ("unknown", "worker", ("worker for /usr/bin/java",)),
    ("unknown", "kworker/0:1", ()),
    ("unknown", "", ()),
    ("unknown", "", ("",)),
    ("unknown", "   ", ("  ", "java")),
    ("unknown", "[/x]\x1b[2J", ("\u202eavaj\x00", "\udcff")),
    ("unknown", "::", ("[::]:",)),
    ("unknown", "/", ("/",)),
]


@pytest.mark.parametrize(("expected", "comm", "argv"), CALLED)
def test_recognise(make_process: MakeProcess, expected: str, comm: str, argv: tuple[str, ...]) -> None:
    assert len(comm) <= COMM_BYTES
    assert recognise(make_process(1, comm, cmdline=argv)) == expected


def test_every_runtime_has_words_and_is_recognised_in_the_table() -> None:
    assert sorted(RUNTIMES) == sorted(words.names("runtimes"))
    assert {expected for expected, _, _ in CALLED} == set(RUNTIMES)


@pytest.fixture
def disguised() -> Iterator[int]:
    """The pid of a Python process whose comm and argv say something else."""
    code = "open('/proc/self/comm', 'w').write('worker-1'); print(flush=True); input()"
    with subprocess.Popen(
        ["worker 1", "-c", code], executable=sys.executable, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child.pid
        child.kill()


def test_a_title_does_not_hide_the_executable(disguised: int) -> None:
    table = ProcessTable()
    table.refresh()
    process = table.get(disguised)
    assert process is not None
    assert recognise(process) == "unknown"
    assert runtime_words(process).name == "Python (CPython)"


def test_the_executable_of_another_process_with_the_same_pid_says_nothing(
    disguised: int, make_process: MakeProcess
) -> None:
    earlier = make_process(disguised, "worker-1", started_ticks=1)
    assert runtime_words(earlier) is words.runtime("unknown")


def test_a_process_that_is_gone_is_of_unknown_kind(make_process: MakeProcess) -> None:
    gone = int(Path("/proc/sys/kernel/pid_max").read_text()) + 1
    assert runtime_words(make_process(gone, "app")) is words.runtime("unknown")


def elf(magic: bytes = b"\xff Go buildinf:", section: bytes = b".go.buildinfo") -> bytes:
    """An ELF file of three sections: none, one with a name and contents, and the names."""
    names = b"\0" + section + b"\0.shstrtab\0"
    contents, names_at = 64, 64 + 32
    headers_at = names_at + len(names)
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, headers_at, 0, 64, 0, 0, 64, 3, 2
    )
    sections = bytes(64) + struct.pack("<IIQQQQIIQQ", 1, 1, 3, 0, contents, 32, 0, 0, 16, 0)
    sections += struct.pack("<IIQQQQIIQQ", len(section) + 2, 3, 0, 0, names_at, len(names), 0, 0, 1, 0)
    return header + magic.ljust(32, b"\0") + names + sections


def of_executable(folder: Path, contents: bytes, name: str = "app") -> str:
    """What the executable of a made-up process 7 proves."""
    (folder / "7").mkdir(parents=True)
    (folder / name).write_bytes(contents)
    (folder / "7/exe").symlink_to(folder / name)
    (folder / "7/stat").write_text("7 (a) b) S " + " ".join(str(n) for n in range(4, 53)))  # field 22 is 22
    return runtime._by_executable((7, 22, "app"), str(folder))


def test_go_is_known_by_its_build_information(tmp_path: Path) -> None:
    assert of_executable(tmp_path / "go", elf()) == "go"
    assert of_executable(tmp_path / "named", elf(section=b".data")) == "unknown"
    assert of_executable(tmp_path / "magic", elf(magic=b"Go buildinf:")) == "unknown"
    assert of_executable(tmp_path / "text", b"#!/bin/sh\n") == "unknown"
    assert of_executable(tmp_path / "empty", b"") == "unknown"
    assert of_executable(tmp_path / "interpreter", elf(), "python3.11 (deleted)") == "cpython"


def test_a_broken_executable_proves_nothing(tmp_path: Path) -> None:
    whole = elf()
    for length in range(6, len(whole) - 24):  # the last 24 bytes are alignment and the like
        assert of_executable(tmp_path / f"cut{length}", whole[:length]) == "unknown"
    for at in range(40, 64):
        broken = bytearray(whole)
        broken[at] = 0xFF
        of_executable(tmp_path / f"broken{at}", bytes(broken))  # no exception


def test_every_placeholder_can_be_filled(make_update: MakeUpdate, make_process: MakeProcess) -> None:
    process = make_process(4312, unit="app.service", fd_count=1, fd_limit=2)
    update = make_update([CLOSE_WAIT], [process])
    possible = set(commands(Facts(update, 0))) | {"listener_pid"}
    for name in RUNTIMES:
        for tool in words.runtime(name).tools:
            assert set(words.placeholders(tool.command)) <= possible


def test_steps_are_filled_and_end_with_the_fix() -> None:
    jvm = words.runtime("jvm")
    steps = tools_for(jvm, "close_wait", {"pid": "4312"})
    assert [step.rung for step in steps] == ["look", "look", "mitigate without loss", "fix in code"]
    assert steps[0].command == "jcmd 4312 Thread.print -l"
    assert steps[0].effect == "reads"
    assert steps[-1] == Step("fix in code", jvm.usual_bug["close_wait"], None, "")


def test_only_steps_about_the_theme() -> None:
    texts = {step.command for step in tools_for(words.runtime("jvm"), "idle", {"pid": "4312"})}
    assert texts == {None}
    assert tools_for(words.runtime("jvm"), "", {"pid": "4312"}) == ()
    assert tools_for(words.runtime("unknown"), "ports", {}) == ()


def test_a_command_that_cannot_be_filled_is_left_out() -> None:
    php = words.runtime("php_fpm")
    without = tools_for(php, "accept", {"pid": "7"})
    with_unit = tools_for(php, "accept", {"pid": "7", "unit": "php8.2-fpm.service"})
    assert "mitigate with loss" not in {step.rung for step in without}
    (reload,) = [step for step in with_unit if step.rung == "mitigate with loss"]
    assert reload.command == "systemctl reload -- php8.2-fpm.service"
    assert reload.effect == "drops connections, needs root"


@pytest.mark.parametrize("name", RUNTIMES)
@pytest.mark.parametrize("theme", words.THEMES)
def test_no_step_has_a_hole(name: str, theme: str) -> None:
    for step in tools_for(words.runtime(name), theme, {"pid": "4312", "unit": "x.service"}):
        assert step.rung in words.RUNGS
        assert "{pid}" not in (step.command or "") + step.text


THEMES_OF_SITUATIONS = {
    "established_idle": "idle",
    "established_retransmitting": "retransmitting",
    "established_unreachable": "retransmitting",
    "peer_not_reading": "peer_not_reading",
    "not_reading": "not_reading",
    "accept_queue": "accept",
    "syn_sent": "syn_sent",
    "syn_sent_local_queue_full": "accept",
    "syn_recv_queue_full": "accept",
    "fin_wait2": "fin_wait2",
    "fin_wait2_held": "fin_wait2",
    "time_wait": "time_wait",
    "close_wait": "close_wait",
    "close_wait_unread": "close_wait",
    "close_wait_read": "close_wait",
    "close_wait_unaccepted": "accept",
    "listen_queue_full": "accept",
    "udp_drops": "udp_drops",
}


def test_themes_of_situations_and_rules() -> None:
    for situation in Situation:
        name = situation.name.lower()
        assert theme_of(name) == THEMES_OF_SITUATIONS.get(name, ""), name
    assert set(THEMES_OF_SITUATIONS) <= {situation.name.lower() for situation in Situation}
    rules = {rule: theme_of(rule) for rule in ("R01", "R02", "R05", "R12", "R16", "R20", "R22", "R25", "X3", "R14")}
    assert list(rules.values()) == [
        *("close_wait", "close_wait", "fin_wait2", "syn_sent", "accept", "not_reading", "ports", "fd", "udp_drops", "")
    ]


def test_every_theme_is_reached() -> None:
    causes = [*THEMES_OF_SITUATIONS, *(f"R{n:02}" for n in range(1, 26)), "X3"]
    assert {theme_of(cause) for cause in causes} - {""} == set(words.THEMES)


def test_nothing_is_run_and_no_file_is_read_for_a_known_name(
    make_process: MakeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "readlink", lambda path: pytest.fail(f"read {path}"))
    assert runtime_words(make_process(os.getpid(), "java")).name == "Java (JVM)"
