"""/proc/net/tcp, tcp6, udp and udp6 of Linux.

Owns their columns (Documentation/networking/proc_net_tcp.rst; net/ipv4/tcp_ipv4.c:get_tcp4_sock, get_timewait4_sock;
net/ipv4/udp.c:udp4_format_sock). Must not decide what a file holds. Times are counted in USER_HZ, 100 a second.

tx_queue of a listener is always 0, not the backlog, so the queues of listeners stay unknown.
"""

from __future__ import annotations

import re

from sockui.collector.text.endpoint import hexadecimal
from sockui.collector.text.reader import Reader, Seen
from sockui.collector.text.table import MINI_STATES, SocketTable
from sockui.model import Known, Protocol, State, Timer

_HEADING = re.compile(r"(?:\S*/(?:tcp|udp)6?:)?\s*sl\s+local_address\s+rem(?:ote)?_address\s+st\s+tx_queue.*")
_FILE = re.compile(r"==> .*/(tcp|udp)6? <==|/proc/(?:\S+/)?net/(tcp|udp)6?:?")
_ROW = re.compile(
    r"(?:\S*/(tcp|udp)6?:)?\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) "
    r"([0-9A-F]{2}) ([0-9A-F]{8}):([0-9A-F]{8}) ([0-9A-F]{2}):([0-9A-F]{8}) ([0-9A-F]{8})\s+(\d{1,10})\s+(\d{1,10})\s+"
    r"(\d{1,10})((?: .*)?)"
)
_NEW_SYN_RECV = 12


# as plain numbers: an IntFlag takes a microsecond for every |
_INODE = int(Known.INODE)
_MINI = int(Known.MINI)
_QUEUES = int(Known.QUEUES)
_TIMER = int(Known.TIMER)
_UID = int(Known.UID)


class ProcReader(Reader):
    """Reads those files, one after the other or together."""

    def __init__(self, table: SocketTable) -> None:
        super().__init__(table)
        self._protocol: Protocol | None = None
        self._names: set[str] = set()

    def read(self, line: str) -> Seen:
        """Take the next line."""
        if found := _ROW.fullmatch(line.strip()):
            return Seen.SOCKET if self._row(found) else Seen.UNKNOWN
        words = line.strip()
        if _HEADING.fullmatch(words):
            self._protocol = Protocol.UDP if words.endswith("drops") else Protocol.TCP
            return Seen.HEADING
        if found := _FILE.fullmatch(words):
            self._protocol = Protocol.UDP if (found[1] or found[2]) == "udp" else Protocol.TCP
            return Seen.HEADING
        return Seen.UNKNOWN

    def _row(self, found: re.Match[str]) -> bool:
        file, local_address, local_port, remote_address, remote_port, *rest = found.groups()
        code, sent, received, timer, left, retransmits, uid, _, inode, more = rest
        local, remote = hexadecimal(local_address, local_port), hexadecimal(remote_address, remote_port)
        number = int(code, 16)
        number = State.SYN_RECV if number == _NEW_SYN_RECV else number
        if local is None or remote is None or not 0 < number <= State.CLOSING or int(timer, 16) > Timer.DELACK:
            return False
        protocol = Protocol.UDP if file == "udp" else Protocol.TCP if file else self._protocol
        if protocol is None:  # without a heading: a UDP row has two numbers and a pointer more, a TCP row five or none
            protocol = Protocol.UDP if len(more.split()) == 3 else Protocol.TCP
        known = _INODE | _TIMER
        fields = {
            "timer": int(timer, 16),
            "timer_ms": int(left, 16) * 10,
            "retransmits": int(retransmits, 16) & 0xFF,
            "inode": int(inode),
        }
        if number != State.LISTEN:
            known |= _QUEUES
            fields["recv_queue"], fields["send_queue"] = int(received, 16), int(sent, 16)
        if number == State.TIME_WAIT or (protocol == Protocol.TCP and fields["timer"] == Timer.TIMEWAIT):
            known |= _MINI
        elif fields["inode"] or number not in MINI_STATES:
            known |= _UID
            fields["uid"] = int(uid)
        added = self._table.add(protocol, State(number), local, remote, known, **fields)
        if added:
            self._names.add(protocol.name.lower() + ("6" if local.family == 6 else ""))
        return added

    def title(self) -> str:
        """The system, and the options that show in the columns."""
        return "Linux " + ", ".join(f"/proc/net/{name}" for name in sorted(self._names) or ("tcp",))
