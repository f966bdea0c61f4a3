"""The conversation with the kernel: real dumps, and every way in which one can go wrong, played back."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable

import pytest

from sockui.collector import inet_diag, netlink
from sockui.collector.netlink import DiagSocket
from sockui.errors import NetlinkError
from sockui.model import Protocol, SocketArray, State

Answer = bytes | OSError
"""A datagram (its sequence number is put in) or an error of recv()."""


class Kernel:
    """Stands where the netlink socket is and plays one list of answers for each request."""

    def __init__(self, *plays: list[Answer]) -> None:
        self.plays = list(plays)
        self.now: list[Answer] = []
        self.requests = 0
        self.sequence = 0

    def send(self, data: bytes) -> int:
        self.requests += 1
        self.sequence = struct.unpack_from("=I", data, 8)[0]
        self.now += self.plays.pop(0)
        return len(data)

    def recv_into(self, view: memoryview, size: int, flags: int) -> int:
        if not self.now:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        answer = self.now.pop(0)
        if isinstance(answer, OSError):
            raise answer
        data = bytearray(answer)
        if struct.unpack_from("=I", data, 8)[0] == 0:
            struct.pack_into("=I", data, 8, self.sequence)
        view[: min(len(data), len(view))] = data[: len(view)]
        return len(data)


def message(cookie: int) -> bytes:
    body = struct.pack("=BBBB", inet_diag.AF_INET, State.LISTEN, 0, 0) + bytes(4 + 32 + 4)
    body += struct.pack("=Q", cookie) + bytes(20) + struct.pack("=HHB3x", 5, 8, 0)
    return struct.pack("=IHHII", len(body) + 16, inet_diag.SOCK_DIAG_BY_FAMILY, 2, 0, 0) + body


def done(code: int = 0) -> bytes:
    return struct.pack("=IHHIIi", 20, inet_diag.NLMSG_DONE, 2, 0, 0, code)


def error(code: int) -> bytes:
    return struct.pack("=IHHIIi", 36, inet_diag.NLMSG_ERROR, 0, 0, 0, code) + bytes(16)


Ask = Callable[..., tuple[SocketArray, Kernel]]


@pytest.fixture
def ask() -> Ask:
    def run(*plays: list[Answer]) -> tuple[SocketArray, Kernel]:
        diag = DiagSocket()
        diag.close()
        kernel = Kernel(*plays)
        diag._socket = kernel  # type: ignore[assignment]
        decoder = inet_diag.Decoder(4)
        diag.dump(socket.AF_INET, Protocol.TCP, decoder, inet_diag.ALL_STATES)
        return decoder.rows(), kernel

    return run


def cookies(rows: SocketArray) -> list[int]:
    return sorted(rows["cookie"].tolist())


def test_messages_of_several_datagrams_are_put_together(ask: Ask) -> None:
    rows, _ = ask([message(1) + message(2), message(3), done()])
    assert cookies(rows) == [1, 2, 3]


def test_a_dump_larger_than_the_buffer_is_decoded_on_the_way(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netlink, "CHUNK", 64 * 1024)
    datagrams: list[Answer] = [b"".join(message(100 * d + m) for m in range(1, 301)) for d in range(0, 120, 3)]
    rows, _ = ask([*datagrams, message(9_999_999) + done()])
    assert len(rows) == 40 * 300 + 1


def test_the_errno_of_done_and_of_an_error_is_the_kernels(ask: Ask) -> None:
    for answer, code in ((done(-errno.ENOENT), errno.ENOENT), (error(-errno.EPERM), errno.EPERM)):
        with pytest.raises(NetlinkError, match=os.strerror(code)) as caught:
            ask([answer])
        assert caught.value.errno == code


def test_an_overrun_begins_the_dump_again(ask: Ask) -> None:
    overrun = OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
    rows, kernel = ask([message(1), overrun, message(2)], [message(1) + message(2), done()])
    assert (cookies(rows), kernel.requests) == ([1, 2], 2)


def test_an_error_while_the_rest_is_thrown_away_is_met_by_the_next_try(ask: Ask) -> None:
    overrun, no_memory = OSError(errno.ENOBUFS, "overrun"), OSError(errno.ENOMEM, "no memory")
    assert len(ask([overrun, no_memory], [message(1) + done()])[0]) == 1


def test_a_message_cut_off_by_the_buffer_begins_the_dump_again(ask: Ask) -> None:
    rows, kernel = ask([message(1) + bytes(netlink.RECEIVE)], [message(1), done()])
    assert (cookies(rows), kernel.requests) == ([1], 2)


def test_a_dump_that_always_breaks_off_is_given_up_with_a_reason(ask: Ask) -> None:
    overrun = OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
    with pytest.raises(NetlinkError, match="broke off the socket dump 3 times"):
        ask([overrun], [overrun], [overrun])


def test_what_an_older_dump_left_behind_is_not_taken(ask: Ask) -> None:
    stale = bytearray(message(77))
    struct.pack_into("=I", stale, 8, 12345)
    rows, _ = ask([bytes(stale), message(1), done()])
    assert cookies(rows) == [1]


def test_a_kernel_that_does_not_answer_is_named(ask: Ask) -> None:
    with pytest.raises(NetlinkError, match="did not answer within 5 s"):
        ask([])


def test_a_real_dump_has_a_socket_that_was_just_made() -> None:
    diag = DiagSocket()
    with socket.create_server(("127.0.0.1", 0), backlog=7) as server:
        port = server.getsockname()[1]
        for _ in range(2):  # the same netlink socket, again
            decoder = inet_diag.Decoder()
            diag.dump(socket.AF_INET, Protocol.TCP, decoder, inet_diag.ALL_STATES)
            rows = decoder.rows()
            row = rows[(rows["local_port"] == port) & (rows["state"] == State.LISTEN)][0]
            assert (int(row["send_queue"]), int(row["inode"])) == (7, os.fstat(server.fileno()).st_ino)
    diag.close()
