"""``ss`` of iproute2, in any combination of its options, one line or several for a socket.

Owns how ss prints (misc/ss.c). What it prints only if it is not 0 is known to be 0 in the other rows as soon as one
row shows that this listing has it. Must not decide what a file holds.
"""

from __future__ import annotations

import re

from sockui.collector.text.endpoint import colon
from sockui.collector.text.reader import Reader, Seen
from sockui.collector.text.table import MINI_STATES, SocketTable
from sockui.collector.text.words import state_of
from sockui.model import Known, Protocol, Shutdown, State, Timer

_HEADING = re.compile(
    r"(Netid\s+)?(State\s+)?Recv-Q\s+Send-Q\s+Local\s*Address:Port\s+(?:Peer|Remote)\s*Address:Port.*"
)
_TAIL = r"(\d{1,10})\s+(\d{1,10})\s+(\S+)\s+(\S+)(?:\s+(\S.*))?"
_ROWS = {  # by whether there are the columns Netid and State; None: no heading was seen
    (True, True): re.compile(r"()([a-z]\w*)\s+([A-Z][A-Z0-9-]+)\s+" + _TAIL),
    (True, False): re.compile(r"()([a-z]\w*)\s+()" + _TAIL),
    (False, True): re.compile(r"()()([A-Z][A-Z0-9-]+)\s+" + _TAIL),
    (False, False): re.compile(r"()()()" + _TAIL),
    None: re.compile(r"()(?:(tcp|udp)\s+)?([A-Z][A-Z0-9-]+)\s+" + _TAIL),
}
_OTHER = re.compile(r"(?:u_\w+|p_\w+|nl|raw|icmp6?|dccp|sctp|mptcp|tipc|ti_\w+|v_\w+|xdp|\?\?\?)\s")
_PROTOCOLS = {"tcp": Protocol.TCP, "udp": Protocol.UDP}
_USER = re.compile(  # a name has at most 15 bytes, so the longest one that fits is the right one whatever is in it
    r'\("(.{0,15})",(?:pid=)?(\d{1,9}),(?:proc_ctx=[^,]*,)?(?:fd=)?(\d{1,9})(?:,sock_ctx=[^)]*)?\)(?=,\("|\))'
)
_USERS = re.compile(r"((?:timer:\([^()]*\) +)?)users:\(")  # the timer came first until iproute2 3.18
_TIMER_TEXT = re.compile(r"\btimer:\((\w+),([^,()]*),(\d+)\)")
_DETAILS = re.compile(r"(?:\buid:(\d{1,10}) )?\bino:(\d{1,10}) sk:([0-9a-f]{1,16})\b")
_ARROW = re.compile(r" ([<-]-[>-])(?= |$)")
_MEMORY_TEXT = re.compile(r"\bskmem:\(r(\d+),rb(\d+),t\d+,tb(\d+),f\d+,w(\d+),o\d+(?:,bl\d+)?(?:,d(\d+))?\)")
_WORD = re.compile(r"(?<![\w(,])([a-z_]+):(\d[\d.]*(?:e\+\d+)?)(?:/(\d[\d.]*))?")
_TIMERS = {
    "on": Timer.ON,
    "keepalive": Timer.KEEPALIVE,
    "timewait": Timer.TIMEWAIT,
    "persist": Timer.PERSIST,
    "delack": Timer.DELACK,
}
_TIME = re.compile(r"(?:(\d+)min)?(?:(\d+)sec|(?:(\d+)\.)?(\d+)ms)?")
_FIELDS = {  # tcp_info word -> field and factor to its unit
    "rto": ("rto", 1000),
    "backoff": ("backoff", 1),
    "mss": ("snd_mss", 1),
    "pmtu": ("pmtu", 1),
    "cwnd": ("snd_cwnd", 1),
    "bytes_sent": ("bytes_sent", 1),
    "bytes_retrans": ("bytes_retrans", 1),
    "bytes_acked": ("bytes_acked", 1),
    "bytes_received": ("bytes_received", 1),
    "segs_out": ("segs_out", 1),
    "segs_in": ("segs_in", 1),
    "data_segs_out": ("data_segs_out", 1),
    "lastsnd": ("last_data_sent", 1),
    "lastrcv": ("last_data_recv", 1),
    "lastack": ("last_ack_recv", 1),
    "busy": ("busy_time", 1000),
    "rwnd_limited": ("rwnd_limited", 1000),
    "sndbuf_limited": ("sndbuf_limited", 1000),
    "unacked": ("unacked", 1),
    "lost": ("lost", 1),
    "notsent": ("notsent_bytes", 1),
    "minrtt": ("min_rtt", 1000),
    "snd_wnd": ("snd_wnd", 1),
    "rcv_wnd": ("rcv_wnd", 1),
}
_STAR = 0xFFFFFFFF  # interface of a row whose ends are both ``*``, until it is clear which of two notations this is


def milliseconds(text: str) -> int | None:
    """A timer as ss prints it, at its latest: ``9.348ms`` is 9348, ``40sec`` up to 40999, ``1min9sec`` 69999.

    ss prints seconds, a point and three digits of a millisecond under 10 s, and leaves out what is smaller above
    (print_ms_timer). Nothing at all is 0.
    """
    found = _TIME.fullmatch(text)
    if not found:
        return None
    minutes, whole, seconds, thousandths = found.groups()
    if thousandths is not None and not minutes:
        return int(seconds or 0) * 1000 + int(thousandths)
    coarse = 0 if not text else 59_999 if minutes and not whole else 999
    if whole and not minutes and len(whole) == 1:
        coarse = 0  # under 10 s: milliseconds would have been printed
    return int(minutes or 0) * 60_000 + int(whole or 0) * 1000 + coarse


def _users(tail: str) -> tuple[list[tuple[str, str, str]], str]:
    """Holders (name, pid, descriptor), and what follows them: nothing of it if they are damaged."""
    begin = _USERS.match(tail)
    if not begin:
        return [], tail
    users = []
    position = begin.end()
    while found := _USER.match(tail, position):
        users.append((found[1], found[2], found[3]))
        position = found.end()
        if tail[position] == ")":
            return users, begin[1] + tail[position + 1 :]
        position += 1
    return users, begin[1]


def _parts(tail: str) -> tuple[str, str, str]:
    """What ``-o`` and ``-e`` print, the arrow, what ``-i`` and ``-m`` print; the arrow comes after the cgroup."""
    arrows = list(_ARROW.finditer(tail))
    if not arrows:
        return tail, "", tail
    return tail[: arrows[-1].start()], arrows[-1][1], tail[arrows[-1].end() :]


# as plain numbers: an IntFlag takes a microsecond for every |
_COOKIE = int(Known.COOKIE)
_COUNTERS = int(Known.COUNTERS)
_INFO = int(Known.INFO)
_INODE = int(Known.INODE)
_MEMORY = int(Known.MEMORY)
_MINI = int(Known.MINI)
_QUEUES = int(Known.QUEUES)
_TIMER = int(Known.TIMER)
_UID = int(Known.UID)
_WINDOWS = int(Known.WINDOWS)


class SsReader(Reader):
    """Reads what ss printed. A listing without the column Netid is UDP if nothing in it is TCP's alone."""

    def __init__(self, table: SocketTable) -> None:
        super().__init__(table)
        self._columns: tuple[bool, bool] | None = None
        self._ours = False  # the last row of the table came from here
        self._command = ""
        self._letters: set[str] = set()
        self._old = self._new = self._stars = False  # notation of addresses
        self._begin()

    def _begin(self) -> None:
        """A listing begins: what the one before had says nothing about this one."""
        self._first = len(self._table)
        self._shown: set[str] = set()  # words of tcp_info, timer: anything that is printed only if it is not 0
        self._tcp = self._udp = False  # seen: what only TCP, or UDP, has

    def command(self, words: str) -> None:
        """A command ends the listing before it; it may name the one state that the next has."""
        if "ss" in words.split(" ", 1)[0]:
            self._end()
            self._command = words

    def read(self, line: str) -> Seen:
        """Take the next line."""
        if line[:1] in ("\t", " ") and (seen := self._indented(line)):
            return seen
        line = line.strip()
        if found := _HEADING.fullmatch(line):
            self._end()
            self._columns = (found[1] is not None, found[2] is not None)
            return Seen.HEADING
        if _OTHER.match(line) and (self._columns or self._ours):
            self._ours = False
            return Seen.OTHER
        found = _ROWS[self._columns].fullmatch(line)
        self._ours = found is not None and self._row(found)
        if self._ours:
            return Seen.SOCKET
        return Seen.UNKNOWN

    def _indented(self, line: str) -> Seen | None:
        """The second line of a socket (``ss -i`` without ``-O``) begins with a tab."""
        if not self._ours or self._table.last is None:
            return None
        words = line.strip()
        if "skmem:(" not in words and "cwnd:" not in words and "rto:" not in words:
            return None
        more = self._table.update(self._info(words))
        self._letters.discard("O")
        return Seen.MORE if more else None

    def _row(self, found: re.Match[str]) -> bool:
        _, netid, word, received, sent, local_text, remote_text, tail = found.groups()
        state = state_of(word) if word else self._state_of_command()
        protocol = _PROTOCOLS.get(netid or "tcp")
        if state is None or protocol is None:
            return False
        local = colon(local_text, netid or "tcp")
        remote = colon(remote_text, netid or "tcp")
        if local is None or remote is None:
            return False
        known = _QUEUES
        fields = {"recv_queue": int(received), "send_queue": int(sent)}
        if not local.family and not remote.family:
            fields["interface"] = _STAR
            self._stars = True
        elif local_text[0] == "[" or local_text.startswith("0.0.0.0:"):
            self._new = True
        elif local.family == 6:
            self._old = True
        if not netid:
            self._udp |= state == State.CLOSE
            self._tcp |= state not in (State.CLOSE, State.ESTABLISHED)
        users: list[tuple[str, str, str]] = []
        if tail:
            users, rest = _users(tail)
            details, arrow, info = _parts(rest)
            known |= self._details(details, arrow, state, fields)
            words = self._info(info)
            known |= words.pop("known")
            fields.update(words)
        if state == State.TIME_WAIT:
            known |= _MINI
        if not self._table.add(protocol, state, local, remote, known, **fields):
            return False
        self._letters.add("u" if protocol == Protocol.UDP else "t")
        for name, pid, fd in users:
            self._table.hold(int(pid), int(fd), name)
            self._letters.add("p")
        return True

    def _details(self, text: str, arrow: str, state: State, fields: dict[str, int]) -> int:
        known = 0
        if found := _TIMER_TEXT.search(text):
            left = milliseconds(found[2])
            if left is not None and found[1] in _TIMERS:
                known |= _TIMER
                self._shown.add("timer")
                self._tcp = True
                timer = _TIMERS[found[1]]
                fields["timer"], fields["timer_ms"] = timer, left
                # of the others it is the number of probes (net/ipv4/inet_diag.c:inet_sk_diag_fill)
                fields["retransmits" if timer in (Timer.ON, Timer.DELACK) else "probes"] = int(found[3])
        if found := _DETAILS.search(text):
            self._letters.add("e")
            self._shown.add("timer")  # -e is -o too
            known |= _INODE
            fields["inode"] = int(found[2])
            cookie = int(found[3], 16)
            if cookie < 1 << 63:  # before Linux 4.2 it was an address in the kernel, which is used again
                known |= _COOKIE
                fields["cookie"] = cookie
            if arrow:
                known |= _UID
                fields["uid"] = int(found[1] or 0)
                fields["shutdown"] = (arrow[0] == "-") * Shutdown.RECEIVE | (arrow[2] == "-") * Shutdown.SEND
            elif not fields["inode"] and state in MINI_STATES:
                known |= _MINI
        return known

    def _info(self, text: str) -> dict[str, int]:
        """Fields of tcp_info and SK_MEMINFO; ``known`` among them."""
        known = 0
        fields: dict[str, int] = {}
        if found := _MEMORY_TEXT.search(text):
            self._letters.add("m")
            received, rcvbuf, sndbuf, queued, drops = found.groups()
            if drops is not None:
                known |= _MEMORY
                fields["rmem_alloc"], fields["rcvbuf"], fields["sndbuf"] = int(received), int(rcvbuf), int(sndbuf)
                fields["wmem_queued"], fields["drops"] = int(queued), int(drops)
        if "cwnd:" not in text:
            fields["known"] = known
            return fields
        self._letters.update("iO")
        self._tcp = True
        known |= _INFO
        try:
            for word, value, second in _WORD.findall(text):
                if word in _FIELDS:
                    self._shown.add(word)
                    name, factor = _FIELDS[word]
                    fields[name] = int(value) * factor if value.isdecimal() else round(float(value) * factor)
                elif word == "rtt" and second:
                    fields["rtt"], fields["rttvar"] = round(float(value) * 1000), round(float(second) * 1000)
                elif word == "retrans" and second:
                    fields["retrans"], fields["total_retrans"] = int(value), int(second)
        except (ValueError, OverflowError):  # damaged: nothing of it is used
            return {"known": 0}
        fields["known"] = known
        return fields

    def _state_of_command(self) -> State | None:
        """With one state asked for, ss leaves out the column."""
        found = re.search(r"\bstate +([a-z0-9-]+)", self._command)
        return state_of(found[1]) if found else None

    def _end(self) -> None:
        """The listing ends: what it shows anywhere, and not in a row, is 0 in that row."""
        if len(self._table) > self._first:
            rows = self._table.since(self._first)
            if counters := "bytes_sent" in self._shown and not self._table.given_up & _COUNTERS:
                rows = self._table.since(self._first, "min_rtt")
            groups = 0
            if "timer" in self._shown:
                groups |= _TIMER
                self._letters.add("o")
            rows["known"] |= groups
            info = rows["known"] & _INFO != 0
            if counters:
                rows["known"][info] |= _COUNTERS
                unmeasured = info & (rows["min_rtt"] == 0) & (rows["state"] != State.LISTEN)
                rows["min_rtt"][unmeasured] = 0xFFFFFFFF  # the kernel's word for none yet, which ss leaves out
            if {"snd_wnd", "rcv_wnd"} <= self._shown:
                rows["known"][info] |= _WINDOWS
            if self._columns and not self._columns[0]:
                options = "".join(word for word in self._command.split() if word[:1] == "-")
                udp = self._udp and not self._tcp if "u" not in options or "t" in options else not self._tcp
                if udp:
                    rows["protocol"] = Protocol.UDP
                    self._letters.discard("t")
                    self._letters.add("u")
        self._begin()

    def finish(self) -> None:
        """End the last listing, and decide what a lone ``*`` means in this text."""
        self._end()
        if self._stars:
            rows = self._table.since(0)
            starred = rows["interface"] == _STAR
            rows["interface"][starred] = 0
            if (
                self._new or not self._old
            ):  # since iproute2 4.16 ``*`` is IPv6 that takes IPv4 too, before it was 0.0.0.0
                rows["family"][starred] = 6
                rows["local_low"][starred] = rows["remote_low"][starred] = 0

    def notes(self) -> tuple[str, ...]:
        """What keeps rows from being understood."""
        if self._columns and not self._columns[1] and self._state_of_command() is None:
            why = "The list has no column State, because ss was asked for one state"
            return (f"{why}: put its command above it (ss -tn state close-wait).",)
        return ()

    def title(self) -> str:
        """The system, and the options that show in the columns."""
        order = [letter for letter in "tu" if letter in self._letters] + ["an"]
        order += [letter for letter in "piem" if letter in self._letters]
        if "o" in self._letters and "e" not in self._letters:
            order.append("o")
        if "O" in self._letters and "i" in self._letters:
            order.append("O")
        return "Linux ss -" + "".join(order)
