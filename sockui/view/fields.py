"""What the fields of a socket say: whole columns of values, words and texts, and where they are known.

Owns how each column of ``columns`` is computed from an Update, and the words for owners and timers. Must not
decide which columns there are or how wide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sockui.ages import AgeSource
from sockui.collector.processes import user_name
from sockui.model import How, Known, Owner, Process, Protocol, State, Timer, state_name
from sockui.tracker import Life, Update
from sockui.view import format as fmt
from sockui.view.column import Mask, Words, each, everywhere, has, nulls

FIN_RECEIVED = (State.CLOSE_WAIT, State.LAST_ACK, State.CLOSING)
UNCONN = 12  # code of UDP's CLOSE, after the last State
STATE_WORDS = ("", *(state_name(state) for state in State), "UNCONN")  # by State, then UNCONN
TIMER_WORDS = tuple(timer.name.lower() for timer in Timer)
PROTOCOL_TEXTS = ("tcp", "tcp6", "udp", "udp6")
NOT_ACCEPTED = "(not accepted)"
NOT_ACCEPTED_SHORT = "unaccepted"
OWNERS = tuple(owner.name.lower() for owner in Owner)
AGE_SOURCES = ("", *(source.name.lower() for source in AgeSource if source))  # by AgeSource; NONE is no value
ENDED_NAMES = tuple(how.name.lower() for how in How)  # by How: what the filter compares with
ENDED_TEXTS = {
    How.UNKNOWN: "not known",
    How.NO_CONNECTION: "closed",
    How.CLOSED: "closed",
    How.NORMAL: "both closed",
    How.RESET: "reset",
    How.RESET_BY_PEER: "reset by peer",
    How.RESET_HERE: "reset here",
    How.DISCONNECTED: "aborted here",
    How.UNANSWERED: "unanswered",
    How.TIMED_OUT: "timed out",
    How.REFUSED: "refused",
    How.NO_ANSWER: "no answer",
    How.CONNECT_FAILED: "not connected",
}
"""What a cell says of each."""


# --- where a value is known ---------------------------------------------------------------------------


def not_in(*states: State) -> Callable[[Update], Mask]:
    """Known with tcp_info, except in states where the field is garbage or always 0 (tcp.c:tcp_get_info)."""
    return lambda update: has(update, Known.INFO) & ~np.isin(update.sockets["state"], states)


def counters(update: Update) -> Mask:
    """Byte counters; a listener has none of its own."""
    return np.asarray(has(update, Known.COUNTERS) & (update.sockets["state"] != State.LISTEN))


def bytes_received(update: Update) -> NDArray[np.uint64]:
    """Bytes without the peer's FIN, which the kernel counts as one (tcp_input.c:tcp_fin).

    The state tells that a FIN came; sk_shutdown does not: close() and shutdown(SHUT_RD) set RCV_SHUTDOWN too.
    """
    received = update.sockets["bytes_received"]
    return np.asarray(received - np.minimum(received, np.isin(update.sockets["state"], FIN_RECEIVED)))


def rtt_known(update: Update) -> Mask:
    """A smoothed RTT of 0 is none: there was no sample yet."""
    return np.asarray(has(update, Known.INFO) & (update.sockets["rtt"] > 0))


def holders_known(update: Update) -> Mask:
    """Where every holder is known, nobody too; without the inode one holder hides the others."""
    owned = np.isin(update.sockets["owner"], (Owner.PROCESS, Owner.LISTENER, Owner.KERNEL))
    return owned & has(update, Known.INODE)


def with_pid(update: Update) -> Mask:
    """Where a process is named: a holder or the listener."""
    return np.asarray(update.sockets["pid"] > 0)


def held(update: Update) -> Mask:
    """Where ``fd`` is a descriptor of this socket; that of Owner.LISTENER is its listener's."""
    return np.asarray((update.sockets["owner"] == Owner.PROCESS) & (update.sockets["fd"] >= 0))


def port_set(side: str) -> Callable[[Update], Mask]:
    """Where a side has a port."""
    return lambda update: np.asarray(update.sockets[f"{side}_port"] > 0)


def has_end(side: str) -> Callable[[Update], Mask]:
    """Everywhere locally; remotely where there is a peer."""
    return everywhere if side == "local" else port_set(side)


def age_known(update: Update) -> Mask:
    """Where anything bounds the age."""
    return np.asarray(update.ages["source"] != AgeSource.NONE)


def age_bounded(update: Update) -> Mask:
    """Where the age has an upper bound."""
    return np.asarray(update.ages["max_ms"] >= 0)


def timer_runs(update: Update) -> Mask:
    """Where a timer is running."""
    return np.asarray(has(update, Known.TIMER) & (update.sockets["timer"] != Timer.OFF))


# --- words and texts ----------------------------------------------------------------------------------


def protocol_words(update: Update) -> Words:
    """Protocol names."""
    return ("tcp", "udp"), np.where(update.sockets["protocol"] == Protocol.UDP, 1, 0)


def protocol_texts(update: Update) -> list[str]:
    """``tcp``, ``tcp6``, ``udp`` or ``udp6``."""
    codes = protocol_words(update)[1] * 2 + family_words(update)[1]
    return [PROTOCOL_TEXTS[code] for code in codes.tolist()]


def family_words(update: Update) -> Words:
    """Address families, as ``ss -f`` names them."""
    return ("inet", "inet6"), np.where(update.sockets["family"] == 6, 1, 0)


def state_words(update: Update) -> Words:
    """State names by code; UDP's CLOSE has a code of its own."""
    state = update.sockets["state"]
    unconnected = (state == State.CLOSE) & (update.sockets["protocol"] == Protocol.UDP)
    return STATE_WORDS, np.where(unconnected, UNCONN, state).astype(np.intp)


def state_texts(update: Update) -> list[str]:
    """As the JSON, but that a connected UDP socket says so: at 80 cells there is no column for the protocol."""
    _, codes = state_words(update)
    connected = (update.sockets["protocol"] == Protocol.UDP) & (codes == State.ESTABLISHED)
    return [
        "ESTAB udp" if udp else STATE_WORDS[code] for code, udp in zip(codes.tolist(), connected.tolist(), strict=True)
    ]


def age_source_words(update: Update) -> Words:
    """What the age rests on."""
    return AGE_SOURCES, np.where(age_known(update), update.ages["source"].astype(np.intp), -1)


def user_words(update: Update) -> Words:
    """Names of the distinct uids."""
    uids, codes = np.unique(update.sockets["uid"], return_inverse=True)
    return [fmt.escape(user(update, uid)) for uid in uids.tolist()], np.where(has(update, Known.UID), codes, -1)


def user(update: Update, uid: int) -> str:
    """The name of a uid, its number as text where it has none. Raw: escape it before showing.

    In a text only root has one: that host's users need not be this one's.
    """
    if update.snapshot.source == "text":
        return "root" if uid == 0 else str(uid)
    return user_name(uid)


def owner_words(update: Update) -> Words:
    """Owner names by code."""
    return OWNERS, update.sockets["owner"].astype(np.intp)


def no_process_words(update: Update) -> dict[Owner, str]:
    """What stands where no process can be named; "needs root" only if root would see more."""
    hidden = "needs root" if update.snapshot.coverage.fix else "unreadable"
    return {Owner.KERNEL: "kernel", Owner.HIDDEN: hidden, Owner.UNFOUND: "not in sight", Owner.UNKNOWN: "-"}


def ended_words(update: Update) -> Words:
    """How each row ended; -1: it has not, or the kernel did not tell."""
    codes = np.full(len(update.sockets), -1, np.intp)
    if len(update.endings):
        rows = np.flatnonzero(update.life == Life.ENDED)
        at = update.ending_places(rows)
        codes[rows[at >= 0]] = update.endings["how"][at[at >= 0]]
    return ENDED_NAMES, codes


def ended_texts(update: Update) -> list[str]:
    """``reset by peer``; "" where nothing was told."""
    return [ENDED_TEXTS[How(code)] if code >= 0 else "" for code in ended_words(update)[1].tolist()]


def milliseconds_text(value: float) -> str:
    """``40µs``, ``1.5ms``, ``120ms``."""
    return f"{value * 1000:.0f}µs" if value < 1 else f"{value:.1f}ms" if value < 100 else f"{value:.0f}ms"


def seconds_text(value: float) -> str:
    """Seconds in the coarsest unit."""
    return fmt.duration(value * 1000)


def owner_texts(update: Update) -> list[str]:
    """``name/pid``, or why there is no process."""
    sockets, no_process = update.sockets, no_process_words(update)
    processes = update.snapshot.processes

    def told(owner: int, pid: int) -> str:
        if pid <= 0:
            return no_process.get(Owner(owner), "-")
        process = processes.get(pid)
        text = f"{fmt.escape(process.name) if process else '?'}/{pid}"
        return f"{text} {NOT_ACCEPTED}" if owner == Owner.LISTENER else text

    return each(told, sockets["owner"].tolist(), sockets["pid"].tolist())


def fit_owner(text: str, room: int) -> str:
    """``name/pid`` in exactly ``room`` cells; where both do not fit the name stands alone: half a pid is none.

    Where there is no room to say both by whom a connection is not accepted and that it is not, the second stays.
    """
    name, slash, rest = text.rpartition("/")
    shorter = [text]
    if slash and rest.endswith(NOT_ACCEPTED):
        shorter += [f"{name} {NOT_ACCEPTED}", NOT_ACCEPTED_SHORT]
    elif slash:
        shorter.append(name)
    return fmt.fit(next((each for each in shorter if fmt.cells(each) <= room), shorter[-1]), room)


def command(process: Process) -> str:
    """The command line as one text; shown, never run."""
    return " ".join(process.cmdline)


def timer_words(update: Update) -> Words:
    """Names of the timers by code."""
    return TIMER_WORDS, np.where(has(update, Known.TIMER), update.sockets["timer"].astype(np.intp), -1)


def timer_texts(update: Update) -> list[str]:
    """``on 5s``, ``persist due``; a timer may stay at 0 for up to 2 s before it fires."""
    words = update.sockets["timer"].tolist()
    left = update.sockets["timer_ms"].tolist()
    return [
        f"{TIMER_WORDS[word]} {_time_left(milliseconds)}" if runs else ""
        for word, milliseconds, runs in zip(words, left, timer_runs(update).tolist(), strict=True)
    ]


def _time_left(milliseconds: int) -> str:
    return "due" if milliseconds == 0 else "<1s" if milliseconds < 1000 else fmt.duration(milliseconds)


def queue_texts(field: str) -> Callable[[Update], list[str]]:
    """Bytes; of a listener whole connections."""

    def texts(update: Update) -> list[str]:
        listens = (update.sockets["state"] == State.LISTEN).tolist()
        values = nulls(update.sockets[field].tolist(), has(update, Known.QUEUES))
        return each(
            lambda value, listen: "" if value is None else str(value) if listen else fmt.size(value), values, listens
        )

    return texts


# --- numbers ------------------------------------------------------------------------------------------


def age_min(update: Update) -> NDArray[np.float64]:
    """Seconds, rounded down to a tenth, so that the bound stays true."""
    return np.asarray(update.ages["min_ms"] // 100 / 10)


def age_max(update: Update) -> NDArray[np.float64]:
    """Seconds, rounded up to a tenth; meaningless where not bounded."""
    return np.asarray(-(-update.ages["max_ms"] // 100) / 10)


def age_order(update: Update) -> NDArray[np.int64]:
    """Whole seconds of age, counted so that two sockets keep their order as both grow older."""
    return -((round(update.snapshot.monotonic * 1000) - update.ages["min_ms"]) // 1000)


def age_texts(update: Update) -> list[str]:
    """Intervals as ``format.age`` writes them; that we have watched for less than a minute is no news."""
    watched = update.ages["source"] == AgeSource.FIRST_SEEN
    least = np.where(watched, update.ages["min_ms"] // 60_000 * 60_000, update.ages["min_ms"])
    return each(fmt.age, least.tolist(), update.ages["max_ms"].tolist())


def age_json(update: Update) -> list[Any]:
    """The same, None where nothing is known."""
    return nulls(age_texts(update), age_known(update))


def holders_json(update: Update) -> list[Any]:
    """Every (pid, process, fd) by name. Empty: the kernel alone holds it. None: who does is not known."""
    sockets, snapshot = update.sockets, update.snapshot
    result: list[Any] = []
    fields = (sockets[name].tolist() for name in ("owner", "pid", "fd", "inode", "holders"))
    for known, owner, pid, fd, inode, holders in zip(holders_known(update).tolist(), *fields, strict=True):
        if not known:
            result.append(None)
        elif owner != Owner.PROCESS:
            result.append([])
        else:
            pairs = (snapshot.holders.of(inode) if holders > 1 else []) or [(pid, fd)]
            result.append(
                [
                    {
                        "pid": pid,
                        "process": fmt.escape(snapshot.processes[pid].name) if pid in snapshot.processes else None,
                        "fd": fd if fd >= 0 else None,
                    }
                    for pid, fd in pairs
                ]
            )
    return result


# --- endpoints ----------------------------------------------------------------------------------------


def addresses(side: str) -> Callable[[Update], list[Any]]:
    """Addresses as text; None for the remote one of a socket without a peer."""

    def json(update: Update) -> list[Any]:
        fields = (update.sockets[f"{side}_high"], update.sockets[f"{side}_low"], update.sockets["family"])
        texts = each(fmt.address, *(field.tolist() for field in fields))
        return nulls(texts, has_end(side)(update))

    return json


def endpoint_texts(side: str) -> Callable[[Update], list[str]]:
    """``address:port``; ``*`` for no peer."""
    read_addresses = addresses(side)

    def texts(update: Update) -> list[str]:
        ports = update.sockets[f"{side}_port"].tolist()
        hosts = read_addresses(update)
        return [fmt.endpoint(host, port) if host else "*" for host, port in zip(hosts, ports, strict=True)]

    return texts
