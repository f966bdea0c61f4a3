"""Everything about one socket that the words need: its situation, conditions that hold, and values to fill in.

Owns the names of conditions and placeholders that the files in ``knowledge`` may use. Must not choose
words. A lookup costs a few column scans, whatever the number of sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sockui.diagnosis import situations
from sockui.diagnosis.situations import Situation
from sockui.model import Host, Known, Owner, Process, Protocol, State, Timer, state_name
from sockui.tracker import Life, Update
from sockui.view import evidence, settings
from sockui.view.evidence import Stall, knows, unread_bytes, unsent_bytes
from sockui.view.format import address, count, escape, local_endpoint, long_duration, remote_endpoint

NEARLY_OVER_MS = 2_000
"""A TIME_WAIT last seen with so little left, and gone at the next poll, ran out; with more it may have been taken."""
SMALL_BACKLOG = 128
FD_PRESSURE = (9, 10)
"""This share of its descriptor limit in use is pressure."""
ONE_WAY_MS = 500
"""The peer was heard this much later than the loss began: more than the times' own inaccuracy."""

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
        rows = np.array([self.index])
        return Situation(int(situations.classify(self.update.sockets, self.update.ages, rows)[0]))

    @cached_property
    def stall(self) -> Stall | None:
        """How long it has waited for what it waits for."""
        return evidence.stall(self.row)

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
        uid = int(self.row["uid"])
        names = (process.user for process in self.update.snapshot.processes.values() if process.uid == uid)
        return self.mark(escape(next(names, f"uid {uid}")))

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
        same = sockets["pid"] == self.row["pid"]
        # two protocols share only the codes of ESTABLISHED and CLOSE
        for name in (
            "state",
            "owner",
            *(("protocol",) if self.row["state"] in (State.ESTABLISHED, State.CLOSE) else ()),
        ):
            same &= sockets[name] == self.row[name]
        return int(np.count_nonzero(same & (self.update.life != Life.ENDED)))

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
        state = int(row["state"])
        unaccepted = state in _UNHELD_STATES and bool(situations.unheld(evidence.array_of(row))[0])
        if row["protocol"] != Protocol.TCP or not (unaccepted or self.asks or state == State.SYN_RECV):
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
        """Every condition that ``when`` and ``unless`` may name; one that cannot be known does not hold."""
        row, one, process = self.row, evidence.array_of(self.row), self.acting
        state, tcp = int(row["state"]), row["protocol"] == Protocol.TCP
        queues, timer, info = (knows(row, group) for group in (Known.QUEUES, Known.TIMER, Known.INFO))
        unheld, mini = bool(situations.unheld(one)[0]), knows(row, Known.MINI)
        retransmitting = bool(situations.retransmitting(one)[0])
        keepers = {pid for pid, _ in self._keepers}
        used, limit = (process.fd_count or 0, process.fd_limit or 0) if process else (0, 0)
        counted = used > 0 and limit > 0
        fin_timeout = self.host.number("net.ipv4.tcp_fin_timeout") or 0
        low, high = (
            self.host.number("net.ipv4.ip_local_port_range"),
            self.host.number("net.ipv4.ip_local_port_range", 1),
        )
        listener = self.update.sockets[self.listener] if self.listener >= 0 else None
        heard_since = bool(self.stall and self.stall.min_ms > int(row["last_ack_recv"]) + ONE_WAY_MS)
        orphan = tcp and unheld and state not in (*_UNHELD_STATES, State.LISTEN, State.SYN_RECV)
        ephemeral = low is not None and high is not None and low <= row["local_port"] <= high
        return {
            "mini": mini,
            "queues": queues,
            "held": bool(self.holders) or (knows(row, Known.INODE) and row["inode"] != 0),
            "orphan": orphan,
            "unaccepted": tcp and unheld and state in _UNHELD_STATES,
            "init": self.pid == 1,
            "unit": self.unit is not None,
            "shared": len(keepers) > 1,
            "sole": len(keepers) == 1 and not self.update.snapshot.coverage.gaps,
            "fd_pressure": counted and used * FD_PRESSURE[1] >= limit * FD_PRESSURE[0],
            "fds_fine": counted and used * FD_PRESSURE[1] < limit * FD_PRESSURE[0],
            "local_peer": self.other >= 0,
            "keepalive": timer and row["timer"] == Timer.KEEPALIVE and not orphan,
            "zero_window": tcp and bool(situations.zero_window(one)[0]),
            "retransmitting": tcp and retransmitting,
            "unreachable": retransmitting and state != State.SYN_SENT and bool(situations.back_off_undone(one)[0]),
            "one_way": self.stall is not None and self.stall.kind == "outage" and heard_since,
            "probes_unanswered": info and timer and row["timer"] == Timer.PERSIST and row["probes"] > 1,
            "unread": queues and state != State.LISTEN and unread_bytes(row) > 0,
            "only_fin": queues and state == State.CLOSE_WAIT and row["recv_queue"] == 1,
            "unacked": queues and state != State.LISTEN and row["send_queue"] > 0,
            "fin_unsent": state == State.FIN_WAIT1 and knows(row, Known.COUNTERS) and row["notsent_bytes"] > 0,
            "full_segments": info and queues and 0 < row["snd_mss"] <= row["send_queue"],
            "window_closed": knows(row, Known.WINDOWS) and row["rcv_wnd"] == 0,
            "never_used": knows(row, Known.COUNTERS) and row["bytes_sent"] == 0 and row["bytes_received"] == 0,
            "waiting": queues and state == State.LISTEN and row["recv_queue"] > 0,
            "queue_full": listener is not None and listener["recv_queue"] > listener["send_queue"],
            "small_backlog": listener is not None and listener["send_queue"] <= SMALL_BACKLOG,
            "refused": state == State.LISTEN and knows(row, Known.MEMORY) and row["drops"] > 0,
            "half_accepted": self.half_accepted,
            "first_data": (ephemeral or self.half_accepted)  # we connected, and nothing of ours ever arrived
            and knows(row, Known.COUNTERS)
            and row["bytes_acked"] <= 1
            and row["bytes_received"] == 0,
            "ephemeral": ephemeral,
            "fin_timeout_doubled": fin_timeout > 60,
            "fin_timeout_trap": 60 < fin_timeout < 120,
            "nearly_over": timer and row["timer_ms"] <= NEARLY_OVER_MS,
            "others_established": state == State.SYN_SENT and self._others_established,
        }

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
    def _keepers(self) -> list[tuple[int, int]]:
        """The holders of its listener, or its own."""
        if self.listener < 0:
            return self.holders
        return self.update.snapshot.holders.of(int(self.update.sockets["inode"][self.listener]))

    @property
    def _others_established(self) -> bool:
        sockets, row = self.update.sockets, self.row
        rows = np.flatnonzero((sockets["remote_port"] == row["remote_port"]) & (self.update.life != Life.ENDED))
        rows = rows[(sockets["remote_low"][rows] == row["remote_low"]) & (sockets["state"][rows] == State.ESTABLISHED)]
        return bool((sockets["remote_high"][rows] == row["remote_high"]).any())

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
        waiting = backlog = capacity = "an unknown number"
        if listener is not None and knows(listener, Known.QUEUES):
            waiting, backlog = count(int(listener["recv_queue"])), count(int(listener["send_queue"]))
            capacity = count(int(listener["send_queue"]) + 1)
        listening = self.listening_pid
        give_up, setting = self._give_up()
        left = int(row["timer_ms"])
        timer = long_duration(left) if knows(row, Known.TIMER) else settings.UNKNOWN_TIME
        due = "now: it is due" if not left else f"in {timer}"
        holder = self.name(self.pid) if self.holders else "the application"
        if row["owner"] == Owner.HIDDEN:
            holder = f"a process of {self.user}"
        other = self.update.sockets[self.other] if self.other >= 0 else None
        peer = "this host" if other is not None else self.address("remote")
        given = {
            **settings.times(self.host),
            "state": self.state,
            "holder": holder,
            "its_fd": f"fd {self.holders[0][1]}" if self.holders else "its descriptor",
            "listener": self.name(listening) if listening else "the listening application",
            "peer_app": self.name(int(other["pid"])) if other is not None and other["pid"] else "it",
            "peer_host": peer,
            "remote": remote_endpoint(row),
            "local": local_endpoint(row),
            "unread": count(unread_bytes(row)),
            "queued": count(unsent_bytes(row)),
            "recv_queue": count(int(row["recv_queue"])),
            "waiting": waiting,
            "backlog": backlog,
            "capacity": capacity,
            "drops": count(int(row["drops"])),
            "rcvbuf": count(int(row["rcvbuf"])),
            "mss": str(row["snd_mss"]),
            "retransmits": str(row["retransmits"]),
            "backoff": str(row["backoff"]),
            "probes": str(row["probes"]),
            "idle": long_duration(min(int(row["last_data_sent"]), int(row["last_data_recv"]))),
            "unread_for": long_duration(int(row["last_data_recv"])),
            "timer": timer,
            "in_timer": due if knows(row, Known.TIMER) else "at a time not known here",
            "in_timer_start": (due if left else "Now: the timer is due").capitalize()
            if knows(row, Known.TIMER)
            else "Soon",
            "give_up": give_up,
            "give_up_setting": setting,
        }
        return settings.Values(self.host, given)

    def _give_up(self) -> tuple[str, str]:
        """After how long without acknowledgement the next timeout ends it, and which setting says so."""
        times = settings.times(self.host)
        held, closed = settings.retries(self.host)
        if "orphan" in self.conditions:
            return times["orphan_life"], closed
        if "held" in self.conditions or int(self.row["state"]) in _UNHELD_STATES:
            return times["retries2_life"], held
        return f"{times['orphan_life']} once closed, {times['retries2_life']} while held", f"{closed}; {held}"

    def address(self, end: str) -> str:
        """The ``local`` or ``remote`` address without port."""
        row = self.row
        return address(int(row[f"{end}_high"]), int(row[f"{end}_low"]), int(row["family"]))
