"""``netstat`` of Linux (net-tools old and new, busybox), in any combination of its options.

Owns how it prints (netstat.c:tcp_do_one, finish_this_one). Must not decide what a file holds.

Its Send-Q of a listener is always 0, not the backlog, so the queues of listeners stay unknown.
"""

from __future__ import annotations

import re

from sockui.collector.text.endpoint import COLON, Endpoint, colon
from sockui.collector.text.reader import Reader, Seen
from sockui.collector.text.table import MINI_STATES, SocketTable
from sockui.collector.text.words import language_of, state_of
from sockui.model import Known, Protocol, State, Timer

_HEADING = re.compile(
    r"Proto\s+Recv-Q\s+Send-Q\s+Local Address\s+(?:Foreign|Peer) Address\s+State\b.*|Proto\s+RefCnt\s.*"
)
_ROW = re.compile(rf"(tcp6?|udp6?)\s+(\d{{1,10}})\s+(\d{{1,10}})\s+{COLON}\s+{COLON}(?:\s+(\S.*))?")
_OTHER = re.compile(r"(?:unix|raw6?|udplite6?|udpl6?|sctp6?|dccp6?|icmp6?|ax25|netrom|x25|ipx|l2cap|rfcomm|igmp6?)\s")
_TITLE = re.compile(
    r"Active (?:UNIX|IPX|AX\.25|X\.25|NET/ROM|Bluetooth)\b.*"
    r"|\(Not all processes could be identified.*|.*will not be shown, you would have to be root to see it all\.\)"
)
_TIMER_TEXT = re.compile(r"\s*(\S+) \((\d{1,9}\.\d\d)/(\d{1,9})/(-?\d{1,9})\)$")
_REST = re.compile(r"(?:([^\s/]+)\s+(\d{1,10}))?\s*(?:-|(\d{1,9})/(.*))?")
_TIMERS = {
    "off": Timer.OFF,
    "on": Timer.ON,
    "keepalive": Timer.KEEPALIVE,
    "timewait": Timer.TIMEWAIT,
    "probe": Timer.PERSIST,
    "unkn-4": Timer.PERSIST,
}
NARROW = 22
"""Characters of an address and its port, beyond which netstat without -W cuts the address (addr_do_one)."""


# as plain numbers: an IntFlag takes a microsecond for every |
_INODE = int(Known.INODE)
_MINI = int(Known.MINI)
_QUEUES = int(Known.QUEUES)
_TIMER = int(Known.TIMER)
_UID = int(Known.UID)


class NetstatReader(Reader):
    """Reads what netstat of Linux printed."""

    def __init__(self, table: SocketTable) -> None:
        super().__init__(table)
        self._wide = False
        self._letters: set[str] = set()
        self._language = ""

    def command(self, words: str) -> None:
        """With -W no address is cut."""
        self._wide |= "netstat" in words and re.search(r" (?:-[a-zA-Z]*W|--wide)", words) is not None

    def read(self, line: str) -> Seen:
        """Take the next line."""
        line = line.strip()
        if found := _ROW.fullmatch(line):
            return self._row(found)
        if _OTHER.match(line):
            return Seen.OTHER if len(self._table) else Seen.UNKNOWN
        if _HEADING.fullmatch(line):
            return Seen.HEADING
        language = language_of(line) if "nternet" in line or "インターネット" in line else None
        if language or _TITLE.fullmatch(line):
            self._language = language if language and language != "English" else self._language
            return Seen.HEADING
        return Seen.UNKNOWN

    def _row(self, found: re.Match[str]) -> Seen:
        name, received, sent, local_text, remote_text, rest = found.groups()
        protocol = Protocol.TCP if name[0] == "t" else Protocol.UDP
        local, remote = self._end(local_text, name), self._end(remote_text, name)
        if local is None or remote is None:
            return Seen.CUT
        word, _, after = (rest or "").partition(" ")
        state = state_of(word) if word else None
        if state is None:
            if protocol == Protocol.TCP:
                return Seen.UNKNOWN
            state, after = State.CLOSE, rest or ""
        known = 0
        fields: dict[str, int] = {}
        if state != State.LISTEN:
            known |= _QUEUES
            fields["recv_queue"], fields["send_queue"] = int(received), int(sent)
        if timer := _TIMER_TEXT.search(after):
            after = after[: timer.start()]
            self._letters.add("o")
            if timer[1] in _TIMERS:
                known |= _TIMER
                fields["timer"] = _TIMERS[timer[1]]
                fields["timer_ms"] = round(float(timer[2]) * 1000)
                fields["retransmits"] = int(timer[3]) & 0xFF
        columns = _REST.fullmatch(after.strip())
        if columns is None:
            return Seen.UNKNOWN
        user, inode, pid, program = columns.groups()
        if inode:
            self._letters.add("e")
            known |= _INODE
            fields["inode"] = int(inode)
            if user.isdecimal() and len(user) < 11 and (fields["inode"] or state not in MINI_STATES):
                known |= _UID
                fields["uid"] = int(user)
        if state == State.TIME_WAIT or (protocol == Protocol.TCP and fields.get("timer") == Timer.TIMEWAIT):
            known |= _MINI
        if not self._table.add(protocol, state, local, remote, known, **fields):
            return Seen.UNKNOWN
        self._letters.add(name[0])
        if pid:
            self._letters.add("p")
            self._table.hold(int(pid), -1, program.strip())
        return Seen.SOCKET

    def _end(self, text: str, name: str) -> Endpoint | None:
        """None for a host name, and for an IPv6 address that may have been cut."""
        if len(text) > NARROW + 1:
            self._wide = True
        end = colon(text, name[:3])
        if end is None or (len(text) == NARROW + 1 and text.count(":") > 1 and not self._wide):
            return None
        return end._replace(family=6) if name[-1] == "6" else end

    def title(self) -> str:
        """The system, and the options that show in the columns."""
        letters = "".join(letter for letter in "tu" if letter in self._letters) + "an"
        letters += "".join(letter for letter in "peo" if letter in self._letters)
        return f"Linux netstat -{letters}" + (f" ({self._language})" if self._language else "")
