"""Who holds a port, until when, and what bind() would meet: what ``sockui explain EADDRINUSE :8080`` says.

Owns the judgement which sockets are in the way of a bind() and what options change, and its words. Must not know the
page that it becomes part of.

In the way is (net/ipv4/inet_connection_sock.c:inet_csk_bind_conflict; measured on Linux 6.18)::

    bind() to, on the port is  v4 any  v4 address, v4-mapped too  v6 any   v6 address
    0.0.0.0                    yes     yes                        yes (1)  no (2)
    v4 address                 yes     the same                   yes (1)  no
    [::] (3)                   yes     yes                        yes      yes
    v6 address                 no      no                         yes      the same

(1) unless that is IPV6_V6ONLY, which no row says. (2) not a socket that was bound to that address, for that makes it
IPv6 only; but a connection whose socket was bound to ``::`` is in the way. (3) if it is IPV6_V6ONLY, IPv6 alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sockui.ages import TIMER_LATE_MS
from sockui.collector.text.endpoint import V4, colon
from sockui.errors import UsageError
from sockui.model import Known, Owner, Protocol, State, state_name
from sockui.tracker import Life, Update
from sockui.view import settings
from sockui.view.evidence import HOLDERS_SHOWN, at_most, knows, number
from sockui.view.facts import Facts
from sockui.view.fields import user
from sockui.view.format import address, count, endpoint, escape, local_endpoint
from sockui.view.page import Block, Section, command, fact, point, section, text
from sockui.view.remedy import from_outside
from sockui.view.shell import quote

LISTED = 8  # listeners and bound sockets that have a line each
_BOUND_LISTED_SINCE = [6, 7]  # the kernel that lists bound TCP sockets: bit 13 of the states, inet_diag.ALL_STATES
_PROTOCOL = re.compile(r"(tcp|udp)(?:\s*:|\s+)(.+)", re.IGNORECASE)
_V6ONLY = "what is there is IPv6 only (IPV6_V6ONLY)"
_BOTH = "all of them and the new socket set SO_REUSEADDR"
_TIME_WAIT_FOLLOWS = (State.ESTABLISHED, State.FIN_WAIT1, State.FIN_WAIT2, State.CLOSING)

Index = NDArray[np.intp]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where somebody wants to bind(), or to connect() to."""

    protocol: Protocol
    family: int  # 4 (v4-mapped too) or 6; 0: no address was named, the wildcard of both
    high: int  # first 64 bits of the address as SOCKET has it
    low: int  # last 64 bits
    port: int  # 1 to 65535

    @property
    def wildcard(self) -> bool:
        """Whether it stands for every address."""
        return self.high == 0 and self.low in (0, V4)

    def __str__(self) -> str:
        where = address(self.high, self.low, self.family) if self.family else "*"
        return ("UDP " if self.protocol == Protocol.UDP else "") + endpoint(where, self.port)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether bind() succeeds now, for a process that may bind the port; None where it cannot be known.

    ``::`` is taken as IPv4 and IPv6, and ``*`` as that. listen() then succeeds too, but of two sockets that were bound
    by SO_REUSEADDR the second to call it gets EADDRINUSE.
    """

    plain: bool | None  # without options
    reuseaddr: bool | None  # with SO_REUSEADDR; None also: only if those in the way have set it too
    reuseport: bool | None  # with SO_REUSEPORT, by the user of those in the way; None the same


def parse_endpoint(text: str) -> Endpoint:
    """``:8080``, ``8080``, ``*:8080``, ``127.0.0.1:8080``, ``[::1]:8080``, each also after ``tcp`` or ``udp``.

    Raises :class:`UsageError` with what is understood.
    """
    protocol, rest = Protocol.TCP, text.strip()
    if named := _PROTOCOL.fullmatch(rest):
        protocol, rest = Protocol[named[1].upper()], named[2].strip()
    if rest.rfind(":") <= 0:
        rest = f"*:{rest.removeprefix(':')}"
    found = colon(rest, protocol.name.lower())
    if found is None or not found.port:
        known = ":8080, 8080, *:8080, 127.0.0.1:8080, [::1]:8080 and udp:8080"
        raise UsageError(f'"{escape(text)}" is no port, and no address and port; understood are {known}')
    mapped = found.high == 0 and found.low >> 32 == V4 >> 32
    return Endpoint(protocol, 4 if mapped else found.family, found.high, found.low, found.port)


def judge(update: Update, wanted: Endpoint) -> Verdict:
    """Say whether bind() to an endpoint succeeds now, by the sockets of an update."""
    return _Port(update, wanted).verdict


def holders(update: Update, wanted: Endpoint) -> tuple[Section, ...]:
    """Say who and what holds a port, until when, and what options would change; the verdict comes first."""
    port = _Port(update, wanted)
    return (
        *section("", text(port.sentence()), *(() if len(port.rows) else port.caveats())),
        *section(f"In the way of {wanted}", *port.each(port.listening), *port.each(port.bound), *port.by_state()),
        *section("What changes it", *(port.changes() if len(port.rows) else ())),
        *section(f"Listens on port {wanted.port}, not in the way", *port.each(port.beside)),
        *section("Look", *port.commands()),
    )


class _Port:
    """What is in the way of a bind(). A few column scans, and few objects however many sockets."""

    def __init__(self, update: Update, wanted: Endpoint) -> None:
        self.update, self.wanted = update, wanted
        self.host, self.sockets = update.snapshot.host, update.sockets
        rows = np.flatnonzero((self.sockets["local_port"] == wanted.port) & (update.life < Life.MISSED))
        rows = rows[self.sockets["protocol"][rows] == wanted.protocol]
        rows = rows[~self._has(rows, Known.MINI) | (self._states(rows) != State.SYN_RECV)]  # requests are not bound
        certain, possible = self._in_the_way(rows)
        self.beside = rows[~(certain | possible) & (self._states(rows) == State.LISTEN)]
        self.rows, self.certain = rows[certain | possible], certain[certain | possible]
        states = self._states(self.rows)
        self.listening, self.bound = self.rows[states == State.LISTEN], self.rows[states == State.CLOSE]
        self.connections = self.rows[(states != State.LISTEN) & (states != State.CLOSE)]

    def _states(self, rows: Index) -> NDArray[np.uint8]:
        return np.asarray(self.sockets["state"][rows])

    def _has(self, rows: Index, group: Known) -> Mask:
        return np.asarray(self.sockets["known"][rows] & int(group) == int(group))

    def _in_the_way(self, rows: Index) -> tuple[Mask, Mask]:
        """Which rows are in the way, and which are unless something holds that is not seen; (n,) each."""
        high, low = self.sockets["local_high"][rows], self.sockets["local_low"][rows]
        v4 = (high == 0) & (low >> np.uint64(32) == V4 >> 32) | (self.sockets["family"][rows] == 4)
        every = (high == 0) & ((low == 0) | (low == V4))
        same = (high == self.wanted.high) & (low == self.wanted.low)
        certain, possible = np.ones(len(rows), np.bool_), np.zeros(len(rows), np.bool_)
        if self.wanted.family == 4 and self.wanted.wildcard:
            certain, possible = v4, ~v4 & (every | (self.sockets["remote_port"][rows] != 0))
        elif self.wanted.family == 4:
            certain, possible = v4 & (every | same), ~v4 & every
        elif not self.wanted.wildcard:
            certain = ~v4 & (every | same)
        device = self.sockets["interface"][rows] != 0  # if that belongs to a VRF, it has ports of its own
        return certain & ~device, possible | certain & device

    @property
    def verdict(self) -> Verdict:
        """What bind() would meet."""
        if not len(self.rows):
            return Verdict(*(True if self._sees_all else None,) * 3)
        certain = self.rows[self.certain]
        refused = False if np.isin(certain, self.listening).any() else None
        return Verdict(False if len(certain) else None, refused, True if self._shared else None)

    @property
    def _sees_all(self) -> bool:
        """Whether all that could be in the way is listed: before 6.7 TCP sockets that are only bound are not."""
        version = list(map(int, re.findall(r"\d+", self.host.system)[:2]))
        udp = self.wanted.protocol == Protocol.UDP
        return self.update.snapshot.source == "netlink" and (udp or version >= _BOUND_LISTED_SINCE)

    @property
    def _shared(self) -> bool:
        """Whether all in the way are listeners that share by SO_REUSEPORT: nothing else lets two have one address."""
        if len(self.listening) < len(self.rows) or not self.certain.all():
            return False
        ends = self.sockets[["local_high", "local_low", "family"]][self.rows]
        return bool(np.unique(ends, return_counts=True)[1].min() > 1)

    @property
    def _outgoing(self) -> bool:
        """Whether the connections may be those of connect(): it chooses such ports, and nobody listens."""
        low, high = (self.host.number("net.ipv4.ip_local_port_range", index) or 0 for index in (0, 1))
        listened = len(self.listening) + len(self.beside)
        return low <= self.wanted.port <= high and len(self.connections) > 0 and not listened

    def sentence(self) -> str:
        """The verdict in words."""
        if not len(self.rows):
            now = "now" if self._sees_all else "unless a socket is only bound to it"
            return f"Nothing in this network namespace is in the way of {self.wanted}: bind() succeeds {now}."
        hidden = "its interface belongs to a VRF" if self.sockets["interface"][self.rows].any() else _V6ONLY
        unless = "" if self.certain.any() else f", unless {hidden}, which cannot be seen here"
        numbers = enumerate(np.bincount(self._states(self.connections)).tolist())
        counts = ", ".join(f"{count(amount)} {state_name(state)}" for state, amount in numbers if amount)
        if len(self.listening):
            also = " They share it by SO_REUSEPORT: another of the same user can join." if self._shared else ""
            also += f" Without SO_REUSEADDR also until its connections have ended: {counts}." if counts else ""
            return f"{self._first(self.listening, 'listens on')}{unless}.{also}"
        if len(self.bound):
            more = f" On the port: {counts}." if counts else ""
            return f"{self._first(self.bound, 'has bound')}{unless}; it succeeds now if {_BOTH}.{more}"
        if self.wanted.protocol == Protocol.UDP:
            return f"UDP, {counts}: bind() fails with EADDRINUSE until all close{unless}; it succeeds now if {_BOTH}."
        old = "the sockets that connected" if self._outgoing else "the old listener"
        last = self._last(self.connections) if (self._states(self.connections) == State.TIME_WAIT).all() else ""
        return (
            f"Nobody listens on {self.wanted}; sockets on it: {counts}. bind() without SO_REUSEADDR fails with "
            f"EADDRINUSE until they end{unless}; with it bind() succeeds now if {old} had set it too, "
            f"else {f'within {last}' if last else 'when they have ended'}."
        )

    def _first(self, rows: Index, does: str) -> str:
        """``nginx 812 (and 2 more processes) listens on 0.0.0.0:80: bind() fails ...``; what is certain comes first."""
        sure = rows[np.isin(rows, self.rows[self.certain])]
        facts = Facts(self.update, int((sure if len(sure) else rows)[0]))
        who, others = self._who(facts), len({pid for pid, _ in facts.holders}) - 1
        who = who if facts.holders else who[0].upper() + who[1:]
        shared = f" (and {number(others, 'more process', 'more processes')})" if others > 0 else ""
        more = f" ({number(len(rows) - 1, 'more socket')} below)" if len(rows) > 1 else ""
        end = "all are closed" if more else "the last of them closes it" if shared else "it is closed"
        where = ("UDP " if self.wanted.protocol == Protocol.UDP else "") + local_endpoint(facts.row)
        return f"{who}{shared} {does} {where}{more}: bind() fails with EADDRINUSE until {end}"

    def _last(self, rows: Index) -> str:
        """When the last of their timers has fired, at most; "" where not all are known."""
        timers = self.sockets["timer_ms"][rows]
        return at_most(int(timers.max()) + TIMER_LATE_MS) if self._has(rows, Known.TIMER).all() else ""

    def _who(self, facts: Facts) -> str:
        """Who holds a socket, or why that has no name."""
        row, uid = facts.row, int(facts.row["uid"])
        if facts.holders:
            return facts.name(facts.pid)
        owner = f"user {escape(user(self.update, uid))} (uid {uid})" if knows(row, Known.UID) else "another user"
        if row["owner"] == Owner.HIDDEN:
            lacking = "without root" if self.update.snapshot.coverage.fix else "with these rights"
            return f"a process of {owner}, which cannot be known {lacking},"
        if row["owner"] == Owner.UNFOUND:
            return f"somebody out of sight ({owner}: another PID namespace, or the kernel)"
        return "the kernel itself" if row["owner"] == Owner.KERNEL else "somebody whom this source does not name"

    def each(self, rows: Index) -> Iterator[Block]:
        """A line for each listener or bound socket, with all of its holders."""
        for index in rows[:LISTED].tolist():
            facts = Facts(self.update, index)
            pids, named = {pid for pid, _ in facts.holders}, []
            for pid, fd in facts.holders[:HOLDERS_SHOWN]:
                process = self.update.snapshot.processes.get(pid)
                child = f", child of {process.ppid}" if process and process.ppid in pids else ""
                named.append(f"{facts.name(pid)} (fd {fd}{child})")
            if more := len(facts.holders) - len(named):
                named.append(number(more, "more descriptor"))
            device = f" on interface {facts.row['interface']}" if facts.row["interface"] else ""
            who = ", ".join(named) or self._who(facts).rstrip(",")
            shared = "All of these must close() it or exit: whoever inherited it keeps it." if len(pids) > 1 else ""
            yield point(f"{facts.state} {local_endpoint(facts.row)}{device}: {who}", shared)
        if len(rows) > LISTED:
            yield point(number(len(rows) - LISTED, "more such socket"))

    def by_state(self) -> Iterator[Block]:
        """A line for each state of connections, those that a process holds first."""
        rows, states = self.connections, self._states(self.connections)
        alone = self._has(rows, Known.MINI) | (states == State.TIME_WAIT)
        alone |= self._has(rows, Known.INODE) & (self.sockets["inode"][rows] == 0)
        for held in (True, False):
            for state in State:
                some = rows[(states == state) & (alone != held)]
                if len(some):
                    ends = self._held(state, some) if held else self._left(state, some)
                    yield point(f"{count(len(some))} {state_name(state, self.wanted.protocol)}, {ends}")
        if self._outgoing:
            yield text(
                "Perhaps connect() chose the port for them (ip_local_port_range); ip_local_reserved_ports prevents it."
            )

    def _held(self, state: State, rows: Index) -> str:
        """``held by java 812 (338), python 9 (2)``: those with most."""
        whose = self.sockets[["owner", "pid", "uid"]][rows]
        _, first, amounts = np.unique(whose, return_index=True, return_counts=True)
        order = np.argsort(-amounts, kind="stable")
        most = [(Facts(self.update, int(rows[first[at]])), count(int(amounts[at]))) for at in order[:HOLDERS_SHOWN]]
        named = [f"{self._who(facts).rstrip(',')} ({size})" for facts, size in most]
        if more := len(order) - len(named):
            named.append(number(more, "more holder"))
        tcp = self.wanted.protocol == Protocol.TCP
        after = "; after a close() TIME_WAIT may follow, 60 s" if tcp and state in _TIME_WAIT_FOLLOWS else ""
        shared = ", some by more than one descriptor" if (self.sockets["holders"][rows] > 1).any() else ""
        return f"held by {', '.join(named)}{shared}: until closed there, or the connection fails{after}."

    def _left(self, state: State, rows: Index) -> str:
        """What ends the connections that no process holds."""
        last = self._last(rows)
        if state == State.TIME_WAIT:
            gone = f"the last ends within {last}" if last else "each ends 60 s after it began"
            return f"no process: {gone}, later if a late segment of the peer starts its 60 s again."
        if state == State.FIN_WAIT2:
            known = last and self._has(rows, Known.MINI).all()
            gone = f"within {last}" if known else f"{settings.times(self.host)['fin_wait2_life']} after it began"
            return f"closed, no process: the last ends {gone}; if the peer's FIN comes, 60 s of TIME_WAIT follow."
        if state in (State.ESTABLISHED, State.CLOSE_WAIT):
            return "not accepted yet: they end with their listener."
        after = "; FIN_WAIT2 and TIME_WAIT may follow" if state in _TIME_WAIT_FOLLOWS else ""
        retries = f"all retries ({settings.retries(self.host)[1]}), later behind a closed window"
        return f"closed, no process: ended by an ACK or RST of the peer, or after {retries}{after}."

    def changes(self) -> Iterator[Block]:
        """What options and other addresses change, where something is in the way."""
        uids = sorted(set(self.sockets["uid"][self.rows[self._has(self.rows, Known.UID)]].tolist()))
        same = "and the user is the same" + (f" (uid {', '.join(map(str, uids[:HOLDERS_SHOWN]))})" if uids else "")
        user = "whoever the user is" if self._has(self.rows, Known.MINI).all() else same
        succeeds = "bind() succeeds if every socket above has it too"
        inherit = "; accepted ones have it from their listener" if len(self.connections) and not self._outgoing else ""
        does = "changes nothing against a listener" if len(self.listening) else f"{succeeds} (not seen here){inherit}"
        yield fact("SO_REUSEADDR", f"{does}.")
        yield fact("SO_REUSEPORT", f"{succeeds} ({'they have' if self._shared else 'not seen here'}), {user}.")
        if len(self.bound) and self.wanted.protocol == Protocol.TCP:
            yield fact("listen()", "of sockets bound to one port by SO_REUSEADDR the second to listen gets EADDRINUSE.")
        high, low = self.sockets["local_high"][self.rows], self.sockets["local_low"][self.rows]
        if self.wanted.wildcard and ((high != 0) | ~np.isin(low, (0, V4))).all():
            yield fact("Address", "only wildcards and these addresses meet them; bind() to another address succeeds.")
        if not self.wanted.family:
            alone = judge(self.update, Endpoint(self.wanted.protocol, 4, 0, V4, self.wanted.port)).plain
            how = "succeeds" if alone else f"succeeds only if {_V6ONLY}; not seen here"
            yield from () if alone is False else (fact("0.0.0.0", f"bind() to it, IPv4 alone, {how}."),)

    def caveats(self) -> Iterator[Block]:
        """What else may refuse where nothing is in the way."""
        yield text("Other network namespaces (containers) are not seen: look in that of the program that fails.")
        if not self._sees_all:
            yield text("TCP sockets that are only bound are not listed: that takes netlink and Linux 6.7.")
        start = self.host.number("net.ipv4.ip_unprivileged_port_start")
        if self.wanted.port < (1024 if start is None else start):
            below = f"net.ipv4.ip_unprivileged_port_start ({'unless set, 1024' if start is None else start})"
            yield text(f"Below {below} bind() without CAP_NET_BIND_SERVICE fails with EACCES, not EADDRINUSE.")
        if not self.wanted.wildcard:
            yield text("If the address is none of this host, bind() fails with EADDRNOTAVAIL.")

    def commands(self) -> Iterator[Block]:
        """What to look at first."""
        sudo = "sudo " if self.update.snapshot.coverage.fix else ""
        if not len(self.rows):
            yield command(f"{sudo}lsns -t net -o NS,NPROCS,PID,COMMAND", "reads: network namespaces")
            return
        only = len(self.listening) == len(self.rows)
        which = "-Huanp" if self.wanted.protocol == Protocol.UDP else "-Hltnp" if only else "-Htanpo"
        look = f"ss {which} {quote(f'sport = :{self.wanted.port}')}"
        yield command(sudo + from_outside(look, self.host.namespace), "reads")
        pids = sorted({pid for index in self.rows[:LISTED].tolist() for pid, _ in Facts(self.update, index).holders})
        if pids:
            yield command(f"ps -o pid,ppid,user,lstart,args -p {','.join(map(str, pids))}", "reads")
