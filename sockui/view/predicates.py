"""One condition of a filter -> a function from an Update to a mask.

Owns what each comparison means, and how its value is read. Must not parse the language (``query``).

A value that is not known satisfies no comparison, neither ``=`` nor ``!=`` nor ``<``; ``not`` of one is true.
Nothing here makes a Python object per socket: comparisons of text look at the distinct texts.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import operator
import re
import socket
import time
import warnings
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sockui.model import State, parse_state
from sockui.model.sockets import columns
from sockui.tracker import Update
from sockui.view import fields
from sockui.view.column import Column, Mask, held_by, holder_pids
from sockui.view.format import did_you_mean

Predicate: TypeAlias = Callable[[Update], Mask]


class ValueProblem(ValueError):  # noqa: N818  # never leaves the view: it becomes a FilterError
    """A value that cannot be read; ``offset`` is the offending character in it, the text says what belongs there."""

    def __init__(self, hint: str, offset: int = 0) -> None:
        super().__init__(hint)
        self.offset = offset


_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION_PART = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)(ms|min|[smhdw])", re.IGNORECASE)
_SIZE = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,9})?)\s*(?:([kmgt])(?:i?b)?|b)?", re.IGNORECASE)
PATIENCE = 0.3
"""Seconds that a regular expression may take for all texts of a column: a key waits for it."""
_TOO_LARGE = "not a regular expression that can be used: too large"
_COUNT = re.compile(r"(\)?)\{([0-9]*),?([0-9]*)\}")
_MOST_REPEATS = 10_000
"""Parts that a pattern may be built of, before anything is matched: {n} within a group that comes m times is n times m.
"""
_NUMBER = re.compile(r"[0-9]{1,19}(\.[0-9]{1,9})?")

SYNCHRONIZED = frozenset(State) - {State.LISTEN, State.CLOSE, State.SYN_SENT}
STATE_SETS = {  # as ss(8) has them
    "all": frozenset(State),
    "connected": SYNCHRONIZED | {State.SYN_SENT},
    "synchronized": SYNCHRONIZED,
    "bucket": frozenset({State.SYN_RECV, State.TIME_WAIT}),
    "big": frozenset(State) - {State.SYN_RECV, State.TIME_WAIT},
}


def states(name: str) -> frozenset[State]:
    """A state in any spelling, or one of the sets of ``ss``."""
    found = parse_state(name)
    if found is not None:
        return frozenset({found})
    if name.lower() in STATE_SETS:
        return STATE_SETS[name.lower()]
    words = [*STATE_SETS, *(state.name.lower().replace("_", "-") for state in State)]
    raise ValueProblem(f"there is no state called that{did_you_mean(name, words)}")


def in_states(chosen: frozenset[State]) -> Predicate:
    """Sockets in one of these states."""
    table = np.zeros(256, np.bool_)
    table[sorted(chosen)] = True
    return lambda update: np.asarray(table[update.sockets["state"]])


def compare(column: Column, sign: str, values: list[str]) -> Predicate:
    """``column`` ``sign`` one of ``values``; with ``!=`` none of them. Raises :class:`ValueProblem`."""
    if sign in _COMPARISONS:
        if column.kind not in ("number", "age"):
            raise ValueProblem(f"{column.name} has no order: use =, != or ~")
        if len(values) > 1:
            raise ValueProblem(f"a list of values goes with = and !=, not with {sign}")
    if column.kind == "age":
        return _age(sign, values[0])
    if column.kind in ("address", "endpoint"):
        match = _any([endpoint(column, value) for value in values])
    elif column.kind == "state":
        match = in_states(frozenset[State]().union(*(states(value) for value in values)))
    elif column.kind == "number":
        match = _number(column, sign, [number(value, column.unit) for value in values])
    else:
        if column.choices:
            for value in values:
                _choice(column, value)
        match = _words(column, _any_text([_wildcard(value) for value in values]))
    return match if sign != "!=" else _known_and_not(column, match)


def matches(column: Column, sign: str, pattern: str) -> Predicate:
    """``column ~ pattern`` or ``!~``, a regular expression without regard to case.

    The predicate raises TimeoutError where it takes longer than ``PATIENCE`` for all texts together.
    """
    if column.words is None:
        instead = {"age": "< or >", "endpoint": "=, a bare word, or ~ on local_address or remote_address"}
        raise ValueProblem(f"~ compares text: use {instead.get(column.kind, '= or <')} for {column.name}")
    search = _search(pattern)

    def match(update: Update) -> Mask:
        end = time.monotonic() + PATIENCE
        spellings = (str, lambda text: text.replace("_", "-")) if column.kind == "state" else (str,)

        def accepts(text: str) -> bool:
            return any(search(spelt(text), timeout=max(end - time.monotonic(), 0.001)) for spelt in spellings)

        return _words(column, accepts)(update)

    return match if sign == "~" else _known_and_not(column, match)


def _search(pattern: str) -> Callable[..., object]:
    import regex  # late: most filters have none

    within, groups = 1, 1
    for group, least, most in _COUNT.findall(pattern):
        count = min(int((most or least or "1")[:9]), _MOST_REPEATS + 1)
        within, groups = (within, groups * max(1, count)) if group else (within + count, groups)
    if within * groups > _MOST_REPEATS:
        raise ValueProblem(_TOO_LARGE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # FutureWarning about "[[": it means what it meant
            search: Callable[..., object] = regex.compile(pattern, regex.IGNORECASE).search
    except regex.error as error:
        raise ValueProblem(f"not a regular expression: {error.msg}", error.pos or 0) from error
    except (OverflowError, RecursionError) as error:
        raise ValueProblem(_TOO_LARGE) from error
    return search


def number(text: str, unit: str) -> float:
    """A number in ``unit``: durations, sizes and service names are understood where the unit allows them."""
    if unit == "port":
        return _port(text)
    plain = _NUMBER.fullmatch(text)
    if plain:
        return float(text) if plain[1] else int(text)
    if unit in ("s", "ms"):
        seconds = _duration(text)
        return seconds if unit == "s" else seconds * 1000
    if unit == "bytes":
        size = _SIZE.fullmatch(text)
        if size:
            return float(size[1]) * float(1024 ** " kmgt".index((size[2] or " ").lower()))
        raise ValueProblem("a number of bytes belongs here, such as 1500, 64k or 2M")
    if re.fullmatch("0x[0-9a-f]{1,16}", text, re.IGNORECASE):
        return int(text, 16)
    raise ValueProblem("a number belongs here")


def is_unit(word: str, unit: str) -> bool:
    """Whether a word could be meant as the unit of a number of seconds, milliseconds or bytes (``unit``)."""
    if unit == "bytes":
        return _SIZE.fullmatch(f"1{word}") is not None
    return unit in ("s", "ms") and word.lower() in _SECONDS


def _duration(text: str) -> float:
    seconds, position = 0.0, 0
    while part := _DURATION_PART.match(text, position):
        seconds += float(part[1]) * _SECONDS[part[2].lower()]
        position = part.end()
    if position == 0 or position < len(text):
        raise ValueProblem("a duration belongs here, such as 250ms, 30s, 5m or 1h30m", position)
    return seconds


def _port(text: str) -> int:
    """``443``, ``:443``, ``https`` or ``:https``, as ``ss`` reads ports."""
    word = text.removeprefix("*:").removeprefix(":")
    if re.fullmatch("[0-9]{1,5}", word) and int(word) < 65536:
        return int(word)
    if word and not word[0].isdigit():
        try:
            return int(socket.getservbyname(word))
        except (OSError, ValueError) as error:  # ValueError: a name that cannot be encoded
            raise ValueProblem("there is no service of that name in /etc/services") from error
    raise ValueProblem("a port belongs here, such as :443 or :https")


def _number(column: Column, sign: str, values: list[float]) -> Predicate:
    if column.of_process:  # any holder's pid
        return lambda update: _of_processes(update, lambda pids: _compare_number(pids, sign, values))
    return lambda update: _compare_number(column.values(update), sign, values) & column.known(update)


def _of_processes(update: Update, choose: Callable[[NDArray[np.intp]], Mask]) -> Mask:
    """Sockets that any of the chosen processes holds."""
    pids, _ = holder_pids(update)
    return held_by(update, pids[choose(pids)])


def _compare_number(column: NDArray[Any], sign: str, values: list[float]) -> Mask:
    if sign in _COMPARISONS:
        return np.asarray(_COMPARISONS[sign](column, values[0]))
    if len(values) == 1:
        return np.asarray(column == values[0])
    return np.isin(column, np.array(values))


def _age(sign: str, value: str) -> Predicate:
    """``>``: at least that old for certain; ``<``: at most that old for certain."""
    if sign not in _COMPARISONS:
        raise ValueProblem("an age is an interval: compare it with < or >")
    limit, comparison = number(value, "s") * 1000, _COMPARISONS[sign]
    if sign.startswith(">"):
        return lambda update: np.asarray(comparison(update.ages["min_ms"], limit) & fields.age_known(update))
    return lambda update: np.asarray(comparison(update.ages["max_ms"], limit) & fields.age_bounded(update))


def endpoint(column: Column, text: str) -> Predicate:
    """An address with an optional prefix length and, for an endpoint, an optional port: ``10.0.0.0/8:443``, ``:443``.

    IPv4 networks match v4-mapped addresses: that is how they are held.
    """
    side = column.name.removesuffix("_address")
    port: int | None = None
    host = text
    if column.kind == "endpoint":
        if host.startswith("["):
            host, bracket, rest = host[1:].partition("]")
            if not bracket:
                raise ValueProblem("the [ is not closed")
            length, colon, service = rest.partition(":")
            host += length
        elif host.count(":") > 1:  # an IPv6 address without brackets, as ss prints it in lists
            colon, service = "", ""
        else:
            host, colon, service = host.partition(":")
        port = _port(service) if colon and service not in ("*", "") else None
        if colon and service == "":
            raise ValueProblem("a port belongs after the colon", len(text))
    else:
        host = host.removeprefix("[").removesuffix("]")
    network = None if host in ("", "*") else _network(host)
    if network is None and port is None and "*" not in text:
        raise ValueProblem("an address belongs here, such as 10.0.0.1, 10.0.0.0/8 or [::1]:443")
    return lambda update: _at(update, side, network, port)


def _at(update: Update, side: str, network: tuple[int, int] | None, port: int | None) -> Mask:
    ports, high, low = columns(update.sockets, *(f"{side}_{part}" for part in ("port", "high", "low")))
    mask = np.asarray(ports > 0) if side == "remote" else np.ones(len(ports), np.bool_)
    if port is not None:
        mask &= ports == port
    if network is not None:
        address, length = network
        for column, half, bits in ((high, address >> 64, min(length, 64)), (low, address, max(length - 64, 0))):
            if bits:
                shift = np.uint64(64 - bits)
                wanted = np.uint64((half & (2**64 - 1)) >> (64 - bits))
                mask &= (column >> shift) == wanted
    return mask


def _network(text: str) -> tuple[int, int]:
    """An address as 128 bits (IPv4 v4-mapped) and the length of its prefix."""
    host, slash, length = text.partition("/")
    if "%" in host:
        raise ValueProblem("an address belongs here without its scope: dev chooses the device", text.index("%"))
    if "." in host and ":" not in host and slash:
        host += ".0" * (3 - host.count("."))  # ss understands 193.233.7/24
    try:
        network = ipaddress.ip_network(f"{host}{slash}{length}", strict=False)
    except ValueError as error:
        hint = "an address belongs here, such as 10.0.0.1, 10.0.0.0/8 or [::1]:443"
        raise ValueProblem(f"{hint}; names are not looked up" if host[:1].isalpha() else hint) from error
    if network.version == 4:
        return 0xFFFF << 32 | int(network.network_address), network.prefixlen + 96
    return int(network.network_address), network.prefixlen


def on_device(sign: str, text: str) -> Predicate:
    """Sockets bound to a network device (SO_BINDTODEVICE, or the scope of a link-local address); ``!=``: the others.

    The kernel alone tells which; of what another source lists it is not known.
    """
    try:
        index = int(text) if re.fullmatch("[0-9]{1,9}", text) else socket.if_nametoindex(text)
    except (OSError, ValueError) as error:
        raise ValueProblem("there is no network device of that name") from error
    chosen = np.equal if sign == "=" else np.not_equal
    return lambda update: chosen(update.sockets["interface"], index) & (update.snapshot.source == "netlink")


def _words(column: Column, accepts: Callable[[str], bool]) -> Predicate:
    """Sockets whose text of this column is accepted; of a process column, of any holder."""
    distinct = column.words
    if distinct is None:
        raise TypeError(f"{column.name} has no words")

    def predicate(update: Update) -> Mask:
        vocabulary, codes = distinct(update)
        accepted = np.array([*(bool(text) and accepts(text) for text in vocabulary), False], np.bool_)
        return _of_processes(update, lambda _: accepted[:-1]) if column.of_process else np.asarray(accepted[codes])

    return predicate


def _any_text(tests: Iterable[Callable[[str], bool]]) -> Callable[[str], bool]:
    every = list(tests)
    return lambda text: any(test(text) for test in every)


def _wildcard(value: str) -> Callable[[str], bool]:
    """Equality without regard to case, with ``*`` and ``?``."""
    if "*" not in value and "?" not in value:
        folded = value.casefold()
        return lambda text: text.casefold() == folded
    pattern = fnmatch.translate(value.replace("[", "[[]"))  # tries no * twice: a title takes no more than its length
    match = re.compile(pattern, re.IGNORECASE).match
    return lambda text: match(text) is not None


def _choice(column: Column, value: str) -> None:
    if value.lower() not in column.choices and "*" not in value and "?" not in value:
        hint = did_you_mean(value, column.choices)
        raise ValueProblem(f"{column.name} is one of {', '.join(column.choices)}{hint}")


def _any(predicates: list[Predicate]) -> Predicate:
    return predicates[0] if len(predicates) == 1 else lambda update: np.any([p(update) for p in predicates], axis=0)


def _known_and_not(column: Column, match: Predicate) -> Predicate:
    return lambda update: column.known(update) & ~match(update)
