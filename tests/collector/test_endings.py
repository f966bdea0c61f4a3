"""Endings: everything that receiving can give, and what is judged of messages that are hard to make for real."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Any

import numpy as np
import pytest

from sockui.collector import endings, inet_diag
from sockui.collector.endings import EndingReader
from sockui.errors import NetlinkError
from sockui.model import Known, Protocol, SocketArray, State, empty_sockets
from sockui.model.endings import Endings, How, judged, settled

Answer = bytes | int
"""A datagram, or an errno that recv() gives."""
INFO = Known.QUEUES | Known.TIMER | Known.COOKIE | Known.INFO | Known.COUNTERS | Known.WINDOWS | Known.RTO_TOTALS
HERE, THERE = 0xFFFF_0A00_0001, 0xFFFF_0A00_0002
LISTENING, EPHEMERAL = 443, 50_000


class Kernel:
    """Stands where the netlink socket is and plays answers, then EAGAIN."""

    def __init__(self, answers: list[Answer], drops: int = 0) -> None:
        self.answers = list(answers)
        self.drops = drops

    def recv_into(self, view: memoryview, size: int, flags: int) -> int:
        assert flags == socket.MSG_TRUNC
        answer = self.answers.pop(0) if self.answers else errno.EAGAIN
        if isinstance(answer, int):
            raise OSError(answer, os.strerror(answer))
        view[: min(len(answer), len(view))] = answer[: len(view)]
        return len(answer)

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        assert (level, option, size) == (socket.SOL_SOCKET, 55, 36)  # SO_MEMINFO
        return struct.pack("=9I", *[0] * 8, self.drops)

    def close(self) -> None:
        pass


def message(cookie: int, *, info: int = 280, protocol: Protocol = Protocol.TCP) -> bytes:
    body = struct.pack("=BBBB", inet_diag.AF_INET, State.CLOSE, 0, 0) + struct.pack(">HH", EPHEMERAL, LISTENING)
    body += bytes((10, 0, 0, 1)).ljust(16, b"\0") + bytes((10, 0, 0, 2)).ljust(16, b"\0") + bytes(4)
    body += struct.pack("=Q", cookie) + bytes(20) + struct.pack("=HHB3x", 5, 10, protocol)
    if protocol == Protocol.TCP:
        counters = bytearray(280)
        struct.pack_into("=I", counters, 68, 1000)  # rtt: it was established
        struct.pack_into("=Q", counters, 120, 2)  # bytes_acked: SYN and FIN
        body += struct.pack("=HH", info + 4, 2) + bytes(counters[:info])
    return struct.pack("=IHHII", len(body) + 16, inet_diag.SOCK_DIAG_BY_FAMILY, 0, 0, 0) + body


def drained(*answers: Answer, drops: int = 0, protocol: Protocol = Protocol.TCP) -> Endings:
    reader = EndingReader({protocol: 4096})
    reader.close()
    reader._listeners[protocol] = Kernel(list(answers), drops)  # type: ignore[assignment]
    return reader.drain()


def cookies(ended: Endings) -> list[int]:
    return sorted(ended.sockets["cookie"].tolist())


class TestDrain:
    def test_nothing(self) -> None:
        ended = drained()
        assert (len(ended.sockets), len(ended.facts), ended.lost) == (0, 0, 0)

    @pytest.mark.parametrize("protocol", [Protocol.TCP, Protocol.UDP])
    def test_every_datagram(self, protocol: Protocol) -> None:
        ended = drained(*[message(n, protocol=protocol) for n in range(1, 30)], protocol=protocol)
        assert cookies(ended) == list(range(1, 30))
        assert set(ended.sockets["protocol"].tolist()) == {protocol}
        assert set(ended.facts["how"].tolist()) == {How.CLOSED if protocol == Protocol.TCP else How.NO_CONNECTION}

    def test_what_a_message_cannot_say_is_not_known(self) -> None:
        known = int(drained(message(1)).sockets["known"][0])
        assert not known & int(Known.MINI | Known.INODE | Known.UID)
        assert known & int(INFO) == int(INFO)

    def test_more_than_one_buffer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(endings, "CHUNK", 16 * 1024)
        assert cookies(drained(*[message(n) for n in range(1, 200)])) == list(range(1, 200))

    def test_an_overrun_says_how_many_are_missing_and_the_rest_is_read(self) -> None:
        ended = drained(errno.ENOBUFS, message(1), message(2), drops=17)
        assert (cookies(ended), ended.lost) == ([1, 2], 17)

    def test_an_overrun_of_which_nothing_is_left(self) -> None:
        ended = drained(errno.ENOBUFS, drops=3)
        assert (cookies(ended), ended.lost) == ([], 3)

    def test_the_next_overrun_counts_only_its_own(self) -> None:
        reader = EndingReader({Protocol.TCP: 4096})
        reader.close()
        kernel = Kernel([errno.ENOBUFS], 10)
        reader._listeners[Protocol.TCP] = kernel  # type: ignore[assignment]
        assert reader.drain().lost == 10
        assert reader.drain().lost == 0
        kernel.answers, kernel.drops = [errno.ENOBUFS], 14
        assert reader.drain().lost == 4

    def test_an_overrun_that_the_socket_did_not_count_is_one_at_least(self) -> None:
        assert drained(errno.ENOBUFS, drops=0).lost == 1

    def test_a_message_longer_than_the_buffer_is_lost_and_the_others_are_not(self) -> None:
        ended = drained(message(1), bytes(2 << 20), message(2))
        assert (cookies(ended), ended.lost) == ([1, 2], 1)

    @pytest.mark.parametrize("size", [3, 15, 40, 87, 100, 379])
    def test_a_message_that_is_cut_off_is_said_to_be_lost(self, size: int) -> None:
        ended = drained(message(1), message(2), message(3)[:size])
        assert set(cookies(ended)) >= {1, 2}
        assert ended.lost == 1

    def test_an_attribute_that_overruns_its_message(self) -> None:
        broken = bytearray(message(2))
        struct.pack_into("=H", broken, 96, 4000)
        ended = drained(message(1), bytes(broken))
        assert (cookies(ended), ended.lost) == ([1, 2], 1)
        assert ended.facts["how"][ended.sockets["cookie"] == 2][0] == How.UNKNOWN

    def test_any_other_error_is_raised_with_its_number(self) -> None:
        with pytest.raises(NetlinkError, match="hearing what ended failed") as caught:
            drained(message(1), errno.ENOMEM)
        assert caught.value.errno == errno.ENOMEM


class TestRefused:
    @pytest.mark.parametrize(
        ("code", "words"),
        [
            (errno.EPERM, "a sandbox"),
            (errno.EINVAL, "Linux has it since 4.3"),
            (errno.EPROTONOSUPPORT, "Linux has it since 4.3"),
            (errno.EMFILE, os.strerror(errno.EMFILE)),
        ],
    )
    def test_the_error_says_what_is_missing(self, code: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*arguments: Any) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(socket, "socket", refuse)
        with pytest.raises(NetlinkError, match=words) as caught:
            EndingReader()
        assert caught.value.errno == code

    def test_a_group_that_is_refused_leaves_no_socket_open(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(endings, "GROUPS", {Protocol.TCP: (1, 3), Protocol.UDP: (2, 999)})
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(NetlinkError):
            EndingReader()
        assert len(os.listdir("/proc/self/fd")) == before


def ended_row(**fields: int) -> SocketArray:
    """A connection that we made and whose counters say: SYN acknowledged, nothing else happened."""
    rows = empty_sockets(1)
    common = {"cookie": 7, "protocol": Protocol.TCP, "family": 4, "state": State.CLOSE, "known": int(INFO)}
    ports = {"local_port": EPHEMERAL, "remote_port": LISTENING, "local_low": HERE, "remote_low": THERE}
    counters = {"rtt": 500, "min_rtt": 300, "snd_wnd": 64000, "segs_in": 3, "segs_out": 3, "bytes_acked": 1}
    for name, value in {**common, **ports, **counters, **fields}.items():
        rows[name] = value
    return rows


def how_alone(**fields: int) -> How:
    return How(judged(ended_row(**fields), 1.0, 2.0)["how"][0])


def how_settled(before: SocketArray | None, *, lost: int = 0, after: SocketArray | None = None, **fields: int) -> How:
    rows = ended_row(**fields)
    after = empty_sockets() if after is None else after
    return How(settled(Endings(rows, judged(rows, 1.0, 2.0), lost), before, after).facts["how"][0])


def listener(port: int) -> SocketArray:
    return ended_row(cookie=99, state=State.LISTEN, local_port=port, remote_port=0)


class TestAlone:
    @pytest.mark.parametrize(
        ("fields", "how"),
        [
            ({"bytes_acked": 0}, How.RESET),
            ({"bytes_acked": 1}, How.UNKNOWN),
            ({"bytes_acked": 2}, How.CLOSED),
            ({"bytes_acked": 3}, How.UNKNOWN),  # more than SYN and FIN: nonsense
            ({"bytes_acked": 502, "bytes_sent": 900, "bytes_retrans": 400}, How.CLOSED),
            ({"bytes_acked": 501, "bytes_sent": 500, "send_queue": 1}, How.RESET),  # SYN and data, the FIN on its way
            ({"bytes_acked": 1, "send_queue": 1, "retransmits": 8}, How.UNANSWERED),
            ({"bytes_acked": 1, "send_queue": 901, "notsent_bytes": 900, "snd_wnd": 0}, How.UNKNOWN),  # who gave up?
            ({"bytes_acked": 1, "send_queue": 901, "notsent_bytes": 900, "snd_wnd": 0, "probes": 3}, How.UNANSWERED),
            ({"bytes_acked": 2, "probes": 2}, How.CLOSED),  # half-closed, keepalive failed: our FIN was through
            ({"bytes_acked": 0, "segs_in": 0}, How.UNKNOWN),
            ({"known": int(Known.COOKIE | Known.INFO)}, How.UNKNOWN),  # an old kernel's short tcp_info
            ({"remote_port": 0, "send_queue": 65538, "notsent_bytes": 65538}, How.DISCONNECTED),
            ({"remote_port": 0, "remote_low": 0xFFFF << 32}, How.NO_CONNECTION),
            ({"remote_port": 0, "remote_low": 0, "family": 6}, How.NO_CONNECTION),
            ({"remote_port": 0, "remote_low": 0, "remote_high": 0x2001 << 48, "family": 6}, How.DISCONNECTED),
        ],
    )
    def test_each(self, fields: dict[str, int], how: How) -> None:
        assert how_alone(**fields) == how

    def test_what_the_kernel_cleared_or_never_set_is_not_shown(self) -> None:
        rows = ended_row(remote_port=0, send_queue=65538, notsent_bytes=65538, last_data_recv=14_419_284)
        judged(rows, 1.0, 2.0)
        assert (rows["send_queue"][0], rows["notsent_bytes"][0], rows["last_data_recv"][0]) == (0, 0, 0)
        assert not rows["known"][0] & int(Known.INFO | Known.COUNTERS | Known.WINDOWS | Known.RTO_TOTALS)

    def test_lifetimes(self) -> None:
        times = {"last_data_sent": 4000, "last_data_recv": 9000, "last_ack_recv": 100, "busy_time": 3_000_000}
        for fields, at_least, at_most in (
            ({"bytes_sent": 5, "bytes_received": 5}, 8990, -1),
            ({"bytes_sent": 5, "bytes_received": 0}, 8990, 9010),
            ({"bytes_sent": 0, "bytes_received": 5, "last_data_sent": 12_000}, 11_990, 12_010),
        ):
            facts = judged(ended_row(**{**times, **fields}), 1.0, 2.0)
            assert (facts["lifetime_min_ms"][0], facts["lifetime_max_ms"][0]) == (at_least, at_most)

    def test_after_fifty_days_the_counters_bound_nothing_from_above(self) -> None:
        facts = judged(ended_row(last_data_sent=4000), 1.0, 4_400_000.0)
        assert (facts["lifetime_min_ms"][0], facts["lifetime_max_ms"][0]) == (3990, -1)


class TestSettled:
    def test_who_connected_is_read_off_the_dump_before(self) -> None:
        made = ended_row(state=State.ESTABLISHED, bytes_acked=1)
        accepted = ended_row(state=State.ESTABLISHED, bytes_acked=0)
        assert how_settled(made, segs_in=4, segs_out=4) == How.RESET
        assert how_settled(accepted, segs_in=4, segs_out=4) == How.CLOSED
        assert how_settled(ended_row(state=State.SYN_RECV, known=int(Known.COOKIE))) == How.CLOSED
        assert how_settled(ended_row(state=State.SYN_SENT, known=int(Known.COOKIE))) == How.RESET

    def test_or_off_the_ports_that_are_listened_on(self) -> None:
        assert how_settled(listener(LISTENING)) == How.RESET
        assert how_settled(listener(EPHEMERAL)) == How.CLOSED
        assert how_settled(empty_sockets(), after=listener(EPHEMERAL)) == How.CLOSED

    def test_ports_prove_nothing_without_a_dump_before_or_when_endings_are_missing(self) -> None:
        assert how_settled(None, after=listener(LISTENING)) == How.UNKNOWN
        assert how_settled(listener(LISTENING), lost=1) == How.UNKNOWN

    def test_a_listener_that_ended_in_the_same_drain_counts(self) -> None:
        rows = np.concatenate([ended_row(), ended_row(cookie=8, remote_port=0, remote_low=0xFFFF << 32)])
        again = settled(Endings(rows, judged(rows, 1.0, 2.0)), listener(LISTENING), empty_sockets())
        assert again.facts["how"].tolist() == [How.CLOSED, How.NO_CONNECTION]

    def test_another_connection_of_the_same_descriptor_is_not_the_one_before(self) -> None:
        before = ended_row(state=State.ESTABLISHED, bytes_acked=1, remote_port=80, segs_in=2)
        assert how_settled(before, segs_in=3, segs_out=3) == How.UNKNOWN

    @pytest.mark.parametrize(
        ("came", "sent", "again", "how"),
        [
            (1, 0, 0, How.RESET_BY_PEER),
            (5, 2, 2, How.RESET_BY_PEER),
            (0, 1, 0, How.RESET_HERE),
            (3, 2, 0, How.RESET),
            (0, 0, 0, How.RESET),
        ],
    )
    def test_who_sent_the_reset(self, came: int, sent: int, again: int, how: How) -> None:
        before = ended_row(state=State.ESTABLISHED, segs_in=2**32 - 1, segs_out=2**32 - 1)  # counters of 32 bits
        counted: dict[str, Any] = {
            "segs_in": (came - 1) % 2**32,
            "segs_out": (sent - 1) % 2**32,
            "total_retrans": again,
        }
        assert how_settled(before, **counted) == (how if counted["segs_in"] else How.UNKNOWN)

    @pytest.mark.parametrize(
        ("state", "came", "sent", "how"),
        [
            (State.ESTABLISHED, 0, 4, How.TIMED_OUT),
            (State.FIN_WAIT1, 0, 4, How.TIMED_OUT),
            (State.LAST_ACK, 0, 4, How.UNANSWERED),  # ss -K ends it without a word
            (State.ESTABLISHED, 1, 4, How.UNANSWERED),  # that may have been a RST
            (State.ESTABLISHED, 0, 5, How.UNANSWERED),  # ... and this ours
        ],
    )
    def test_a_timeout_is_claimed_only_if_no_reset_came_or_went(
        self, state: State, came: int, sent: int, how: How
    ) -> None:
        before = ended_row(state=state, send_queue=9, retransmits=2, total_retrans=2)
        fields: dict[str, Any] = {
            "send_queue": 9,
            "retransmits": 6,
            "total_retrans": 6,
            "segs_in": 3 + came,
            "segs_out": 3 + sent,
        }
        assert how_settled(before, **fields) == how

    def test_a_mini_socket_goes_on_and_time_wait_proves_the_peers_fin(self) -> None:
        rows = ended_row(bytes_acked=2)
        for state, how in ((State.FIN_WAIT2, How.CLOSED), (State.TIME_WAIT, How.NORMAL)):
            after = ended_row(state=state, known=int(Known.COOKIE | Known.MINI))
            facts = settled(Endings(rows, judged(rows.copy(), 1.0, 2.0)), None, after).facts
            assert (facts["mini"][0], facts["how"][0]) == (state, how)

    @pytest.mark.parametrize(("came", "how"), [(1, How.REFUSED), (0, How.NO_ANSWER)])
    def test_a_connect_that_failed_never_lived(self, came: int, how: How) -> None:
        rows = ended_row(min_rtt=2**32 - 1, rtt=0, snd_wnd=0, segs_in=came, bytes_acked=0, send_queue=1)
        facts = settled(Endings(rows, judged(rows, 1.0, 2.0)), empty_sockets(), empty_sockets(), 0.5).facts
        assert (facts["how"][0], facts["lifetime_max_ms"][0]) == (how, -1)

    def test_a_full_socket_in_a_dump_read_meanwhile_is_no_mini(self) -> None:
        rows = ended_row(bytes_acked=2)
        facts = settled(Endings(rows, judged(rows, 1.0, 2.0)), None, ended_row(state=State.FIN_WAIT1)).facts
        assert facts["mini"][0] == 0

    def test_the_judgement_before_is_left_as_it_was(self) -> None:
        rows = ended_row(bytes_acked=2)
        ended = Endings(rows, judged(rows, 1.0, 2.0))
        settled(ended, ended_row(state=State.CLOSE_WAIT), empty_sockets())
        assert ended.facts["how"][0] == How.CLOSED
