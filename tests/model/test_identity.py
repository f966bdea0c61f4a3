"""The numbers that name a socket and what it stands in."""

from __future__ import annotations

from typing import Any

import numpy as np

from sockui.model import Known, Protocol, SocketArray, State, empty_sockets
from sockui.model.identity import identities, standings


def rows(*each: dict[str, Any]) -> SocketArray:
    made = empty_sockets(len(each))
    for name, value in {"protocol": Protocol.TCP, "local_port": 443, "remote_port": 1000, "inode": 1}.items():
        made[name] = value
    for row, fields in zip(made, each, strict=True):
        for name, value in fields.items():
            row[name] = value
    return made


def test_without_cookies_the_addresses_and_the_holder_are_the_name() -> None:
    held: dict[str, Any] = {"known": Known.QUEUES, "state": State.LISTEN, "remote_port": 0, "pid": 1, "fd": 3}
    others = ({"fd": 4}, {"pid": 2}, {"local_low": 1})
    keys = identities(rows(held, *({**held, **other} for other in others)))
    assert len(set(keys.tolist())) == 4
    assert identities(rows({**held, "state": State.CLOSE}))[0] == keys[0], "the state is no part of the name"
    assert (keys >= 1 << 63).all(), "no cookie can be taken for one"


def test_a_connection_is_the_same_whoever_holds_it() -> None:
    held: dict[str, Any] = {"known": Known.QUEUES, "state": State.ESTABLISHED, "pid": 7, "fd": 9}
    let_go = {**held, "state": State.TIME_WAIT, "pid": 0, "fd": 0}
    assert identities(rows(held)) == identities(rows(let_go))
    assert identities(rows(held)) != identities(rows({**let_go, "remote_port": 1001}))


def test_what_nothing_tells_apart_is_counted() -> None:
    same: dict[str, Any] = {"known": Known.QUEUES, "protocol": Protocol.UDP, "local_port": 5353, "remote_port": 0}
    other = {**same, "local_port": 53}
    keys = identities(rows(same, other, same, same))
    assert len(np.unique(keys)) == 4
    assert (keys >= 1 << 63).all()
    later = identities(rows(other, same, same, same))
    assert later[1:].tolist() == keys[[0, 2, 3]].tolist()
    assert later[0] == keys[1]


def test_a_cookie_is_the_name() -> None:
    known: dict[str, Any] = {"known": Known.COOKIE}
    assert identities(rows({**known, "cookie": 7}, {**known, "cookie": 9, "fd": 3})).tolist() == [7, 9]


def test_a_socket_stands_in_its_state_and_at_its_peer_and_udp_has_many() -> None:
    tcp: dict[str, Any] = {"state": State.ESTABLISHED, "cookie": 7}
    udp = {**tcp, "protocol": Protocol.UDP}
    others = ({"state": State.CLOSE_WAIT}, {"remote_port": 1001}, {"remote_high": 1})
    found = standings(rows(tcp, {**tcp, "cookie": 8, "pid": 5}, *({**tcp, **other} for other in others)))
    assert found[0] == found[1], "whoever holds it"
    assert len(np.unique(found)) == 4
    assert len(np.unique(standings(rows(udp, {**udp, "remote_port": 1001})))) == 1
