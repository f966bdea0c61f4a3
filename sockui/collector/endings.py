"""The kernel's socket-destroy multicast: what ended since it was last asked, one message a socket.

Owns the netlink sockets that listen (``SKNLGRP_INET_TCP_DESTROY`` and the three others of
include/uapi/linux/sock_diag.h), their buffers, and the count of what did not fit. Must not judge (``model.endings``)
nor know layouts (``inet_diag``). No thread: what arrives waits in the buffer until :meth:`EndingReader.drain`.

Measured on Linux 6.18 (since 4.3): no privilege is needed to listen (NL_CFG_F_NONROOT_RECV), root's sockets are told to
anybody; only the socket's network namespace is heard. A message takes 1,280 bytes of the receive buffer. Without
CAP_NET_ADMIN the buffer is at most twice net.core.rmem_max. What does not fit is dropped, and everything after it until
the buffer has been emptied; the next receive then gives ENOBUFS once. While somebody listens the kernel spends about
1 to 3 µs more on each close.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from collections.abc import Mapping

import numpy as np

from sockui.collector import inet_diag
from sockui.collector.netlink import CHUNK, NETLINK_SOCK_DIAG
from sockui.errors import NetlinkError
from sockui.model import Protocol
from sockui.model.endings import Endings, judged

GROUPS = {Protocol.TCP: (1, 3), Protocol.UDP: (2, 4)}
"""enum sknetlink_groups: IPv4 and IPv6 of each protocol."""
BUFFERS: Mapping[Protocol, int] = {Protocol.TCP: 16 << 20, Protocol.UDP: 4 << 20}
"""Bytes asked for; the kernel allows twice that. 26,000 TCP endings: 10,000 connections within the host have 20,000."""
MESSAGE_MEMORY = 1280
"""Bytes that one message is charged for, whatever its length (sock_diag_nlmsg_size() and the skb itself)."""

_LONGEST = 8192  # bytes; a message has 380 (UDP: 96), one that does not fit is counted as lost
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1  # include/uapi/linux/netlink.h
_SO_RCVBUFFORCE, _SO_MEMINFO = 33, 55  # include/uapi/asm-generic/socket.h
_DROPS = 8  # SK_MEMINFO_DROPS


class EndingReader:
    """Hears what ends in the network namespace it was created in, from then on.

    Raises :class:`NetlinkError`, whose text says what is missing, if the kernel does not let us listen.
    """

    def __init__(self, buffers: Mapping[Protocol, int] = BUFFERS) -> None:
        """``buffers`` is how many bytes to ask for, for each protocol that is listened for."""
        self._drops = dict.fromkeys(buffers, 0)
        self._buffer = np.empty(CHUNK, np.uint8)
        self._decoder = inet_diag.Decoder(0)
        self._listeners: dict[Protocol, socket.socket] = {}
        self._drained = time.monotonic()
        try:
            for protocol, size in buffers.items():
                self._listeners[protocol] = _listen(protocol, size)
        except OSError as error:
            self.close()
            raise NetlinkError(_missing(error), error.errno or 0) from error

    def capacity(self, protocol: Protocol) -> int:
        """How many endings fit between two drains; more are lost."""
        return self._listeners[protocol].getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // MESSAGE_MEMORY

    def drain(self) -> Endings:
        """Take what has arrived, without waiting. Nothing: one receive for each protocol.

        Raises :class:`NetlinkError` if receiving fails otherwise than by an overrun, which is ``Endings.lost``.
        """
        after, self._drained = self._drained, time.monotonic()
        lost = sum(self._drain(protocol, listener) for protocol, listener in self._listeners.items())
        if not len(self._decoder):
            return Endings.none(lost)
        sockets = self._decoder.rows()
        return Endings(sockets, judged(sockets, after, time.monotonic()), lost)

    def close(self) -> None:
        """Stop listening; the kernel stops telling."""
        for listener in self._listeners.values():
            listener.close()

    def _drain(self, protocol: Protocol, listener: socket.socket) -> int:
        """Receive and decode until nothing is left; how many were lost, at least."""
        receive, view = listener.recv_into, self._buffer.data
        lost = used = 0
        while True:
            try:
                size = receive(view[used:], 0, socket.MSG_TRUNC)
            except BlockingIOError:
                return lost + self._decode(used, protocol)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise NetlinkError(f"hearing what ended failed: {error.strerror}", error.errno or 0) from error
                lost += self._overrun(protocol, listener)
                continue
            if size > CHUNK - used or size & 3:  # cut off here or there: a whole one is padded
                lost += 1
                continue
            used += size
            if used > CHUNK - _LONGEST:
                lost += self._decode(used, protocol)
                used = 0

    def _decode(self, used: int, protocol: Protocol) -> int:
        """Decode what was received; 1 if a part was not understood and what followed it was given up."""
        if not used:
            return 0
        walk = inet_diag.walk(self._buffer, used)
        decoder, malformed = self._decoder, self._decoder.malformed
        decoder.take(self._buffer, walk, protocol)
        return int(walk.malformed > 0 or walk.done or decoder.malformed > malformed)

    def _overrun(self, protocol: Protocol, listener: socket.socket) -> int:
        """How many endings were dropped since the last overrun: the socket counts them (Linux >= 4.12)."""
        try:
            drops: int = struct.unpack_from("=9I", listener.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36))[_DROPS]
        except (OSError, struct.error):
            return 1
        more, self._drops[protocol] = (drops - self._drops[protocol]) & 0xFFFF_FFFF, drops
        return max(more, 1)


def _listen(protocol: Protocol, size: int) -> socket.socket:
    """A socket in both groups of a protocol, as much buffer as we may have up to twice ``size``. Raises OSError."""
    listener = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
    try:
        listener.setblocking(False)
        try:
            listener.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
        except PermissionError:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        listener.bind((0, 0))  # a member without an address hears nothing
        for group in GROUPS[protocol]:
            listener.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    except BaseException:
        listener.close()
        raise
    return listener


def _missing(error: OSError) -> str:
    """What stands in the way of listening, a clause."""
    if error.errno in (errno.EPERM, errno.EACCES):
        return f"hearing what ends is refused here ({os.strerror(error.errno)}): a sandbox, Linux itself lets everybody"
    if error.errno in (errno.EINVAL, errno.ENOENT, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT):
        return "this kernel does not tell what ends (no SKNLGRP_INET_TCP_DESTROY, Linux has it since 4.3)"
    return f"hearing what ends is not possible: {error.strerror}"
