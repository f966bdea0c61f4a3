"""What ss says: every TCP and UDP socket of this network namespace, as the measure that sockui is held against.

Owns running ss and reading its lines. Must not import sockui's reading of the kernel: this is the other opinion.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from sockui.model import parse_state

Holder = tuple[int, int]
"""Process id and descriptor."""

_MORE = re.compile(r"\b(ino|sk|uid):(\w+)")
_TIMER = re.compile(r"timer:\((\w+),")
_HOLDERS = re.compile(r"pid=(\d+),fd=(\d+)")
_MOVED = re.compile(r"\b(?:bytes_sent|bytes_received|bytes_acked|segs_out|segs_in):\d+")
_NO_PEER = ("0.0.0.0:*", "[::]:*", "*:*")


@dataclass(frozen=True, slots=True)
class SsRow:
    """One line of ``ss -tuanpeoiOH``."""

    protocol: str
    family: str  # inet, inet6: of the socket
    local: str  # address:port as sockui writes it: [::]:port also where ss writes *:port, a mapped address as IPv4
    remote: str  # the same; "*" for no peer
    state: str
    queues: tuple[int, int]
    timer: str | None
    holders: frozenset[Holder]
    inode: int
    cookie: int
    uid: int
    moved: tuple[str, ...]  # counters that grow with every segment that comes or goes; () where there are none


def ss(*prefix: str) -> dict[int, SsRow]:
    """Ask ss for every socket; rows by cookie. ``prefix`` is a command to run it with."""
    command = [*prefix, "ss", "-tuanpeoiOH"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {row.cookie: row for row in map(_row, text.splitlines())}


def endpoint(address: str | None, port: int | str | None) -> str:
    """An end of a socket from the columns that sockui's JSON has."""
    if address is None:
        return "*"
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def pairs(holders: Sequence[dict[str, int]]) -> frozenset[Holder]:
    """The column ``holders`` of sockui's JSON, without the names."""
    return frozenset((holder["pid"], holder["fd"]) for holder in holders)


def _row(line: str) -> SsRow:
    protocol, state, recv, send, local, remote, *rest = line.split(maxsplit=6)
    more = rest[0] if rest else ""
    timer, found = _TIMER.search(more), dict(_MORE.findall(more))
    return SsRow(
        protocol,
        "inet6" if local.startswith(("[", "*")) else "inet",
        _end(local),
        "*" if remote in _NO_PEER else _end(remote),
        "UNCONN" if state == "UNCONN" else str(getattr(parse_state(state), "name", state)),
        (int(recv), int(send)),
        timer[1] if timer else None,
        frozenset((int(pid), int(fd)) for pid, fd in _HOLDERS.findall(more)),
        int(found.get("ino", 0)),
        int(found["sk"], 16),
        int(found.get("uid", 0)),
        tuple(_MOVED.findall(more)),
    )


def _end(text: str) -> str:
    address, _, port = text.rpartition(":")
    address = address.partition("%")[0].strip("[]").removeprefix("::ffff:")
    return endpoint("::" if address == "*" else address, port)
