"""The portable source: what psutil tells where netlink does not exist or is refused.

Owns the translation of psutil's connections and processes into a Snapshot. Must not be imported unless it is used:
it is the only module that imports psutil. One Python object per socket is what psutil costs; nothing here avoids it.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sockui.collector import as_root
from sockui.collector.host import HostReader
from sockui.collector.processes import user_name, with_ancestors
from sockui.errors import CollectError
from sockui.model import (
    Coverage,
    Gap,
    Holders,
    Known,
    Owner,
    Process,
    Protocol,
    Snapshot,
    SocketArray,
    State,
    empty_sockets,
    parse_state,
)

if TYPE_CHECKING:
    import psutil

_ATTRIBUTES = ("name", "cmdline", "ppid", "create_time", "num_fds")
MISSING = (
    *("recv_queue", "send_queue", "inode", "cookie", "cgroup", "unit", "timer", "timer_seconds", "retransmits"),
    *("rtt_ms", "cwnd", "bytes_sent", "bytes_received"),
    *("last_data_sent_ms", "last_data_received_ms", "last_ack_received_ms"),
    "holders",  # on Linux psutil names one of them, whichever it met last
)
"""JSON names that psutil can never fill."""
NOTE = (
    "psutil was the source: ages count only from when sockui first saw a socket, and queues, timers, inodes, "
    "cgroups and TCP statistics are missing."
)
_UNNAMED = "have no process that psutil can name: theirs may not be read, or none holds them any more or yet"
_UNLISTED = "Sockets of other users' processes are not listed at all: on this system that needs root."
_REFUSED_TO_ROOT = "Sockets of processes that even this root may not read are not listed at all."
_NO_PROCESS = (State.TIME_WAIT, State.SYN_RECV)


class _Endpoints(NamedTuple):
    """What tells two sockets apart here; addresses are 16 bytes, IPv4 as ::ffff:a.b.c.d."""

    protocol: Protocol
    family: int
    local: bytes
    local_port: int
    remote: bytes
    remote_port: int


class PsutilCollector:
    """Reads TCP and UDP sockets and their processes through psutil.

    psutil cannot tell sockets with the same endpoints apart (a SO_REUSEPORT group, or one socket in several
    processes): they are one row, with the number of (pid, fd) pairs in ``holders``. ``uid`` is that of the process.

    Raises :class:`CollectError` if psutil is not there.
    """

    source = "psutil"

    def __init__(self, namespace: str = "") -> None:
        try:
            import psutil
        except ModuleNotFoundError as error:
            raise CollectError("psutil is not installed; install it: python3 -m pip install psutil") from error
        self._psutil = psutil
        self._host = HostReader(namespace=namespace)

    def collect(self) -> Snapshot:
        """Read one snapshot. Raises :class:`CollectError` if this system does not let psutil list sockets."""
        before = time.monotonic()
        notes: tuple[str, ...] = (NOTE,)
        try:
            try:
                sockets = _rows(self._psutil.net_connections(kind="inet"))
            except self._psutil.AccessDenied:  # macOS: the list of all sockets is for root
                sockets = _rows(self._of_each_process())
                notes += (_UNLISTED if as_root() else _REFUSED_TO_ROOT,)
        except (self._psutil.Error, OSError, RuntimeError) as error:  # RuntimeError: NotImplementedError, bad /proc
            cure = as_root()
            hint = f"; as root it may: {cure}" if cure else ""
            if isinstance(error, FileNotFoundError):
                hint = "; is /proc mounted?"
            raise CollectError(f"psutil cannot list the sockets of this host ({error}){hint}") from error
        taken_at, monotonic = time.time(), time.monotonic()
        clock = getattr(time, "CLOCK_BOOTTIME", None)  # Linux only
        pids, codes = np.unique(sockets["pid"], return_inverse=True)
        processes = with_ancestors(pids[pids > 0].tolist(), self._process)
        uids = np.array([processes[pid].uid if pid in processes else -1 for pid in pids.tolist()], np.int64)[codes]
        sockets["uid"] = np.maximum(uids, 0)
        sockets["known"] = np.where(uids >= 0, Known.UID, 0)
        return Snapshot(
            taken_at=taken_at,
            monotonic=monotonic,
            boottime=monotonic if clock is None else time.clock_gettime(clock),
            sockets=sockets,
            processes=processes,
            holders=Holders.none(),
            host=self._host.read(),
            coverage=_coverage(sockets, unlisted=len(notes) > 1),
            source=self.source,
            notes=notes,
            dump_seconds=monotonic - before,
        )

    def close(self) -> None:
        """Nothing is held open."""

    def _of_each_process(self) -> Iterator[tuple[Any, ...]]:
        """Connections of the processes that may be read, as psutil.net_connections has them."""
        for process in self._psutil.process_iter():
            try:
                for connection in process.net_connections(kind="inet"):
                    yield (*connection[:6], process.pid)
            except self._psutil.Error:
                continue

    def _process(self, pid: int) -> Process | None:
        """None if it ended or hides its user. Of the rest, what may not be read is empty or None."""
        try:
            process = self._psutil.Process(pid)
            told = process.as_dict(_ATTRIBUTES)
            uid = process.uids().effective
        except self._psutil.Error:
            return None
        created = told["create_time"] or 0.0
        soft, hard = self._fd_limits(process)
        return Process(
            pid=pid,
            name=told["name"] or "",
            cmdline=tuple(told["cmdline"] or ()),
            ppid=told["ppid"] or 0,
            uid=uid,
            user=user_name(uid),
            started_at=created,
            started_ticks=int(created * 100),
            fd_count=told["num_fds"],
            fd_limit=soft,
            fd_limit_hard=hard,
            cgroup="",
            unit="",
        )

    def _fd_limits(self, process: psutil.Process) -> tuple[int | None, int | None]:
        """Soft and hard."""
        try:
            soft, hard = process.rlimit(self._psutil.RLIMIT_NOFILE)
        except (self._psutil.Error, OSError, AttributeError):  # AttributeError: not on this system
            return None, None
        infinity = self._psutil.RLIM_INFINITY
        return None if soft == infinity else soft, None if hard == infinity else hard


def _rows(connections: Iterable[Any]) -> SocketArray:
    """One row for each distinct pair of endpoints among psutil's ``(fd, family, type, laddr, raddr, status, pid)``."""
    states: dict[_Endpoints, State] = {}
    holders: dict[_Endpoints, set[tuple[int, int]]] = {}
    for fd, family, kind, local, remote, status, pid in connections:
        protocol = Protocol.UDP if kind == socket.SOCK_DGRAM else Protocol.TCP
        endpoints = _Endpoints(
            protocol, 6 if family == socket.AF_INET6 else 4, *_end(family, local), *_end(family, remote)
        )
        state = parse_state(status) or State.CLOSE
        if protocol == Protocol.UDP:
            state = State.ESTABLISHED if remote else State.CLOSE
        if pid:
            states[endpoints] = state
            holders.setdefault(endpoints, set()).add((pid, fd))
        else:
            states.setdefault(endpoints, state)

    keys = sorted(states)
    rows = empty_sockets(len(keys))
    for name in ("protocol", "family", "local_port", "remote_port"):
        rows[name] = [getattr(key, name) for key in keys]
    for name in ("local", "remote"):
        halves = np.frombuffer(b"".join(getattr(key, name) for key in keys), ">u8").reshape(-1, 2)
        rows[f"{name}_high"], rows[f"{name}_low"] = halves[:, 0], halves[:, 1]
    rows["state"] = [states[key] for key in keys]
    rows["owner"] = np.where(np.isin(rows["state"], _NO_PROCESS), Owner.KERNEL, Owner.UNKNOWN)
    held = [min(holders[key]) if key in holders else (0, -1) for key in keys]
    rows["pid"], rows["fd"] = [pid for pid, _ in held], [fd for _, fd in held]
    rows["holders"] = [min(len(holders.get(key, ())), 0xFFFF) for key in keys]
    rows["owner"][rows["pid"] > 0] = Owner.PROCESS
    return rows


def _end(family: int, address: Any) -> tuple[bytes, int]:
    """Address bytes and port of a psutil address, which is empty for an unconnected end."""
    host, port = address if address else ("::" if family == socket.AF_INET6 else "0.0.0.0", 0)
    return _packed(family, host), port


@lru_cache(maxsize=4096)
def _packed(family: int, host: str) -> bytes:
    if family == socket.AF_INET:
        return b"\0" * 10 + b"\xff\xff" + socket.inet_pton(socket.AF_INET, host)
    return socket.inet_pton(socket.AF_INET6, host.partition("%")[0])


def _coverage(sockets: SocketArray, *, unlisted: bool) -> Coverage:
    unnamed = int(np.count_nonzero(sockets["owner"] == Owner.UNKNOWN))
    return Coverage(
        sockets=len(sockets),
        attributed=int(np.count_nonzero(sockets["pid"])),
        kernel=int(np.count_nonzero(sockets["owner"] == Owner.KERNEL)),
        gaps=(Gap(unnamed, _UNNAMED),) if unnamed else (),
        fix=as_root() if unnamed or unlisted else None,
        missing_fields=MISSING,
    )
