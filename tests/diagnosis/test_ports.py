"""Which ports a destination has used up, counted over rows made by hand."""

from __future__ import annotations

import ipaddress
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockui.ages import AGE, AgeArray
from sockui.diagnosis.ports import MOST_GAUGES, PortGauge, gauges, reserved_ports, usable_ports
from sockui.model import Host, Protocol, SocketArray, State, empty_sockets

HERE, THERE = "10.0.0.1", "10.9.0.1"


def halves(text: str) -> tuple[int, int]:
    number = int(ipaddress.ip_address(text))
    number |= 0xFFFF << 32 if ":" not in text else 0
    return number >> 64, number & (2**64 - 1)


def rows(*given: dict[str, Any]) -> tuple[SocketArray, AgeArray]:
    sockets, ages = empty_sockets(len(given)), np.zeros(len(given), AGE)
    for index, fields in enumerate(given):
        values: dict[str, Any] = {
            "state": State.ESTABLISHED,
            "protocol": Protocol.TCP,
            "to": (THERE, 443),
            "from": HERE,
        } | fields
        ages["min_ms"][index] = values.pop("age", 0)
        remote, values["remote_port"] = values.pop("to")
        values["remote_high"], values["remote_low"] = halves(remote)
        values["local_high"], values["local_low"] = halves(values.pop("from"))
        for name, value in values.items():
            sockets[name][index] = value
    return sockets, ages


def host(low: int = 40000, high: int = 40009, reserved: str = "", reuse: int = 2, **more: object) -> Host:
    sysctls = {"ip_local_port_range": f"{low} {high}", "ip_local_reserved_ports": reserved, "tcp_tw_reuse": reuse}
    return Host("testhost", "Linux", {f"net.ipv4.{name}": str(value) for name, value in (sysctls | more).items()})


def only(*given: dict[str, Any], on: Host | None = None) -> PortGauge:
    found = gauges(*rows(*given), on or host())
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("", []),
        ("8080", [(8080, 8080)]),
        ("8080,9000-9010", [(8080, 8080), (9000, 9010)]),
        ("1-3, 5", [(1, 3), (5, 5)]),
        ("what", []),
    ],
)
def test_reserved_ports_are_read_as_the_kernel_writes_them(text: str, ranges: list[tuple[int, int]]) -> None:
    assert reserved_ports(text) == ranges


def test_reserved_ports_count_only_within_the_range() -> None:
    usable = usable_ports(empty_sockets(), host(reserved="22,39990-40001,40009-40020,50000"))
    assert np.flatnonzero(usable).tolist() == list(range(40002, 40009))


def test_without_a_known_range_there_is_no_gauge() -> None:
    assert gauges(*rows({"local_port": 40000}), Host("testhost", "")) == []


@pytest.mark.parametrize(
    "other",
    [
        {"local_port": 39999},  # below the range
        {"local_port": 40010},  # above it
        {"local_port": 40004, "protocol": Protocol.UDP},
        {"local_port": 40004, "to": (THERE, 444)},
        {"local_port": 40004, "to": ("10.9.0.2", 443)},
        {"local_port": 40004, "from": "10.0.0.2"},
        {"local_port": 40004, "interface": 7},
        {"local_port": 40008},  # reserved
        {"local_port": 40000},  # twice in one dump that is not one moment
    ],
)
def test_what_takes_no_port_of_this_destination_is_not_counted(other: dict[str, Any]) -> None:
    sockets, ages = rows(*({"local_port": port} for port in (40000, 40001, 40002)), other)
    gauge = gauges(sockets, ages, host(reserved="40008"))[0]
    assert (gauge.used, gauge.usable) == (3, 9)
    assert set(gauge.rows.tolist()) >= {0, 1, 2}


def test_a_connection_that_came_to_a_listener_is_not_ours() -> None:
    served = [{"local_port": 40003, "from": f"10.0.1.{index}"} for index in range(3)]
    listener = {"local_port": 40003, "state": State.LISTEN, "from": "0.0.0.0", "to": ("0.0.0.0", 0)}
    gauge = only({"local_port": 40000}, {"local_port": 40001}, *served, listener)
    assert (gauge.used, gauge.usable) == (2, 9)


def test_a_bound_port_is_not_usable_even_after_a_reset() -> None:
    assert only({"local_port": 40000}, {"local_port": 40001, "state": State.CLOSE}).usable == 9
    assert only({"local_port": 40000}, {"local_port": 40001, "state": State.CLOSE}).used == 1


def test_rows_that_are_no_longer_there_are_left_out() -> None:
    sockets, ages = rows(*({"local_port": port} for port in range(40000, 40006)))
    gauge = gauges(sockets, ages, host(), np.array([True, True, False, True, False, False]))[0]
    assert gauge.rows.tolist() == [0, 1, 3]
    assert gauge.used == 3


@pytest.mark.parametrize(
    ("reuse", "source", "destination", "more", "used"),
    [
        (0, "127.0.0.1", "127.0.0.1", {}, 4),
        (1, HERE, THERE, {}, 2),
        (2, HERE, THERE, {}, 4),
        (2, "127.0.0.1", "127.0.0.1", {}, 2),
        (2, HERE, "127.5.5.5", {}, 2),
        (2, "::1", "::1", {}, 2),
        (2, "2001:db8::1", "2001:db8::2", {}, 4),
        (1, HERE, THERE, {"tcp_timestamps": "0"}, 4),
        (1, HERE, THERE, {"tcp_timestamps": "1", "tcp_tw_reuse_delay": "20"}, 1),
    ],
)
def test_time_wait_counts_unless_connect_may_take_it_over(
    reuse: int, source: str, destination: str, more: dict[str, Any], used: int
) -> None:
    path = {"from": source, "to": (destination, 443)}
    gauge = only(
        {"local_port": 40000, "state": State.TIME_WAIT, "age": 1000, **path},
        {"local_port": 40001, "state": State.TIME_WAIT, "age": 59_000, **path},
        {"local_port": 40002, "state": State.TIME_WAIT, "age": 999, **path},
        {"local_port": 40003, "state": State.FIN_WAIT2, "age": 50_000, **path},
        on=host(reuse=reuse, **more),
    )
    assert gauge.used == used
    assert gauge.used + gauge.reusable == 4
    assert gauge.by_state == {State.TIME_WAIT: 3, State.FIN_WAIT2: 1}
    assert gauge.time_wait_counted == (used == 4)
    assert gauge.rows.tolist() == [0, 1, 2, 3]


def test_a_port_taken_over_during_the_dump_is_used_once() -> None:
    gauge = only(
        {"local_port": 40000, "state": State.TIME_WAIT, "age": 5000},
        {"local_port": 40000, "state": State.SYN_SENT},
        on=host(reuse=1),
    )
    assert (gauge.used, gauge.reusable) == (1, 0)


def test_the_ceiling_is_what_time_wait_lets_through() -> None:
    everything = {"local_port": 40000}, {"local_port": 40001}, {"local_port": 40002}
    busy = [{"local_port": 32768 + index} for index in range(2824)]
    assert only(*busy, on=host(32768, 60999)).closes_per_second == pytest.approx(470.5, abs=0.1)
    assert only(*everything, on=host(reuse=1)).closes_per_second == pytest.approx(10.0)


def test_the_half_that_is_tried_first_has_the_parity_of_the_beginning() -> None:
    for low in (40000, 40001):
        first = [{"local_port": port} for port in range(low, low + 10, 2)]
        on = host(low, low + 9)
        assert not only(*first, on=on).past_first_parity
        full = only(*first, {"local_port": low + 1}, on=on)
        assert (full.first_used, full.first_usable, full.used) == (5, 5, 6)
        assert full.past_first_parity
        assert not only(*first[1:], {"local_port": low + 1}, on=on).past_first_parity


def test_the_fullest_come_first_and_few_are_made() -> None:
    many = [{"local_port": 40000, "to": (THERE, port)} for port in range(1000, 1200)]
    found = gauges(*rows(*many, {"local_port": 40001, "to": (THERE, 1150)}), host())
    assert len(found) == MOST_GAUGES
    assert (found[0].port, found[0].used) == (1150, 2)


def test_a_destination_with_a_tenth_of_the_ports_is_gauged_and_one_with_less_is_not() -> None:
    three = [{"local_port": 40000 + index} for index in range(3)]
    on = host(40000, 40029)
    assert [gauge.used for gauge in gauges(*rows(*three), on, least=0.1)] == [3]
    assert gauges(*rows(*three[:2]), on, least=0.1) == []


def test_nearly_all_ports_of_the_first_parity_are_gauged_whatever_share_is_asked_for() -> None:
    even = [{"local_port": 40000 + index} for index in range(0, 10, 2)]
    assert [gauge.used for gauge in gauges(*rows(*even), host(), least=0.7)] == [5]
    assert gauges(*rows(*even[1:]), host(), least=0.7) == []


_ROW = st.fixed_dictionaries(
    {
        "local_port": st.integers(39998, 40012),
        "state": st.sampled_from(State),
        "protocol": st.sampled_from((Protocol.TCP, Protocol.TCP, Protocol.UDP)),
        "from": st.sampled_from((HERE, "127.0.0.1", "::1")),
        "to": st.tuples(st.sampled_from((THERE, "127.0.0.1", "2001:db8::1")), st.integers(1, 3)),
        "age": st.sampled_from((0, 999, 1000, 60_000)),
    }
)


@given(st.lists(_ROW, max_size=60), st.sampled_from((0, 1, 2)))
def test_gauges_are_what_counting_one_by_one_gives(given_rows: list[dict[str, Any]], reuse: int) -> None:
    tcp = [row for row in given_rows if row["protocol"] == Protocol.TCP]
    bound = {row["local_port"] for row in tcp if row["state"] in (State.LISTEN, State.CLOSE)}
    usable = set(range(40000, 40010)) - {40004} - bound
    paths: defaultdict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in tcp:
        if row["local_port"] in usable:
            paths[halves(row["from"]), halves(row["to"][0]), row["to"][1]].append(row)
    expected = {}
    for path, taken in paths.items():
        loopback = {halves("127.0.0.1"), halves("::1")} & set(path[:2])
        reuses = reuse == 1 or (reuse == 2 and loopback)
        ports = {
            row["local_port"]
            for row in taken
            if not (reuses and row["state"] == State.TIME_WAIT and row["age"] >= 1000)
        }
        if ports:
            expected[path] = (len(ports), len(usable), Counter(row["state"] for row in taken))
    found = gauges(*rows(*given_rows), host(reserved="40004", reuse=reuse))
    assert {(g.source, g.destination, g.port): (g.used, g.usable, g.by_state) for g in found} == expected
    assert [g.used for g in found] == sorted((g.used for g in found), reverse=True)
