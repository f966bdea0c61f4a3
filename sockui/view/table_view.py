"""The rows of the socket table: which ones, and in which order.

Owns filtering, sorting and the counts by state. Must not format or know widgets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sockui.diagnosis import situations
from sockui.model import Owner, Protocol, State
from sockui.model.sockets import PIECE, Rows, columns
from sockui.tracker import Life, Update
from sockui.view import fields
from sockui.view.columns import require
from sockui.view.query import EVERYTHING, Query

ATTENTION = "attention"
"""The sort that is no column: what leaks or should be gone comes first, the oldest of each kind before the others."""

_CLASSES = {  # of attention, by state; what is not TCP or has a reason of its own is placed in ``attention``
    State.CLOSE_WAIT: 1,
    State.FIN_WAIT2: 2,
    State.LAST_ACK: 3,
    State.CLOSING: 3,
    State.FIN_WAIT1: 3,
    State.SYN_SENT: 4,
    State.SYN_RECV: 5,
    State.ESTABLISHED: 7,
    State.TIME_WAIT: 9,
    State.LISTEN: 10,
    State.CLOSE: 12,
}
_FULL_LISTENER, _NOT_ACCEPTED, _ORPHAN_FIN_WAIT2, _UDP = 0, 6, 8, 11
_CLASS = np.full(256, _CLASSES[State.CLOSE], np.int64)
_CLASS[list(_CLASSES)] = list(_CLASSES.values())
_BY_QUEUE = np.isin(np.arange(16), (_FULL_LISTENER, _CLASSES[State.ESTABLISHED], _CLASSES[State.LISTEN], _UDP))


@dataclass(frozen=True, slots=True)
class Sort:
    """By which column, and whether backwards. Rows without a value come last either way."""

    column_name: str = ATTENTION
    reverse: bool = False

    @classmethod
    def parse(cls, text: str) -> Sort:
        """``age``; ``-age`` or ``age:desc`` (backwards). Raises :class:`UsageError` for an unknown column."""
        text = f"-{text.removesuffix(':desc')}" if text.endswith(":desc") else text.removesuffix(":asc")
        name = text.removeprefix("-")
        return cls(ATTENTION if name.lower() == ATTENTION else require(name).name, text.startswith("-"))

    @property
    def text(self) -> str:
        """The same as ``parse`` reads it."""
        return f"-{self.column_name}" if self.reverse else self.column_name


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class TableView:
    """What a table shows of one update."""

    update: Update
    rows: NDArray[np.intp]  # (m,) indices into update.sockets, in the order of display
    sort: Sort
    query: Query
    total: int  # rows of the update before the filter
    state_counts: dict[str, int]  # TCP sockets by state name, then "UDP"; those that ended are not counted
    every: NDArray[np.intp] | None  # (n,) all rows in this order; None: they were not put in order


def build(
    update: Update, query: Query = EVERYTHING, sort: Sort | None = None, previous: TableView | None = None
) -> TableView:
    """Filter and sort.

    What a ``previous`` view of the same update knows is not worked out again: a letter of a filter does not sort.
    """
    sort = sort or Sort()
    if previous is None or previous.update is not update:
        rows = _ordered(update, np.flatnonzero(query.mask(update)), sort)
        every = rows if query == EVERYTHING else None
        return TableView(update, rows, sort, query, len(update.sockets), _state_counts(update), every)
    if (previous.query, previous.sort) == (query, sort):
        return previous
    every = previous.every if previous.sort == sort else None
    if previous.query == query:
        if (previous.sort.column_name, previous.sort.reverse) == (sort.column_name, not sort.reverse):
            rows = _turned(update, previous.rows, sort.column_name)
        else:
            rows = _ordered(update, previous.rows, sort)
    elif every is None:
        rows = _ordered(update, np.flatnonzero(query.mask(update)), sort)
    else:
        rows = every[query.mask(update)[every]]
    every = rows if query == EVERYTHING else every
    return TableView(update, rows, sort, query, len(update.sockets), previous.state_counts, every)


def _ordered(update: Update, rows: NDArray[np.intp], sort: Sort) -> NDArray[np.intp]:
    """Ascending by value (or descending), equal ones by identity so that they keep their places, unknown ones last."""
    rows = rows[np.argsort(update.keys[rows])]
    if sort.column_name == ATTENTION:
        return rows[_stable(attention(update)[rows], sort.reverse)]
    chosen = require(sort.column_name)
    known = chosen.known(update)[rows]
    unknown, rows = rows[~known], rows[known]
    return np.concatenate((rows[_stable(chosen.values(update)[rows], sort.reverse)], unknown))


def _turned(update: Update, rows: NDArray[np.intp], column_name: str) -> NDArray[np.intp]:
    """The same rows the other way round: equal ones keep their order, unknown ones stay last."""
    if column_name == ATTENTION:
        values, unknown = attention(update)[rows], rows[:0]
    else:
        chosen = require(column_name)
        known = chosen.known(update)[rows]
        unknown, rows = rows[~known], rows[known]
        values = chosen.values(update)[rows]
    starts = np.flatnonzero(np.concatenate(([True], values[1:] != values[:-1])))[: len(rows)]
    lengths = np.diff(starts, append=len(rows))[::-1]
    begins = np.cumsum(lengths) - lengths
    return np.concatenate((rows[np.repeat(starts[::-1] - begins, lengths) + np.arange(len(rows))], unknown))


def _stable(keys: NDArray[Any], reverse: bool) -> NDArray[np.intp]:
    """The stable order of keys; in 16 bits where the range allows, for numpy sorts those by radix."""
    if keys.dtype.kind == "f":
        return np.argsort(-keys if reverse else keys, kind="stable")
    if len(keys) and int(keys.max()) - int(keys.min()) < 1 << 16:
        keys = (keys - keys.min()).astype(np.uint16)
    return np.argsort(~keys if reverse else keys, kind="stable")


def attention(update: Update) -> NDArray[np.int64]:
    """(n,) sort key: listeners whose queue is full, then what only a close() or a timeout ends, and so on.

    Within a class the oldest is first; of connections, listeners and UDP the one with the fullest queues.
    """
    keys = np.empty(len(update.sockets), np.int64)
    for start in range(0, len(keys), PIECE):
        part = slice(start, start + PIECE)
        keys[part] = _attention(replace(update, sockets=update.sockets[part], ages=update.ages[part]))
    return keys


def _attention(update: Update) -> NDArray[np.int64]:
    sockets = update.sockets
    state = sockets["state"].copy()  # a column on its own: it is read often
    classes = _CLASS[state]

    listeners, closed = np.flatnonzero(state == State.LISTEN), np.flatnonzero(state == State.FIN_WAIT2)
    classes[listeners[situations.queue_full(Rows(sockets, listeners))]] = _FULL_LISTENER
    classes[closed[situations.orphan(Rows(sockets, closed))]] = _ORPHAN_FIN_WAIT2
    classes[(state == State.ESTABLISHED) & (sockets["owner"] == Owner.LISTENER)] = _NOT_ACCEPTED
    classes[sockets["protocol"] == Protocol.UDP] = _UDP

    recv_queue, send_queue = sockets["recv_queue"], sockets["send_queue"]
    first = -fields.age_order(update)
    by_queue = np.flatnonzero(_BY_QUEUE[classes])
    backlog = state[by_queue] == State.LISTEN  # what its send queue is
    first[by_queue] = np.where(backlog, 0, -send_queue[by_queue].astype(np.int64)) - recv_queue[by_queue]
    return np.asarray(classes * 2**44 + first)


def _state_counts(update: Update) -> dict[str, int]:
    sockets = update.sockets
    protocol, state = columns(sockets, "protocol", "state")
    codes = np.where(protocol == Protocol.UDP, 0, state)[update.life != Life.ENDED]
    by_code = np.bincount(codes, minlength=len(State) + 1).tolist()
    names = [*((state.name, by_code[state]) for state in State), ("UDP", by_code[0])]
    return {name: count for name, count in names if count}
