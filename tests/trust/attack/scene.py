"""Real processes with hostile names and command lines, holding sockets that are stuck, in a namespace of their own.

Owns making and ending them. Must not look at what sockui says of them.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sockui.collector.linux import NetlinkCollector
from sockui.collector.namespace import enter_namespace
from sockui.diagnosis.engine import Diagnosis
from sockui.diagnosis.finding import Findings
from sockui.diagnosis.thresholds import Thresholds
from sockui.tracker import Tracker
from tests.trust.attack.names import arguments, names

_HOLD = """
import os, socket, sys
with open("/proc/self/comm", "wb") as comm:
    comm.write(bytes.fromhex(os.environ["COMM"]))
listener = socket.create_server(("127.0.0.1", 0), backlog=1)
port = listener.getsockname()
pairs = []
for _ in range(3):
    client = socket.create_connection(port)
    pairs.append((client, listener.accept()[0]))
pairs[0][0].send(b"unread")
pairs[0][0].shutdown(socket.SHUT_WR)
pairs[1][0].shutdown(socket.SHUT_WR)
pairs[1][1].recv(1)
pairs[2][0].send(b"x" * 300)
waiting = []
for _ in range(int(os.environ["WAITING"])):
    each = socket.socket()
    each.setblocking(False)
    each.connect_ex(port)
    waiting.append(each)
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("127.0.0.1", 0))
print(port[1], flush=True)
sys.stdin.read()
"""
LIMITS = Thresholds(accept_wait_seconds=0.1, close_wait_seconds=1, fin_wait2_seconds=1, unread_seconds=1)
"""The faults are young."""


@dataclass(frozen=True)
class Scene:
    """Processes, by what they are called."""

    namespace: int  # a pid in it
    ports: dict[bytes, int]  # comm -> the port its process listens on
    pids: dict[bytes, int]

    def look(self, seconds: float = 1.0) -> Findings:
        """What sockui knows of them after two looks."""

        def inside() -> Findings:
            enter_namespace(str(self.namespace))
            collector, tracker, diagnosis = NetlinkCollector(), Tracker(), Diagnosis(LIMITS)
            with contextlib.closing(collector):
                diagnosis.update(tracker.update(collector.collect()))
                time.sleep(seconds)  # ages of the faults
                return diagnosis.update(tracker.update(collector.collect()))

        with ThreadPoolExecutor(1) as pool:  # a thread that moved to another namespace serves nothing else
            return pool.submit(inside).result()


@contextlib.contextmanager
def scene(every: int = 1, first: int = 0) -> Iterator[Scene]:
    """A process for every ``every``-th name, from the ``first`` on. Needs root."""
    with contextlib.ExitStack() as opened:
        make = "ip link set lo up; echo made; exec cat"
        holder = _start(opened, ["unshare", "--net", "sh", "-c", make], {})
        _answer(holder)
        started = {}
        for number, name in enumerate(names()[first::every]):
            command = ["nsenter", f"--net=/proc/{holder.pid}/ns/net", sys.executable, "-SEc", _HOLD]
            started[name] = _start(
                opened, [*command, *arguments(number)], {"COMM": name.hex(), "WAITING": str(number % 2 * 4)}
            )
        ports = {name: int(_answer(process)) for name, process in started.items()}
        yield Scene(holder.pid, ports, {name: process.pid for name, process in started.items()})


def _start(
    opened: contextlib.ExitStack, command: Sequence[str | bytes], environ: dict[str, str]
) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **environ})

    def end() -> None:
        process.kill()
        process.communicate()

    opened.callback(end)
    return process


def _answer(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the process ended"
    return line
