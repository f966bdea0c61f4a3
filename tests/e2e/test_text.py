"""A pasted text instead of this host: `sockui list -`, `sockui diagnose --from`, and the screen."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from sockui.lab.run import Lab

TEXTS = Path(__file__).parents[1] / "fixtures/text"
SOCKUI = [sys.executable, "-m", "sockui"]
DEADLINE = 60.0
MOVING = {"last_data_sent_ms", "last_data_received_ms", "last_ack_received_ms"}
COMPUTED = {"state_age_min_seconds", "state_age_max_seconds", "state_age_source", "timer_seconds"}
Rows = dict[int, dict[str, Any]]


def run(*arguments: str, text: bytes | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*SOCKUI, *arguments], input=text or b"", capture_output=True, check=False, timeout=DEADLINE)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def answer(*arguments: str, text: bytes | None = None) -> dict[str, Any]:
    done = run(*arguments, "--format", "json", text=text)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    if os.geteuid() != 0:
        pytest.skip("making network namespaces needs root")
    if not shutil.which("ss"):
        pytest.skip("ss is not installed")
    names = [
        "listen-full", "close-wait-unread", "close-wait-read", "close-wait-unaccepted", "fin-wait2-held", "time-wait",
        "syn-sent", "syn-recv", "last-ack", "established", "zero-window", "udp-drops",
    ]  # fmt: skip
    with Lab(names, namespace=f"texte2e-{os.getpid()}") as made:
        yield made


def ss(lab: Lab, options: str) -> bytes:
    command = ["ip", "netns", "exec", str(lab.namespace), "ss", options]
    return subprocess.run(command, capture_output=True, check=True).stdout


def rows(told: dict[str, Any]) -> Rows:
    return {row["cookie"]: row for row in told["sockets"]}


@pytest.mark.kernel
def test_what_ss_printed_lists_as_what_the_kernel_says(lab: Lab) -> None:
    netlink = ("list", "--netns", str(lab.namespace))
    for _ in range(20):  # until nothing came, went or changed its state meanwhile
        began = time.monotonic()
        before = rows(answer(*netlink))
        text = ss(lab, "-tuanpieOm")
        after = rows(answer(*netlink))
        whole = 1000 * (time.monotonic() - began)
        if {key: row["state"] for key, row in before.items()} == {key: row["state"] for key, row in after.items()}:
            break
    else:
        pytest.fail("the lab never stood still")
    told = answer("list", "-", text=text)
    read = rows(told)
    listed = {key for key, row in before.items() if row["state"] != "CLOSE"}  # ss -a leaves out those only bound
    assert (told["source"], told["taken_at"], told["host"]) == ("text", None, None)
    assert told["coverage"]["missing_fields"] == ["cgroup", "unit"]
    assert read.keys() == listed
    assert len(listed) > 20
    still: Counter[str] = Counter()
    for key, row in read.items():
        first, second = before[key], after[key]
        for name, value in row.items():
            if name in MOVING and None not in (value, first[name], second[name]):
                if first[name] <= value <= second[name]:
                    still[name] += 1
                else:  # a segment came between two of the looks
                    assert min(value, second[name]) <= whole, (name, row)
            elif name not in COMPUTED | MOVING | {"cgroup", "unit"} and first[name] == second[name]:
                assert value == first[name], (name, row, first)
    assert still.keys() == MOVING
    assert min(still.values()) > 5


@pytest.mark.kernel
def test_a_leak_is_found_where_the_text_tells_ages_and_not_where_it_does_not(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "soon.toml").write_text("[thresholds]\nclose_wait_seconds = 1\n")
    diagnose = ("diagnose", "--config", str(tmp_path / "soon.toml"), "-", "state", "close-wait")
    pids = {made.name: made.pid for made in lab.made}
    expected = {("R01", pids["close-wait-unread"]), ("R02", pids["close-wait-read"])}
    end = time.monotonic() + DEADLINE
    while True:
        found = answer(*diagnose, text=ss(lab, "-tanpieOm"))["findings"]
        leaks = {(each["id"], each["pid"]) for each in found}
        if leaks >= expected or time.monotonic() > end:
            break
    assert leaks >= expected
    assert all(each["oldest_seconds"] >= 1 for each in found if each["id"] == "R02")
    ageless = answer(*diagnose, text=ss(lab, "-tanp"))
    undated = [each for each in ageless["findings"] if each["id"] in ("R01", "R02")]
    assert undated
    assert {(each["severity"], each["oldest_seconds"]) for each in undated} == {("info", None)}


LEAK = ("--from", f"web-1={TEXTS / 'leak-0300.txt'}", "--from", f"web-1={TEXTS / 'leak-0305.txt'}")


def test_two_moments_tell_how_long_a_leak_lasts_at_least() -> None:
    told = answer("diagnose", *LEAK)
    assert (told["host"], told["taken_at"]) == ("web-1", "2025-11-21T03:05:00.000Z")
    assert (told["polls"], told["watched_seconds"]) == (2, 300.0)
    (leak,) = told["findings"]
    assert (leak["id"], leak["process"], leak["pid"], leak["count"]) == ("R02", "java", 4312, 12)
    assert 299 <= leak["oldest_seconds"] <= 300
    assert run("diagnose", *LEAK, "--fail-on", "warning").returncode == 1
    for wanted, code in (("nginx", 0), ("close-wiat", 2), ("state=listen", 0)):
        assert run("diagnose", *LEAK, "--fail-on", "warning", wanted).returncode == code
    assert run("diagnose", *LEAK, "close-wiat").returncode == 0
    (undated,) = answer("diagnose", *LEAK[2:])["findings"]
    assert (undated["severity"], undated["oldest_seconds"], undated["count"]) == ("info", None, 18)


def test_the_report_says_that_commands_are_for_the_other_host() -> None:
    for form in ("text", "markdown"):
        said = " ".join(run("diagnose", *LEAK, "--format", form).stdout.split())
        assert re.search(r"19 sockets of 1 known process, in 2 texts over 300 s of `?web-1`?, 2025-11-21 03:05", said)
        assert "The commands are for that host" in said
    nothing = run("diagnose", *LEAK[2:], "state", "listen").stdout
    assert "The commands" not in nothing
    assert "Most of what sockui finds cannot be seen in a text." in nothing
    assert "--for" not in nothing


def test_list_shows_the_last_moment_with_ages_from_all(tmp_path: Path) -> None:
    row = "CLOSE-WAIT 1 0 10.0.0.1:{} 10.0.0.2:2\n"
    for name, ports in (("a", (1, 3)), ("b", (1, 5))):
        (tmp_path / name).write_text(
            f"2025-11-21T03:0{len(ports) * (name == 'b')}:00Z\n" + "".join(map(row.format, ports))
        )
    told = answer("list", "--from", str(tmp_path / "a"), "--from", str(tmp_path / "b"))
    assert {each["local_port"]: each["state_age_min_seconds"] for each in told["sockets"]} == {1: 120.0, 5: None}


def test_several_hosts_come_one_after_the_other_and_not_as_one_document() -> None:
    two = ("--from", f"web={TEXTS / 'leak-0300.txt'}", "--from", f"db={TEXTS / 'netstat-old.txt'}")
    listed = run("list", *two)
    assert listed.returncode == 0
    web, db = listed.stdout.split("\n\n")
    assert (web.startswith("web:\nProto"), db.startswith("db:\nProto")) == (True, True)
    assert ("java/4312" in web, "rpcbind/1425" in db) == (True, True)
    assert run("diagnose", *two, "--format", "markdown").stdout.startswith("**`web`**\n\n**1 finding** on `web`")
    for command in ("list", "diagnose"):
        refused = run(command, *two, "--format", "json")
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "is of one host, and these texts are of several: web, db" in refused.stderr


def test_what_was_recognised_is_said_and_what_was_not_is_counted_and_shown_on_request() -> None:
    text = b"ESTAB 0 0 10.0.0.1:1 10.0.0.2:2\nwhat \x1b]0;is\x07 \xff this\x85\nESTAB 0 0 10.0.0.1:99999 10.0.0.2:2\n"
    counted = run("list", "-", text=text)
    assert counted.returncode == 0
    assert counted.stdout.count("ESTABLISHED") == 1
    assert counted.stderr.splitlines()[0] == (
        "sockui: standard input: read as Linux ss -tan: 1 socket, 2 lines not understood."
    )
    assert "sockui: --show-unread shows these lines" in counted.stderr
    assert "99999" not in counted.stderr
    shown = run("list", "-", "--show-unread", text=text).stderr
    assert "sockui: standard input:3: ESTAB 0 0 10.0.0.1:99999 10.0.0.2:2\n" in shown
    assert re.search(r"sockui: standard input:2: what .* this", shown)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", shown)
    many = run("list", "-", "--show-unread", text=text + b"x\n" * 200).stderr
    assert "sockui: standard input: 102 more lines\n" in many


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\0" * 5000,
        b"\xff\xfe\x00",
        b"\x1b[31mhello\n" * 10,
        b"x" * (3 << 20),
        b"root:x:0:0:root:/root:/bin/bash\n",
        bytes(range(256)) * 50,
    ],
    ids=["empty", "nul", "half UTF-16", "escapes", "one line", "passwd", "binary"],
)
@pytest.mark.parametrize("command", ["list", "diagnose"])
def test_what_is_no_list_of_sockets_ends_in_one_sentence(command: str, text: bytes) -> None:
    refused = run(command, "-", text=text)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert re.fullmatch(
        r"sockui: (standard input is empty|no list of sockets is recognised in [^\n]*)\n", refused.stderr
    )


def test_a_file_that_is_not_there_and_a_form_that_does_not_fit_exit_3(tmp_path: Path) -> None:
    gone = run("list", "--from", str(tmp_path / "gone"))
    assert (gone.returncode, gone.stdout) == (3, "")
    assert "gone cannot be read: No such file or directory" in gone.stderr
    forced = run("list", "--from", str(TEXTS / "leak-0300.txt"), "--form", "windows")
    assert (forced.returncode, forced.stdout) == (3, "")
    assert run("list", "--from", str(TEXTS / "leak-0300.txt"), "--form", "ss").returncode == 0


def test_a_closed_stdin_is_said() -> None:
    closed = subprocess.run(
        ["sh", "-c", '"$@" <&-', "-", *SOCKUI, "list", "-"], capture_output=True, text=True, check=False
    )
    assert (closed.returncode, closed.stderr) == (3, "sockui: standard input is closed\n")


@pytest.mark.parametrize("command", ["list", "diagnose"])
def test_nothing_of_the_ui_is_loaded(command: str) -> None:
    program = (
        "import sys, sockui.cli\n"
        "code = sockui.cli.main(sys.argv[1:])\n"
        "print(code, *({name.split('.')[0] for name in sys.modules} & {'textual', 'rich', 'psutil'}), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", program, command, *LEAK], capture_output=True, text=True, check=True)
    assert ran.stderr.splitlines()[-1] == "0"


def screen(shell: str, tmp_path: Path) -> pexpect.spawn:
    environ = {**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "HOME": str(tmp_path)}
    command = ["-c", shell, "-", *SOCKUI]
    return pexpect.spawn("bash", command, dimensions=(24, 100), env=environ, encoding="utf-8", timeout=DEADLINE)


@pytest.mark.pty
@pytest.mark.parametrize("shell", ['cat {} | "$@" -', '"$@" --from {}'])
def test_the_screen_shows_a_text_rests_and_takes_keys(shell: str, tmp_path: Path) -> None:
    ui = screen(shell.format(TEXTS / "leak-0305.txt"), tmp_path)
    ui.expect("text, taken ")
    ui.expect("Read as Linux ss -tanp: 19 sockets")
    ui.send("p")
    ui.expect("There is nothing to poll")
    ui.send("2")
    ui.expect("java/4312")
    ui.send("q")
    ui.expect(pexpect.EOF)
    ui.close()
    assert ui.exitstatus == 0


@pytest.mark.pty
def test_the_screen_is_not_begun_for_what_it_cannot_show(tmp_path: Path) -> None:
    for shell, said, code in (
        ('echo hello | "$@" -', "no list of sockets is recognised", 3),
        (f'"$@" --from a={TEXTS / "leak-0300.txt"} --from b={TEXTS / "leak-0305.txt"}', "of several: a, b", 2),
    ):
        ui = screen(shell, tmp_path)
        ui.expect(said)
        ui.expect(pexpect.EOF)
        assert "\x1b" not in (ui.before or "")
        ui.close()
        assert ui.exitstatus == code


def test_without_a_terminal_for_keys_that_is_said() -> None:
    alone = subprocess.run(
        [*SOCKUI, "-"], input="", capture_output=True, text=True, check=False, start_new_session=True
    )
    assert alone.returncode == 2
    assert "use `sockui list`" in alone.stderr
