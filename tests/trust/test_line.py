"""The SSH line drops, the shell stops and resumes, the program crashes: nothing is left behind, nothing is torn."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.bench.crowd import Crowd
from tests.screen import DEADLINE, SOCKUI
from tests.trust.line import IN_ANOTHER_SESSION, SIGHUP_IGNORED, Line

pytestmark = pytest.mark.pty

CTRL_Z, CTRL_L = "\x1a", "\x0c"
BIG = 20_000
Open = Callable[..., Line]


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Open]:
    opened: list[Line] = []

    def begin(
        *arguments: str, command: Sequence[str] = SOCKUI, size: tuple[int, int] = (120, 36), **environ: str
    ) -> Line:
        home = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state"), "SOCKUI_VIEW": "sockets"}
        opened.append(Line(arguments, size, home | environ, command))
        return opened[-1]

    yield begin
    for each in opened:
        each.close()


def until(condition: Callable[[], object], line: Line) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, line.text
        line.read()


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def sockui_of(line: Line) -> int:
    """The process of sockui itself, among those of its shell or its tmux."""
    runs = re.compile(rb"[^\0]+\0-m\0sockui\0")
    found = [pid for pid in line.left() if runs.match(Path(f"/proc/{pid}/cmdline").read_bytes())]
    assert len(found) == 1, found
    return found[0]


# --- the line drops ------------------------------------------------------------------------------------


def reading(line: Line) -> None:
    line.wait("every")


def given_back(line: Line) -> None:
    """The terminal is as it was."""
    for mode in (b"1049", b"1000", b"1003", b"1006", b"2004", b"1004"):
        last = line.raw.rfind(b"\x1b[?" + mode + b"l")
        assert line.raw.rfind(b"\x1b[?" + mode + b"h") <= last, f"{mode!r} is left on"
    assert line.raw.rfind(b"\x1b[?25l") <= line.raw.rfind(b"\x1b[?25h"), "the cursor is back"


def opening(line: Line) -> None:
    line.wait("q quit")


def paused(line: Line) -> None:
    line.wait("every")
    line.send("p")
    line.wait("PAUSED")


def filtering(line: Line) -> None:
    line.wait("every")
    line.send("/")
    line.wait(" / ")
    line.send("state close-w")
    line.wait("close-w")


def help_page(line: Line) -> None:
    line.wait("every")
    line.send("?")
    line.wait("Keys")


def blocked(line: Line) -> None:
    """The terminal reads no more, and a write to it waits."""
    line.wait("every")
    pid = sockui_of(line)
    end = time.monotonic() + DEADLINE
    while not any("wait_woken" in path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/wchan")):
        assert time.monotonic() < end, "the terminal never was full"
        os.write(line.child.fileno(), CTRL_L.encode())
        time.sleep(0.005)


def stopped(line: Line) -> None:
    line.wait("every")
    os.kill(sockui_of(line), signal.SIGTSTP)
    until(lambda: state(sockui_of(line)) == "T", line)


ROUTES = {"sighup": SOCKUI, "eio": IN_ANOTHER_SESSION, "ignored": SIGHUP_IGNORED}


@pytest.mark.parametrize("route", ROUTES)
def test_nothing_is_left_when_the_line_drops(route: str, line: Open) -> None:
    def drop(doing: Callable[[Line], None]) -> None:
        ui = line(command=ROUTES[route])
        doing(ui)
        ui.drop()
        ui.emptied()

    with ThreadPoolExecutor() as side_by_side:
        list(side_by_side.map(drop, (opening, paused, filtering, help_page, blocked)))


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_signal_on_a_terminal_that_lives_gives_it_back(number: int, line: Open) -> None:
    ui = line()
    reading(ui)
    os.kill(sockui_of(ui), number)
    assert ui.ended() == 128 + number
    given_back(ui)


def test_nothing_is_left_of_a_stopped_one(line: Open) -> None:
    ui = line()
    stopped(ui)
    ui.drop()
    ui.emptied()


def test_what_is_read_on_a_big_host_keeps_nothing_alive(line: Open) -> None:
    if os.geteuid() != 0:
        pytest.skip("a network namespace of its own needs root")
    with ThreadPoolExecutor(1) as inside:  # a thread of its own: it moves into the crowd's namespace
        crowd = inside.submit(Crowd, BIG).result()
    try:
        ui = line("--netns", str(crowd.pid), "--interval", "0.1")
        ui.wait(re.compile(r"\b\d\d,\d{3} sockets|LISTEN").search)
        ui.drop()
        ui.emptied()
    finally:
        crowd.close()


def test_nothing_is_left_of_a_clipboard_tool_that_hangs(line: Open, tmp_path: Path) -> None:
    ui = line(PATH=tool(tmp_path, "xclip", "exec sleep 1000"), DISPLAY=":9", SOCKUI_CLIPBOARD="local")
    ui.wait("every")
    ui.send("c")
    until(lambda: any(b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in ui.left()), ui)
    ui.drop()
    ui.emptied()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "ended"])
def test_nothing_is_left_when_tmux_is_ended(number: int, line: Open) -> None:
    ui = line(command=("tmux", "-L", f"trust-{os.getpid()}-{number}", "-f", os.devnull, "new-session", *SOCKUI))
    ui.wait("every")
    server = Path(f"/proc/{sockui_of(ui)}/stat").read_text().rpartition(")")[2].split()[1]
    os.kill(int(server), number)
    until(lambda: not ui.child.isalive(), ui)
    ui.emptied()


def test_the_same_from_a_pipe(line: Open, tmp_path: Path) -> None:
    text = tmp_path / "ss.txt"
    text.write_text("State Recv-Q Send-Q Local Address:Port Peer Address:Port\nESTAB 0 0 127.0.0.1:1 127.0.0.1:2\n")
    ui = line(command=("sh", "-c", f'cat {text} | "$@" -', "sh", *SOCKUI))
    ui.wait("127.0.0.1:2")
    ui.drop()
    ui.emptied()


def test_a_measurement_outlives_the_terminal_that_counted_down(line: Open, tmp_path: Path) -> None:
    out = tmp_path / "out"
    told = ("sh", "-c", f'trap "" HUP; exec "$@" >{out}', "sh", *SOCKUI)
    ui = line("diagnose", "--for", "3", "--format", "json", command=told)
    ui.wait("looking")
    ui.drop()
    ui.emptied()
    assert "findings" in json.loads(out.read_text())
    assert not (tmp_path / "state/sockui/crash.txt").exists()


def test_a_shell_that_is_hung_up_takes_it_along(line: Open) -> None:
    ui = shell(line)
    ui.send(f"{sys.executable} -m sockui\n")
    ui.wait("every")
    ui.send(CTRL_Z)
    ui.wait("Stopped")
    ui.drop()
    ui.emptied()


@pytest.mark.long
def test_a_terminal_that_may_not_block_is_waited_for(line: Open) -> None:
    code = "import os, sys; os.set_blocking(0, False); os.execv(sys.argv[1], sys.argv[1:])"
    ui = line(command=(sys.executable, "-c", code, *SOCKUI), size=(200, 60))
    ui.wait("every")
    flags = re.search(r"flags:\s+(\d+)", Path(f"/proc/{sockui_of(ui)}/fdinfo/2").read_text())
    assert flags
    assert int(flags[1], 8) & os.O_NONBLOCK
    for _ in range(200):
        os.write(ui.child.fileno(), CTRL_L.encode())
        time.sleep(0.005)
    ui.wait("q quit")
    ui.screen.reset()
    ui.send(CTRL_L)
    ui.wait("q quit")
    ui.send("q")
    assert ui.ended() == 0


def test_nohup_is_told_what_to_do_instead(line: Open, tmp_path: Path) -> None:
    ui = line(command=("sh", "-c", 'cd "$HOME"; exec nohup "$@"', "sh", *SOCKUI))
    assert ui.ended() == 2
    assert "use `sockui list`" in (tmp_path / "nohup.out").read_text()


def tool(where: Path, name: str, does: str) -> str:
    """A PATH in which a tool does something else."""
    place = where / "bin"
    place.mkdir(exist_ok=True)
    path = place / name
    path.write_text(f"#!/bin/sh\n{does}\n")
    path.chmod(0o755)
    return f"{place}:{os.environ['PATH']}"


# --- stopped and resumed --------------------------------------------------------------------------------


def shell(line: Open) -> Line:
    ui = line(command=("bash", "--norc", "--noprofile", "-i"), PS1="READY> ", size=(100, 30))
    ui.wait("READY>")
    return ui


def test_ctrl_z_gives_the_terminal_to_the_shell_and_fg_takes_it_again(line: Open) -> None:
    ui = shell(line)
    ui.send(f"{sys.executable} -m sockui\n")
    ui.wait("every")
    ui.send("/")
    ui.wait(" / ")
    ui.send("state listen")
    ui.wait("state listen")
    for columns, lines in ((100, 30), (70, 20)):
        ui.raw = b""
        ui.send(CTRL_Z)
        until(lambda: b"Stopped" in ui.raw, ui)
        assert b"\x1b[?1049l" in ui.raw
        assert b"\x1b[?25h" in ui.raw
        assert ui.raw.rindex(b"\x1b[?1000l") > ui.raw.find(b"\x1b[?1000h"), "the mouse is given back"
        ui.screen.reset()
        ui.send("stty -a; echo got=$((6 * 7))\n")
        ui.wait("got=42")
        assert re.search(r"(?<!-)icanon", ui.text), ui.text
        assert re.search(r"(?<!-)\becho\b", ui.text), ui.text
        ui.child.setwinsize(lines, columns)
        ui.screen.resize(lines, columns)
        ui.screen.reset()
        ui.send("fg\n")
        ui.wait(lambda text: " / state listen" in text and "fg" not in text)
        ui.wait(lambda text: "Enter keep it" in text.splitlines()[-1])  # on the last line of the terminal as it is now
    ui.send("x")  # still typed into the filter
    ui.wait("state listenx")
    ui.send("\x1b")
    ui.wait(lambda text: " / state" not in text)
    ui.send("q")
    ui.wait("READY>")
    ui.send("echo code=$?\n")
    ui.wait("code=0")


def test_in_the_background_it_waits_to_be_taken_to_the_front(line: Open) -> None:
    ui = shell(line)
    ui.send(f"{sys.executable} -m sockui &\n")
    until(lambda: ui.left() and any(state(pid) == "T" for pid in ui.left()), ui)
    ui.send("echo got=$((6 * 7))\n")
    ui.wait("got=42")
    ui.send("fg\n")
    ui.wait("every")
    ui.send(CTRL_Z)
    ui.wait("Stopped")
    ui.send("bg\n")
    until(lambda: state(sockui_of(ui)) == "T", ui)
    ui.send("fg\n")
    ui.wait("every")
    ui.send("q")
    ui.wait("READY>")


@pytest.mark.long
def test_stopped_and_resumed_from_outside_again_and_again(line: Open) -> None:
    ui = line()
    ui.wait("every")
    pid = sockui_of(ui)
    for number in range(30):
        for _ in range(10):
            os.write(ui.child.fileno(), CTRL_L.encode())  # in the midst of painting
        os.kill(pid, signal.SIGSTOP if number % 3 == 0 else signal.SIGTSTP)
        until(lambda: state(pid) == "T", ui)
        os.kill(pid, signal.SIGCONT)
        until(lambda: state(pid) != "T", ui)
    ui.screen.reset()
    ui.wait("q quit")
    ui.send("q")
    assert ui.ended() == 0


# --- it crashes -----------------------------------------------------------------------------------------

CANARY = "pass-w0rd"
CRASHES = {
    "a key": "from sockui.tui.main_screen import MainScreen; MainScreen.action_pause = fail",
    "a paint": "from sockui.tui.bar import Bar; Bar.render_line = fail",
    "a poll": "from sockui.tracker import Tracker; Tracker.update = fail",
    "a result": "from sockui.tui.main_screen import MainScreen; MainScreen.take = fail",
    "the start": "from sockui.tui.app import SockuiApp; SockuiApp.begin = fail",
    "before the screen": "import sockui.config; sockui.config.load = fail",
    "input": "from textual._xterm_parser import XTermParser; XTermParser.feed = fail",
    "copying": "from sockui.clipboard import Clipboard; Clipboard.copy = fail",
    "SIGCONT": "from sockui.tui.app import SockuiApp; SockuiApp._continued = fail",
}
PROGRAM = f"""
import sys
import sockui.cli

def fail(*_, **__):
    raise KeyError("--password={CANARY}")

%s
sys.argv[0] = "sockui"
sys.exit(sockui.cli.main())
"""
KEYS = {"a key": "p", "input": "p", "copying": "c"}


def crash(line: Open, kind: str, tmp_path: Path, before: str = ":") -> str:
    """What is on the terminal after a crash, when the terminal was found as it had been."""
    script = f'stty -a >"$HOME/before"; ({before}; "$@"); code=$?; stty -a >"$HOME/after"; echo "code $code"'
    program = (sys.executable, "-c", PROGRAM % CRASHES[kind])
    ui = line("--slow", command=("sh", "-c", script, "sh", *program), SECRET=CANARY)
    if kind in KEYS or kind == "SIGCONT":
        ui.wait("every" if kind != "input" else "q quit")
    ui.send(KEYS.get(kind, ""))
    if kind == "SIGCONT":
        for pid in ui.left():
            os.kill(pid, signal.SIGCONT)
    assert ui.ended() == 0
    assert (tmp_path / "before").read_text() == (tmp_path / "after").read_text(), "echo and lines are back"
    given_back(ui)
    assert CANARY.encode() not in ui.raw
    assert b"Traceback" not in ui.raw
    return re.sub(r"\x1b\[[<?0-9;]*[a-z]|\x1b\].*?\x07", "", ui.raw[ui.raw.rfind(b"\x1b[?1049l") + 1 :].decode())


@pytest.mark.parametrize("kind", CRASHES)
def test_a_crash_gives_the_terminal_back_and_says_where_the_report_is(kind: str, line: Open, tmp_path: Path) -> None:
    said = crash(line, kind, tmp_path)
    report = tmp_path / "state/sockui/crash.txt"
    where = re.escape(str(report))
    line_said = rf"sockui: an error in sockui itself \(KeyError[^()]*\); a report for the maintainers is in {where}"
    assert re.search(rf"(?m)^(?:\[\?1049l)?{line_said}\r\ncode 70\r\n\Z", said), said
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    text = report.read_text()
    assert CANARY not in text
    assert ", in fail\n" in text
    assert "--slow" in text


def test_a_crash_where_nothing_can_be_written_is_still_one_line(line: Open, tmp_path: Path) -> None:
    said = crash(line, "a poll", tmp_path, "ulimit -f 0")  # no file may grow, as on a full disk
    assert re.search(r"sockui: an error in sockui itself \(KeyError .*; no report could be kept: .*\r\n", said)
    assert said.count("\n") == 2, said
    assert "code 70" in said
