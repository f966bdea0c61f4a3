"""A bare word of a filter: a substring of what the table shows.

Owns which texts are searched and how: endpoints, state, protocol, process, pid, command line, unit, user and
the words for missing owners; the numbers of other columns are not searched.

No text is made per socket: the word is looked for in the distinct processes, users, states, addresses and
ports, and what is found is mapped back.
"""

from __future__ import annotations

import functools
import string
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sockui.model import Owner, Process, Protocol, parse_state
from sockui.model.sockets import columns
from sockui.once import once
from sockui.tracker import Update
from sockui.view import column, fields
from sockui.view import format as fmt
from sockui.view.column import Codes, Mask, Words

_OF_ENDPOINTS = frozenset(string.hexdigits.lower() + ".:[]*")  # an endpoint has no other characters
_LONGEST_PORT = 5
_LONGEST_ENDPOINT = 47  # an IPv6 address of 39 characters in brackets, a colon and a port
_OCTETS = [str(octet) for octet in range(256)]


@dataclass(frozen=True, slots=True)
class Side:
    """The endpoints of one side."""

    ports: NDArray[np.uint16]
    v4: Mask | None  # rows with a dotted address; None: all
    octets: NDArray[np.uint8]  # (4, m) of those rows
    others: Sequence[str]  # the distinct addresses of the other rows, in brackets ...
    codes: Codes  # ... and which of them each has


@dataclass(frozen=True, slots=True)
class Texts:
    """What is looked through: distinct texts, and which of them each of (n,) sockets has."""

    states: Words
    users: Words
    owners: NDArray[np.uint8]
    protocols: tuple[NDArray[np.uint8], NDArray[np.uint8]]  # and family
    processes: dict[int, str]  # by pid
    sides: dict[str, Side]


def contains(update: Update, word: str) -> Mask:
    """(n,) sockets of which a cell contains ``word``, without regard to case; ``-`` in a state counts as ``_``."""
    texts, word = gathered(update), word.casefold()
    mask = _in_words(update, texts, word)
    pids = [pid for pid, text in texts.processes.items() if word in text]
    if pids:
        mask |= column.held_by(update, np.array(pids, np.intp))
    if len(word) <= _LONGEST_ENDPOINT and _OF_ENDPOINTS.issuperset(word):
        mask |= _in_endpoints(texts.sides["local"], word)
        mask |= np.where(texts.sides["remote"].ports == 0, word in "*", _in_endpoints(texts.sides["remote"], word))
    return mask


@once
def gathered(update: Update) -> Texts:
    """What a word is looked for in, worked out once an update: letters only look."""
    sockets = update.sockets
    processes = update.snapshot.processes
    states, state_codes = fields.state_words(update)
    owners, protocols, families = columns(sockets, "owner", "protocol", "family")
    pids, _ = column.holder_pids(update)
    return Texts(
        (states, state_codes.astype(np.uint8)),
        fields.user_words(update),
        owners,
        (protocols, families),
        {pid: _process_text(pid, processes.get(pid)) for pid in pids.tolist()},
        {side: _side(update, side) for side in ("local", "remote")},
    )


def _side(update: Update, side: str) -> Side:
    high, low, ports = columns(update.sockets, f"{side}_high", f"{side}_low", f"{side}_port")
    v4 = (high == 0) & (low >> np.uint64(32) == 0xFFFF)
    dotted = low[v4].astype(">u4").view(np.uint8).reshape(-1, 4)
    others, codes = column.distinct_texts(column.take(update, np.flatnonzero(~v4)), side)
    bracketed = [f"[{text}]" for text in others]
    return Side(ports, None if v4.all() else v4, np.ascontiguousarray(dotted.T), bracketed, codes)


def _in_words(update: Update, texts: Texts, word: str) -> Mask:
    states, state_codes = texts.states
    users, user_codes = texts.users
    owners = np.zeros(len(Owner), np.bool_)
    for owner, text in {**fields.no_process_words(update), Owner.LISTENER: fields.NOT_ACCEPTED}.items():
        owners[owner] = word in text
    protocols = np.zeros((256, 7), np.bool_)  # by protocol and family
    for protocol in Protocol:
        protocols[protocol, 4] = word in protocol.name.lower()
        protocols[protocol, 6] = word in f"{protocol.name.lower()}6"
    return np.asarray(
        _found(states, _state_spelling(word))[state_codes]
        | _found(users, word)[user_codes]
        | owners[texts.owners]
        | protocols[texts.protocols]
    )


def _state_spelling(word: str) -> str:
    """``close-wait`` and ``fin-wait-2`` as the table spells them."""
    state = parse_state(word) if "-" in word or "_" in word else None
    return state.name.casefold() if state else word.replace("-", "_")


def _found(vocabulary: Sequence[str], word: str) -> Mask:
    """Which texts contain the word; one more for code -1."""
    return np.array([*(word in text.casefold() for text in vocabulary), False], np.bool_)


def _process_text(pid: int, process: Process | None) -> str:
    """Name, pid, command line and unit."""
    if process is None:
        return f"?/{pid}"
    texts = (f"{process.name}/{pid}", fields.command(process), process.unit)
    return "\n".join(fmt.escape(text).casefold() for text in texts)  # escaped texts have no newline


def _in_endpoints(side: Side, word: str) -> Mask:
    """Whether ``address:port`` contains the word: in the address, in the port, or across the colon between them."""
    mask = _in_addresses(side, word, at_end=False)
    if len(word) <= _LONGEST_PORT:
        mask |= _ports_with(word)[side.ports]
    for position in (position for position, character in enumerate(word) if character == ":"):
        head, tail = word[:position], word[position + 1 :]
        ends = _in_addresses(side, head, at_end=True)
        if tail:
            ends &= _ports_beginning(tail)[side.ports]
        mask |= ends
    return mask


@functools.cache
def _port_texts() -> list[str]:
    """Every port as it is shown; made once: looking through all of them costs less than finding those in use."""
    return ["*", *map(str, range(1, 1 << 16))]


@functools.lru_cache(64)
def _ports_with(word: str) -> Mask:
    """Which ports contain the word; kept, for a filter is asked again with every poll."""
    return np.array([word in text for text in _port_texts()], np.bool_)


@functools.lru_cache(64)
def _ports_beginning(word: str) -> Mask:
    """Which ports begin with the word."""
    return np.array([text.startswith(word) for text in _port_texts()], np.bool_)


def _in_addresses(side: Side, word: str, *, at_end: bool) -> Mask:
    """Whether the address, in brackets if it is IPv6, contains the word or ends with it."""
    dotted = _in_v4(side.octets, word, at_end=at_end)
    if side.v4 is None:
        return dotted
    mask = np.zeros(len(side.v4), np.bool_)
    mask[side.v4] = dotted
    others = [text.endswith(word) if at_end else word in text for text in side.others]
    mask[~side.v4] = np.array(others, np.bool_)[side.codes]
    return mask


def _in_v4(octets: NDArray[np.uint8], word: str, *, at_end: bool) -> Mask:
    """The same for dotted addresses, four numbers each, without writing any: a table tells for each number."""
    parts = word.split(".")
    mask = np.zeros(octets.shape[1], np.bool_)
    for start in range(4 - len(parts) if at_end else 0, 5 - len(parts)):
        if start >= 0:
            here = np.ones(octets.shape[1], np.bool_)
            for index, part in enumerate(parts):
                from_start, to_end = index > 0, index < len(parts) - 1 or at_end
                table = np.array([_fits(part, octet, from_start, to_end) for octet in _OCTETS], np.bool_)
                if not table.all():
                    here &= table[octets[start + index]]
            mask |= here
    return mask


def _fits(part: str, octet: str, from_start: bool, to_end: bool) -> bool:
    if from_start and to_end:
        return octet == part
    return octet.startswith(part) if from_start else octet.endswith(part) if to_end else part in octet
