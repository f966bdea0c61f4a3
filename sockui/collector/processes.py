"""Processes as /proc tells them: who is there, how many descriptors each has open, what it is called.

Owns every reading of /proc/PID except the descriptors themselves (those are ``owners``). Must not know sockets.
"""

from __future__ import annotations

import errno
import os
import pwd
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from sockui.model import Process

TURNS = 16  # polls until the text of a process that only exec(), setuid() or a move could change is read again
SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Errors that tell nothing of a process: sockui, or the host, has nothing left to open a file with."""
_MOST = 65_536  # bytes of a file: argv may have megabytes
_UNIT_KINDS = (".service", ".scope", ".slice")


class Seen(NamedTuple):
    """What one stat(2) of /proc/PID/fd tells of a process; needs no privilege."""

    inode: int  # of /proc/PID/fd: another process with the same pid has another
    started_ticks: int  # field 22 of /proc/PID/stat
    uid: int  # owner of /proc/PID/fd: the effective uid, 0 if the process is not dumpable
    fd_count: int | None  # open descriptors; None where neither st_size nor a listing tells


class ProcessTable:
    """Every process that /proc shows, cached by pid and start time.

    ``refresh()`` costs one stat(2) a process; ``get()`` reads the files of a process when it is asked for the
    first time, again in the two polls after that (it may have been between fork and exec), then every
    ``TURNS`` polls. Before Linux 6.2 the descriptors have to be listed to be counted: a process then has its turn
    every ``TURNS`` polls.
    """

    def __init__(self, proc: str = "/proc") -> None:
        self.proc = proc
        self.seen: dict[int, Seen] = {}  # pid -> what the last refresh() saw; replaced, never changed
        self.hidden = False  # /proc is mounted with hidepid= and does not show every process
        self.shortage = 0  # one of SHORTAGES that kept this poll from reading everything; what was known stays
        self._turn = 0
        self._read: dict[int, tuple[int, Process]] = {}  # pid -> turn of the first reading, process
        self._ticks_per_second = os.sysconf("SC_CLK_TCK")
        self._booted_at = _booted_at()
        try:
            self._counts_by_stat = os.stat(f"{proc}/self/fd").st_size > 0  # we have at least one open
        except OSError:
            self._counts_by_stat = False

    def refresh(self) -> None:
        """Look at every process once. Without a readable /proc there are none, and ``hidden`` says so."""
        self._turn += 1
        self.shortage = 0
        if abs(_booted_at() - self._booted_at) > 1:  # the clock was set: every start is at another time of day
            self._booted_at = _booted_at()
            self._read.clear()
        seen: dict[int, Seen] = {}
        refused = False
        try:
            names = os.listdir(self.proc)
        except OSError as error:
            if self.is_short(error):
                return
            names = []
        for name in names:
            if not name.isdecimal():
                continue
            pid = int(name)
            old = self.seen.get(pid)
            try:
                status = os.stat(f"{self.proc}/{name}/fd")
                if old is not None and old.inode == status.st_ino:
                    started_ticks = old.started_ticks
                else:  # new, or the kernel dropped its cached inode: the start time decides
                    started_ticks = self._stat(pid)[1]
            except PermissionError:  # hidepid=1
                refused = True
                continue
            except OSError as error:
                if self.is_short(error) and old is not None:
                    seen[pid] = old
                continue
            count = status.st_size if self._counts_by_stat else self._listed(pid, started_ticks, old)
            now = status.st_ino, started_ticks, status.st_uid, count
            seen[pid] = old if old is not None and old == now else Seen(*now)
        self.seen = seen
        self.hidden = refused or 1 not in seen  # every PID namespace has a pid 1
        if len(self._read) > len(seen) or not self._read.keys() <= seen.keys():
            self._read = {pid: read for pid, read in self._read.items() if pid in seen}

    def get(self, pid: int) -> Process | None:
        """The process ``pid`` as of the last ``refresh()``; None if there is none, or it ended meanwhile."""
        seen = self.seen.get(pid)
        if seen is None:
            return None
        first, known = self._read.get(pid, (self._turn, None))
        process = known
        if process is None or process.started_ticks != seen.started_ticks:
            first, known, process = self._turn, None, self._load(pid, seen)
        elif (
            self._turn - first <= 2
            or (not process.cmdline and seen.fd_count)  # read amid exec(); kernel threads have no descriptors
            or (self._turn + pid) % TURNS == 0
            or (process.ppid and process.ppid not in self.seen and not self.hidden)  # its parent ended
        ):
            process = self._load(pid, seen)
        elif process.fd_count != seen.fd_count:
            process = replace(process, fd_count=seen.fd_count)
        if process is None and self.shortage:
            process = known
        if process is None:
            self._read.pop(pid, None)
            return None
        self._read[pid] = first, process
        return process

    def is_short(self, error: OSError) -> bool:
        """Whether an error is one of ``SHORTAGES``, which is remembered for this poll."""
        if error.errno not in SHORTAGES:
            return False
        self.shortage = error.errno
        return True

    def _listed(self, pid: int, started_ticks: int, old: Seen | None) -> int | None:
        same = old is not None and old.started_ticks == started_ticks
        if old is not None and same and (self._turn + pid) % TURNS:
            return old.fd_count
        try:
            return len(os.listdir(f"{self.proc}/{pid}/fd"))
        except OSError:
            return None

    def _stat(self, pid: int) -> tuple[int, int]:
        """Parent and start time. The name in parentheses may hold anything, so they are counted from its end."""
        with open(f"{self.proc}/{pid}/stat", "rb", buffering=0) as file:
            text = file.read(4096)
        fields = text[text.rfind(b")") + 2 :].split()
        try:
            return int(fields[1]), int(fields[19])
        except (IndexError, ValueError):  # it ended, or this /proc is not Linux's own
            raise ProcessLookupError(pid) from None

    def _text(self, pid: int, name: str) -> str:
        """The text of a file of a process, undecodable bytes as surrogates; "" if it cannot be read."""
        try:
            with open(f"{self.proc}/{pid}/{name}", "rb", buffering=0) as file:
                return (file.read(_MOST) or b"").decode("utf-8", "surrogateescape")
        except OSError as error:
            if self.is_short(error):
                raise
            return ""

    def _load(self, pid: int, seen: Seen) -> Process | None:
        try:
            uid = os.stat(f"{self.proc}/{pid}").st_uid  # the effective uid even where /proc/PID/fd says root
            ppid, started_ticks = self._stat(pid)
            name, cmdline, cgroups, limits = (self._text(pid, file) for file in ("comm", "cmdline", "cgroup", "limits"))
        except OSError as error:
            self.is_short(error)
            return None
        if started_ticks != seen.started_ticks:  # another process by now
            return None
        cgroup, unit = parse_cgroup(cgroups)
        soft, hard = parse_fd_limits(limits)
        return Process(
            pid=pid,
            name=name.removesuffix("\n"),
            cmdline=parse_cmdline(cmdline),
            ppid=ppid,
            uid=uid,
            user=user_name(uid),
            started_at=self._booted_at + started_ticks / self._ticks_per_second,
            started_ticks=started_ticks,
            fd_count=seen.fd_count,
            fd_limit=soft,
            fd_limit_hard=hard,
            cgroup=cgroup,
            unit=unit,
        )


def _booted_at() -> float:
    """The time of day of the boot, s, as the clock is now."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def with_ancestors(pids: Iterable[int], get: Callable[[int], Process | None]) -> dict[int, Process]:
    """The processes ``pids`` and their parents up to the first; those that ``get`` does not find are left out."""
    found: dict[int, Process] = {}
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        if pid not in found and (process := get(pid)) is not None:
            found[pid] = process
            waiting.append(process.ppid)
    return found


@cache
def user_name(uid: int) -> str:
    """The name of a uid on this host, its number as text where it has none. Raw: escape it before showing."""
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OSError):
        return str(uid)


def parse_cmdline(text: str) -> tuple[str, ...]:
    """Split the text of /proc/PID/cmdline. NULs that only pad a rewritten title (setproctitle) are no arguments."""
    if not text:
        return ()
    parts = text.removesuffix("\0").split("\0")
    return tuple(parts) if any(parts[1:]) else (parts[0],)


def parse_cgroup(text: str) -> tuple[str, str]:
    """The cgroup2 path and the systemd unit in the text of /proc/PID/cgroup (cgroups(7)), each "" if there is none.

    The unit is the last component that is one; on hosts where systemd still keeps its own v1 hierarchy it is there.
    """
    paths: dict[str, str] = {}
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        paths[controllers] = path.removesuffix(" (deleted)")
    for controllers in ("", "name=systemd"):
        for component in reversed(paths.get(controllers, "").split("/")):
            if component.endswith(_UNIT_KINDS):
                return paths.get("", ""), component
    return paths.get("", ""), ""


def parse_fd_limits(text: str) -> tuple[int | None, int | None]:
    """Soft and hard RLIMIT_NOFILE in the text of /proc/PID/limits; None if it is unlimited or not there."""
    for line in text.splitlines():
        if line.startswith("Max open files"):
            soft, hard, *_ = [*line.removeprefix("Max open files").split(), "", ""]
            return _number(soft), _number(hard)
    return None, None


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 20 else None
