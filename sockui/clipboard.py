"""Where copied text goes, and what to tell the user.

Owns the choice between the terminal's clipboard (OSC 52) and this machine's, the sequences for tmux and GNU
screen, and the copy that is always kept in a file. Must not format what is copied, and must never claim more than
is known: a terminal does not answer OSC 52, so text is "sent", not "copied".
"""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sockui.errors import NotKeptError
from sockui.statefile import keep

TERMINAL_LIMIT = 100_000
"""Base64 bytes that OSC 52 may carry. The smallest bound in common use for terminals that accept long text at all
(hterm's osc52.sh, xterm's historical default); above it a terminal may cut or drop the text without a word."""

_SCREEN_CHUNK = 250
"""Bytes of one device control string in GNU screen: it holds 768 (MAXSTR in screen.h), 256 before version 4.2."""

_LOCAL_SECONDS = 2.0  # a clipboard tool whose display hangs never returns

# Runs pyperclip in a child: a hanging tool can be killed, its complaints cannot reach the screen that Textual draws
# on the same terminal, and a desktop toolkit it may load stays out of this process. The tool keeps running to serve
# the selection, so it must not hold the pipe on which the child answers. Reading back proves that it worked: pyperclip
# ignores the tool's exit status. When nobody waits for the answer any more, however sockui ended, the tool ends too.
_CHILD = """
import os, select, signal, sys, threading
answer = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
def end_when_alone():
    alone = select.poll()
    alone.register(answer, 0)
    alone.poll()
    os.killpg(0, signal.SIGKILL)
threading.Thread(target=end_when_alone, daemon=True).start()
import pyperclip
copy, paste = pyperclip.determine_clipboard()
text = sys.stdin.buffer.read().decode()
copy(text)
if paste() != text:
    sys.exit(1)
answer.write(copy.__name__.removeprefix("copy_"))
answer.flush()  # the thread still has it at the end
"""


class NoLocalClipboardError(Exception):
    """No clipboard of this machine took the text; says why."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What became of a copied text."""

    message: str  # what is known, fit to show; a second line is a command that may be needed
    path: Path | None  # where the text is kept; None if it could not be


def copy_locally(text: str) -> str:
    """Put ``text`` on this machine's clipboard and name the tool that took it (``xclip``, ``wl``, ...).

    Raises :class:`NoLocalClipboardError` if there is none, it cannot be started, fails, or does not answer within two
    seconds.
    """
    try:
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", _CHILD],  # -P: a pyperclip.py in the working directory is not ours
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
    except OSError as error:  # no more processes for this user, or an interpreter that it may not execute
        raise NoLocalClipboardError(f"no clipboard tool could be started ({error.strerror})") from None
    try:
        answer, _ = child.communicate(text.encode(errors="backslashreplace"), timeout=_LOCAL_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        raise NoLocalClipboardError(f"the clipboard tool did not answer within {_LOCAL_SECONDS:g} s") from None
    if child.returncode != 0:
        raise NoLocalClipboardError("no clipboard on this machine took it (wl-copy, xclip or xsel)")
    return answer.decode()


def _tmux_takes_text() -> bool:
    """Whether the tmux we are in is known to hand on OSC 52, plain (set-clipboard) or wrapped (allow-passthrough)."""
    try:
        shown = subprocess.run(
            ["tmux", "display-message", "-p", "#{set-clipboard} #{allow-passthrough}"],
            capture_output=True,
            text=True,
            timeout=1,
            check=False,
        ).stdout.split(" ")
    except (OSError, subprocess.TimeoutExpired):
        return False
    return shown[0] == "on" or shown[-1].strip() in ("1", "on", "all")  # tmux 3.3 answers 1, later ones the word


class Clipboard:
    """Sends text to the clipboard that the person at the keyboard pastes from.

    ``mode`` is Config.clipboard: ``auto`` (the terminal over SSH, else this machine's clipboard, else the terminal),
    ``osc52``, ``local`` or ``file``. ``write`` puts a sequence on the terminal, untouched; ``run_local`` is
    :func:`copy_locally`; ``directory`` is where the text is kept, None for the user's state directory.
    """

    def __init__(
        self,
        mode: str,
        environ: Mapping[str, str],
        write: Callable[[str], None],
        run_local: Callable[[str], str] = copy_locally,
        directory: Path | None = None,
    ) -> None:
        self._mode = mode
        self._environ = environ
        self._write = write
        self._run_local = run_local
        self._directory = directory

    def copy(self, text: str) -> Copied:
        """Copy ``text`` without its trailing newlines (pasted into a shell, one would run it) and keep it in a file."""
        text = text.rstrip("\r\n")
        path: Path | None = None
        try:
            path = keep("copied.md", text + "\n", self._directory)
            saved, kept = f"saved to {path}", f", also in {path}"
        except NotKeptError as error:
            saved, kept = f"not saved: {error}", f"; not kept in a file: {error}"
        if self._mode == "file":
            return Copied(saved, path)
        if self._mode == "local" or (self._mode == "auto" and not self._is_remote()):
            try:
                return Copied(f"copied to the clipboard ({self._run_local(text)}){kept}", path)
            except NoLocalClipboardError as error:
                if self._mode == "local":
                    return Copied(f"{error}; {saved}", path)
        payload = base64.b64encode(text.encode(errors="backslashreplace")).decode("ascii")
        if len(payload) > TERMINAL_LIMIT:
            size = len(payload) // 4 * 3 - payload.count("=")
            return Copied(f"too long for the terminal clipboard ({size:,} bytes): {saved}", path)
        return Copied(self._send(f"\x1b]52;c;{payload}\x07") + kept + self._hint(), path)

    def _is_remote(self) -> bool:
        """Over SSH a clipboard on this machine is the wrong one, even where a tool for it answers."""
        return any(self._environ.get(name) for name in ("SSH_CONNECTION", "SSH_TTY", "SSH_CLIENT"))

    def _send(self, sequence: str) -> str:
        """Write an OSC 52 sequence so that it gets through what lies between us and the terminal; say which way."""
        terminal = self._environ.get("TERM", "")
        if self._environ.get("TMUX") or terminal.startswith("tmux"):
            # Plain for `set-clipboard on`, wrapped for `allow-passthrough on`; tmux drops what it does not allow.
            escaped = sequence.replace("\x1b", "\x1b\x1b")
            self._write(f"{sequence}\x1bPtmux;{escaped}\x1b\\")
            return "sent to the terminal through tmux (OSC 52)"
        if self._environ.get("STY") or terminal.startswith("screen"):
            # Never plain: what exceeds screen's buffer it prints as text.
            chunks = [sequence[start : start + _SCREEN_CHUNK] for start in range(0, len(sequence), _SCREEN_CHUNK)]
            self._write("".join(f"\x1bP{chunk}\x1b\\" for chunk in chunks))
            return "sent to the terminal through GNU screen (OSC 52)"
        self._write(sequence)
        return "sent to the terminal (OSC 52)"

    def _hint(self) -> str:
        """The command that makes tmux hand the text on, if it does not say that it does."""
        if not self._environ.get("TMUX") or _tmux_takes_text():
            return ""
        return "\nif it does not paste, run this and copy again: tmux set -s set-clipboard on"
