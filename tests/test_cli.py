"""The command line as a person or a script meets it: the real program, its output, its exit codes."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import platform
import pty
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sockui
from sockui import cli
from sockui.arguments import FORMS as FORCED
from sockui.arguments import parse
from sockui.collector.text import FORMS

ROOT = Path(sockui.__file__).parents[1]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A home of its own; no setting from outside."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SOCKUI_", "XDG_"))}
    return {**kept, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8", "TMPDIR": str(tmp_path)}


@pytest.fixture
def listener() -> Iterator[int]:
    """The port of a listening socket of this process."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def run(*arguments: str, environ: dict[str, str], **options: object) -> subprocess.CompletedProcess[str]:
    """Run the program; stdin is no terminal."""
    settings: dict[str, object] = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL, "timeout": 60}
    return subprocess.run(  # type: ignore[call-overload,no-any-return]  # options are those of the caller
        [sys.executable, "-m", "sockui", *arguments], env=environ, check=False, **{**settings, **options}
    )


def only_says_what_is_missing(stderr: str) -> bool:
    """Whether stderr is empty or names sockets without an owner, which a host may have even for root."""
    said = ("have no holder", "are held by no process", "root may see more")
    return all(line.startswith("sockui: ") and any(part in line for part in said) for line in stderr.splitlines())


def test_version_and_help_go_to_stdout(environ: dict[str, str]) -> None:
    version = run("--version", environ=environ)
    assert (version.returncode, version.stdout, version.stderr) == (0, f"sockui {sockui.__version__}\n", "")
    for arguments in (["--help"], ["-h"], ["list", "--help"]):
        shown = run(*arguments, environ=environ)
        assert (shown.returncode, shown.stderr) == (0, "")
        assert "sockui list [FILTER...]" in shown.stdout
        assert "sockui diagnose [FILTER...]" in shown.stdout
        assert max(map(len, shown.stdout.splitlines())) <= 120


def test_the_examples_in_the_help_work(environ: dict[str, str], tmp_path: Path) -> None:
    shown = run("--help", environ=environ).stdout
    examples = [line.strip().split("  ")[0] for line in shown.split("filters are")[1].splitlines() if line[:2] == "  "]
    assert sum(example.startswith("sockui diagnose") for example in examples) == 3
    assert len(examples) == 14
    for name in ("0300.txt", "0305.txt", "incident.txt"):
        (tmp_path / name).write_text("ESTAB 0 0 192.0.2.7:8080 198.51.100.7:41000\n")
    prelude = (
        f'sockui() {{ {sys.executable} -m sockui "$@"; }}; jq() {{ cat >/dev/null; }}; set -o pipefail; '
        "ss() { cat incident.txt; }; "
    )
    for example in examples:
        ran = subprocess.run(
            ["bash", "-c", prelude + example],
            env=environ,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        opens_the_ui = not any(f"sockui {command}" in example for command in ("list", "diagnose", "explain"))
        assert ran.returncode == (2 if opens_the_ui else 0), (example, ran.stderr)
        assert ("needs a terminal" in ran.stderr) == opens_the_ui


def test_list_finds_a_socket_with_a_filter_of_several_words(listener: int, environ: dict[str, str]) -> None:
    found = run("list", "state", "listen", "and", "sport", "=", f":{listener}", "--format", "json", environ=environ)
    assert (found.returncode, found.stderr) == (0, "")
    sockets = json.loads(found.stdout)["sockets"]
    assert [(row["local_port"], row["state"]) for row in sockets] == [(listener, "LISTEN")]


def test_options_may_stand_anywhere(listener: int, environ: dict[str, str]) -> None:
    for arguments in (
        ["--format", "json", "list", f"sport = :{listener}"],
        ["list", "--format=json", "sport", "=", f":{listener}"],
        ["list", "sport", "=", "--format", "json", f":{listener}"],
        ["list", "--format", "json", "--", "sport", "=", f":{listener}"],
    ):
        found = run(*arguments, environ=environ)
        assert [row["local_port"] for row in json.loads(found.stdout)["sockets"]] == [listener], arguments


@pytest.mark.parametrize("form", ["table", "json", "ndjson", "csv", "markdown"])
def test_every_format_shows_the_socket(form: str, listener: int, environ: dict[str, str]) -> None:
    found = run("list", "--format", form, f"sport = :{listener}", environ=environ)
    assert found.returncode == 0
    assert only_says_what_is_missing(found.stderr)
    assert str(listener) in found.stdout
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(found.stdout)))
        assert [row["local_port"] for row in rows] == [str(listener)]
    if form == "ndjson":
        assert [json.loads(line)["local_port"] for line in found.stdout.splitlines()] == [listener]


def test_columns_are_chosen_and_ordered(listener: int, environ: dict[str, str]) -> None:
    found = run("list", "--format", "csv", "--columns", "pid,state", f"sport = :{listener}", environ=environ)
    assert found.stdout.splitlines() == ["pid,state", f"{os.getpid()},LISTEN"]


@pytest.mark.parametrize("sort", [["--sort", "-local_port"], ["--sort=-local_port"], ["--sort", "local_port:desc"]])
def test_sort_and_its_reverse(sort: list[str], environ: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        ports = sorted(server.getsockname()[1] for server in (one, two))
        which = f"sport = :{ports[0]} or sport = :{ports[1]}"
        reverse = run("list", "--format", "ndjson", which, *sort, environ=environ)
        forward = run("list", "--format", "ndjson", which, "--sort", "local_port", environ=environ)
    assert [json.loads(line)["local_port"] for line in forward.stdout.splitlines()] == ports
    assert [json.loads(line)["local_port"] for line in reverse.stdout.splitlines()] == ports[::-1]


def test_after_two_dashes_nothing_is_a_command(environ: dict[str, str]) -> None:
    # Were it the command, it would print sockets; as a filter it is for the UI, which needs a terminal.
    assert run("--", "list", environ=environ).returncode == 2
    assert run("list", "--", "--no-such-thing", environ=environ).returncode == 0


@pytest.mark.parametrize("arguments", [[], ["state", "listen"]])
def test_without_a_terminal_the_ui_says_what_to_use(arguments: list[str], environ: dict[str, str]) -> None:
    refused = run(*arguments, environ=environ)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "`sockui list`" in refused.stderr


def test_a_bad_filter_is_pointed_at(environ: dict[str, str]) -> None:
    refused = run("list", "state", "close-wiat", environ=environ)
    assert (refused.returncode, refused.stdout) == (2, "")
    lines = refused.stderr.splitlines()
    assert lines[1] == "  state close-wiat"
    assert lines[2] == "        ^"


def test_hostile_text_in_a_filter_does_not_reach_the_terminal(environ: dict[str, str]) -> None:
    refused = run("list", "state \x1b[31mx", environ=environ)
    assert refused.returncode == 2
    assert "\x1b" not in refused.stderr
    assert refused.stderr.splitlines()[1:] == ["  state \\e[31mx", "        ^"]
    after = run("list", "process ~ '\x1bm' and state x", environ=environ)
    shown = "  process ~ '\\em' and state x"
    assert after.stderr.splitlines()[1:] == [shown, " " * (len(shown) - 1) + "^"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list", "--fromat", "json"], 'there is no option --fromat, did you mean "--format"?'),
        (["list", "--colum", "pid"], 'did you mean "--columns"?'),
        (["--bogus"], "there is no option --bogus; after"),
        (
            ["list", "--format", "jsn"],
            '`sockui list` prints table, json, ndjson, csv or markdown, did you mean "json"?',
        ),
        (["list", "--format", "text"], "`sockui list` prints table, json, ndjson, csv or markdown"),
        (["list", "--for", "10s"], "--for belongs to `sockui diagnose`"),
        (["--fail-on", "warning"], "--fail-on belongs to `sockui diagnose`"),
        (["diagnose", "--columns", "pid"], "--columns belongs to `sockui list`"),
        (["diagnose", "--format", "ndjson"], "--format ndjson: `sockui diagnose` prints text, json or markdown"),
        (["diagnose", "--fail-on", "info"], "invalid choice: 'info'"),
        (["diagnose", "--for", "10x"], "--for 10x: must be seconds from 0.1 to 3600, or with a unit"),
        (["diagnose", "--for", "2h"], "--for 2h: must be seconds"),
        (["diagnose", "--for", "0"], "--for 0: must be seconds"),
        (["diagnose", "state", "close-wiat"], "  state close-wiat\n        ^"),
        (["list", "--sort", "agee"], 'there is no column "agee", did you mean "age"?'),
        (["list", "--columns", "stat"], 'there is no column "stat", did you mean "state"?'),
        (["list", "--interval", "0.01"], "--interval 0.01: must be seconds from 0.1 to 3600"),
        (["list", "--source", "proc"], "--source proc: must be auto, netlink or psutil"),
        (["list", "--config", "/nonexistent/config.toml"], "/nonexistent/config.toml: cannot be read"),
        (["--format", "json"], "--format belongs to `sockui list` and `sockui diagnose`"),
        (["list", "--list"], "belongs to `sockui lab`"),
        (["list", "--sort"], "expected one argument"),
        (["explain"], "say what: sockui explain close-wait, SO_LINGER, EADDRINUSE, R02, tcp_fin_timeout; or --all"),
        (["explain", "clsoe-wait"], '"clsoe-wait" is nothing that can be explained, did you mean "'),
        (["explain", "close-wiat-read"], 'did you mean "close_wait_read"?'),
        (["explain", "xyzzy"], "; there are states of TCP, options, errors, findings (R01 ...) and sysctls"),
        (["explain", "--all", "close-wait"], "--all explains everything; name nothing beside it"),
        (["explain", "--all", "--os", "vms"], "--os vms: there are "),
        (["explain", "close-wait", "--format", "json"], "`sockui explain` prints text, markdown, html or man"),
        (["explain", "close-wait", "--format", "htm"], 'did you mean "html"?'),
        (["list", "--format", "html"], "`sockui list` prints table, json, ndjson, csv or markdown"),
        (["list", "--all"], "--all belongs to `sockui explain`"),
        (["--format", "man"], "--format belongs to `sockui list` and `sockui diagnose` and `sockui explain`"),
        (["explain", "close-wait", ":8080"], "CLOSE_WAIT takes no address and port; EADDRINUSE and EADDRNOTAVAIL"),
        (["explain", ":8080"], "say what about :8080: sockui explain EADDRINUSE :8080"),
        (["explain", "EADDRINUSE", ":80800"], '":80800" is no port'),
        (["explain", "EADDRINUSE", ":80", "--os", "hpux"], "--os hpux is another system; :80 is looked for on this"),
        (["lab", "clsoe-wait"], "close-wait"),
        (["list", "-", "--netns", "lab"], "--netns is about this host; with a text"),
        (["list", "-", "--source", "netlink"], "--source is about this host"),
        (["diagnose", "--from", "x", "--for", "10s"], "--for is about this host"),
        (["--from", "x", "--allow-actions"], "--allow-actions is about this host"),
        (["list", "--from", "x", "--interval", "1"], "--interval is about this host"),
        (["list", "--form", "ss"], "--form is about a text; name one with --from FILE"),
        (["list", "--show-unread"], "--show-unread is about a text"),
        (["list", "-", "--form", "vms"], "invalid choice: 'vms'"),
        (["list", "-", "--from", "web=-"], "standard input (-) can be read once only"),
        (["explain", "R02", "--from", "x"], "a text (--from, -) belongs to `sockui` and `sockui list` and"),
        (["list", "-", "state", "close-wiat"], "  state close-wiat\n        ^"),
        (["-"], "the UI needs a terminal"),
    ],
)
def test_wrong_usage_is_said_and_exits_2(arguments: list[str], said: str, environ: dict[str, str]) -> None:
    refused = run(*arguments, environ=environ)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert said in refused.stderr
    assert refused.stderr.startswith("sockui: ")
    assert "Traceback" not in refused.stderr


def test_settings_come_from_the_environment_and_the_file_too(
    listener: int, environ: dict[str, str], tmp_path: Path
) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('columns = ["local_port"]\n')
    command = ("list", "--format", "csv", f"sport = :{listener}")
    by_file = run(*command, "--config", str(settings), environ=environ)
    assert by_file.stdout.splitlines() == ["local_port", str(listener)]
    by_environment = run(*command, environ={**environ, "SOCKUI_COLUMNS": "state"})
    assert by_environment.stdout.splitlines() == ["state", "LISTEN"]


def test_a_printed_configuration_can_be_used(environ: dict[str, str], tmp_path: Path) -> None:
    printed = run("--print-config", environ=environ)
    assert printed.returncode == 0
    (tmp_path / "sockui.toml").write_text(printed.stdout)
    assert run("list", "--config", str(tmp_path / "sockui.toml"), environ=environ).returncode == 0


def test_explain_prints_a_state_in_any_spelling(environ: dict[str, str]) -> None:
    shown = [run("explain", *words, environ=environ) for words in (["close-wait"], ["CLOSE_WAIT"], ["close", "wait"])]
    assert {each.returncode for each in shown} == {0}
    assert len({each.stdout for each in shown}) == 1
    assert "CLOSE_WAIT" in shown[0].stdout


def test_explain_prints_a_finding_by_its_id_or_its_name(environ: dict[str, str]) -> None:
    shown = [run("explain", name, environ=environ) for name in ("R02", "r02", "close-wait-read", "CLOSE_WAIT_READ")]
    assert {(each.returncode, each.stderr) for each in shown} == {(0, "")}
    assert len({each.stdout for each in shown}) == 1
    assert "R02" in shown[0].stdout


def test_explain_takes_a_name_of_several_words(environ: dict[str, str]) -> None:
    shown = [run("explain", *words, environ=environ) for words in (["EADDRINUSE"], ["Address", "already", "in", "use"])]
    assert {(each.returncode, each.stderr) for each in shown} == {(0, "")}
    assert len({each.stdout for each in shown}) == 1


@pytest.mark.parametrize(
    ("form", "begins"), [("text", "CLOSE_WAIT\n"), ("markdown", "# CLOSE"), ("html", "<!doc"), ("man", ".TH")]
)
def test_explain_prints_a_page_in_every_form(form: str, begins: str, environ: dict[str, str]) -> None:
    shown = run("explain", "close-wait", "--format", form, environ=environ)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith(begins)


@pytest.mark.parametrize("form", [[], ["--format", "markdown"], ["--format", "html"], ["--format", "man"]])
def test_explain_all_prints_the_handbook_with_the_values_of_this_host(form: list[str], environ: dict[str, str]) -> None:
    shown = run("explain", "--all", *form, environ=environ)
    assert (shown.returncode, shown.stderr) == (0, "")
    for part in ("States", "Findings", "R01 close", "Settings", "HP", platform.release().split("-")[0]):
        assert part in shown.stdout.replace("\\-", "-"), part


def test_explain_all_for_another_system(environ: dict[str, str]) -> None:
    shown = run("explain", "--all", "--os", "HP-UX", environ=environ)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Settings are those of HP-UX." in shown.stdout
    assert platform.node() not in shown.stdout.splitlines()[4]


@pytest.mark.parametrize("form", [[], ["--format", "html"]])
def test_explain_says_who_holds_a_port_before_all_else(form: list[str], listener: int, environ: dict[str, str]) -> None:
    shown = run("explain", "EADDRINUSE", f":{listener}", *form, environ=environ)
    assert shown.returncode == 0
    assert only_says_what_is_missing(shown.stderr)
    assert str(os.getpid()) in shown.stdout.split("In short")[0]
    assert str(os.getpid()) not in run("explain", "EADDRINUSE", environ=environ).stdout


def test_explain_says_which_ports_are_left_towards_a_destination(listener: int, environ: dict[str, str]) -> None:
    with socket.create_connection(("127.0.0.1", listener)) as client:
        shown = run("explain", "EADDRNOTAVAIL", f"127.0.0.1:{listener}", environ=environ)
        assert client.fileno() >= 0
    assert shown.returncode == 0
    assert f"127.0.0.1:{listener}" in shown.stdout.split("In short")[0]


def test_explain_says_from_how_much_on_it_is_a_finding_here(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[thresholds]\nclose_wait_seconds = 4321\n")
    mine = run("explain", "R02", "--config", str(tmp_path / "mine.toml"), environ=environ)
    assert "4,321" in mine.stdout
    assert "4,321" not in run("explain", "R02", environ=environ).stdout


@pytest.mark.parametrize("form", [[], ["--format", "json"], ["--format", "markdown"]])
def test_diagnose_looks_twice_at_the_socket(form: list[str], listener: int, environ: dict[str, str]) -> None:
    found = run("diagnose", *form, f"sport = :{listener}", environ=environ)
    assert found.returncode == 0
    assert only_says_what_is_missing(found.stderr)
    if "json" in form:
        told = json.loads(found.stdout)
        assert (told["polls"], told["findings"]) == (2, [])
        assert told["watched_seconds"] >= 1
    else:
        assert "No findings" in found.stdout
        assert re.search(r"2 looks in \d s, through netlink", found.stdout)
        assert "1 of them match the filter." in " ".join(found.stdout.split())


def test_diagnose_does_not_call_a_typo_healthy(environ: dict[str, str]) -> None:
    found = run("diagnose", "clsoe-wait", environ=environ)
    assert found.returncode == 0
    assert "0 of them match the filter." in " ".join(found.stdout.split())
    assert "nothing matches; did you mean: state close-wait" in found.stderr


def test_lab_lists_what_it_can_make(environ: dict[str, str]) -> None:
    listed = run("lab", "--list", environ=environ)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "CLOSE_WAIT" in listed.stdout


def test_a_reader_that_stops_early_is_no_error(environ: dict[str, str]) -> None:
    for command in ("list --format json", "diagnose --format json", "--help", "lab --list"):
        shell = f"set -o pipefail; {sys.executable} -m sockui {command} | true"
        ended = subprocess.run(["bash", "-c", shell], env=environ, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, ""), command


def test_a_full_disk_is_said(environ: dict[str, str]) -> None:
    with open("/dev/full", "w") as full:
        failed = run("list", "--format", "json", environ=environ, capture_output=False, stdout=full, stderr=-1)
    assert failed.returncode == 74
    assert failed.stderr == "sockui: the output cannot be written: No space left on device\n"


def test_a_closed_stdout_is_said(environ: dict[str, str]) -> None:
    shell = f"{sys.executable} -m sockui list >&-"
    failed = subprocess.run(["bash", "-c", shell], env=environ, capture_output=True, text=True, check=False)
    assert (failed.returncode, failed.stderr) == (74, "sockui: stdout is closed\n")


@pytest.mark.parametrize(("encoding", "name"), [("ascii", "caf\\xe9 \\u2265"), ("latin-1", "caf\xe9 \\u2265")])
def test_a_locale_without_the_characters_is_no_error(
    encoding: str, name: str, listener: int, environ: dict[str, str]
) -> None:
    comm = Path("/proc/self/comm")
    before = comm.read_text().removesuffix("\n")  # which is not part of the name
    comm.write_text("caf\xe9 \u2265", "utf-8")
    try:
        listed = run(
            "list",
            *("--columns", "process", f"sport = :{listener}"),
            environ={**environ, "PYTHONIOENCODING": encoding},
            encoding=encoding,
        )
    finally:
        comm.write_text(before)
    assert listed.returncode == 0
    assert listed.stdout.splitlines()[1].startswith(name)


def test_ctrl_c_ends_quietly(environ: dict[str, str]) -> None:
    # The filter is read from a FIFO that nobody writes, so that the program surely waits when the signal comes.
    fifo = Path(environ["HOME"]) / "config.toml"
    os.mkfifo(fifo)
    child = subprocess.Popen(
        [sys.executable, "-m", "sockui", "list", "--config", str(fifo)], env=environ, stdout=-1, stderr=-1, text=True
    )
    with open(fifo, "w"):  # opens when the program does
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    assert (child.returncode, out, err) == (130, "", "")


def test_a_namespace_that_may_not_be_entered_exits_3(environ: dict[str, str]) -> None:
    without = ["setpriv", "--bounding-set=-sys_admin"] if os.geteuid() == 0 else []  # root without what setns(2) needs
    command = [*without, sys.executable, "-m", "sockui", "list", "--netns", "1"]
    refused = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert ("CAP_SYS_ADMIN" if os.geteuid() == 0 else "needs root; run it with sudo") in refused.stderr


def test_a_namespace_that_does_not_exist_exits_3(environ: dict[str, str]) -> None:
    refused = run("list", "--netns", "no-such-namespace", environ=environ)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "no-such-namespace" in refused.stderr


@pytest.mark.kernel
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a network namespace")
def test_a_namespace_is_entered(listener: int, environ: dict[str, str]) -> None:
    # A namespace of a process of its own: empty, so the listener of this one is not in it.
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo made; exec cat"], stdin=-1, stdout=-1, text=True)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "made\n"
        inside = run("list", "--format", "json", "--netns", str(holder.pid), environ=environ)
        holder.communicate()
    assert (inside.returncode, inside.stderr) == (0, "")
    told = json.loads(inside.stdout)
    assert (told["sockets"], told["netns"]) == ([], str(holder.pid))
    assert json.loads(run("list", "--format", "json", environ=environ).stdout)["netns"] is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["clozewait-"], "nothing matches; did you mean: state close-wait"),
        (["clsoe-wait"], "nothing matches; did you mean: state close-wait"),
        (["stat", "close"], "nothing matches; did you mean: state close"),
        (["stat close"], "nothing matches; did you mean: state close"),
        (["syn", "rcvd"], "nothing matches; did you mean: state syn-recv"),
        (["proces", "no-such-name"], "nothing matches; did you mean: process = no-such-name"),
        (["recvq"], "nothing matches; did you mean: recvq > 0"),
        (["timer", "no-such-name"], "no socket matches the filter"),  # a timer has no such value
        (["no-such-name"], "no socket matches the filter"),
        (["'no-such-name'"], "no socket matches the filter"),
        (["state", "listen", "and", "sport", "=", ":1"], ""),  # conditions that no socket satisfies are an answer
        (["no-such-name", "or", "pid<0"], ""),
    ],
)
def test_words_that_are_found_nowhere_are_not_met_with_silence(
    words: list[str], said: str, environ: dict[str, str]
) -> None:
    found = run("list", "--format", "ndjson", *words, environ=environ)
    assert (found.returncode, found.stdout) == (0, "")
    assert said in found.stderr
    assert ("match" in found.stderr) == bool(said)


def test_a_terminal_that_cannot_draw_is_told_so(environ: dict[str, str]) -> None:
    said, status = io.BytesIO(), 0

    def read(descriptor: int) -> bytes:
        said.write(data := os.read(descriptor, 1024))
        return data

    child, terminal = pty.fork()
    if not child:
        os.execvpe(sys.executable, [sys.executable, "-m", "sockui"], {**environ, "TERM": "dumb"})
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while read(terminal):
            pass
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 2
    assert said.getvalue().decode().strip() == "sockui: TERM=dumb cannot draw a screen; use `sockui list`"


def test_the_forms_that_can_be_forced_are_those_that_there_are() -> None:
    assert set(FORCED) == set(FORMS)


def test_after_two_dashes_a_dash_is_a_word_to_search() -> None:
    options, command, words = parse(["list", "--", "-"])
    assert (options.texts, command, words) == ([], "list", ["-"])
    options, command, words = parse(["-", "list", "--from", "a", "state", "listen"])
    assert (options.texts, command, words) == (["a", "-"], "list", ["state", "listen"])


def test_an_error_in_sockui_is_kept_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(arguments: list[str]) -> int:
        raise ZeroDivisionError(os.environ["SECRET"])  # an error's own words may quote anything

    monkeypatch.setattr(cli, "_run", fail)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("SECRET", "tok-en-123")
    assert cli.main(["list"]) == 70
    shown = capsys.readouterr()
    report = tmp_path / "sockui" / "crash.txt"
    assert shown.out == ""
    assert shown.err.startswith("sockui: an error in sockui itself (ZeroDivisionError at cli.py:")
    assert shown.err.endswith(f"); a report for the maintainers is in {report}\n")
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    text = report.read_text()
    assert "Traceback" in text
    assert "in fail" in text
    assert "tok-en-123" not in text + shown.err
