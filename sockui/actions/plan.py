"""Update -> Plan: exactly what an action will hit, what it costs, and what stands in its way.

Owns which sockets and processes may be acted on. Must not act: it looks, and asks the kernel only whether it may.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from signal import Signals

import numpy as np
from numpy.typing import NDArray

from sockui.collector import as_root
from sockui.collector.destroy import Refusal, may_destroy, refusals
from sockui.collector.processes import ProcessTable, with_ancestors
from sockui.errors import ActionError
from sockui.model import Owner, Process, SocketArray, State, state_name
from sockui.tracker import Life, Update
from sockui.view.format import address, count, endpoint, escape

LISTED = 10
"""Processes and peers that a plan names before it says "and 3 more"."""
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL, signal.SIGABRT)
"""Signals that are sent to end a process."""

_LEFT_ALONE = {
    Refusal.NO_COOKIE: "this source names no cookie, so a successor could be hit (--source netlink does)",
    Refusal.UDP: "UDP has no connection to close, the owner would only get an error",
    Refusal.LISTEN: "nobody could connect and the process would not know; end or restart the process instead",
    Refusal.SYN_RECV: "a peer that wants in tries again, and the kernel gives up by itself",
    Refusal.TIME_WAIT: "it ends by itself (60 s) and keeps old segments out of the next connection",
    Refusal.FIN_WAIT2_MINI: "it is closed already, and the kernel ends it by itself",
    Refusal.CLOSE: "there is no connection any more, only what its process has to close()",
}
_TOLD = (State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT1, State.FIN_WAIT2)  # net/ipv4/tcp.c:tcp_need_reset
_WILDCARDS = (0, 0xFFFF << 32)  # low halves of :: and 0.0.0.0
_OWN_FLAG = (State.SYN_SENT, State.FIN_WAIT1, State.CLOSING, State.LAST_ACK)  # send_queue counts our SYN or FIN


@dataclass(frozen=True, eq=False, slots=True)
class Plan:
    """What will be hit. The texts are escaped, and stand in the order in which they are to be shown."""

    title: str  # "Close 12 sockets", "Send SIGTERM to java 4312"
    states: tuple[str, ...]  # "12 CLOSE_WAIT", the most first
    processes: tuple[str, ...]  # "java 4312"; at most LISTED, then "and 3 more"
    peers: tuple[str, ...]  # "10.0.0.5:5432 (12)", the most first; at most LISTED, then "and 3 more"
    left_alone: tuple[str, ...]  # which of the chosen sockets are not hit, and why: sentences
    warnings: tuple[str, ...]  # sentences
    obstacle: str  # why it cannot be done here and now, a sentence; "" it can
    word: str  # what has to be typed; "" nothing
    # --- what is acted on -----------------------------------------------------------------------------
    update: Update  # where all this comes from
    targets: SocketArray  # (n,) SOCKET: what is closed, or what the signalled process holds
    process: Process | None = None  # to be signalled; None: sockets are closed
    signal: Signals | None = None


def plan_close(update: Update, rows: NDArray[np.intp], *, allowed: bool) -> Plan:
    """Plan to close the sockets in ``rows`` of ``update`` with SOCK_DESTROY. Changes nothing.

    Raises :class:`ActionError` if actions are not ``allowed`` (``Config.allow_actions``).
    """
    require(allowed)
    chosen = update.sockets[rows]
    ended = update.life[rows] == Life.ENDED
    refused = np.where(ended, Refusal.NONE, refusals(chosen))
    ours = _held_by(update, chosen, _we_run_under()) & ~ended & (refused == Refusal.NONE)
    left_alone = [f"{sockets(number)} left alone: ended by now."] if (number := int(ended.sum())) else []
    for code, why in _LEFT_ALONE.items():
        if number := int((refused == code).sum()):
            left_alone.append(f"{sockets(number)} left alone: {why}.")
    if number := int(ours.sum()):
        left_alone.append(f"{sockets(number)} left alone: held by a process that this sockui runs under.")
    targets = chosen[~ended & (refused == Refusal.NONE) & ~ours]
    obstacle = "There is nothing to close." if not len(targets) else "" if may_destroy() else lacks_net_admin()
    return Plan(
        title=f"Close {sockets(len(targets))}",
        states=by_state(targets),
        processes=_shortened(process_name(update, pid) for pid in _pids(update, targets)),
        peers=_peers(targets),
        left_alone=tuple(left_alone),
        warnings=tuple(_cost_of_closing(update, targets)),
        obstacle=obstacle,
        word=f"close {len(targets)}" if len(targets) > 1 else "",
        update=update,
        targets=targets,
    )


def plan_signal(update: Update, pid: int, number: Signals, *, allowed: bool) -> Plan:
    """Plan to send a signal to one process. Changes nothing.

    Raises :class:`ActionError` if actions are not ``allowed``, or ``update`` does not have the process.
    """
    require(allowed)
    process = update.snapshot.processes.get(pid)
    if process is None:
        raise ActionError(f"process {pid} is not among those that sockui sees")
    all_of_it = _held_by(update, update.sockets, {pid})
    all_of_it |= (update.sockets["owner"] == Owner.LISTENER) & (update.sockets["pid"] == pid)
    targets = update.sockets[all_of_it & (update.life != Life.ENDED)]
    name = process_name(update, pid)
    typeable = process.name.isascii() and process.name.isprintable() and process.name == process.name.strip() != ""
    return Plan(
        title=f"Send {number.name} to {name}",
        states=by_state(targets),
        processes=(name,),
        peers=_peers(targets),
        left_alone=(),
        warnings=tuple(_cost_of_signal(update, process, number, targets)),
        obstacle=_signal_obstacle(process, name),
        word=process.name if typeable else str(pid),
        update=update,
        targets=targets,
        process=process,
        signal=number,
    )


def require(allowed: bool) -> None:
    """Raise :class:`ActionError` unless the user has switched actions on."""
    if not allowed:
        raise ActionError("actions are off: start sockui with --allow-actions")


def lacks_net_admin() -> str:
    """The sentence for somebody whom the kernel does not let close sockets, or would not."""
    return _lacks("Closing sockets", "CAP_NET_ADMIN in the user namespace that owns this network namespace")


def lacks_kill(process: Process) -> str:
    """The sentence for somebody who may not signal a process."""
    return _lacks(f"Signalling a process of user {escape(process.user)}", "CAP_KILL")


def _lacks(what: str, capability: str) -> str:
    root = as_root()
    how = f"start `{root} --allow-actions`" if root else "this root does not have it (a container?)"
    return f"{what} needs {capability}: {how}."


def sockets(number: int) -> str:
    """``1 socket``, ``1,200 sockets``."""
    return "1 socket" if number == 1 else f"{count(number)} sockets"


def process_name(update: Update, pid: int) -> str:
    """``java 4312``, harmless to show; ``process 4312`` if nothing else is known."""
    process = update.snapshot.processes.get(pid)
    return f"{escape(process.name)} {pid}" if process and process.name else f"process {pid}"


def by_state(rows: SocketArray) -> tuple[str, ...]:
    """``12 CLOSE_WAIT``, ``1 ESTABLISHED``: the most first."""
    names = Counter(state_name(*pair) for pair in zip(rows["state"].tolist(), rows["protocol"].tolist(), strict=True))
    return tuple(f"{count(number)} {name}" for name, number in names.most_common())


def descriptors(update: Update, rows: SocketArray) -> list[tuple[int, int, int]]:
    """Every (pid, descriptor, inode) that is known to refer to one of these sockets."""
    holders = update.snapshot.holders
    held = (holders.inode != 0) & np.isin(holders.inode, rows["inode"])
    columns = (holders.pid[held].tolist(), holders.fd[held].tolist(), holders.inode[held].tolist())
    return list(zip(*columns, strict=True))


def describe(update: Update, held: list[tuple[int, int, int]]) -> str:
    """``fd 7 of java 4312``, ``12 descriptors of java 4312``, ``12 descriptors of 3 processes``; not for none."""
    pids = {pid for pid, _, _ in held}
    whose = process_name(update, held[0][0]) if len(pids) == 1 else f"{len(pids)} processes"
    return f"fd {held[0][1]} of {whose}" if len(held) == 1 else f"{count(len(held))} descriptors of {whose}"


def _held_by(update: Update, rows: SocketArray, pids: set[int]) -> NDArray[np.bool_]:
    holders = update.snapshot.holders
    inodes = holders.inode[np.isin(holders.pid, list(pids))]
    return np.asarray((rows["inode"] != 0) & np.isin(rows["inode"], inodes))


def _we_run_under() -> set[int]:
    """Our own pid and those of our parents: the shell, sudo, sshd; who ends them ends the session that looks on."""
    table = ProcessTable()
    table.refresh()
    return {os.getpid(), *with_ancestors([os.getpid()], table.get)}


def _pids(update: Update, rows: SocketArray) -> list[int]:
    """The processes behind these sockets, a listener's for what is not accepted; the one with most first."""
    pids = Counter(pid for pid, _, _ in descriptors(update, rows))
    pids.update(rows["pid"][rows["owner"] == Owner.LISTENER].tolist())
    return [pid for pid, _ in pids.most_common() if pid]


def _peers(rows: SocketArray) -> tuple[str, ...]:
    far = rows[rows["remote_port"] != 0]
    names = ("remote_high", "remote_low", "remote_port")
    ends = Counter(zip(*(far[name].tolist() for name in names), strict=True))
    texts = ((endpoint(address(high, low, 6), port), number) for (high, low, port), number in ends.most_common())
    return _shortened(f"{text} ({count(number)})" if number > 1 else text for text, number in texts)


def _shortened(texts: Iterable[str]) -> tuple[str, ...]:
    every = tuple(texts)
    return every if len(every) <= LISTED else (*every[:LISTED], f"and {count(len(every) - LISTED)} more")


def _cost_of_closing(update: Update, rows: SocketArray) -> Iterator[str]:
    """What the kernel does to each kind of socket: see ``collector.destroy``."""
    state = rows["state"]
    told = int(np.isin(state, _TOLD).sum())
    if told:
        yield f"{'Its peer gets' if len(rows) == 1 else f'{count(told)} peers get'} a reset (RST)."
    if silent := len(rows) - told:
        yield f"{'Its peer is' if len(rows) == 1 else f'{count(silent)} peers are'} told nothing."
    queued = rows["send_queue"].astype(np.int64) - np.isin(state, _OWN_FLAG)
    if (lost := int(queued.clip(0).sum())) > 0:
        yield f"Up to {count(lost)} bytes that were not acknowledged are lost."
    held = rows["inode"] != 0
    leaked = descriptors(update, rows[state == State.CLOSE_WAIT])
    if leaked:
        stays = "stays" if len(leaked) == 1 else "stay"
        yield f"Frees the kernel's memory only: {describe(update, leaked)} {stays} open, the leak remains."
    if others := descriptors(update, rows[state != State.CLOSE_WAIT]):
        stays = "stays" if len(others) == 1 else "stay"
        yield f"{describe(update, others)} {stays} open; the process learns of it at its next read or write."
    seen = np.isin(rows["inode"], update.snapshot.holders.inode)
    if unseen := int((held & ~seen).sum()):
        yield f"Which process holds {'it' if len(rows) == 1 else f'{count(unseen)} of them'} cannot be seen."
    if queued_up := int((rows["owner"] == Owner.LISTENER).sum()):
        which = "It is" if len(rows) == 1 else f"{count(queued_up)} are"
        yield f"{which} not accepted yet: accept() still returns it, and its first read fails."


def _cost_of_signal(update: Update, process: Process, number: Signals, rows: SocketArray) -> Iterator[str]:
    if number == signal.SIGCONT:
        yield "It goes on if it was stopped; otherwise nothing changes."
    elif number in (signal.SIGSTOP, signal.SIGTSTP):
        yield "It stands still until SIGCONT: it reads nothing and accepts nobody."
    elif number not in ENDING:
        yield f"What {number.name} does is up to the process; most that are not prepared for it end."
    if number not in ENDING:
        return
    if number == signal.SIGKILL:
        yield "It ends at once: nothing is finished or flushed."
    inodes = {inode for pid, _, inode in descriptors(update, rows) if pid != process.pid}
    yield from _cost_of_listeners(update, rows, inodes)
    kept = np.isin(rows["inode"], list(inodes))
    doors = descriptors(update, rows[kept & (rows["state"] == State.LISTEN)])
    queued = (rows["owner"] == Owner.LISTENER) & np.isin(rows["fd"], [fd for pid, fd, _ in doors if pid == process.pid])
    if going := int((~kept & ~queued).sum()):
        which = ", ".join(by_state(rows[~kept & ~queued]))
        yield f"{sockets(going)} {'ends' if going == 1 else 'end'} with it: {which}."
    if inodes:
        stays = "stays: another process holds it" if len(inodes) == 1 else "stay: other processes hold them"
        yield f"{sockets(len(inodes))} {stays} too."
    if waiting := int(queued.sum()):
        wait = "connection waits" if waiting == 1 else "connections wait"
        yield f"{count(waiting)} {wait} on for accept() in another process."
    if process.unit.endswith(".service"):
        yield f"systemd may start {escape(process.unit)} again."


def _cost_of_listeners(update: Update, rows: SocketArray, kept: set[int]) -> Iterator[str]:
    """Where nobody can connect any more, and where one can: ``kept`` are the inodes that other processes hold too."""
    listeners = rows[rows["state"] == State.LISTEN]
    shared = np.isin(listeners["inode"], list(kept))
    joined = ~shared & _joined(update, listeners)
    mixed = set(listeners["local_port"][shared | joined].tolist()) & set(
        listeners["local_port"][~(shared | joined)].tolist()
    )

    def ports(chosen: NDArray[np.bool_]) -> tuple[str, ...]:
        """Their ports in order, with the address where the port alone does not tell which listener is meant."""
        names = ("local_port", "local_high", "local_low", "family")
        ends = sorted(zip(*(listeners[name][chosen].tolist() for name in names), strict=True))
        texts = (
            endpoint(address(high, low, family), port) if port in mixed else str(port)
            for port, high, low, family in ends
        )
        return tuple(dict.fromkeys(texts))

    if alone := ports(~(shared | joined)):
        yield f"Nobody can connect to port {', '.join(_shortened(alone))} until it is started again."
    for stay, one, many in (
        (
            ports(shared),
            "another process holds its listener too, and clients wait if it does not accept",
            "other processes hold their listeners too, and clients wait if those do not accept",
        ),
        (ports(joined), "another process listens on it too", "other processes listen on them too"),
    ):
        if len(stay) == 1:
            yield f"Port {stay[0]} stays open: {one}."
        elif stay:
            yield f"Ports {', '.join(_shortened(stay))} stay open: {many}."


def _joined(update: Update, listeners: SocketArray) -> NDArray[np.bool_]:
    """Which listeners of a process have one of another beside them that takes the same SYNs (SO_REUSEPORT)."""
    every = update.sockets
    others = every[(every["state"] == State.LISTEN) & (update.life != Life.ENDED)]
    others = others[~np.isin(others["inode"], listeners["inode"])]
    found = np.zeros(len(listeners), np.bool_)
    for index, own in enumerate(listeners):
        there = others[(others["local_port"] == own["local_port"]) & (others["family"] == own["family"])]
        there = there[(there["interface"] == 0) | (there["interface"] == own["interface"])]
        same = (there["local_high"] == own["local_high"]) & (there["local_low"] == own["local_low"])
        wildcard = (there["local_high"] == 0) & np.isin(there["local_low"], _WILDCARDS)
        found[index] = (same | wildcard).any()
    return found


def _signal_obstacle(process: Process, name: str) -> str:
    if process.pid in _we_run_under():
        return f"{name} is this sockui, or runs it: it would end your own session."
    if not hasattr(os, "pidfd_open"):
        return "This system has no pidfd: the pid could be another process's by now."
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return f"{name} has ended."
    except OSError as error:
        return f"This kernel offers no pidfd ({error.strerror}): the pid could be another process's by now."
    try:
        signal.pidfd_send_signal(descriptor, 0)  # asks only whether we may
    except ProcessLookupError:
        return f"{name} has ended."
    except PermissionError:
        return lacks_kill(process)
    finally:
        os.close(descriptor)
    return ""
