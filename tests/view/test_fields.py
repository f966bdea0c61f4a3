"""Values that are computed from more than one field of the kernel."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable

import numpy as np
import pytest

from sockui.collector import open_collector
from sockui.model import State
from sockui.tracker import Tracker, Update
from sockui.view.column import take
from sockui.view.columns import COLUMNS

MakeUpdate = Callable[..., Update]


@pytest.mark.parametrize(
    ("state", "shutdown", "counted", "shown"),
    [
        (State.CLOSE_WAIT, 1, 1, 0),  # nothing came but the FIN
        (State.CLOSE_WAIT, 1, 5, 4),
        (State.LAST_ACK, 3, 5, 4),
        (State.CLOSING, 3, 0, 0),  # never below 0, whatever a kernel counts
        (State.ESTABLISHED, 1, 5, 5),  # our shutdown(SHUT_RD), not a FIN
        (State.FIN_WAIT1, 3, 5, 5),  # our close() shuts both directions down
        (State.FIN_WAIT2, 3, 5, 5),
    ],
)
def test_the_fin_of_the_peer_is_no_byte_received(
    make_update: MakeUpdate, state: State, shutdown: int, counted: int, shown: int
) -> None:
    update = make_update([{"state": state, "shutdown": shutdown, "bytes_received": counted}])
    column = COLUMNS["bytes_received"]
    assert (column.json(update), column.texts(update), column.values(update).tolist()) == (
        [shown],
        [str(shown)],
        [shown],
    )


def test_bytes_received_are_those_that_were_read() -> None:
    """Of real sockets: after a FIN, without one, and where only our side shut down."""
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:
        pairs = []
        for _ in range(4):
            client = stack.enter_context(socket.create_connection(listener.getsockname()))
            pairs.append((client, stack.enter_context(listener.accept()[0])))
        for (client, server), data in zip(pairs, (b"", b"1234", b"1234", b"1234"), strict=True):
            if data:
                server.sendall(data)
                assert client.recv(9) == data
        pairs[0][1].shutdown(socket.SHUT_WR)
        pairs[1][1].shutdown(socket.SHUT_WR)
        pairs[2][0].shutdown(socket.SHUT_RD)
        ports = [client.getsockname()[1] for client, _ in pairs]
        collector, deadline = open_collector("netlink"), time.monotonic() + 10
        stack.callback(collector.close)
        while True:
            update = Tracker().update(collector.collect())
            rows = np.array([np.flatnonzero(update.sockets["local_port"] == port)[0] for port in ports])
            if update.sockets["state"][rows].tolist() == [State.CLOSE_WAIT] * 2 + [State.ESTABLISHED] * 2:
                break
            assert time.monotonic() < deadline
        assert update.sockets["bytes_received"][rows].tolist() == [1, 5, 4, 4]
        assert COLUMNS["bytes_received"].json(take(update, rows)) == [0, 4, 4, 4]
