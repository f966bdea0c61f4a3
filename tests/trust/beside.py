"""One look of sockui between two of ss: what may differ because time passed, and what may not.

Owns the rules, and the counts and words of what was found. Must not read sockets or run anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.ss import SsRow, endpoint, pairs

WRONG_HOLDERS = "wrong holders"
HELD_OVER = "held over a dump that had not got it"
Listed = dict[str, Any]
"""A row of sockui as its JSON has it."""

_EDGES = {  # RFC 9293 section 3.3.2, without those to CLOSED: a connection is not listed any more then
    "CLOSE": ("LISTEN", "SYN_SENT"),
    "SYN_SENT": ("SYN_RECV", "ESTABLISHED"),
    "SYN_RECV": ("ESTABLISHED", "FIN_WAIT1"),
    "ESTABLISHED": ("FIN_WAIT1", "CLOSE_WAIT"),
    "FIN_WAIT1": ("FIN_WAIT2", "CLOSING", "TIME_WAIT"),
    "FIN_WAIT2": ("TIME_WAIT",),
    "CLOSING": ("TIME_WAIT",),
    "CLOSE_WAIT": ("LAST_ACK",),
}


def _reached(state: str) -> frozenset[str]:
    return frozenset({state}).union(*map(_reached, _EDGES.get(state, ())))


_REACHED = {state: _reached(state) for state in (*_EDGES, "TIME_WAIT", "LAST_ACK", "LISTEN")}


def leads_to(protocol: str, before: str, after: str) -> bool:
    """Whether a socket can go from one state to the other, or stay; a UDP socket gets and loses peers at will."""
    if protocol == "udp":
        return {before, after} <= {"UNCONN", "ESTABLISHED"}
    return after in _REACHED[before]


@dataclass(eq=False, slots=True)
class Round:
    """ss, sockui and ss again, one after the other; each by cookie."""

    before: Mapping[int, SsRow]
    ours: Mapping[int, Listed]
    after: Mapping[int, SsRow]
    known: frozenset[int]  # cookies that some earlier look showed, ours or that of ss
    held_over: frozenset[int] = frozenset()  # rows of the look before that this one's dump has not
    alone: bool = False  # sockui had no poll before: it has read every process there is


class Holder(NamedTuple):
    """Who holds a socket, by one side's word alone."""

    kind: str
    inode: int
    pid: int
    fd: int


class Open(NamedTuple):
    """What a round leaves to be proven."""

    alone: set[int]  # cookies that sockui alone lists
    claims: list[Holder]  # sockui names it and neither ss does: true if it was one at some moment of the round
    late: set[Holder]  # both ss name it beside one that sockui names: it came as another descriptor went


@dataclass(slots=True)
class Tally:
    """What many rounds found."""

    rounds: int = 0
    compared: Counter[str] = field(default_factory=Counter)  # kind -> sockets compared, each once in a round
    failed: Counter[str] = field(default_factory=Counter)  # kind -> those of them with a difference
    facts: Counter[str] = field(default_factory=Counter)  # what else was counted, by name
    differences: list[str] = field(default_factory=list)  # the first ones, in words

    def differs(self, kind: str, words: str) -> None:
        """Count a difference that nothing explains."""
        self.failed[kind] += 1
        if len(self.differences) < 20:
            self.differences.append(f"{kind}: {words}")

    def merge(self, other: Tally) -> None:
        """Add another one's counts."""
        self.rounds += other.rounds
        for name in ("compared", "failed", "facts"):
            getattr(self, name).update(getattr(other, name))
        self.differences = (self.differences + other.differences)[:20]


def kind_of(row: SsRow) -> str:
    """Under which heading a socket is counted."""
    if row.protocol == "udp":
        return "UDP"
    if row.family == "inet6":
        return "IPv6" if row.local.startswith("[") else "v4-mapped"
    return "IPv4"


def compare(look: Round, tally: Tally, may_read: Callable[[int], bool] = lambda _: True) -> Open:
    """Count one round.

    ``may_read`` says whether a process's descriptors may be read by whom sockui ran as.
    """
    tally.rounds += 1
    claims: list[Holder] = []
    late: set[Holder] = set()
    for cookie in look.before.keys() & look.after.keys():
        before, after, ours = look.before[cookie], look.after[cookie], look.ours.get(cookie)
        kind = kind_of(after)
        if cookie in look.held_over:  # for one poll: in the next it is missing
            tally.facts[HELD_OVER] += 1
            continue
        tally.compared[kind] += 1
        tally.facts["moved on"] += before.state != after.state
        if ours is None:
            tally.differs(kind, f"missing: {before} then {after}")
            continue
        named = pairs(ours["holders"] or ())
        claims += [Holder(kind, ours["inode"], *holder) for holder in named - before.holders - after.holders]
        if named and not look.alone:
            late |= {Holder(kind, ours["inode"], *holder) for holder in (before.holders & after.holders) - named}
        holders = [*_holders(look, cookie, tally)]
        if not all(may_read(pid) for pid, _ in named):
            holders.append("holder that may not be read")
        tally.facts[WRONG_HOLDERS] += bool(holders)
        if wrong := [*_values(before, ours, after, tally), *holders]:
            tally.differs(kind, f"{'; '.join(wrong)}: {before} then {ours} then {after}")
    tally.facts["listed"] += len(look.ours)
    return Open(look.ours.keys() - look.before.keys() - look.after.keys() - look.held_over, claims, late)


def _values(before: SsRow, ours: Listed, after: SsRow, tally: Tally) -> Iterator[str]:
    if (ours["protocol"], ours["family"]) != (before.protocol, before.family):
        yield "protocol"
    if not (
        leads_to(before.protocol, before.state, ours["state"]) and leads_to(after.protocol, ours["state"], after.state)
    ):
        yield "state"
    if (before.local, before.remote) == (after.local, after.remote):
        local = endpoint(ours["local_address"], ours["local_port"])
        remote = endpoint(ours["remote_address"], ours["remote_port"])
        if (local, remote) != (before.local, before.remote):
            yield "endpoints"
    if before.inode == after.inode and ours["inode"] != before.inode:
        yield "inode"
    if ours["uid"] is None:
        if before.inode and after.inode:
            yield "uid"
    elif before.uid == after.uid != ours["uid"]:
        yield "uid"
    steady = (before.state, before.queues, before.moved) == (after.state, after.queues, after.moved)
    if steady:
        queues = (ours["recv_queue"], ours["send_queue"])
        if before.state == "LISTEN" and queues != before.queues and queues[1] == before.queues[1]:
            tally.facts["accept queues that changed and changed back"] += 1  # it counts nothing that tells
        elif queues != before.queues:
            yield "queues"
        tally.facts["queues compared"] += 1


def _holders(look: Round, cookie: int, tally: Tally) -> Iterator[str]:
    """Whom both ss name, all of them, are named.

    A socket that sockui had not seen before may go without for one poll, where its holder is not among those that are
    read first, and one more holder may be late (``collector.owners``).
    """
    before, ours = look.before[cookie], look.ours[cookie]
    if not before.holders or before.holders != look.after[cookie].holders:
        return
    tally.facts["holders compared"] += 1
    tally.facts["with several holders"] += len(before.holders) > 1
    if ours["holders"] is None and not look.alone and cookie not in look.known:
        tally.facts["new, holder not named yet"] += 1
    elif (lacking := before.holders - (named := pairs(ours["holders"] or ()))) and (look.alone or not named):
        yield f"holders lacking: {sorted(lacking)}"  # those that neither ss names are claims
    elif (ours["pid"], ours["fd"]) not in named:
        yield "pid"
