"""Where copied text goes: the byte sequences, the file, and what is claimed about them."""

from __future__ import annotations

import base64
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pexpect
import pytest

from sockui import clipboard, statefile
from sockui.clipboard import Clipboard, NoLocalClipboardError, copy_locally

SSH = {"SSH_CONNECTION": "10.0.0.1 50000 10.0.0.2 22", "TERM": "xterm-256color"}


@pytest.fixture(autouse=True)
def _own_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    statefile._temporary_directory.cache_clear()


def no_local(text: str) -> str:
    raise NoLocalClipboardError("no clipboard on this machine took it")


def xclip(text: str) -> str:
    return "xclip"


def payload(sequence: str) -> str:
    match = re.fullmatch(r"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07", sequence)
    assert match is not None, repr(sequence)
    return base64.b64decode(match[1], validate=True).decode()


def never(text: str) -> str:
    pytest.fail("over SSH the clipboard of this machine is the wrong one")


@pytest.mark.parametrize("name", ["SSH_CONNECTION", "SSH_TTY", "SSH_CLIENT"])
def test_over_ssh_text_goes_to_the_terminal_and_is_called_sent(name: str, tmp_path: Path) -> None:
    written: list[str] = []
    copied = Clipboard("auto", {name: "x", "TERM": "xterm"}, written.append, never, tmp_path / "s").copy(
        "≥ 5 sockets\n"
    )
    assert payload("".join(written)) == "≥ 5 sockets"
    assert copied.path == tmp_path / "s" / "copied.md"
    assert copied.message == f"sent to the terminal (OSC 52), also in {copied.path}"


def test_locally_text_goes_to_this_machine(tmp_path: Path) -> None:
    written: list[str] = []
    got: list[str] = []

    def local(text: str) -> str:
        got.append(text)
        return "xclip"

    copied = Clipboard("auto", {"TERM": "xterm"}, written.append, local, tmp_path / "s").copy("one\ntwo\n\n")
    assert (got, written) == (["one\ntwo"], [])
    assert copied.message == f"copied to the clipboard (xclip), also in {copied.path}"


def test_without_a_local_clipboard_text_goes_to_the_terminal(tmp_path: Path) -> None:
    written: list[str] = []
    copied = Clipboard("auto", {"TERM": "xterm"}, written.append, no_local, tmp_path / "s").copy("text")
    assert payload("".join(written)) == "text"
    assert copied.message.startswith("sent to the terminal")


def test_the_mode_is_kept_to(tmp_path: Path) -> None:
    written: list[str] = []
    osc52 = Clipboard("osc52", {"TERM": "xterm"}, written.append, never, tmp_path / "s").copy("text")
    assert payload(written.pop()) == "text"
    assert osc52.message.startswith("sent to the terminal")
    local = Clipboard("local", SSH, written.append, xclip, tmp_path / "s").copy("text")
    assert local.message.startswith("copied to the clipboard (xclip)")
    failed = Clipboard("local", SSH, written.append, no_local, tmp_path / "s").copy("text")
    assert failed.message == f"no clipboard on this machine took it; saved to {failed.path}"
    file = Clipboard("file", SSH, written.append, never, tmp_path / "s").copy("text")
    assert file.message == f"saved to {file.path}"
    assert written == []


def test_tmux_gets_it_plain_and_wrapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no tmux to ask
    written: list[str] = []
    environ = {**SSH, "TMUX": "/tmp/tmux-0/default,1,0", "TERM": "screen-256color"}
    copied = Clipboard("auto", environ, written.append, never, tmp_path / "s").copy("text")
    plain, wrapped = "".join(written).split("\x1bPtmux;")
    assert payload(plain) == "text"
    assert wrapped.endswith("\x1b\\")
    inner = wrapped.removesuffix("\x1b\\")
    assert inner.replace("\x1b\x1b", "\x1b") == plain
    assert copied.message.splitlines()[1].endswith(": tmux set -s set-clipboard on")


@pytest.mark.parametrize("environ", [{"STY": "1.pts-0"}, {"TERM": "screen"}, {"TERM": "screen.xterm-256color"}])
@pytest.mark.parametrize("length", [3, 20_000])
def test_screen_gets_short_strings_only(environ: dict[str, str], length: int, tmp_path: Path) -> None:
    written: list[str] = []
    Clipboard("auto", {**SSH, **environ}, written.append, never, tmp_path / "s").copy("x" * length)
    sequence = "".join(written)
    chunks = re.findall(r"\x1bP(.*?)\x1b\\", sequence, re.DOTALL)
    assert "".join(f"\x1bP{chunk}\x1b\\" for chunk in chunks) == sequence  # nothing that screen would print
    assert max(map(len, chunks)) <= 256
    assert payload("".join(chunks)) == "x" * length


def test_too_long_is_said_and_not_cut(tmp_path: Path) -> None:
    written: list[str] = []
    longest = clipboard.TERMINAL_LIMIT // 4 * 3
    board = Clipboard("auto", SSH, written.append, never, tmp_path / "s")
    board.copy("x" * longest)
    assert payload(written.pop()) == "x" * longest
    copied = board.copy("x" * (longest + 1))
    assert written == []
    assert copied.message == f"too long for the terminal clipboard (75,001 bytes): saved to {copied.path}"
    assert copied.path is not None
    assert copied.path.read_text() == "x" * (longest + 1) + "\n"


def test_undecodable_text_does_not_stop_it(tmp_path: Path) -> None:
    written: list[str] = []
    copied = Clipboard("auto", SSH, written.append, never, tmp_path / "s").copy("name \udcff")
    assert payload("".join(written)) == "name \\udcff"
    assert copied.path is not None


class TestFile:
    """The copy that is always kept."""

    def test_only_the_user_may_read_it(self, tmp_path: Path) -> None:
        old = os.umask(0)
        try:
            path = statefile.keep("copied.md", "one\n", tmp_path / "a" / "sockui")
        finally:
            os.umask(old)
        assert path is not None
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert [entry.name for entry in path.parent.iterdir()] == ["copied.md"]

    def test_a_symlink_is_replaced_and_not_followed(self, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_text("precious")
        (tmp_path / "s").mkdir()
        (tmp_path / "s" / "copied.md").symlink_to(victim)
        path = statefile.keep("copied.md", "new", tmp_path / "s")
        assert path is not None
        assert (victim.read_text(), path.read_text(), path.is_symlink()) == ("precious", "new", False)

    def test_a_directory_that_is_a_symlink_is_not_used(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "s").symlink_to(tmp_path / "elsewhere")
        path = statefile.keep("copied.md", "new", tmp_path / "s")
        assert path is not None
        assert path.parent not in (tmp_path / "s", tmp_path / "elsewhere")
        assert list((tmp_path / "elsewhere").iterdir()) == []

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a directory to somebody else")
    def test_a_directory_of_somebody_else_is_not_used(self, tmp_path: Path) -> None:
        (tmp_path / "s").mkdir()
        os.chown(tmp_path / "s", 65534, 65534)
        path = statefile.keep("copied.md", "new", tmp_path / "s")
        assert path is not None
        assert list((tmp_path / "s").iterdir()) == []
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    @pytest.mark.parametrize("directory", ["~/state", "/proc/sockui", "/dev/null/state"])
    def test_a_place_that_cannot_be_written_is_replaced(self, directory: str, tmp_path: Path) -> None:
        path = statefile.keep("copied.md", "new", Path(directory))
        assert path is not None
        assert path.read_text() == "new"
        assert path.is_absolute()
        again = statefile.keep("copied.md", "newer", Path(directory))
        assert again == path  # one place for the whole run

    def test_nowhere_to_write_is_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(statefile, "_temporary_directory", lambda: Path("/proc/sockui"))
        written: list[str] = []
        copied = Clipboard("auto", SSH, written.append, never, Path("/proc/sockui")).copy("text")
        assert copied.path is None
        why = "/proc/sockui: No such file or directory, and nowhere temporary either"
        assert copied.message == f"sent to the terminal (OSC 52); not kept in a file: {why}"
        copied = Clipboard("file", SSH, written.append, never, Path("/proc/sockui")).copy("text")
        assert copied.message == f"not saved: {why}"

    def test_a_full_disk_leaves_no_half_of_a_file(self, tmp_path: Path) -> None:
        # A file size limit stands in for the full disk: write(2) fails in the same way.
        code = (
            "import resource, signal, sys; from pathlib import Path; from sockui import statefile\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "statefile._temporary_directory = lambda: Path('/proc/sockui')\n"
            "directory = Path(sys.argv[1])\n"
            "statefile.keep('copied.md', 'old', directory)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
            "statefile.keep('copied.md', 'x' * 5000, directory)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "s")], capture_output=True, text=True, check=False
        )
        assert f"NotKeptError: {tmp_path / 's'}: File too large, and nowhere temporary" in done.stderr
        assert [entry.name for entry in (tmp_path / "s").iterdir()] == ["copied.md"]
        assert (tmp_path / "s" / "copied.md").read_text() == "old"


class TestLocal:
    """pyperclip in its child process, with a program in the place of xclip."""

    @pytest.fixture
    def fake(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """An ``xclip`` that a test writes; X11 as pyperclip sees it."""
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.setenv("DISPLAY", ":0")
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        return tmp_path / "xclip"

    def program(self, path: Path, body: str) -> None:
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def test_the_tool_gets_the_text_and_is_named(self, fake: Path) -> None:
        held = fake.with_name("held")
        # The real one stays in the background with its output open, to serve the selection.
        self.program(fake, f'case "$*" in *-o) cat {held};; *) cat >{held}; sleep 5 & ;; esac')
        began = time.monotonic()
        assert copy_locally("≥ one\ntwo") == "xclip"
        assert held.read_text() == "≥ one\ntwo"
        assert time.monotonic() - began < 4, "waited for the background process"

    def test_a_tool_that_keeps_nothing_did_not_copy(self, fake: Path) -> None:
        self.program(fake, "cat >/dev/null; exit 1")
        with pytest.raises(NoLocalClipboardError):
            copy_locally("text")

    def test_a_tool_that_hangs_is_killed(self, fake: Path) -> None:
        pid = fake.with_name("pid")
        self.program(fake, f"echo $$ >{pid}; exec sleep 1000")
        with pytest.raises(NoLocalClipboardError):
            copy_locally("text")
        deadline = time.monotonic() + 5
        while Path(f"/proc/{pid.read_text().strip()}").exists():
            assert time.monotonic() < deadline, "the tool still runs"
            time.sleep(0.01)

    def test_an_interpreter_that_cannot_be_started_is_no_crash(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "executable", "/proc/self/mem")
        with pytest.raises(NoLocalClipboardError, match=r"could be started \(Permission denied"):
            copy_locally("text")

    def test_without_a_display_there_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DISPLAY", raising=False)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        with pytest.raises(NoLocalClipboardError):
            copy_locally("text")


@pytest.mark.pty
@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
@pytest.mark.parametrize(
    ("setting", "arrives", "hinted"),
    [
        ("set -s set-clipboard on", True, False),
        ("set -g allow-passthrough on", True, False),
        ("set -s set-clipboard external", False, True),
    ],
)
def test_what_real_tmux_hands_on(setting: str, arrives: bool, hinted: bool, tmp_path: Path) -> None:
    program = tmp_path / "sender.py"
    program.write_text(
        "import os, sys\nfrom pathlib import Path\nfrom sockui.clipboard import Clipboard\n"
        "board = Clipboard('osc52', os.environ, sys.stdout.write, directory=Path(sys.argv[1]))\n"
        "copied = board.copy('socket ' * 2000)\nsys.stdout.flush()\n"
        "Path(sys.argv[2]).write_text(copied.message)\nprint('COPIED', flush=True)\ninput()\n"
    )
    message = tmp_path / "message"
    server = ["tmux", "-S", str(tmp_path / "tmux"), "-f", "/dev/null"]
    tmux = " ".join(server)
    library = Path(clipboard.__file__).parents[1]
    inside = f"{tmux} {setting}; PYTHONPATH={library} {sys.executable} {program} {tmp_path / 's'} {message}"
    terminal = pexpect.spawn(
        server[0],
        [*server[1:], "new-session", inside],
        env={**os.environ, "TERM": "xterm-256color"},
        dimensions=(24, 80),
        timeout=20,
        encoding="utf-8",
        maxread=100_000,
    )
    try:
        terminal.expect("COPIED")
        seen = terminal.before
        hint = "tmux set -s set-clipboard on" in message.read_text()
    finally:
        terminal.close(force=True)
        subprocess.run([*server, "kill-server"], check=False, capture_output=True)
    sent = re.search(r"\x1b\]52;c?;([A-Za-z0-9+/=]*)\x07", seen)
    if arrives:
        assert sent is not None
        assert base64.b64decode(sent[1]).decode() == "socket " * 2000
    else:
        assert sent is None
    assert hint is hinted
