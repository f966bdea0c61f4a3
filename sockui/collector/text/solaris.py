"""``netstat`` of Solaris and illumos.

Owns its columns (netstat(8), TCP Sockets). Must not decide what a file holds. Swind is the window that the peer gives,
Rwind the one that it is given.
"""

from __future__ import annotations

import re

from sockui.collector.text.endpoint import DOTTED, Endpoint, dotted
from sockui.collector.text.reader import Reader, Seen
from sockui.collector.text.table import SocketTable
from sockui.collector.text.words import state_of
from sockui.model import Known, Protocol, State

_SECTION = re.compile(r"(TCP|UDP|SCTP|RAW)(?:: ?(IPv[46])?)|(Active UNIX) domain sockets")
_HEADING = re.compile(
    r"Local Address\s+Remote Address\s+(?:Swind\s+Send-Q\s+Rwind\s+Recv-Q\s+)?(?:User\s+Pid\s+Command\s+)?State\b.*"
)
_RULE = re.compile(r"-{3,}(?:\s+-{2,})*")
_TCP = re.compile(
    rf"{DOTTED}\s+{DOTTED}"
    r"\s+(\d{1,10})\s+(\d{1,10})\s+(\d{1,10})\s+(\d{1,10})\s+([A-Z][A-Z0-9_]+)(?:\s+.*)?"
)
_UDP = re.compile(rf"{DOTTED}(?:\s+{DOTTED})?\s+(Idle|Unbound|Connected)(?:\s+.*)?")
_ANY = Endpoint(0, 0, 0, 0)
_WITH_WINDOWS = (State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT1, State.FIN_WAIT2, State.CLOSING, State.LAST_ACK)


class SolarisReader(Reader):
    """Reads what netstat of Solaris or illumos printed."""

    def __init__(self, table: SocketTable) -> None:
        super().__init__(table)
        self._family = 0
        self._section = ""

    def read(self, line: str) -> Seen:
        """Take the next line."""
        line = line.strip()
        if found := _TCP.fullmatch(line):
            return self._tcp(found)
        if found := _SECTION.fullmatch(line):
            self._section, self._family = found[1] or found[3], int(found[2][-1]) if found[2] else 0
            return Seen.HEADING
        if _HEADING.fullmatch(line):
            return Seen.HEADING
        if self._section in ("SCTP", "RAW", "Active UNIX") and line:
            return Seen.HEADING if _RULE.fullmatch(line) else Seen.OTHER
        if _RULE.fullmatch(line) and self._section:
            return Seen.HEADING
        if self._section == "UDP" and (found := _UDP.fullmatch(line)):
            return self._udp(found)
        return Seen.UNKNOWN

    def _tcp(self, found: re.Match[str]) -> Seen:
        local_text, remote_text, given, sent, giving, received, word = found.groups()
        state = state_of(word)
        local, remote = dotted(local_text), dotted(remote_text)
        if local is None or remote is None:
            return Seen.CUT
        if state is None or self._section in ("SCTP", "UDP"):
            return Seen.UNKNOWN
        known = Known(0)
        fields: dict[str, int] = {}
        if state != State.LISTEN:
            known |= Known.QUEUES
            fields["recv_queue"], fields["send_queue"] = int(received), int(sent)
        if state in _WITH_WINDOWS:
            known |= Known.WINDOWS
            fields["snd_wnd"], fields["rcv_wnd"] = int(given), int(giving)
        family = self._family or local.family
        added = self._table.add(Protocol.TCP, state, local._replace(family=family), remote, known, **fields)
        return Seen.SOCKET if added else Seen.UNKNOWN

    def _udp(self, found: re.Match[str]) -> Seen:
        local = dotted(found[1], "udp")
        remote = dotted(found[2], "udp") if found[2] else _ANY
        if local is None or remote is None:
            return Seen.CUT
        state = State.ESTABLISHED if found[3] == "Connected" else State.CLOSE
        family = self._family or local.family
        added = self._table.add(Protocol.UDP, state, local._replace(family=family), remote)
        return Seen.SOCKET if added else Seen.UNKNOWN

    def title(self) -> str:
        """The system, and the options that show in the columns."""
        return "Solaris or illumos netstat -an"
