"""The codec: bytes that a kernel would send become the right columns, and wrong bytes do no harm."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockui.collector import inet_diag
from sockui.model import Known, Protocol, SocketArray, State

TCP_INFO_NOW = 280  # bytes of struct tcp_info in Linux 6.18
TCP_INFO_6_12 = 248
TCP_INFO_4_19 = 224
TCP_INFO_3_10 = 104


@dataclass
class Message:
    """One inet_diag message, put together by hand from include/uapi/linux/inet_diag.h."""

    state: int = State.ESTABLISHED
    family: int = inet_diag.AF_INET
    local: str = "10.9.0.1"
    remote: str = "10.9.1.1"
    cookie: int = 7
    rqueue: int = 0
    inode: int = 4242
    attributes: list[tuple[int, bytes]] = field(default_factory=list)
    kind: int = inet_diag.SOCK_DIAG_BY_FAMILY

    def bytes(self) -> bytes:
        body = struct.pack("=BBBB", self.family, self.state, 1, 3)
        body += struct.pack(">HH", 443, 51234)
        for address in (self.local, self.remote):
            body += ipaddress.ip_address(address).packed.ljust(16, b"\0")
        body += struct.pack("=IQ", 9, self.cookie)
        body += struct.pack("=IIIII", 1500, self.rqueue, 12, 1001, self.inode)
        for kind, payload in self.attributes:
            body += struct.pack("=HH", len(payload) + 4, kind) + payload + b"\0" * (-len(payload) % 4)
        return struct.pack("=IHHII", len(body) + 16, self.kind, 2, 1, 0) + body


def tcp_info(size: int = TCP_INFO_NOW, **changed: int) -> bytes:
    whole = bytearray(280)
    struct.pack_into("=BBBBB", whole, 0, 1, 0, 5, 2, 4)
    for offset, value in {
        8: 204000,
        44: 1111,
        52: 2222,
        56: 3333,
        68: 25000,
        80: 10,
        100: 77,
        140: 9,
        228: 0,
        232: 65535,
    }.items():
        struct.pack_into("=I", whole, offset, value)
    for offset, value in {128: 1001, 168: 75_000_000, 200: 5000}.items():
        struct.pack_into("=Q", whole, offset, value)
    struct.pack_into("=HHI", whole, 240, 6, 1, 19_404)
    for name, value in changed.items():
        struct.pack_into("=I", whole, {"last_data_sent": 44, "last_data_recv": 52, "segs_in": 140}[name], value)
    return bytes(whole[:size])


FULL = [(8, b"\x01"), (15, b"\0" * 4), (21, struct.pack("=Q", 4404)), (22, b"\0\0"), (7, struct.pack("=9I", *range(9)))]
DONE = struct.pack("=IHHIIi", 20, inet_diag.NLMSG_DONE, 2, 1, 0, 0)


def decode(data: bytes, protocol: Protocol = Protocol.TCP) -> tuple[SocketArray, inet_diag.Walk, int]:
    buffer = np.frombuffer(data + b"\xaa" * 64, np.uint8).copy()
    walk = inet_diag.walk(buffer, len(data))
    decoder = inet_diag.Decoder(4)
    decoder.take(buffer, walk, protocol)
    return decoder.rows(), walk, decoder.malformed + walk.malformed


def test_every_field_of_a_connection() -> None:
    rows, walk, malformed = decode(Message(state=8, attributes=[*FULL, (2, tcp_info())]).bytes() + DONE)

    assert (len(rows), walk.done, walk.errno, malformed) == (1, True, 0, 0)
    row = rows[0]
    expected = {
        "cookie": 7, "protocol": 6, "family": 4, "state": 8, "timer": 1, "shutdown": 1, "interface": 9,
        "local_high": 0, "local_low": 0xFFFF_0A09_0001, "remote_low": 0xFFFF_0A09_0101,
        "local_port": 443, "remote_port": 51234, "uid": 1001, "inode": 4242, "cgroup": 4404,
        "send_queue": 12, "timer_ms": 1500, "retransmits": 5, "probes": 2, "backoff": 4,
        "rmem_alloc": 0, "rcvbuf": 1, "sndbuf": 3, "wmem_queued": 5, "drops": 8,
        "rto": 204000, "last_data_sent": 1111, "last_data_recv": 2222, "last_ack_recv": 3333, "rtt": 25000,
        "snd_cwnd": 10, "total_retrans": 77, "bytes_received": 1001, "busy_time": 75_000_000, "bytes_sent": 5000,
        "rcv_wnd": 65535, "total_rto": 6, "total_rto_recoveries": 1, "total_rto_time": 19_404,
        "pid": 0, "fd": -1, "owner": 0,
    }  # fmt: skip
    assert expected == {name: int(row[name]) for name in expected}
    assert Known(int(row["known"])) == Known(0xFFFF) & ~Known.MINI & (Known.MINI - 1 | Known.COUNTERS)


@pytest.mark.parametrize(
    ("size", "groups"),
    [
        (TCP_INFO_3_10, Known.INFO),
        (TCP_INFO_4_19, Known.INFO | Known.COUNTERS),
        (TCP_INFO_6_12, Known.INFO | Known.COUNTERS | Known.WINDOWS | Known.RTO_TOTALS),
        (TCP_INFO_NOW + 40, Known.INFO | Known.COUNTERS | Known.WINDOWS | Known.RTO_TOTALS),
    ],
)
def test_tcp_info_of_other_kernels_is_read_as_far_as_it_goes(size: int, groups: Known) -> None:
    rows, _, malformed = decode(Message(attributes=[*FULL, (2, tcp_info().ljust(size, b"\x55")[:size])]).bytes())

    every = Known.INFO | Known.COUNTERS | Known.WINDOWS | Known.RTO_TOTALS
    assert (malformed, int(rows[0]["known"]) & every) == (0, groups)
    assert rows[0]["rtt"] == 25000
    assert rows[0]["total_rto_time"] == (19_404 if Known.RTO_TOTALS in groups else 0)


@pytest.mark.parametrize(
    ("state", "segs_in", "received", "told"),
    [
        (State.ESTABLISHED, 0, 12_000_000, False),  # tcp_disconnect() cleared it after the state was read
        (State.FIN_WAIT2, 0, 12_000_000, False),
        (State.ESTABLISHED, 1, 12_000_000, True),
        (State.ESTABLISHED, 0, 24, True),  # restored by CRIU, and nothing sent since
        (State.LISTEN, 0, 24, True),
        (State.CLOSE, 0, 12_000_000, True),  # the message of its end, which is read by other rules
    ],
)
def test_what_a_socket_shows_while_it_is_torn_down_is_not_believed(
    state: State, segs_in: int, received: int, told: bool
) -> None:
    info = tcp_info(last_data_sent=24, last_data_recv=received, segs_in=segs_in)
    rows, _, _ = decode(Message(state=state, attributes=[*FULL, (2, info)]).bytes())

    every = Known.INFO | Known.COUNTERS | Known.WINDOWS | Known.RTO_TOTALS
    assert int(rows[0]["known"]) & every == (every if told else 0)
    assert int(rows[0]["known"]) & (Known.QUEUES | Known.INODE | Known.MEMORY)


def test_a_mini_socket_has_no_uid_and_no_info() -> None:
    rows, _, _ = decode(Message(state=6, inode=0, attributes=[(15, b"\0" * 4)]).bytes())

    known = Known(int(rows[0]["known"]))
    assert Known.MINI in known
    assert not known & (Known.UID | Known.INFO | Known.MEMORY | Known.CGROUP)


def test_ipv6_addresses_keep_both_halves() -> None:
    message = Message(family=inet_diag.AF_INET6, local="2001:db8::1:2", remote="::ffff:10.9.1.1", attributes=FULL)
    rows, _, _ = decode(message.bytes())

    assert rows[0]["family"] == 6
    assert (int(rows[0]["local_high"]), int(rows[0]["local_low"])) == (0x2001_0DB8 << 32, 0x1_0002)
    assert int(rows[0]["remote_low"]) == 0xFFFF_0A09_0101


@given(st.lists(st.sampled_from(["conn", "old", "mini", "v6", "bare"]), max_size=120))
def test_kinds_in_any_order_are_all_decoded(kinds: list[str]) -> None:
    make = {
        "conn": Message(attributes=[*FULL, (2, tcp_info())]),
        "old": Message(attributes=[*FULL, (2, tcp_info(TCP_INFO_6_12))]),
        "mini": Message(state=6, inode=0, attributes=[(15, b"\0" * 4)]),
        "v6": Message(family=10, local="::1", remote="::1", attributes=[*FULL, (2, tcp_info())]),
        "bare": Message(state=7, attributes=[]),
    }
    data = b""
    for cookie, kind in enumerate(kinds, 1):
        message = make[kind]
        message.cookie = cookie
        message.rqueue = 1000 + cookie
        data += message.bytes()

    rows, walk, malformed = decode(data + DONE)

    assert (walk.done, malformed) == (True, 0)
    assert {(c, 1000 + c) for c in range(1, len(kinds) + 1)} == {(int(r["cookie"]), int(r["recv_queue"])) for r in rows}
    minis = {c for c, kind in enumerate(kinds, 1) if kind in ("mini", "bare")}
    assert minis == {int(r["cookie"]) for r in rows if r["known"] & int(Known.MINI)}
    assert all(r["rtt"] == 25000 for r in rows if int(r["cookie"]) not in minis)


def test_same_length_other_attributes_are_told_apart() -> None:
    one = Message(cookie=1, attributes=[(8, b"\x01"), (21, struct.pack("=Q", 11))])
    other = Message(cookie=2, attributes=[(21, struct.pack("=Q", 22)), (8, b"\x02")])
    rows, _, _ = decode((one.bytes() + other.bytes()) * 1 + one.bytes())

    assert {(1, 11, 1), (2, 22, 2)} == {(int(r["cookie"]), int(r["cgroup"]), int(r["shutdown"])) for r in rows}


def test_the_last_of_two_rows_with_one_cookie_stays() -> None:
    rows, _, _ = decode(b"".join(Message(cookie=c, rqueue=q).bytes() for c, q in ((1, 10), (2, 20), (1, 30))))

    assert [(int(r["cookie"]), int(r["recv_queue"])) for r in rows] == [(2, 20), (1, 30)]


@pytest.mark.parametrize("last", ["whole", "mini"])
def test_of_two_kinds_with_one_cookie_the_one_read_last_stays(last: str) -> None:
    whole = Message(cookie=5, attributes=[*FULL, (2, tcp_info())])
    mini = Message(cookie=5, state=State.TIME_WAIT, inode=0, attributes=[(15, b"\0" * 4)])
    messages = [mini, whole] if last == "whole" else [whole, mini]
    rows, _, _ = decode(b"".join(message.bytes() for message in messages))

    assert [int(row["state"]) for row in rows] == [messages[-1].state]


def test_data_that_looks_like_a_message_is_data() -> None:
    inner = Message(cookie=99).bytes()
    outer = Message(cookie=1, attributes=[(15, b"\0" * 4), (4, inner + inner)]).bytes()
    rows, _, malformed = decode(outer * 3 + Message(cookie=2).bytes() + DONE)

    assert (sorted(int(row["cookie"]) for row in rows), malformed) == ([1, 2], 0)


def test_answers_to_the_older_request_are_read_as_the_others() -> None:
    old, new = (
        decode(Message(kind=kind, attributes=[*FULL, (2, tcp_info())]).bytes() * 2 + DONE)[0]
        for kind in (inet_diag.TCPDIAG_GETSOCK, inet_diag.SOCK_DIAG_BY_FAMILY)
    )
    assert len(old) == 1
    assert old.tobytes() == new.tobytes()


def test_errors_of_the_kernel_are_read() -> None:
    done = struct.pack("=IHHIIi", 20, inet_diag.NLMSG_DONE, 2, 1, 0, -2)
    error = struct.pack("=IHHIIi", 36, inet_diag.NLMSG_ERROR, 0, 1, 0, -1) + b"\0" * 16

    assert decode(done)[1].errno == 2
    assert decode(error)[1].errno == 1


@pytest.mark.parametrize("cut", [1, 15, 17, 60, 87, 100, 300])
def test_a_message_that_is_cut_off_is_counted_and_the_rest_kept(cut: int) -> None:
    whole = Message(cookie=1, attributes=[*FULL, (2, tcp_info())]).bytes()

    rows, walk, malformed = decode(whole * 20 + whole[:cut])

    assert (len(rows), walk.done, malformed) == (1, False, 1)


def test_an_attribute_that_overruns_its_message_keeps_the_fixed_part() -> None:
    message = bytearray(Message(rqueue=5, attributes=[(8, b"\x01"), (2, tcp_info())]).bytes())
    struct.pack_into("=H", message, 96, 4000)

    rows, _, malformed = decode(bytes(message))

    assert (malformed, int(rows[0]["recv_queue"]), int(rows[0]["shutdown"])) == (1, 5, 1)
    assert not rows[0]["known"] & int(Known.INFO)


@given(st.data())
def test_no_bytes_do_harm(data: st.DataObject) -> None:
    good = b"".join(
        Message(cookie=c, attributes=[*FULL, (2, tcp_info())] if c % 3 else [(15, b"\0" * 4)]).bytes()
        for c in range(30)
    )
    dump = bytearray(good + DONE)
    for _ in range(data.draw(st.integers(0, 12))):
        dump[data.draw(st.integers(0, len(dump) - 1))] = data.draw(st.integers(0, 255))

    rows, _, _ = decode(bytes(dump[: data.draw(st.integers(0, len(dump)))]))

    assert len(rows) <= 31
