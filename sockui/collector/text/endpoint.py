"""An end of a connection as a program printed it -> the halves of an address and a port.

Owns address notations (``host:port``, ``host.port``, hexadecimal) and service names. Must not know whole lines.
"""

from __future__ import annotations

import re
import socket
from functools import lru_cache
from typing import NamedTuple

V4 = 0xFFFF00000000
"""What the low half of an IPv4 address (::ffff:a.b.c.d) has above its 32 bits."""
COLON = r"([^\s:]*(?::[^\s:]*)+)"
"""Pattern, one group: a word that :func:`colon` may read. It cannot be matched in two ways, so it takes linear time."""
DOTTED = r"([^\s.]*(?:\.[^\s.]+)+)"
"""Pattern, one group: a word that :func:`dotted` may read."""
_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+.*/-]{0,31}")


class Endpoint(NamedTuple):
    """``family`` 4 or 6, 0 where the text (``*``) does not tell; ``port`` 0 any."""

    high: int
    low: int
    family: int
    port: int


def colon(text: str, protocol: str = "tcp") -> Endpoint | None:
    """``127.0.0.1:22``, ``[::1]:22``, ``:::22``, ``127.0.0.53%lo:53``, ``*:*``; None if it is none of these.

    Host names are not looked up: they are None. Service names are, in this machine's services(5).
    """
    host, _, port = text.rpartition(":")
    number = int(port) if port.isdecimal() and len(port) < 6 else _service(port, protocol)
    address = _address(host)
    if address is None or number < 0 or number > 0xFFFF:
        return None
    return Endpoint(*address, number)


def dotted(text: str, protocol: str = "tcp") -> Endpoint | None:
    """``127.0.0.1.22``, ``*.22``, ``::1.22``, ``*.*``, ``fe80::1%lo0.123``; otherwise as :func:`colon`."""
    host, dot, port = text.rpartition(".")
    if "%" in host:
        host = host.partition("%")[0]
    return colon(f"{host}:{port}", protocol) if dot else None


def hexadecimal(address: str, port: str) -> Endpoint | None:
    """As /proc/net/tcp has them: 32-bit words in the byte order of a little-endian host (net/ipv4/tcp_ipv4.c)."""
    try:
        raw = bytes.fromhex(address)
        number = int(port, 16)
    except ValueError:
        return None
    if number > 0xFFFF:
        return None
    if len(raw) == 4:
        return Endpoint(0, V4 | int.from_bytes(raw, "little"), 4, number)
    if len(raw) != 16:
        return None
    words = [int.from_bytes(raw[at : at + 4], "little") for at in (0, 4, 8, 12)]
    return Endpoint(words[0] << 32 | words[1], words[2] << 32 | words[3], 6, number)


@lru_cache(maxsize=4096)
def _address(host: str) -> tuple[int, int, int] | None:
    if host[:1] == "[":
        host = host[1:].replace("]", "", 1)  # [fe80::1%12] of Windows, [fe80::1]%eth0 of ss
    host = host.partition("%")[0]
    if host == "*":
        return 0, 0, 0
    try:
        if ":" in host:
            value = int.from_bytes(socket.inet_pton(socket.AF_INET6, host))
            return value >> 64, value & 0xFFFFFFFFFFFFFFFF, 6
        return 0, V4 | int.from_bytes(socket.inet_pton(socket.AF_INET, host)), 4
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=1024)
def _service(name: str, protocol: str) -> int:
    if name == "*":
        return 0
    if not _SERVICE.fullmatch(name):
        return -1
    try:
        return socket.getservbyname(name, protocol)
    except OSError:
        return -1
