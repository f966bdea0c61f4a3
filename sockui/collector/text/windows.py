"""``netstat`` of Windows: -an, -ano, -anob, in any language.

Owns its columns, which are the same in every language (learn.microsoft.com, netstat). Must not decide what a file
holds. It tells no queues, timers or inodes.
"""

from __future__ import annotations

import re

from sockui.collector.text.endpoint import COLON, colon
from sockui.collector.text.reader import Reader, Seen
from sockui.collector.text.table import SocketTable
from sockui.collector.text.words import language_of, state_of
from sockui.model import Protocol, State

_ROW = re.compile(
    rf"(TCP|UDP)\s+{COLON}\s+{COLON}"
    r"(?:\s+([^\s\d]\S*))?(?:\s+(\d{1,10}))?(?:\s+(?:InHost|Offloaded|Offloading|Uploading))?"
)
_HEADING = re.compile(r"\S{2,12}(?:\s+\S+){3,9}(?:\s+PID)?")
_PROGRAM = re.compile(r"\[(.{1,260})\]")


class WindowsReader(Reader):
    """Reads what netstat of Windows printed."""

    def __init__(self, table: SocketTable) -> None:
        super().__init__(table)
        self._language = ""
        self._titled = 0  # lines until which the column names are expected
        self._pid = 0  # of the last row, for the name that follows it
        self._ours = False
        self._letters: set[str] = set()

    def read(self, line: str) -> Seen:
        """Take the next line."""
        text = line.strip()
        if found := _ROW.fullmatch(text):
            return self._row(found)
        if language := language_of(text):
            if "nternet" in text:
                return Seen.UNKNOWN
            self._language, self._titled = language, 1
            return Seen.HEADING
        if self._titled and _HEADING.fullmatch(text):
            self._titled = 0
            return Seen.HEADING
        if text.startswith("Proto ") and re.search(r"\S{2}  +\S.*\S  +\S", text) and "-Q" not in text:
            return Seen.HEADING
        if self._ours and (line[:1] == " " or text[:1] == "[") and not text.startswith(("TCP", "UDP")):
            return self._program(text)
        return Seen.UNKNOWN

    def _row(self, found: re.Match[str]) -> Seen:
        node, local_text, remote_text, word, pid = found.groups()
        local, remote = colon(local_text, node.lower()), colon(remote_text, node.lower())
        self._ours = False
        if local is None or remote is None:
            return Seen.CUT
        protocol = Protocol[node]
        state = state_of(word) if word else None
        if protocol == Protocol.UDP and not word:
            state = State.ESTABLISHED if remote.port else State.CLOSE
        if state is None or not self._table.add(protocol, state, local, remote):
            return Seen.UNKNOWN
        self._ours = True
        self._pid = int(pid or 0)
        self._letters.add("o" if pid else "")
        if 0 < self._pid < 1 << 31:  # 0 is nobody's: what the system itself has left over
            self._table.hold(self._pid)
        return Seen.SOCKET

    def _program(self, text: str) -> Seen:
        """``-b`` prints below a row the service, if there is one, and the program in brackets."""
        if found := _PROGRAM.fullmatch(text):
            self._letters.add("b")
            if self._pid:
                self._table.name(self._pid, found[1])
        return Seen.MORE if 0 < len(text) < 300 else Seen.UNKNOWN

    def title(self) -> str:
        """The system, and the options that show in the columns."""
        letters = "an" + "".join(letter for letter in "ob" if letter in self._letters)
        return f"Windows netstat -{letters}" + (f" ({self._language})" if self._language not in ("", "English") else "")
