"""What this socket's own numbers say, one short line each.

Owns the reading of queues, timers and times per state. Must not name causes or remedies, and never reads a
field that the row does not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sockui.ages import AgeSource, bounds
from sockui.diagnosis.situations import Situation
from sockui.knowledge import words
from sockui.model import Known, Owner, Protocol, State, Timer, state_name
from sockui.tracker import Life
from sockui.view.format import count, elapsed, escape, long_duration, remote_endpoint

if TYPE_CHECKING:
    from sockui.view.facts import Facts

HOLDERS_SHOWN = 4

WATCHED = "watched that long"
NARROWED_MS = 100
"""A bound this much better than the one that the kernel's fields give now was kept from earlier polls."""

_SOURCES = {
    AgeSource.OBSERVED: "sockui saw the change",
    AgeSource.TIMER: "from its timer",
    AgeSource.LAST_ACK: "from its last segments",
    AgeSource.BUSY: "from its busy time",
    AgeSource.RETRANSMITS: "from its retransmissions",
    AgeSource.FIRST_SEEN: WATCHED,
}
_FIN_RECEIVED = (State.CLOSE_WAIT, State.LAST_ACK, State.CLOSING)
_FIN_QUEUED = (State.FIN_WAIT1, State.LAST_ACK, State.CLOSING)
_SPEAKING = (State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT1, State.FIN_WAIT2, State.CLOSING, State.LAST_ACK)


def knows(row: Any, group: Known) -> bool:
    """Whether a SOCKET record knows a group of fields."""
    return int(row["known"]) & int(group) == int(group)


def unread_bytes(row: Any) -> int:
    """Bytes in the receive queue without the peer's FIN, which counts as one (tcp_input.c:tcp_fin)."""
    queued = int(row["recv_queue"])
    return queued - 1 if queued and int(row["state"]) in _FIN_RECEIVED else queued


def unsent_bytes(row: Any) -> int:
    """Bytes in the send queue without our FIN or SYN, which count as one."""
    queued = int(row["send_queue"])
    return queued - 1 if queued and int(row["state"]) in (*_FIN_QUEUED, State.SYN_SENT) else queued


def number(amount: int, one: str, many: str = "") -> str:
    """``1 byte``, ``1,300 bytes``; ``many`` where an s is not enough."""
    return f"{count(amount)} {one if amount == 1 else many or one + 's'}"


def at_most(milliseconds: int) -> str:
    """A length of time for an upper bound: like :func:`long_duration`, but rounded up."""
    for limit, step in ((1000, 1), (10_000, 100), (600_000, 1000), (86_400_000, 60_000)):
        if milliseconds < limit:
            return long_duration(-(-milliseconds // step) * step)
    return long_duration(-(-milliseconds // 3_600_000) * 3_600_000)


def interval(min_ms: int, max_ms: int | None) -> str:
    """``40 s`` exact, ``≥ 12 s``, ``≤ 3 h``, ``2 min to 5 min``; empty if nothing is known."""
    if max_ms is None:
        return f"≥ {elapsed(min_ms)}" if min_ms else ""
    if max_ms - min_ms < 1000 or max_ms - min_ms < min_ms // 100:
        return elapsed(min_ms)
    if min_ms < 1000:
        return f"≤ {at_most(max_ms)}"
    return f"{elapsed(min_ms)} to {at_most(max_ms)}"


def lines(facts: Facts) -> tuple[str, ...]:
    """Everything that this socket's numbers say, the most telling first."""
    row, running = facts.row, knows(facts.row, Known.TIMER) and facts.row["timer"] != Timer.OFF
    crowd = [_siblings(facts), _process(facts)]  # a leak is told by how many there are
    leaking = row["state"] == State.CLOSE_WAIT or "fd_pressure" in facts.conditions
    found = [_life(facts), age(facts), *(crowd if leaking else ()), *_queues(facts), *_waits(facts)]
    found += [_timer(facts) if running else "", *owner(facts), *(() if leaking else crowd), _other_end(facts)]
    found += ["" if running else _timer(facts), _heard(row)]
    return tuple(line for line in found if line)


def _life(facts: Facts) -> str:
    if facts.life == Life.MISSED:
        return "Not in the last dump; one absence proves nothing."
    return "As last seen:" if facts.life == Life.ENDED else ""


def age(facts: Facts) -> str:
    """How long it has been in its state, and what says so."""
    if facts.row["protocol"] != Protocol.TCP:
        return ""
    name = state_name(int(facts.row["state"]))
    low, high, kind = int(facts.age["min_ms"]), int(facts.age["max_ms"]), AgeSource(int(facts.age["source"]))
    text = interval(low, None if high < 0 else high)
    source = _SOURCES.get(kind)
    if not text or source is None:
        return f"In {name} since before sockui looked."
    if text[0] != "≤" and _least_watched(facts, low, kind):
        if high < 0:
            source = WATCHED
        elif " to " in text:
            return f"In {name} for {elapsed(low)} (watched) to {at_most(high)} ({source.removeprefix('from its ')})"
    return f"In {name} {'' if text[0] in '≥≤' else 'for '}{text} ({source})"


def _least_watched(facts: Facts, low: int, kind: AgeSource) -> bool:
    """Whether the lower bound rests on earlier polls: the kernel's fields alone give less now."""
    if kind in (AgeSource.OBSERVED, AgeSource.FIRST_SEEN) or facts.life not in (Life.PRESENT, Life.NEW):
        return False
    return (
        low > int(bounds(array_of(facts.row), facts.host, facts.update.snapshot.monotonic)["min_ms"][0]) + NARROWED_MS
    )


def _queues(facts: Facts) -> list[str]:
    row, state = facts.row, int(facts.row["state"])
    if not knows(row, Known.QUEUES):
        return ["Recv-Q and Send-Q are not known from this source."]
    if row["protocol"] == Protocol.UDP:
        return _datagrams(row)
    received, sent = int(row["recv_queue"]), int(row["send_queue"])
    found = []
    if state == State.LISTEN:
        fit = number(sent + 1, "fits", "fit")
        found.append(f"Accept queue: {number(received, 'waits', 'wait')}, {fit} (backlog {count(sent)} + 1)")
        if knows(row, Known.MEMORY) and row["drops"]:
            found.append(f"{number(int(row['drops']), 'SYN or ACK', 'SYNs and ACKs')} dropped since listen()")
        return found
    unread, unsent = unread_bytes(row), unsent_bytes(row)
    if state in _FIN_RECEIVED and received:
        found.append(f"{number(unread, 'unread byte')}; the {'other ' if unread else ''}1 in Recv-Q is the peer's FIN")
    elif state == State.CLOSE_WAIT:
        found.append("Recv-Q 0: read to the end, the peer's FIN too")
    elif received:
        found.append(f"Recv-Q: {number(unread, 'byte')} that {facts.reader} has not read")
    waiting = int(row["notsent_bytes"]) if knows(row, Known.COUNTERS) else 0
    if state in _FIN_QUEUED and sent:
        data = _unsent(unsent, max(waiting - 1, 0))  # the FIN counts as one there too
        found.append(f"{data}; the {'other ' if unsent else ''}1 in Send-Q is our FIN")
        if waiting:
            found.append("The FIN has not been sent yet")
    elif state == State.SYN_SENT and sent:
        found.append("Send-Q: the 1 is our SYN")
    elif sent and state != State.CLOSE:  # a connection that failed or was reset leaves a number behind
        found.append(f"Send-Q: {_unsent(sent, waiting)}")
    return found


def _unsent(queued: int, waiting: int) -> str:
    """What has become of the bytes to send, of which some wait for their first sending."""
    if queued and waiting >= queued:
        return f"{number(queued, 'byte waits', 'bytes wait')}, none of {'it' if queued == 1 else 'them'} sent yet"
    rest = f", {count(waiting)} of them not sent yet" if waiting else ""
    return f"{number(queued, 'byte')} not acknowledged{rest}"


def _datagrams(row: Any) -> list[str]:
    found = []
    if row["recv_queue"]:
        limit = f" of {count(int(row['rcvbuf']))}" if knows(row, Known.MEMORY) else ""
        found.append(f"Recv-Q: {count(int(row['recv_queue']))}{limit} bytes of memory, more than the payload")
    if row["send_queue"]:
        found.append(f"Send-Q: {number(int(row['send_queue']), 'byte')} not sent yet")
    if knows(row, Known.MEMORY):
        found.append(f"{number(int(row['drops']), 'datagram')} dropped since it was opened")
    return found


def _waits(facts: Facts) -> list[str]:
    row, stuck = facts.row, facts.stall
    found = []
    if knows(row, Known.TIMER) and row["retransmits"] and row["timer"] == Timer.ON:
        what = {State.SYN_SENT: "SYN", State.SYN_RECV: "SYN-ACK"}.get(State(int(row["state"])), "retransmission")
        schedule = ""
        if knows(row, Known.INFO):
            schedule = f", back-off {row['backoff']}, RTO {long_duration(int(row['rto']) // 1000)}"
        verb = "repeated" if what != "retransmission" else "unanswered"
        found.append(f"{number(int(row['retransmits']), what)} {verb}{schedule}")
    if stuck is None:
        return found
    how_long = interval(stuck.min_ms, stuck.max_ms)
    if stuck.kind == "outage":
        found.append(f"No acknowledgement for {how_long}")
    elif stuck.kind == "accept":
        found.append(f"Has waited {how_long} for accept()")
    elif stuck.kind == "not_reading":
        found.append(f"The newest unread data came {elapsed(int(row['last_data_recv']))} ago")
        if knows(row, Known.WINDOWS) and row["rcv_wnd"] == 0:
            found.append("Our window is closed (rcv_wnd 0): the peer cannot send")
    else:
        window = f"Peer's window {row['snd_wnd']}" if knows(row, Known.WINDOWS) else "Peer's window too small"
        found.append(f"{window}: no data sent for {how_long}")
        if row["timer"] == Timer.PERSIST and (row["probes"] or row["backoff"]):
            probes = int(row["probes"])
            answered = "The last window probe is not answered yet" if probes else "The peer answers window probes"
            found.append(f"{probes} window probes without answer" if probes > 1 else answered)
    return found


def _timer(facts: Facts) -> str:
    row, state = facts.row, State(int(facts.row["state"]))
    if not knows(row, Known.TIMER) or row["protocol"] != Protocol.TCP or state in (State.LISTEN, State.CLOSE):
        return ""
    left = int(row["timer_ms"])
    when = f"in {long_duration(left)}" if left else "is due"
    timer = int(row["timer"])
    if timer == Timer.TIMEWAIT:
        return f"Its timer ends {when}" if left else "Its timer is due"
    if timer == Timer.KEEPALIVE and facts.situation == Situation.FIN_WAIT2_ORPHAN:
        return f"First half of its time ends {when}" if left else "First half of its time is over"
    if facts.situation == Situation.SYN_RECV_DEFER_ACCEPT:
        return f"Timer {when}, nothing repeated"
    if facts.gives_up:
        return f"Gives up {when}" if left else "Gives up now: its timer is due"
    if facts.gives_up is None:
        return f"Its timer fires {when}" if left else "Its timer is due"
    name = {
        Timer.ON: "Next retransmission" if row["retransmits"] else "Retransmission timer",
        Timer.KEEPALIVE: "Keepalive timer",
        Timer.PERSIST: "Next window probe",
    }
    if timer == Timer.ON and state in (State.SYN_SENT, State.SYN_RECV):
        return f"Next {'SYN' if state == State.SYN_SENT else 'SYN-ACK'} {when}"
    return f"{name[Timer(timer)]} {when}" if timer in name else "No timer runs" if timer == Timer.OFF else ""


def _heard(row: Any) -> str:
    """Times since the last segments; garbage in SYN_SENT and LISTEN.

    last_ack_recv counts every acceptable segment, a repeated FIN too (tcp_input.c:tcp_ack).
    """
    if not knows(row, Known.INFO) or int(row["state"]) not in _SPEAKING or row["protocol"] != Protocol.TCP:
        return ""
    counted = knows(row, Known.COUNTERS)
    received = elapsed(int(row["last_data_recv"])) + " ago"
    sent = elapsed(int(row["last_data_sent"])) + " ago"
    fins = int(row["state"] in (State.CLOSE_WAIT, State.LAST_ACK, State.CLOSING))
    if counted and int(row["bytes_received"]) <= fins:
        received = "none"
    if counted and row["bytes_sent"] == 0:
        sent = "none"
    heard = elapsed(int(row["last_ack_recv"]))
    return f"Peer last heard {heard} ago; data received: {received}, sent: {sent}"


def owner(facts: Facts) -> list[str]:
    """Who holds the socket: a line per holder, or why there is no name."""
    row, kind = facts.row, int(facts.row["owner"])
    if kind == Owner.PROCESS:
        shown = [f"Held by {facts.name(pid)} as fd {fd}" for pid, fd in facts.holders[:HOLDERS_SHOWN]]
        more = len(facts.holders) - len(shown)
        return shown + ([f"and {number(more, 'more holder')}"] if more else [])
    if kind == Owner.LISTENER:
        return [f"Not accepted; the listener is held by {facts.name(int(row['pid']))} as fd {row['fd']}"]
    if facts.situation == Situation.SYN_RECV_DEFER_ACCEPT:
        return ["No process holds it yet: not handed to accept()"]
    if kind == Owner.KERNEL and row["state"] == State.SYN_RECV:
        return ["No process holds it yet: the handshake is not finished"]
    if kind == Owner.KERNEL:
        return ["No process holds it: the kernel finishes alone"]
    if kind == Owner.HIDDEN:
        fix = facts.update.snapshot.coverage.fix  # None: it would not help
        return [f"Held by a process of {facts.user}; {'naming it needs root' if fix else 'which one may not be read'}"]
    if kind == Owner.UNFOUND:
        return [f"No process in sight holds inode {row['inode']}: another PID namespace, or the kernel"]
    return ["Which process holds it is not known"]


def _process(facts: Facts) -> str:
    process = facts.acting
    if process is None:
        return ""
    parts = [f"user {facts.mark(escape(process.user))}"] if process.user else []
    running = int((facts.update.snapshot.taken_at - process.started_at) * 1000)
    if process.started_at and running >= 0:
        parts.append(f"started {elapsed(running)} ago")
    if process.fd_count is not None:
        limit = f" of {count(process.fd_limit)}" if process.fd_limit is not None else ""
        parts.append(f"{count(process.fd_count)}{limit} descriptors")
    return f"{facts.name(process.pid)}: {', '.join(parts)}" if parts else ""


def _siblings(facts: Facts) -> str:
    if facts.time_waits > 1:
        return f"{count(facts.time_waits)} sockets to {remote_endpoint(facts.row)} are in TIME_WAIT"
    if facts.siblings < 2:
        return ""
    return f"{count(facts.siblings)} sockets of {facts.name(facts.pid)} are in {facts.state}"


def _other_end(facts: Facts) -> str:
    peer = facts.peer
    if peer is None:
        return ""
    other = peer.row
    unread = unread_bytes(other) if knows(other, Known.QUEUES) else 0
    does = f"it waits for {words.state(State(int(other['state'])).name.lower()).waits}"
    if peer.unaccepted:
        by = f" by {facts.name(peer.listening_pid)}" if peer.listening_pid else ""
        who, does = f"not accepted yet{by},", "it waits for accept()"
    elif other["owner"] == Owner.KERNEL:
        closed = other["state"] != State.SYN_RECV
        who = "the kernel alone, its process has closed it," if closed else "not accepted,"
    else:
        who = facts.name(peer.pid) if peer.pid else "no process in sight"
        if unread:
            does = "it does not read" if peer.does_not_read else "it has not read them yet"
    left = f", {number(unread, 'byte')} unread" if unread else ""
    return f"Other end, on this host: {who} in {peer.state}{left}; {does}"


def array_of(row: Any) -> Any:
    """The record as an array of one."""
    return np.asarray(row).reshape(1)
