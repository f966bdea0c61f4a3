"""What a column is, and the few ways in which one is made.

Owns the type :class:`Column` and the kinds of columns (a number, a word, text of the owning process).
Must not know which columns there are: that is ``columns``.

Every function of a column takes an :class:`Update` and answers for all of its rows; :func:`take` makes the
Update of the rows that are wanted, so that a screenful costs a screenful.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from sockui.diagnosis import situations
from sockui.model import Known, Process
from sockui.tracker import Update
from sockui.view import format as fmt

Kind: TypeAlias = Literal["number", "text", "state", "enum", "address", "endpoint", "age"]
_T = TypeVar("_T")
_PID_MAX = 1 << 22  # PID_MAX_LIMIT (include/linux/threads.h)
Mask: TypeAlias = NDArray[np.bool_]
Codes: TypeAlias = NDArray[np.intp]
Words: TypeAlias = tuple[Sequence[str], Codes]
"""The distinct texts of a column, escaped, and for each row which of them it has (-1: unknown)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of sockets: how it is named, shown, sorted, compared and written as JSON."""

    name: str  # the JSON name; for columns of the screen alone, what ``--sort`` and the filter call it
    title: str  # the header on the screen
    help: str  # one line: what it says, and in which unit
    kind: Kind  # which comparisons it allows
    width: int  # cells, by the model, never by content
    wide: int = 0  # cells up to which spare width is useful; 0: ``width`` is always enough
    right: bool = False  # numbers stand at the right
    aliases: tuple[str, ...] = ()  # short names for filter and sort
    unit: Literal["", "s", "ms", "bytes", "port"] = ""  # of ``values``, for numbers
    choices: tuple[str, ...] = ()  # every word an enum can be
    of_process: bool = False  # the words are those of ``holder_pids``, in its order
    values: Callable[[Update], NDArray[Any]]  # (n,) sort key; of a number its value in ``unit``
    known: Callable[[Update], Mask]  # (n,) where there is a value
    texts: Callable[[Update], list[str]]  # (n) cells of the screen, escaped; "" where there is nothing to say
    json: Callable[[Update], list[Any]]  # (n) JSON values, None where unknown
    words: Callable[[Update], Words] | None = None  # of text, state, enum and address
    shorten: Callable[[str, int], str] | None = None  # a text in exactly so many cells, if not cut at its end

    def cell(self, text: str, room: int) -> str:
        """A text of this column padded or shortened to exactly ``room`` cells."""
        return self.shorten(text, room) if self.shorten else fmt.fit(text, room, self.right)


def take(update: Update, rows: Codes) -> Update:
    """The same poll with only these rows, in this order."""
    return dataclasses.replace(
        update,
        sockets=update.sockets[rows],
        keys=update.keys[rows],
        ages=update.ages[rows],
        life=update.life[rows],
        path=update.path[rows],
    )


def has(update: Update, groups: Known) -> Mask:
    """(n,) whether the source filled these groups of fields."""
    return situations.has(update.sockets, groups)


def everywhere(update: Update) -> Mask:
    """(n,) all true: known by definition."""
    return np.ones(len(update.sockets), np.bool_)


def nulls(values: Sequence[Any], known: Mask) -> list[Any]:
    """The values as a list, None where they are not known."""
    if known.all():
        return list(values)
    return [value if is_known else None for value, is_known in zip(values, known.tolist(), strict=True)]


def each(show: Callable[..., _T], *fields: Sequence[Any]) -> list[_T]:
    """``show`` of the values side by side, called once for those that are the same: of 100,000 most are."""
    rows = list(zip(*fields, strict=True))
    shown = {row: show(*row) for row in set(rows)}
    return [shown[row] for row in rows]


def number(
    values: Callable[[Update], NDArray[Any]] | str,
    known: Callable[[Update], Mask] | Known,
    show: Callable[[Any], str] = str,
    **described: Any,
) -> Column:
    """A column of numbers: a field of the socket (or computed), known with a group of fields (or computed)."""
    value_of = (lambda update: update.sockets[values]) if isinstance(values, str) else values
    is_known = (lambda update: has(update, known)) if isinstance(known, Known) else known

    def json(update: Update) -> list[Any]:
        return nulls(value_of(update).tolist(), is_known(update))

    def texts(update: Update) -> list[str]:
        return each(lambda value: "" if value is None else show(value), json(update))

    described = {"kind": "number", "right": True, "json": json, "texts": texts, **described}
    return Column(values=value_of, known=is_known, **described)


def words(distinct: Callable[[Update], Words], **described: Any) -> Column:
    """A column of texts of which there are few distinct ones; sorted by their alphabetical rank."""

    def values(update: Update) -> NDArray[Any]:
        vocabulary, codes = distinct(update)
        return rank(vocabulary)[codes]

    def known(update: Update) -> Mask:
        return np.asarray(distinct(update)[1] >= 0)

    def json(update: Update) -> list[Any]:
        vocabulary, codes = distinct(update)
        return [vocabulary[code] if code >= 0 else None for code in codes.tolist()]

    def texts(update: Update) -> list[str]:
        return [text or "" for text in json(update)]

    return Column(**{"values": values, "known": known, "json": json, "texts": texts, "words": distinct, **described})


def process_words(read: Callable[[Process], str], **described: Any) -> Column:
    """A text of the process that holds the socket (or that has not accepted it yet)."""

    def distinct(update: Update) -> Words:
        processes = update.snapshot.processes
        pids, codes = holder_pids(update)
        texts = [fmt.escape(read(processes[pid])) if pid in processes else "" for pid in pids.tolist()]
        present = np.array([*map(bool, texts), False])
        return texts, np.where(present[codes], codes, -1)

    def json(update: Update) -> list[Any]:
        processes = update.snapshot.processes

        def told(pid: int) -> str | None:
            return (fmt.escape(read(processes[pid])) or None) if pid in processes else None

        return each(told, update.sockets["pid"].tolist())

    def texts(update: Update) -> list[str]:
        return [text or "" for text in json(update)]

    described = {"kind": "text", "json": json, "texts": texts, **described}
    return words(distinct, of_process=True, **described)


def rank(texts: Sequence[str]) -> NDArray[np.intp]:
    """The alphabetical rank of each text, equal for equal ones, and one more element for code -1."""
    if not texts:
        return np.zeros(1, np.intp)
    folded = [text.casefold() for text in texts]  # no array of texts: each would take as much as the longest
    place = {text: number for number, text in enumerate(sorted(set(folded)))}
    return np.array([*map(place.__getitem__, folded), len(texts)], np.intp)


def distinct_pids(*pids: NDArray[Any]) -> NDArray[np.intp]:
    """Every pid of these arrays once, ascending; 0 and less is none.

    By a table instead of a sort, up to the kernel's largest one: a text may name any number.
    """
    most = max(int(each.max(initial=0)) for each in pids)
    if most > _PID_MAX:
        distinct = np.unique(np.concatenate(pids)).astype(np.intp)
        return distinct[distinct > 0]
    seen = np.zeros(1 + most, np.bool_)
    for each in pids:
        seen[each[each > 0]] = True
    return np.flatnonzero(seen)


def holder_pids(update: Update) -> tuple[NDArray[np.intp], Codes]:
    """Every pid in this update, ascending, and for each row which of them is its ``pid`` (-1: none)."""
    pid = update.sockets["pid"]
    processes = np.fromiter(update.snapshot.processes, np.intp, len(update.snapshot.processes))
    distinct = distinct_pids(pid, update.snapshot.holders.pid, processes)
    most = int(distinct.max(initial=0))
    if most > _PID_MAX:
        return distinct, np.where(pid > 0, np.searchsorted(distinct, pid), -1)
    code = np.full(1 + most, -1, np.int32)
    code[distinct] = np.arange(len(distinct))
    return distinct, code[pid].astype(np.intp)


def held_by(update: Update, pids: NDArray[Any]) -> Mask:
    """(n,) which sockets any of these processes holds, or has not accepted yet."""
    mask = np.isin(update.sockets["pid"], pids)
    shared = np.flatnonzero(update.sockets["holders"] > 1)  # their rows name the lowest holder only
    if len(shared):
        holders = update.snapshot.holders
        inodes = holders.inode[np.isin(holders.pid, pids)]
        mask[shared] |= np.isin(update.sockets["inode"][shared], inodes)
    return mask


def distinct_addresses(update: Update, side: str) -> tuple[NDArray[np.uint64], NDArray[np.uint64], Codes]:
    """The distinct addresses of a side (``local``, ``remote``) in numerical order: high, low, and each row's code."""
    high, low = update.sockets[f"{side}_high"], update.sockets[f"{side}_low"]
    lows, codes = np.unique(low, return_inverse=True)
    if not high.any():
        return np.zeros_like(lows), lows, codes
    highs, high_codes = np.unique(high, return_inverse=True)
    pairs, codes = np.unique(high_codes * len(lows) + codes, return_inverse=True)
    return highs[pairs // len(lows)], lows[pairs % len(lows)], codes


def distinct_texts(update: Update, side: str) -> Words:
    """The distinct addresses of a side as text, and each row's."""
    high, low, codes = distinct_addresses(update, side)
    return [fmt.address(*pair, 6) for pair in zip(high.tolist(), low.tolist(), strict=True)], codes


def address_words(update: Update, side: str) -> Words:
    """The same, but that the remote side of a socket without a peer has none."""
    texts, codes = distinct_texts(update, side)
    return texts, codes if side == "local" else np.where(update.sockets["remote_port"] > 0, codes, -1)
