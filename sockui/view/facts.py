"""Everything about one socket that the words need: its situation, conditions that hold, and values to fill in.

Owns what is looked up for one socket, and the names of placeholders that the files in ``knowledge`` may use.
Must not choose words. A lookup costs a few column scans, whatever the number of sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sockui.diagnosis import situations
from sockui.diagnosis.situations import Situation
from sockui.knowledge import lifetimes
from sockui.model import Host, Known, Owner, Process, Protocol, State, Timer, state_name
from sockui.tracker import Life, Update
from sockui.view import conditions, evidence, settings, stalls
from sockui.view.evidence import knows, number, unread_bytes, unsent_bytes
from sockui.view.fields import user
from sockui.view.format import address, count, elapsed, escape, local_endpoint, long_duration, remote_endpoint

_UNHELD_STATES = (State.ESTABLISHED, State.CLOSE_WAIT)


@dataclass(frozen=True, eq=False)
class Facts:
    """One socket of an update, looked at from all sides; every part is worked out when first asked for."""

    update: Update
    index: int
    mark: Callable[[str], str] = str  # put around every name from outside: a code span for Markdown

    @cached_property
    def row(self) -> Any:
        """Its SOCKET record."""
        return self.update.sockets[self.index]

    @cached_property
    def age(self) -> Any:
        """Its AGE record."""
        return self.update.ages[self.index]

    @cached_property
    def life(self) -> Life:
        """Whether it is there, missed or ended."""
        return Life(int(self.update.life[self.index]))

    @cached_property
    def host(self) -> Host:
        """The host's settings."""
        return self.update.snapshot.host

    @cached_property
    def situation(self) -> Situation:
        """As :func:`sockui.diagnosis.situations.classify` says of all rows."""
        update, rows = self.update, np.array([self.index])
        return Situation(int(situations.classify(update.sockets, update.ages, update.life == Life.ENDED, rows)[0]))

    @cached_property
    def stall(self) -> stalls.Stall | None:
        """How long it has waited for what it waits for."""
        return stalls.stall(self.row)

    @cached_property
    def gives_up(self) -> bool | None:
        """Whether the kernel ends it when its timer fires; None: it may."""
        return stalls.gives_up(self.row, self.host, orphan=self.orphan)

    @property
    def rto(self) -> int:
        """Its retransmission timeout without back-off, ms; the shortest one if that is not known."""
        row = self.row
        if not knows(row, Known.INFO | Known.TIMER):
            return lifetimes.RTO_MIN
        return (int(row["rto"]) // 1000 >> int(row["backoff"] if row["timer"] == Timer.ON else 0)) or lifetimes.RTO_MIN

    @cached_property
    def unaccepted(self) -> bool:
        """Whether it is connected and no accept() has returned it yet."""
        return self._unheld and int(self.row["state"]) in _UNHELD_STATES

    @cached_property
    def orphan(self) -> bool:
        """Whether its process has closed it and the kernel finishes alone."""
        return self._unheld and int(self.row["state"]) not in (*_UNHELD_STATES, State.LISTEN, State.SYN_RECV)

    @cached_property
    def _unheld(self) -> bool:
        return self.row["protocol"] == Protocol.TCP and bool(situations.unheld(evidence.array_of(self.row))[0])

    @property
    def does_not_read(self) -> bool:
        """Whether unread data has waited so long for our application that it is the application."""
        if not knows(self.row, Known.INFO | Known.QUEUES) or not unread_bytes(self.row):
            return False
        closed = knows(self.row, Known.WINDOWS) and self.row["rcv_wnd"] == 0
        return bool(closed or self.row["last_data_recv"] >= situations.UNREAD_MS)

    @cached_property
    def state(self) -> str:
        """Its state's name."""
        return state_name(int(self.row["state"]), int(self.row["protocol"]))

    @cached_property
    def holders(self) -> list[tuple[int, int]]:
        """Every (pid, fd) that holds it; one that is not init first, for init only keeps listeners for others."""
        if self.row["owner"] != Owner.PROCESS:
            return []
        pairs = self.update.snapshot.holders.of(int(self.row["inode"])) if knows(self.row, Known.INODE) else []
        return sorted(pairs or [(int(self.row["pid"]), int(self.row["fd"]))], key=lambda pair: pair[0] == 1)

    @cached_property
    def pid(self) -> int:
        """The holder, or the listener's holder if it was not accepted; 0 unknown."""
        return self.holders[0][0] if self.holders else int(self.row["pid"])

    @cached_property
    def process(self) -> Process | None:
        """The process of :attr:`pid`."""
        return self.update.snapshot.processes.get(self.pid)

    @cached_property
    def user(self) -> str:
        """The owning user's name, or its number."""
        if not knows(self.row, Known.UID):
            return "another user"
        name = user(self.update, int(self.row["uid"]))
        return self.mark(escape(f"uid {name}" if name.isdigit() else name))

    @cached_property
    def reader(self) -> str:
        """Who has to read here."""
        return self.name(self.pid) if self.holders else "our application"

    @cached_property
    def siblings(self) -> int:
        """Sockets of the same process in the same state, itself included; 0 without a process."""
        if not self.holders:
            return 0
        sockets = self.update.sockets
        same = np.flatnonzero((sockets["pid"] == self.row["pid"]) & (self.update.life != Life.ENDED))
        # two protocols share only the codes of ESTABLISHED and CLOSE
        for name in (
            "state",
            "owner",
            *(("protocol",) if self.row["state"] in (State.ESTABLISHED, State.CLOSE) else ()),
        ):
            same = same[sockets[name][same] == self.row[name]]
        return len(same)

    @cached_property
    def time_waits(self) -> int:
        """TIME_WAIT sockets to the same remote address and port, itself included; 0 in another state."""
        return len(self._alike(State.TIME_WAIT)) if self.row["state"] == State.TIME_WAIT else 0

    @cached_property
    def others_established(self) -> bool:
        """Whether another connection to the remote address and port stands."""
        return bool(len(self._alike(State.ESTABLISHED)))

    def _alike(self, state: State) -> Any:
        """Rows in a state with the same remote address and port."""
        sockets, row = self.update.sockets, self.row
        rows = np.flatnonzero((sockets["remote_port"] == row["remote_port"]) & (self.update.life != Life.ENDED))
        for name, value in (("state", state), ("remote_low", row["remote_low"]), ("remote_high", row["remote_high"])):
            rows = rows[sockets[name][rows] == value]
        return rows

    @cached_property
    def peer(self) -> Facts | None:
        """The other end, if it is on this host."""
        return Facts(self.update, self.other, self.mark) if self.other >= 0 else None

    @cached_property
    def same_host(self) -> bool:
        """Whether no network lies between the two ends."""
        high, low = int(self.row["remote_high"]), int(self.row["remote_low"])
        loopback = high == 0 and (low >> 24 == 0xFFFF << 8 | 127 or low == 1)
        ours = (high, low) == (int(self.row["local_high"]), int(self.row["local_low"]))
        return bool(self.row["remote_port"]) and (self.other >= 0 or loopback or ours)

    @cached_property
    def other(self) -> int:
        """Row of the other end if it is on this host: the reversed addresses and ports; -1 if not."""
        row, sockets = self.row, self.update.sockets
        if not row["remote_port"] or not row["local_port"]:
            return -1
        rows = np.flatnonzero(sockets["local_port"] == row["remote_port"])
        ends = (("remote_port", "local_port"), ("local_low", "remote_low"), ("remote_low", "local_low"))
        for theirs, ours in (*ends, ("local_high", "remote_high"), ("remote_high", "local_high")):
            rows = rows[sockets[theirs][rows] == row[ours]]
        rows = rows[(sockets["protocol"][rows] == row["protocol"]) & (self.update.life[rows] != Life.ENDED)]
        rows = rows[rows != self.index]
        return int(rows[0]) if len(rows) else -1

    @cached_property
    def asks(self) -> bool:
        """Whether a listener at its remote end has not let it in yet: a SYN_SENT, or the other end is SYN_RECV."""
        return self.row["state"] == State.SYN_SENT or self.half_accepted

    @cached_property
    def half_accepted(self) -> bool:
        """Whether we are connected and the other end, on this host, is not."""
        return self.other >= 0 and bool(
            self.update.sockets["state"][self.other] == State.SYN_RECV and self.row["state"] != State.SYN_SENT
        )

    @cached_property
    def _listeners(self) -> Any:
        """Listeners on the port that matters: the asked one of a SYN_SENT, else its own; few rows."""
        row, sockets = self.row, self.update.sockets
        if row["protocol"] != Protocol.TCP or not (self.unaccepted or self.asks or row["state"] == State.SYN_RECV):
            return np.empty(0, np.intp)
        port = row["remote_port"] if self.asks else row["local_port"]
        rows = np.flatnonzero((sockets["local_port"] == port) & (self.update.life != Life.ENDED))
        return rows[sockets["state"][rows] == State.LISTEN]

    @cached_property
    def listener(self) -> int:
        """Row of the listener it belongs to (its own if it is one, the fullest of several); -1 none."""
        row, sockets = self.row, self.update.sockets
        if row["state"] == State.LISTEN:
            return self.index
        end = "remote" if self.asks else "local"
        high, low = int(row[f"{end}_high"]), int(row[f"{end}_low"])
        wildcard = (0, 0xFFFF << 32) if high == 0 and low >> 32 == 0xFFFF else (0, 0)
        for wanted in ((high, low), wildcard, (0, 0)):
            rows = [
                i for i in self._listeners if (int(sockets["local_high"][i]), int(sockets["local_low"][i])) == wanted
            ]
            if rows:
                return int(max(rows, key=lambda i: int(sockets["recv_queue"][i])))
        return -1

    def name(self, pid: int) -> str:
        """``java 4312``, harmless to show; ``process 4312`` if nothing else is known."""
        process = self.update.snapshot.processes.get(pid)
        return self.mark(f"{escape(process.name)} {pid}") if process and process.name else f"process {pid}"

    @cached_property
    def conditions(self) -> frozenset[str]:
        """The names of the :attr:`tests` that hold."""
        return frozenset(name for name, holds in self.tests.items() if holds)

    @cached_property
    def tests(self) -> dict[str, bool]:
        """Every condition that the words may name."""
        return conditions.tests(self)

    @cached_property
    def listening_pid(self) -> int:
        """The process that has to accept(); init only if no other holds the listener; 0 unknown."""
        if self.listener < 0:
            return int(self.row["pid"]) if self.row["owner"] == Owner.LISTENER else 0
        holders = [pid for pid, _ in self.update.snapshot.holders.of(int(self.update.sockets["inode"][self.listener]))]
        return next((pid for pid in holders if pid != 1), int(self.update.sockets["pid"][self.listener]))

    @cached_property
    def acting(self) -> Process | None:
        """The process whose descriptors and threads matter: the one that has to accept(), else the holder."""
        return self.update.snapshot.processes.get(self.listening_pid or self.pid)

    @cached_property
    def keepers(self) -> list[tuple[int, int]]:
        """The holders of its listener, or its own."""
        if self.listener < 0:
            return self.holders
        return self.update.snapshot.holders.of(int(self.update.sockets["inode"][self.listener]))

    @property
    def unit(self) -> str | None:
        """A system service that systemctl can restart; not a user's own service, session or slice."""
        process = self.process
        if process is None or not process.unit.endswith(".service") or "user@" in process.cgroup + process.unit:
            return None
        return process.unit

    @cached_property
    def values(self) -> settings.Values:
        """What texts may be filled with; always complete."""
        row = self.row
        listener = self.update.sockets[self.listener] if self.listener >= 0 else None
        backlog, waiting, capacity = "an unknown number", "an unknown number wait", "an unknown number fit"
        if listener is not None and knows(listener, Known.QUEUES):
            waiting, backlog = number(int(listener["recv_queue"]), "waits", "wait"), count(int(listener["send_queue"]))
            capacity = number(int(listener["send_queue"]) + 1, "fits", "fit")
        listening = self.listening_pid
        give_up, setting = self._give_up()
        left = int(row["timer_ms"])
        timer = long_duration(left) if knows(row, Known.TIMER) else settings.UNKNOWN_TIME
        due = "now: it is due" if not left else f"in {timer}"
        holder = self.name(self.pid) if self.holders else "the application"
        if row["owner"] == Owner.HIDDEN:
            holder = f"a process of {self.user}"
        acting, unread, unsent = self.acting, unread_bytes(row), unsent_bytes(row)
        counted = ("datagram",) if row["protocol"] == Protocol.UDP else ("SYN or ACK", "SYNs and ACKs")
        given = {
            **settings.times(self.host, self.rto),
            "state": self.state,
            "holder": holder,
            "its_fd": f"fd {self.holders[0][1]}" if self.holders else "its descriptor",
            "listener": self.name(listening) if listening else "the listening application",
            "peer_app": self._peer_app(),
            "peer_host": self.address("remote") if self.peer is None else "this host",
            "remote": remote_endpoint(row),
            "local": local_endpoint(row),
            "unread": number(unread, "byte"),
            "unread_wait": number(unread, "byte waits", "bytes wait"),
            "queued": number(unsent, "byte"),
            "queued_are": number(unsent, "byte is", "bytes are"),
            "queued_wait": number(unsent, "byte waits", "bytes wait"),
            "recv_queue": number(int(row["recv_queue"]), "byte"),
            "waiting": waiting,
            "backlog": backlog,
            "capacity": capacity,
            "drops": number(int(row["drops"]), *counted),
            "fds": count(acting.fd_count or 0) if acting else "an unknown number",
            "fd_limit": count(acting.fd_limit or 0) if acting else "an unknown number",
            "time_waits": count(self.time_waits),
            "rcvbuf": count(int(row["rcvbuf"])),
            "mss": str(row["snd_mss"]),
            "retransmits": str(row["retransmits"]),
            "syns": number(int(row["retransmits"]), "SYN"),
            "backoff": str(row["backoff"]),
            "probes": str(row["probes"]),
            "idle": elapsed(min(int(row["last_data_sent"]), int(row["last_data_recv"]))),
            "unread_for": elapsed(int(row["last_data_recv"])),
            "timer": timer,
            "in_timer": due if knows(row, Known.TIMER) else "at a time not known here",
            "in_timer_start": (due if left else "Now: the timer is due").capitalize()
            if knows(row, Known.TIMER)
            else "Soon",
            "give_up": give_up,
            "give_up_setting": setting,
        }
        return settings.Values(self.host, given)

    def _peer_app(self) -> str:
        """Whose turn it is at the other end, if that is on this host and known."""
        peer = self.peer
        if peer is not None and peer.unaccepted:
            return self.name(peer.listening_pid) if peer.listening_pid else "the listening application"
        return self.name(peer.pid) if peer is not None and peer.pid else "it"

    def _give_up(self) -> tuple[str, str]:
        """After how long without acknowledgement the next timeout ends it, and which setting says so."""
        times = settings.times(self.host)
        held, closed = settings.retries(self.host)
        if self.orphan:
            return times["orphan_life"], closed
        if "held" in self.conditions or int(self.row["state"]) in _UNHELD_STATES:
            return times["retries2_life"], held
        return f"{times['orphan_life']} once closed, {times['retries2_life']} while held", f"{closed}; {held}"

    def address(self, end: str) -> str:
        """The ``local`` or ``remote`` address without port."""
        row = self.row
        return address(int(row[f"{end}_high"]), int(row[f"{end}_low"]), int(row["family"]))
