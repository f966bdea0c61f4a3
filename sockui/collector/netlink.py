"""The netlink socket.

Owns the conversation with the kernel: one ``NETLINK_SOCK_DIAG`` socket kept open (the kernel learns from
its receive sizes how much to hand over at once), dumps, their errors and repetition. Must not know message
layouts (``inet_diag``) beyond where a message begins, nor owners or host facts.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import time

import numpy as np

from sockui.collector import inet_diag
from sockui.errors import NetlinkError
from sockui.giving_way import GivingWay
from sockui.model import Protocol

NETLINK_SOCK_DIAG = 4
RECEIVE = 32 * 1024
"""Bytes per receive: a dump's skb never holds more (net/netlink/af_netlink.c:netlink_dump)."""
CHUNK = 1024 * 1024
"""Bytes decoded at once: few numpy calls, and it stays in the processor's cache."""
TIMEOUT = 5.0
"""Seconds without an answer after which the kernel is taken not to answer."""
TRIES = 3
"""Dumps that broke off (ENOBUFS, EBUSY, a truncated message) are begun again this often."""

_INSTEAD = "try again, or read through --source psutil"
_HEADER = struct.Struct("=IH2xI")  # struct nlmsghdr up to its sequence number
_LAST = (inet_diag.NLMSG_DONE, inet_diag.NLMSG_ERROR)
_DONE = 20  # bytes: NLMSG_DONE with its errno
_ENDS = (_DONE, inet_diag.NLMSG_DONE)


class _BrokenOffError(Exception):
    """The dump is incomplete and worth another try."""


class DiagSocket:
    """One open ``NETLINK_SOCK_DIAG`` socket of the network namespace it was created in.

    Raises :class:`NetlinkError` where the kernel has no such family or refuses it.
    """

    def __init__(self, give_way: GivingWay | None = None) -> None:
        self._give_way = give_way or GivingWay()
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
            seconds = struct.pack("@ll", int(TIMEOUT), 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, seconds)
        except AttributeError as error:  # Python has no AF_NETLINK: another system
            raise NetlinkError("this system has no netlink") from error
        except OSError as error:
            raise NetlinkError(_unopened(error), error.errno or 0) from error
        self._buffer = np.empty(CHUNK, np.uint8)
        self._sequence = int(time.monotonic() * 1000) & 0x7FFFFFFF

    def close(self) -> None:
        """Close the socket; it cannot be used again."""
        self._socket.close()

    def dump(self, family: int, protocol: Protocol, decoder: inet_diag.Decoder, states: int) -> None:
        """Read every socket of one family (AF_UNSPEC: both, TCP only) and protocol into ``decoder``.

        Raises :class:`NetlinkError` with the kernel's errno; ENOENT means that this kernel has no
        diag module for the protocol. The kernel never marks such a dump as interrupted (NLM_F_DUMP_INTR: inet_diag.c
        does not call nl_dump_check_consistent): what moved while it was read shows twice or not at all.
        """
        for attempt in range(TRIES):
            try:
                self._dump(family, protocol, decoder, states)
                return
            except _BrokenOffError as reason:
                if attempt == TRIES - 1:
                    said = f"the kernel broke off the socket dump {TRIES} times: {reason}; {_INSTEAD}"
                    raise NetlinkError(said) from reason

    def _dump(self, family: int, protocol: Protocol, decoder: inet_diag.Decoder, states: int) -> None:
        self._sequence = (self._sequence + 1) & 0x7FFFFFFF
        buffer, view = self._buffer, self._buffer.data
        receive, header, sequence = self._socket.recv_into, _HEADER.unpack_from, self._sequence
        try:
            self._socket.send(inet_diag.request(family, protocol, states, sequence))
            used = 0
            while True:
                size = receive(view[used : used + RECEIVE], RECEIVE, socket.MSG_TRUNC)
                if size > RECEIVE:
                    self._drain()
                    raise _BrokenOffError(f"a message of {size} bytes was cut off")
                if size < inet_diag.HEADER:
                    continue
                _, kind, answers = header(view, used)
                if answers != sequence:
                    continue  # the rest of an answer that an earlier, broken dump left behind
                used += size
                # What may close the dump: its first or last message is DONE, the kernel sends it last. A false alarm
                # costs one early decode.
                if kind in _LAST or header(view, max(used - _DONE, 0))[:2] == _ENDS or used + RECEIVE > CHUNK:
                    walk = inet_diag.walk(buffer, used)
                    decoder.take(buffer, walk, protocol)
                    decoder.malformed += walk.malformed
                    used = 0
                    self._give_way()
                    if walk.errno:
                        if walk.errno == errno.EBUSY:  # a dump that was left in its midst is still going on
                            self._drain()
                            raise _BrokenOffError(os.strerror(walk.errno))
                        raise NetlinkError(_unlisted(protocol, walk.errno), walk.errno)
                    if walk.done:
                        return
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                self._drain()
                raise _BrokenOffError("its answers overran the receive buffer") from error
            if error.errno == errno.EAGAIN:
                raise NetlinkError(
                    f"the kernel did not answer within {TIMEOUT:g} s; {_INSTEAD}", errno.EAGAIN
                ) from error
            raise NetlinkError(f"reading sockets from the kernel failed: {error.strerror}", error.errno or 0) from error

    def _sequence_of(self, offset: int) -> int:
        return int(_HEADER.unpack_from(self._buffer.data, offset)[2])

    def _drain(self) -> None:
        """Throw away what is left of a broken dump; the kernel goes on with it as we read."""
        view = self._buffer.data
        with contextlib.suppress(OSError):  # nothing is left, or it broke off again; the next try meets anything else
            while self._socket.recv_into(view[:RECEIVE], RECEIVE, socket.MSG_DONTWAIT):
                pass


def _unopened(error: OSError) -> str:
    """Why there is no netlink socket, and what would help; a clause."""
    said = os.strerror(error.errno or 0)
    if error.errno in (errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT):
        return (
            f"NETLINK_SOCK_DIAG is refused here ({said}): a sandbox, like a container's seccomp profile or systemd's "
            "RestrictAddressFamilies=; run sockui outside of it"
        )
    if error.errno == errno.EPROTONOSUPPORT:
        return f"the kernel offers no NETLINK_SOCK_DIAG here ({said}); as root: modprobe tcp_diag"
    return f"a netlink socket cannot be opened: {said}"


def _unlisted(protocol: Protocol, code: int) -> str:
    """Why the kernel lists no sockets of a protocol, and what would help; a clause."""
    said = f"the kernel refused to list {protocol.name} sockets: {os.strerror(code)}"
    if code == errno.ENOENT:
        module = f"{protocol.name.lower()}_diag"
        return f"{said} (no {module}; as root: modprobe {module})"
    return said
