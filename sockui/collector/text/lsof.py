"""``lsof -i`` of Linux, macOS and the BSDs.

Owns its columns (lsof(8), OUTPUT). Must not decide what a file holds. A line is one descriptor of one process: lines
with the same DEVICE are one socket's, which on Linux is its inode and elsewhere an address in the kernel.
"""

from __future__ import annotations

import re

from sockui.collector.text.endpoint import Endpoint, colon
from sockui.collector.text.reader import Reader, Seen
from sockui.collector.text.table import SocketTable
from sockui.collector.text.words import state_of
from sockui.model import Known, Protocol, State

_HEADING = re.compile(
    r"COMMAND\s+PID\s+(?:TID\s+(?:TASKCMD\s+)?)?(?:PGID\s+|PPID\s+)*USER\s+FD\s+TYPE\s+DEVICE\s+.*NAME"
)
_ROW = re.compile(
    r"(\S.{0,200}?)\s+(\d{1,9})\s+(?:\d{1,9}\s+\S{1,20}\s+)?(\S+)\s+(\d{1,9})[a-zA-Z-]{0,3}\s+(IPv[46])\s+"
    r"(\d{1,19}|0x[0-9a-f]{1,16})\s+(?:\S+\s+)?(TCP|UDP)\s+(\S+?)(?:->(\S+))?"
    r"(?:\s+\(([A-Za-z0-9_ ]{1,24})\))?(?:\s+\(.*\))?"
)
_OTHER = re.compile(
    r"\S.{0,200}?\s+\d{1,9}\s+\S+\s+(?:\d+[rwuRWU-]{0,2}|cwd|rtd|txt|mem|DEL|NOFD|err)\s+"
    r"(?!IPv[46]\s.*(?:TCP|UDP)\s)[A-Za-z0-9_]{1,9}\b.*"
)
_ANY = Endpoint(0, 0, 0, 0)


class LsofReader(Reader):
    """Reads what lsof printed."""

    one_row_per_holder = True

    def __init__(self, table: SocketTable) -> None:
        super().__init__(table)
        self._linux = False

    def read(self, line: str) -> Seen:
        """Take the next line."""
        line = line.strip()
        if found := _ROW.fullmatch(line):
            return self._row(found)
        if _HEADING.fullmatch(line):
            return Seen.HEADING
        if len(self._table) and _OTHER.fullmatch(line):
            return Seen.OTHER
        return Seen.UNKNOWN

    def _row(self, found: re.Match[str]) -> Seen:
        command, pid, user, fd, version, device, node, local_text, remote_text, word = found.groups()
        name = node.lower()
        local = colon(local_text, name)
        remote = colon(remote_text, name) if remote_text else _ANY
        if local is None or remote is None:
            return Seen.CUT
        family = int(version[-1])
        protocol = Protocol[node]
        state: State | None = State.ESTABLISHED if remote_text else State.CLOSE
        if protocol == Protocol.TCP:
            state = state_of(word.strip()) if word else None
        if state is None:
            return Seen.UNKNOWN
        known = Known(0)
        fields: dict[str, int] = {}
        if device.isdecimal():
            self._linux = True
            known |= Known.INODE
            fields["inode"] = int(device)
        else:
            fields["cookie"] = int(device, 16)  # not the kernel's cookie: only to bring the lines of a socket together
        if not self._table.add(protocol, state, local._replace(family=family), remote, known, **fields):
            return Seen.UNKNOWN
        numeric = user.isdecimal() and len(user) < 10
        self._table.hold(int(pid), int(fd), command, "" if numeric else user, int(user) if numeric else -1)
        return Seen.SOCKET

    def title(self) -> str:
        """The system, and the options that show in the columns."""
        return f"{'Linux' if self._linux else 'macOS or BSD'} lsof -i"
