"""Terminals of every kind and size, environments and files in trouble: it runs, or says what to do instead."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import re
import select
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.screen import DEADLINE, SOCKUI
from tests.trust.line import Line

pytestmark = pytest.mark.pty

Open = Callable[..., Line]
STORM = 200
KEYS = 20_000
PASTE = 1_000_000


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Open]:
    opened: list[Line] = []

    def begin(
        *arguments: str,
        command: Sequence[str] = SOCKUI,
        size: tuple[int, int] = (120, 36),
        environ: Mapping[str, str | None] | None = None,
    ) -> Line:
        home = {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state"), "SOCKUI_VIEW": "sockets"}
        opened.append(Line(arguments, size, {**home, **(environ or {})}, command))
        return opened[-1]

    yield begin
    for each in opened:
        each.close()


def clean_end(ui: Line) -> None:
    """``q`` ends it with 0, and nothing is left on the terminal that was behind it."""
    ui.send("q")
    assert ui.ended() == 0
    after = ui.raw[ui.raw.rindex(b"\x1b[?1049l") :]
    assert not re.sub(rb"\x1b\[[?<0-9;]*[a-z]|\x1b\].*?\x07", b"", after).strip(), after


# --- environments ---------------------------------------------------------------------------------------

NOWHERE = "/proc/self/nonsense\x01"
XDG = ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")
ENVIRONMENTS: dict[str, Sequence[Mapping[str, str | None]]] = {
    "TERM": [{"TERM": name} for name in ("vt100", "linux", None, "screen", "tmux-256color", "gar\x01bage")],
    "locales": [
        *({"LC_ALL": name} for name in ("C", "POSIX", "xx_YY.UTF-8", "de_DE.ISO-8859-1")),
        {"LC_ALL": None, "LANG": "de_DE.ISO-8859-1"},
        {"PYTHONIOENCODING": "ascii:strict"},
    ],
    "homes": [
        {"HOME": None, "XDG_STATE_HOME": None},
        {"HOME": "/proc", "XDG_STATE_HOME": None},
        {"HOME": "/dev/null", "XDG_STATE_HOME": None},
        dict.fromkeys(XDG, NOWHERE),
    ],
    "colours and sizes": [
        {"NO_COLOR": "1", "COLORTERM": "junk"},
        {"LINES": "junk", "COLUMNS": "-3"},
        {"LINES": "3", "COLUMNS": "20"},
        {"LINES": "99999999999", "COLUMNS": "999999999"},
    ],
    "Python": [
        {"PYTHONWARNINGS": "error"},
        {"PYTHONWARNINGS": "always"},
        {"PYTHONDEVMODE": "1"},
        {"PYTHONPATH": "/nonexistent:\x01:/etc/passwd"},
    ],
}


@pytest.mark.long
@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_it_runs_in_odd_environments(kind: str, line: Open) -> None:
    def run(environ: Mapping[str, str | None]) -> None:
        ui = line(environ=environ)
        ui.wait("every")
        ui.wait("q quit")
        assert b"Warning" not in ui.raw
        clean_end(ui)

    with ThreadPoolExecutor() as side_by_side:
        list(side_by_side.map(run, ENVIRONMENTS[kind]))


# --- no terminal ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", ["<&-", ">&-", "</dev/null", ">/dev/null", "2>/dev/null", "<&- >&- 2>&-"])
def test_without_a_whole_terminal_it_says_what_to_use(closed: str, line: Open) -> None:
    ui = line(command=("sh", "-c", f'"$@" {closed}; echo "code $?"', "sh", *SOCKUI))
    ui.wait("code 2")
    assert ui.ended() == 0
    assert b"\x1b" not in ui.raw
    assert "2>" in closed or "the UI needs a terminal; without one use `sockui list`" in ui.text


def test_from_cron_it_says_what_to_use(tmp_path: Path) -> None:
    done = subprocess.run(
        SOCKUI, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env={"HOME": str(tmp_path)}
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "use `sockui list`" in done.stderr


@pytest.mark.parametrize("arguments", [["list"], ["nonsense ("], ["--bad"]])
def test_a_stderr_that_cannot_be_written_is_no_crash(arguments: list[str], tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*SOCKUI, *arguments], stdout=subprocess.PIPE, stderr=full, check=False, timeout=60)
    assert done.returncode == (0 if arguments == ["list"] else 2)


# --- sizes ----------------------------------------------------------------------------------------------


def resize(ui: Line, columns: int, lines: int) -> None:
    ui.child.setwinsize(lines, columns)
    if columns and lines:
        ui.screen.resize(lines, columns)


@pytest.mark.long
def test_a_storm_of_sizes_ends_in_a_right_picture(line: Open) -> None:
    ui = line()
    ui.wait("every")
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    odd = [(1, 1), (2, 1), (500, 200), (0, 0), (1, 200), (500, 1)]
    for _ in range(STORM):
        usual = (chance.randint(1, 300), chance.randint(1, 100))
        columns, lines = chance.choice(odd) if chance.random() < 0.2 else usual
        resize(ui, columns, lines)
        while select.select([ui.child.fileno()], [], [], 0.01)[0]:
            ui.raw += os.read(ui.child.fileno(), 1 << 16)
    ui.screen.reset()
    resize(ui, 100, 30)
    ui.wait(lambda text: "q quit" in text.splitlines()[-1] and " sockui " in text.splitlines()[0])
    clean_end(ui)


@pytest.mark.long
@pytest.mark.parametrize("size", [(1, 1), (2, 1), (500, 200)], ids=str)
def test_any_size_at_the_start(size: tuple[int, int], line: Open) -> None:
    ui = line(size=size)
    if size == (500, 200):
        ui.wait("q quit")
        assert " sockui " in ui.text.splitlines()[0]
    else:
        ui.wait(lambda text: text.strip())
    resize(ui, 100, 30)
    ui.wait(lambda text: "q quit" in text.splitlines()[-1])
    clean_end(ui)


# --- files and tools ------------------------------------------------------------------------------------


def in_mounts(setup: str) -> Sequence[str]:
    """sockui in a mount namespace of its own."""
    if os.geteuid() != 0:
        pytest.skip("mount namespaces need root")
    if any(Path(path).resolve().is_relative_to("/tmp") for path in (sys.prefix, __file__)):
        pytest.skip("the checkout is below /tmp, which is hidden here")
    return ("unshare", "-m", "sh", "-ec", f'{setup}; exec "$@"', "sh", *SOCKUI)


def test_a_full_disk_while_copying_is_said_and_the_text_still_goes_to_the_terminal(line: Open) -> None:
    places = "/run /tmp /var/tmp"
    fill = f"""for each in {places}; do mount -t tmpfs -o size=8k,nr_inodes=9 t $each; done; mkdir -p /run/state/sockui
        for each in {places}; do dd if=/dev/zero of=$each/full bs=4k || :; done 2>/dev/null; cd /run"""
    ui = line(
        command=in_mounts(fill),
        environ={"HOME": "/run", "XDG_STATE_HOME": "/run/state", "SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"},
    )
    ui.wait("every")
    ui.send("C")
    assert "State" in ui.sent_to_clipboard()
    ui.wait("state/sockui: No space left on device, and nowhere")
    clean_end(ui)


def test_where_nothing_can_be_started_any_more_copying_and_searching_go_on(line: Open) -> None:
    if os.geteuid() != 0:
        pytest.skip("being another user needs root")
    somebody = ("setpriv", "--reuid=54324", "--regid=54324", "--clear-groups")
    ui = line(command=(*somebody, *SOCKUI), environ={"HOME": "/nonexistent", "XDG_STATE_HOME": None, "SSH_TTY": None})
    ui.wait("every")
    fewer = ("prlimit", f"--pid={ui.child.pid}", "--nproc=1:1")  # than its threads are
    subprocess.run([*somebody, *fewer], check=True)
    ui.send("C")
    assert "State" in ui.sent_to_clipboard()
    ui.wait("sent to the terminal")
    ui.send("/")
    ui.send("tcp")
    ui.wait("/ tcp")
    ui.send("\r")
    ui.send("?")
    ui.wait("search all pages")
    ui.send("keepalive")
    ui.wait(re.compile(r"\d+ pages").search)
    for shown in ("search all pages", "Enter details"):
        ui.send("\x1b")
        ui.wait(shown)
    clean_end(ui)


def test_a_read_only_file_system_without_tmp_is_said(line: Open) -> None:
    ui = line(
        command=in_mounts("for each in /run /tmp /var/tmp; do mount -t tmpfs -o ro t $each; done; cd /run"),
        environ={"HOME": "/run", "XDG_STATE_HOME": None, "TMPDIR": "/proc/nonexistent", "SSH_TTY": "/dev/pts/0"},
    )
    ui.wait("every")
    ui.send("C")
    assert "State" in ui.sent_to_clipboard()
    ui.wait("Read-only file system")
    clean_end(ui)


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("", "no clipboard on this machine took it"),
        ("exec sleep 1000", "the clipboard tool did not answer within 2 s"),
        ("exit 3", "no clipboard on this machine took it"),
        ("head -c 4096 /dev/urandom >&2; exit 1", "no clipboard on this machine took it"),
    ],
    ids=["is missing", "hangs", "fails", "complains"],
)
@pytest.mark.parametrize(("name", "display"), [("xclip", "DISPLAY"), ("wl-copy", "WAYLAND_DISPLAY")])
def test_a_clipboard_tool_in_trouble_is_not_believed(
    name: str, display: str, does: str, said: str, line: Open, tmp_path: Path
) -> None:
    place = tmp_path / "bin"
    place.mkdir()
    for each in (name, "wl-paste") if does else ():
        (place / each).write_text(f"#!/bin/sh\n{does}\n")
        (place / each).chmod(0o755)
    path = f"{place}:{os.environ['PATH']}" if does else str(place)
    ui = line(environ={"PATH": path, display: ":9", "SOCKUI_CLIPBOARD": "local"})
    ui.wait("every")
    ui.send("C")
    ui.send("p")  # answered while the tool hangs
    ui.wait("PAUSED")
    ui.wait(said)
    ui.wait("saved to ~/state/sockui/copied.md")
    clean_end(ui)


def test_files_are_private_whatever_the_umask(line: Open, tmp_path: Path) -> None:
    ui = line(command=("sh", "-c", 'umask 000; exec "$@"', "sh", *SOCKUI), environ={"SSH_TTY": "/dev/pts/0"})
    ui.wait("every")
    ui.send("C")
    ui.wait("also in ~/state/sockui/copied.md")
    clean_end(ui)
    place = tmp_path / "state/sockui"
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert stat.S_IMODE((place / "copied.md").stat().st_mode) == 0o600


def test_a_home_that_is_the_root_is_not_written_into_every_path(line: Open, tmp_path: Path) -> None:
    ui = line(environ={"HOME": "/", "SOCKUI_CLIPBOARD": "file"})
    ui.wait("every")
    ui.send("C")
    ui.wait(f"saved to {tmp_path}"[:40])
    clean_end(ui)


# --- keys -----------------------------------------------------------------------------------------------

SEQUENCES = [b"\x1b[A", b"\x1b[B", b"\x1b[6~", b"\x1b[Z", b"\x1b", b"\x1b[<0;5;5M", b"\x1b[<0;5;5m",
             b"\x1b[<64;9999;1M",
             b"\x1b[M   ", b"\x1b[I", b"\x1b[O", b"\x1b[1;5C", b"\x1bOP", b"\x1b[", b"\x1b[999999999;1R", b"\x1b[?1;2c",
             b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x92\xa9", b"\x1b]52;c;AAAA\x07", b"\x1bP", b"\x1b[27u",
             b"\x1b[200~paste q\r\n\x1b[201~", b"\x1b[97;1u", b"\x1b[?2026;2$y", b"\x1b[;;;;;R"]  # fmt: skip
LEAVES = b"q\x03\x1a"
"""Keys that end or stop it on purpose."""


@pytest.mark.long
@pytest.mark.parametrize("size", [(80, 24), (20, 5), (200, 60)], ids=str)
def test_a_storm_of_keys_does_not_end_it(size: tuple[int, int], line: Open) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    ui = line(size=size)
    ui.wait(lambda text: text.strip())
    single = [bytes([byte]) for byte in range(256) if byte not in LEAVES]
    keys = b"".join(chance.choice(SEQUENCES if chance.random() < 0.2 else single) for _ in range(KEYS // 3))
    keys = re.sub(rb"\x1b\[113[^a-zA-Z]*u", b"", keys)
    feed(ui, keys)
    assert ui.child.isalive(), ui.raw[-2000:]
    leave(ui)


def test_keys_that_come_in_one_burst_do_what_they_do_one_by_one(line: Open) -> None:
    ui = line()
    ui.wait("every")
    os.write(ui.child.fileno(), b"/state sync")  # s, t, a, e, y, n and c are commands where the focus was
    ui.wait(" / state sync")
    os.write(ui.child.fileno(), b"\x7f" * 10 + b"listen")
    ui.wait(" / listen")
    ui.send("\r")
    ui.wait(lambda text: " / listen" not in text.splitlines()[2])
    os.write(ui.child.fileno(), b"?")
    ui.wait("Keys")
    ui.send("\x1b")
    ui.wait("q quit")
    clean_end(ui)


def test_a_key_behind_enter_is_no_letter_of_the_filter(line: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ui = line()
        ui.wait("every")
        os.write(ui.child.fileno(), f"/sport = :{server.getsockname()[1]}\rr".encode())
        ui.wait("What to do")
        ui.send("\x1b")
        ui.wait(lambda text: "What to do" not in text and "q quit" in text)
        clean_end(ui)


def test_clicks_beside_the_palette_close_no_more_than_it(line: Open) -> None:
    ui = line()
    ui.wait("every")
    ui.send(":")
    ui.wait("Bytes per second")
    ui.send("\x1b[<0;1;36M\x1b[<0;1;36m" * 4)
    ui.wait(lambda text: "Bytes per second" not in text and "q quit" in text)
    clean_end(ui)


def test_a_regular_expression_without_end_is_said_and_the_rows_stay(line: Open) -> None:
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    titled = (sys.executable, "-c", code, "a" * 60_000)
    with subprocess.Popen(titled, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        port = holder.stdout.readline().strip()
        ui = line(f"sport = :{port}")
        ui.wait("1 match")
        ui.send("/")
        ui.send(" and command ~ (a+)+c")
        ui.wait("takes too long")
        ui.send("\x1b")
        ui.wait("q quit")
        clean_end(ui)
        holder.communicate("\n")


@pytest.mark.long
def test_a_megabyte_pasted_into_the_filter_is_survived(line: Open) -> None:
    ui = line()
    ui.wait("every")
    ui.send("/")
    ui.wait(" / ")
    feed(ui, b"\x1b[200~" + b"state close-wait or " * (PASTE // 20) + b"\x1b[201~")
    leave(ui)


def feed(ui: Line, keys: bytes) -> None:
    """Send all, and read what is painted meanwhile."""
    end = time.monotonic() + 6 * DEADLINE
    fcntl.fcntl(ui.child.fileno(), fcntl.F_SETFL, os.O_RDWR | os.O_NONBLOCK)
    while keys:
        assert time.monotonic() < end, f"{len(keys)} are not taken"
        with contextlib.suppress(BlockingIOError):
            keys = keys[os.write(ui.child.fileno(), keys[:512]) :]
        with contextlib.suppress(BlockingIOError):
            ui.raw += os.read(ui.child.fileno(), 1 << 16)
    os.set_blocking(ui.child.fileno(), True)


def leave(ui: Line) -> None:
    """Go back and back until ``q`` ends it."""
    end = time.monotonic() + 6 * DEADLINE
    while ui.child.isalive():
        assert time.monotonic() < end, ui.text
        ui.send("\x1b")
        ui.read()
        ui.send("q")
        ui.read()
    assert ui.ended() == 0, ui.raw[-2000:]
