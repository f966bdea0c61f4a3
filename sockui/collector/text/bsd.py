"""``netstat`` of macOS, FreeBSD, OpenBSD, NetBSD, HP-UX and AIX, which print an address, a dot and the port.

Owns their columns (netstat(1) of each). Must not decide what a file holds. Recv-Q and Send-Q of a
listener are always 0 there, so the queues of listeners stay unknown.
"""

from __future__ import annotations

import re

from sockui.collector.text.endpoint import DOTTED, Endpoint, dotted
from sockui.collector.text.reader import Reader, Seen
from sockui.collector.text.table import SocketTable
from sockui.collector.text.words import state_of
from sockui.model import Known, Protocol, State

_HEADING = re.compile(
    r"(?:(PCB/ADDR|Socket|Tcpcb|PCB)\s+)?Proto\s+Recv-Q\s+Send-Q\s+Local Address(\s+)Foreign Address\s+"
    r"(?:\(state\)|State)(.*)"
)
_ROW = re.compile(
    r"(?:[0-9a-f]{8,16}\s+)?(tcp4|tcp6|tcp46|tcp|udp4|udp6|udp46|udp)\s+(\d{1,10})\s+(\d{1,10})\s+"
    rf"{DOTTED}\s+{DOTTED}(?:\s+(\S.*))?"
)
_OTHER = re.compile(
    r"(?:[0-9a-f]{8,16}\s+)?(?:icm[46]|icmp\w*|raw\w*|ip4?6?|sctp[46]?|divert?|unix|kctl|kevt|udplite\w*|igmp)\s.*"
    r"|[0-9a-f]{8,16}\s+(?:stream|dgram|seqpac)\b.*|(?:stream|dgram)\s.*"
)
_TITLE = re.compile(
    r"Active (?:LOCAL \(UNIX\) domain|UNIX domain|Multipath|kernel (?:event|control)|Internet6?|LISTEN)\b.*"
    r"|(?:SADR/PCB|Address)\s+Type\s.*"
)
_NAMED_PID = re.compile(r"(?:\d+\s+){2,4}(\S.{0,60}?):(\d{1,9})(?:\s|$)")
NARROW = 16
"""Characters of an IPv6 address, beyond which netstat without -W cuts it (inet6print)."""


class BsdReader(Reader):
    """Reads what one of those printed."""

    def __init__(self, table: SocketTable) -> None:
        super().__init__(table)
        self._wide = False
        self._columns: list[str] = []  # after the state
        self._system = ""
        self._verbose = False
        self._plain = False  # "tcp" and not "tcp4"

    def read(self, line: str) -> Seen:
        """Take the next line."""
        line = line.strip()
        if found := _ROW.fullmatch(line):
            return self._row(found)
        if found := _HEADING.fullmatch(line):
            pcb, gap, more = found.groups()
            self._wide |= len(gap) > 20
            self._columns = more.split()
            self._verbose = "pid" in self._columns or "process:pid" in self._columns
            self._system = {"PCB/ADDR": "AIX", "Socket": "macOS", "Tcpcb": "FreeBSD"}.get(pcb, self._system)
            if self._verbose:
                self._system = "macOS"
            return Seen.HEADING if "(state)" in line or pcb else Seen.UNKNOWN
        if _TITLE.fullmatch(line):
            return Seen.HEADING
        if len(self._table) and _OTHER.fullmatch(line):
            return Seen.OTHER
        return Seen.UNKNOWN

    def _row(self, found: re.Match[str]) -> Seen:
        name, received, sent, local_text, remote_text, rest = found.groups()
        protocol = Protocol.TCP if name[0] == "t" else Protocol.UDP
        local, remote = self._end(local_text, name), self._end(remote_text, name)
        if local is None or remote is None:
            return Seen.CUT
        word, _, after = (rest or "").partition(" ")
        state = state_of(word) if word else None
        if protocol == Protocol.UDP:
            after = after if state is not None else rest or ""
            state = State.ESTABLISHED if remote.port else State.CLOSE
        elif state is None:
            return Seen.UNKNOWN
        known = Known(0)
        fields: dict[str, int] = {}
        if state != State.LISTEN:
            known |= Known.QUEUES
            fields["recv_queue"], fields["send_queue"] = int(received), int(sent)
        if not self._table.add(protocol, state, local, remote, known, **fields):
            return Seen.UNKNOWN
        self._plain |= name in ("tcp", "udp")
        if self._verbose and state != State.TIME_WAIT:  # that one is the kernel's: the process shown had it before
            self._process(after.strip())
        return Seen.SOCKET

    def _process(self, text: str) -> None:
        """What -v of macOS prints: ``name:pid`` after the buffers, or before macOS 12 the number alone."""
        if found := _NAMED_PID.match(text):
            self._table.hold(int(found[2]), -1, found[1])
        elif "pid" in self._columns:
            words = text.split()
            at = self._columns.index("pid")
            if at < len(words) and words[at].isdecimal() and len(words[at]) < 10:
                self._table.hold(int(words[at]))

    def _end(self, text: str, name: str) -> Endpoint | None:
        """None for a host name, and for an IPv6 address that may have been cut."""
        end = dotted(text, name[:3])
        host = len(text.rpartition(".")[0])
        six = ":" in text
        if six and host > NARROW:
            self._wide = True
        if end is None or (six and host == NARROW and not self._wide):
            return None
        return end._replace(family=6) if name[-1] == "6" else end

    def title(self) -> str:
        """The system, and the options that show in the columns."""
        system = self._system or ("HP-UX or BSD" if self._plain else "macOS, FreeBSD or AIX")
        letters = "Aan" if system == "AIX" else "anv" if self._verbose else "an"
        return f"{system} netstat -{letters}"
