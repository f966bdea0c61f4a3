"""Fills the kernel's table of tracked connections, for the network namespace of the calling process alone.

Owns the few ctnetlink messages for that (include/uapi/linux/netfilter/nfnetlink_conntrack.h). Must not be loaded
where it is not needed. No packet is sent, and none of the namespace's packets is looked up in the table: that
would take a rule. The entries go with the namespace.
"""

from __future__ import annotations

import errno
import os
import socket
import struct

_NETLINK_NETFILTER = 12
_CT_NEW = 1 << 8  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_NEW
_REQUEST, _ACK, _EXCL, _CREATE = 0x1, 0x4, 0x200, 0x400
_NESTED = 0x8000
_TUPLE_ORIG, _TUPLE_REPLY, _STATUS, _PROTOINFO, _TIMEOUT = 1, 2, 3, 4, 7
_LIVING = 1 << 1 | 1 << 2 | 1 << 3  # IPS_SEEN_REPLY, IPS_ASSURED, IPS_CONFIRMED
_TCP_ESTABLISHED = 3
_LIFE = 86_400  # s; nothing renews an entry
_AT_ONCE = 200  # messages, of 148 bytes each
_HERE = "10.9.0.1", 443


def fill(share: float, most: int) -> int:
    """Add established connections up to ``share`` of nf_conntrack_max; how many there are then.

    About 8 µs and 350 bytes of kernel memory each. Raises OSError: there is no conntrack in this kernel, or (EFBIG)
    its table is so large that this would take more than ``most``.
    """
    wanted = int(_number("max") * share)
    if wanted > most:
        raise OSError(
            errno.EFBIG, f"the table of tracked connections would take {wanted:,} entries, more than {most:,}"
        )
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as kernel:
        for first in range(0, wanted, _AT_ONCE):
            last = min(first + _AT_ONCE, wanted) - 1
            kernel.send(b"".join([_message(number, _ACK * (number == last)) for number in range(first, last + 1)]))
            error = struct.unpack_from("=i", kernel.recv(65536), 16)[0]  # nlmsgerr: 0 from the acknowledgement
            if error:
                raise OSError(-error, os.strerror(-error))
    return _number("count")


def _number(name: str) -> int:
    with open(f"/proc/sys/net/netfilter/nf_conntrack_{name}") as file:
        return int(file.read())


def _message(number: int, flag: int) -> bytes:
    there = f"198.18.{number >> 8 & 255}.{number & 255}", 1024 + (number >> 16)
    body = struct.pack("=BBH", socket.AF_INET, 0, 0)
    body += _tuple(_TUPLE_ORIG, there, _HERE) + _tuple(_TUPLE_REPLY, _HERE, there)
    body += _attribute(_STATUS, struct.pack("!I", _LIVING)) + _attribute(_TIMEOUT, struct.pack("!I", _LIFE))
    state = _attribute(1, bytes([_TCP_ESTABLISHED]))  # CTA_PROTOINFO_TCP_STATE in CTA_PROTOINFO_TCP
    body += _attribute(_PROTOINFO | _NESTED, _attribute(1 | _NESTED, state))
    return struct.pack("=IHHII", 16 + len(body), _CT_NEW, _REQUEST | _CREATE | _EXCL | flag, number, 0) + body


def _tuple(kind: int, source: tuple[str, int], to: tuple[str, int]) -> bytes:
    addresses = _attribute(1, socket.inet_aton(source[0])) + _attribute(2, socket.inet_aton(to[0]))
    ports = b"".join(_attribute(at, struct.pack("!H", port)) for at, port in ((2, source[1]), (3, to[1])))
    protocol = _attribute(1, bytes([socket.IPPROTO_TCP])) + ports
    return _attribute(kind | _NESTED, _attribute(1 | _NESTED, addresses) + _attribute(2 | _NESTED, protocol))


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)
