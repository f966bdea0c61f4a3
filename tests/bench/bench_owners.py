"""What attribute() costs at many sockets. Run by hand: python tests/bench/bench_owners.py [SOCKETS] [PROCESSES]."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time

import numpy as np

from sockui.collector.owners import OwnerResolver
from sockui.collector.processes import ProcessTable
from sockui.model import Known, Protocol, SocketArray, State, empty_sockets

HOLDER = """
import os, socket, sys
def more(count): return [socket.socket() for _ in range(count)]
def tell(ends): print(*(os.fstat(end.fileno()).st_ino for end in ends), flush=True)
ends = more(int(sys.argv[1]))
tell(ends)
for count in sys.stdin:
    del ends[: int(count)]
    new = more(int(count))
    ends += new
    tell(new)
"""


def milliseconds(resolver: OwnerResolver, rows: SocketArray) -> float:
    begun = time.process_time()
    resolver.attribute(rows)
    return (time.process_time() - begun) * 1000


def main() -> None:
    total, processes = map(int, (sys.argv[1:] + ["100000", "10"][len(sys.argv) - 1 :]))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    children = [
        subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(total // processes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(processes)
    ]
    inodes = np.concatenate(
        [np.array(child.stdout.readline().split(), np.uint32) for child in children if child.stdout]
    )
    rows = empty_sockets(len(inodes))
    rows["inode"] = np.random.default_rng(1).permutation(inodes)
    rows["known"], rows["protocol"], rows["state"] = Known.INODE | Known.UID, Protocol.TCP, State.ESTABLISHED
    rows["uid"] = os.geteuid()

    resolver = OwnerResolver(ProcessTable())
    print(f"{len(rows)} sockets in {processes} processes, {len(os.listdir('/proc'))} entries in /proc; CPU ms")
    print(f"first       {milliseconds(resolver, rows):8.1f}   attributed {np.count_nonzero(rows['pid'])}")
    steady = [milliseconds(resolver, rows) for _ in range(50)]
    print(f"steady      {statistics.median(steady):8.1f}   worst {max(steady):.1f}")

    child = children[0]
    assert child.stdin is not None
    assert child.stdout is not None
    churned = []
    for _ in range(10):
        child.stdin.write("100\n")
        child.stdin.flush()
        new = np.array(child.stdout.readline().split(), np.uint32)
        of_child = np.flatnonzero(rows["pid"] == child.pid)
        oldest = of_child[np.argsort(rows["fd"][of_child])][: len(new)]
        rows["inode"][oldest] = new
        churned.append(milliseconds(resolver, rows))
    print(f"100 changed {statistics.median(churned):8.1f}   worst {max(churned):.1f}")
    for child in children:
        child.kill()
        child.wait()


if __name__ == "__main__":
    main()
