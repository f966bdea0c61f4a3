"""A mutated /proc: processes, their descriptors and executables, threads, settings and counters.

Owns a tree of files that looks like /proc and is broken in places. What is right: nothing raised, and of the processes
that were left whole all is told as before.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from random import Random

import numpy as np

from sockui.collector.ghosts import GhostFinder
from sockui.collector.host import GAUGES, SETTINGS, HostReader
from sockui.collector.owners import OwnerResolver
from sockui.collector.processes import ProcessTable
from sockui.collector.threads import read_threads
from sockui.model import Known, Protocol, SocketArray, State, empty_sockets
from sockui.view.runtime import _by_executable
from tests.trust.mutated.damage import ODD, damaged

STAT = "{pid} ({comm}) S {ppid} 1 1 0 -1 4194560 1 0 0 0 1 1 0 0 20 0 1 0 {ticks} 1 1 18446744073709551615 1 1 0 0\n"
COMMS = [b"a) S 1 2", b"a\nb", b"", b") ) )", b"(", b"\xff\xfe", b"\0", b"\x1b[2J", b"x" * 15, b"\xe2\x80\xae"]
LINKS = ("socket:[", "socket:[]", "socket:[x]", "socket:[99999999999999999999]", "socket:[-1]", "a\n")
FILES = {
    "stat": b"",
    "comm": b"java\n",
    "cmdline": b"java\0-jar\0x.jar\0",
    "cgroup": b"0::/system.slice/nginx.service\n1:name=systemd:/x.scope\n",
    "limits": b"Limit Soft Hard Units\nMax open files            1024                 4096      files\n",
    "task/1/stat": b"1 (java) S 1 1 1 0 -1 4194560\n",
    "task/1/wchan": b"futex_wait_queue",
    "task/1/syscall": b"232 0x4 0x7f 0x10 0xffffffff 0x0 0x8 0x7ffd0000 0x7f0000\n",
    "task/2/stat": b"2 (java) R 1\n",
    "task/2/syscall": b"running\n",
}
HOST = {
    "thread-self/net/netstat": b"TcpExt: SyncookiesSent ListenOverflows\nTcpExt: 0 17\nIpExt: InNoRoutes\nIpExt: 3\n",
    "thread-self/net/sockstat": b"sockets: used 287\nTCP: inuse 5 orphan 0 tw 3 alloc 9 mem 1\nUDP: inuse 1 mem 2\n",
    "thread-self/net/sockstat6": b"TCP6: inuse 2\n",
    "thread-self/net/stat/nf_conntrack": b"entries drop insert_failed early_drop\n1 0000000a 0 1\n1 1 0 0\n",
    **{f"sys/{name.replace('.', '/')}": b"32768\t60999\n" for name in (*SETTINGS[:6], *GAUGES, SETTINGS[-12])},
}
PIDS = (1, 2, 30, 4000)
BYSTANDER = 4000
"""The process that nothing is done to."""
INODES = {pid: 1000 + pid for pid in PIDS}


def sockets() -> SocketArray:
    """A socket of each process."""
    rows = empty_sockets(len(PIDS))
    rows["protocol"], rows["state"], rows["family"] = Protocol.TCP, State.ESTABLISHED, 4
    rows["known"] = int(Known.INODE | Known.COOKIE)
    rows["inode"] = rows["cookie"] = list(INODES.values())
    return rows


class Proc:
    """Reading everything that sockui reads in /proc."""

    what = "fuzz: /proc"
    unit = "broken trees"

    def __init__(self, scratch: Path) -> None:
        self._root = scratch
        self._sockets = sockets()
        with open("/proc/self/exe", "rb") as file:
            self._executables = [file.read(2000), _elf()]
        for pid in PIDS:
            self._process(pid)
        for name, text in HOST.items():
            self._write(self._root / name, text)
        (self._make(self._root / "thread-self/ns") / "net").symlink_to("net:[1]")

    def _make(self, directory: Path) -> Path:
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def _write(self, path: Path, text: bytes) -> None:
        self._make(path.parent)
        path.write_bytes(text)

    def _process(self, pid: int) -> None:
        root = self._root / str(pid)
        if root.is_symlink() or root.is_file():
            root.unlink()
        for name, text in FILES.items():
            self._write(root / name, text)
        self._write(root / "stat", STAT.format(pid=pid, comm="java", ppid=int(pid > 1), ticks=pid * 100).encode())
        links = {"0": "/dev/null", "3": f"socket:[{INODES[pid]}]", "4": f"socket:[{INODES[pid] + 50000}]"}
        for fd, link in links.items():
            (self._make(root / "fd") / fd).symlink_to(link)
        (self._make(root / "ns") / "net").symlink_to("net:[1]")

    def case(self, random: Random) -> None:
        broken: list[Path] = []
        for _ in range(random.randint(1, 3)):
            pid = random.choice((0, 0, *(each for each in PIDS if each != BYSTANDER)))
            name = random.choice([*FILES, "fd", "fd", "exe"] if pid else [*HOST, "."])
            path = self._root / str(pid) / name if pid else self._root / name
            if any(each in (path, *path.parents) or path in each.parents for each in broken):
                continue
            broken.append(path)
            self._break(path, pid, name, random)
        try:
            self._read()
        finally:
            for path in broken:
                pid_part = path.relative_to(self._root).parts[:1]
                self._repair(int(pid_part[0]) if pid_part and pid_part[0] in map(str, PIDS) else 0)

    def _break(self, path: Path, pid: int, name: str, random: Random) -> None:
        if name == ".":
            for more in ("5", "4194304", "self", "tty²", "bus"):
                if random.random() < 0.4:
                    made = self._make(self._root / more)
                    if random.random() < 0.8:
                        self._write(
                            made / "stat",
                            STAT.format(pid=5, comm="x", ppid=1, ticks=random.choice((1, 9**30))).encode(),
                        )
                        self._make(made / "fd")
            return
        if name == "fd":
            self._make(path)
            with contextlib.suppress(FileExistsError):
                (path / random.choice(("5", "6", "1023"))).symlink_to(random.choice(LINKS))
            return
        if name == "exe":
            self._write(
                path, damaged(random.choice(self._executables), random, [b"\xff" * 8, b"\0" * 8, b"\x01\0\0\0"])
            )
            return
        kind = random.randrange(8)
        if kind == 0:
            path.unlink()
        elif kind == 1:
            path.unlink()
            path.mkdir()
        elif kind == 2:
            path.write_bytes(b"")
        elif kind == 3 and name == "stat":
            comm = random.choice(COMMS)
            path.write_bytes(
                STAT.encode()
                .replace(b"{comm}", comm)
                .replace(b"{ticks}", random.choice((b"7", b"9" * 30, b"x", b"-1")))
            )
        elif kind == 4:
            path.unlink()
            path.symlink_to(path)  # ELOOP, to root too
        elif kind == 5:
            path.write_bytes(random.randbytes(random.choice((1, 100, 5000))))
        else:
            path.write_bytes(damaged(path.read_bytes(), random, [*ODD, *COMMS]))

    def _read(self) -> None:
        root = str(self._root)
        table = ProcessTable(root)
        resolver = OwnerResolver(table, root)
        for _ in range(2):
            rows = self._sockets.copy()
            attribution = resolver.attribute(rows)
            (row,) = rows[rows["inode"] == INODES[BYSTANDER]]
            assert (int(row["pid"]), int(row["fd"])) == (BYSTANDER, 3), "who was left alone is found"
            process = attribution.processes[BYSTANDER]
            assert (process.name, process.cmdline, process.fd_limit) == ("java", ("java", "-jar", "x.jar"), 1024)
            assert process.unit == "nginx.service"
        GhostFinder(root).find(attribution.unlisted)
        host = HostReader(root).read()
        assert all(isinstance(value, int) for value in (*host.counters.values(), *host.sockstat.values()))
        for pid in PIDS:
            threads = read_threads(pid, root)
            assert pid != BYSTANDER or (threads is not None and threads.total == 2)
            _by_executable.cache_clear()
            _by_executable((pid, pid * 100, "java"), root)

    def _repair(self, pid: int) -> None:
        for each in self._root.iterdir():
            if each.name not in {*map(str, PIDS), "thread-self", "sys"}:
                shutil.rmtree(each)
        if pid:
            shutil.rmtree(self._root / str(pid))
            self._process(pid)
            return
        for name, text in HOST.items():
            path = self._root / name
            if path.is_dir():
                path.rmdir()
            path.unlink(missing_ok=True)
            self._write(path, text)


def _elf() -> bytes:
    """A small ELF file with a section as Go's linker makes it."""
    names = b"\0.go.buildinfo\0"
    header = bytearray(64)
    header[:6] = b"\x7fELF\x02\x01"
    header[40:48] = (64).to_bytes(8, "little")
    header[58:64] = np.array([64, 2, 0], "<u2").tobytes()
    section_names, section = bytearray(64), bytearray(64)
    section_names[24:40] = np.array([192, len(names)], "<u8").tobytes()
    section[:4] = (1).to_bytes(4, "little")
    section[24:32] = (192 + len(names)).to_bytes(8, "little")
    return bytes(header + section_names + section + names + b"\xff Go buildinf:")
