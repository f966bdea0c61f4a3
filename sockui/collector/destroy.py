"""SOCK_DESTROY: asks the kernel to abort one TCP connection, the one that is named and no other.

Owns the request (include/uapi/linux/sock_diag.h, net/core/sock_diag.c), which sockets it makes sense for, and what
the kernel's answers mean. Must not choose sockets, ask anybody or write a log: that is ``actions``.

The request names protocol, family, both endpoints, the interface and the cookie. The cookie is never left open: the
kernel looks the endpoints up as an arriving segment does, so where the connection is gone it finds a successor, or
the *listener* of that port, and with INET_DIAG_NOCOOKIE it would abort that.

What the kernel does (net/ipv4/tcp.c:tcp_abort; measured on Linux 6.18):

* ESTABLISHED, CLOSE_WAIT, FIN_WAIT1, FIN_WAIT2: a reset (RST) to the peer, and the socket is gone; what was queued for
  sending is lost.
* SYN_SENT, CLOSING, LAST_ACK: gone without a word to the peer (tcp_need_reset).
* The owner keeps its descriptor. What was received can still be read; then the first read or write gives ECONNABORTED.
  Where the peer's FIN had arrived (CLOSE_WAIT, CLOSING, LAST_ACK) reads give end of file, and the first write
  ECONNABORTED.
* A socket whose port was bound explicitly stays listed, as CLOSE, until its descriptor is closed.
* Orphans (no descriptor) are gone. Kernels before 6.11 could leave one behind for ever, without a timer.

What is refused here, though the kernel would do it (:class:`Refusal` says why): LISTEN closes, all that waits in its
queue is reset, accept() gives EINVAL; TIME_WAIT, the FIN_WAIT2 of a closed socket and SYN_RECV are dropped without
an answer to the peer. UDP is disconnected and goes on existing, an ephemeral port is lost (udp_abort). A TCP socket in
CLOSE cannot be found (ENOENT).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sockui.collector import inet_diag
from sockui.collector.netlink import RECEIVE, TIMEOUT, DiagSocket
from sockui.errors import NetlinkError
from sockui.model import Known, Protocol, SocketArray, State

SOCK_DESTROY = 21
NLM_F_ACK = 0x4
CAP_NET_ADMIN = 12
_NO_COOKIE = 0xFFFF_FFFF_FFFF_FFFF  # INET_DIAG_NOCOOKIE in both halves: "whatever is there"
_ANY_STATE = 0xFFFF_FFFF


class Refusal(IntEnum):
    """Why a socket is not to be destroyed."""

    NONE = 0
    NO_COOKIE = 1  # without it a successor could be hit
    UDP = 2  # nothing is closed: the socket stays, its owner gets an error it does not expect
    LISTEN = 3  # the service would be deaf and not know it
    SYN_RECV = 4  # the peer tries again at once, and the kernel gives up within about a minute anyway
    TIME_WAIT = 5  # costs 256 bytes, ends in 60 s, protects the next connection from old segments
    FIN_WAIT2_MINI = 6  # the same, while the peer has not closed
    CLOSE = 7  # there is no connection; the kernel answers ENOENT


class Verdict(IntEnum):
    """What became of one request."""

    CLOSED = 0
    GONE = 1  # ENOENT: no such socket; it ended, or the endpoints are another socket's by now
    NOT_PERMITTED = 2  # EPERM: CAP_NET_ADMIN is missing in the user namespace that owns the network namespace
    NOT_SUPPORTED = 3  # EOPNOTSUPP: a kernel without CONFIG_INET_DIAG_DESTROY
    FAILED = 4  # any other errno


_VERDICTS = {
    0: Verdict.CLOSED,
    errno.ENOENT: Verdict.GONE,
    errno.EPERM: Verdict.NOT_PERMITTED,
    errno.EOPNOTSUPP: Verdict.NOT_SUPPORTED,
}
_NAMES = {**errno.errorcode, errno.EOPNOTSUPP: "EOPNOTSUPP", 0: "destroyed"}  # Python knows 95 as ENOTSUP


@dataclass(frozen=True, slots=True)
class Answer:
    """The kernel's answer to one request."""

    errno: int  # 0: destroyed

    @property
    def verdict(self) -> Verdict:
        """What it means."""
        return _VERDICTS.get(self.errno, Verdict.FAILED)

    @property
    def name(self) -> str:
        """``destroyed``, or the error's name: ``ENOENT``; its number if it has none."""
        return _NAMES.get(self.errno, str(self.errno))


class Destroyer(DiagSocket):
    """A netlink socket that can also destroy; it acts in the network namespace it was created in.

    The kernel asks for the capability of the thread that sends, not of the one that opened
    (net/core/sock_diag.c:sock_diag_destroy).
    """

    def destroy(self, row: Any) -> Answer:
        """Destroy the one socket that a SOCKET record names, and only it.

        Raises :class:`ValueError` for a record that :func:`refusals` refuses, and :class:`NetlinkError` if the kernel
        cannot be asked or does not answer.
        """
        refusal = refusals(np.array([row]))[0]
        if refusal != Refusal.NONE:
            raise ValueError(f"{Refusal(refusal).name} is not destroyed")
        self._sequence = (self._sequence + 1) & 0x7FFFFFFF
        view = self._buffer.data
        try:
            self._socket.send(request(row, self._sequence))
            while True:
                size = self._socket.recv_into(view[:RECEIVE], RECEIVE, socket.MSG_TRUNC)
                if size < inet_diag.HEADER + 4 or self._sequence_of(0) != self._sequence:
                    continue  # what an earlier, broken dump left behind
                kind, code = (struct.unpack_from(form, view, at)[0] for form, at in (("=H", 4), ("=i", 16)))
                if kind == inet_diag.NLMSG_ERROR:  # with code 0 it is the acknowledgement
                    return Answer(-code)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                raise NetlinkError(f"the kernel did not answer within {TIMEOUT:g} s", errno.EAGAIN) from error
            raise NetlinkError(f"asking the kernel failed: {error.strerror}", error.errno or 0) from error


def request(row: Any, sequence: int) -> bytes:
    """Build the request for a SOCKET record: nlmsghdr, then struct inet_diag_req_v2 (72 bytes).

    A v4-mapped connection of a v6 socket is asked for as AF_INET6 with mapped addresses, as the kernel listed it
    (net/ipv4/inet_diag.c:inet_diag_find_one_icsk).
    """
    family = inet_diag.AF_INET if row["family"] == 4 else inet_diag.AF_INET6
    body = struct.pack("=BBBxI", family, int(row["protocol"]), 0, _ANY_STATE)
    body += struct.pack(">HH", int(row["local_port"]), int(row["remote_port"]))
    for end in ("local", "remote"):
        high, low = int(row[f"{end}_high"]), int(row[f"{end}_low"])
        body += struct.pack(">I12x", low & 0xFFFFFFFF) if row["family"] == 4 else struct.pack(">QQ", high, low)
    body += struct.pack("=IQ", int(row["interface"]), int(row["cookie"]))
    flags = inet_diag.NLM_F_REQUEST | NLM_F_ACK
    return struct.pack("=IHHII", inet_diag.HEADER + len(body), SOCK_DESTROY, flags, sequence, 0) + body


def refusals(sockets: SocketArray) -> NDArray[np.uint8]:
    """Why each of (n,) SOCKET rows is not to be destroyed: (n,) :class:`Refusal`, 0 where nothing speaks against it."""
    refused = np.zeros(len(sockets), np.uint8)
    for state, refusal in (
        (State.LISTEN, Refusal.LISTEN),
        (State.SYN_RECV, Refusal.SYN_RECV),
        (State.TIME_WAIT, Refusal.TIME_WAIT),
        (State.CLOSE, Refusal.CLOSE),
    ):
        refused[sockets["state"] == state] = refusal
    mini = sockets["known"] & int(Known.MINI) != 0
    refused[mini & (sockets["state"] == State.FIN_WAIT2)] = Refusal.FIN_WAIT2_MINI
    refused[sockets["protocol"] != Protocol.TCP] = Refusal.UDP
    nameless = (sockets["known"] & int(Known.COOKIE) == 0) | (sockets["cookie"] == _NO_COOKIE)
    refused[nameless] = Refusal.NO_COOKIE
    return refused


def may_destroy() -> bool:
    """Whether this thread has CAP_NET_ADMIN, in its own user namespace: what the kernel will ask for at least.

    Where another user namespace owns the network namespace (a rootless container) the kernel may still say EPERM.
    """
    try:
        with open("/proc/thread-self/status", "rb") as status:
            effective = next(int(line.split()[1], 16) for line in status if line.startswith(b"CapEff:"))
    except (OSError, StopIteration):
        return os.geteuid() == 0
    return bool(effective >> CAP_NET_ADMIN & 1)
