"""The filter language: text -> a mask over sockets.

Owns the language (its grammar is ``filter.lark``, the meaning of a condition ``predicates``, that of a bare word
``search``) and what a person is told about a mistake. Must not keep anything of an update.

A superset of the expressions of ``ss`` (ss(8), EXPRESSION and STATE-FILTER) except ``fwmark`` and ``autobound``,
which sockui does not read, and host names, which it does not look up.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from sockui.errors import FilterError
from sockui.model import State
from sockui.tracker import Update
from sockui.view import predicates, search
from sockui.view.column import Column, Mask
from sockui.view.columns import NAMES, find
from sockui.view.format import did_you_mean
from sockui.view.predicates import Predicate, ValueProblem

if TYPE_CHECKING:
    from lark import Lark, Token
    from lark.exceptions import UnexpectedInput

Result = TypeVar("Result")

DEEPEST = 50  # conditions within conditions; a deeper one is a mistake, and would exhaust the stack
MOST_WORDS = 250  # to search for: each takes some ms with every poll, and more is a text pasted by mistake
_SIGNS = {"==": "=", "eq": "=", "ne": "!=", "neq": "!=", "gt": ">", "ge": ">=", "geq": ">="}
_SIGNS |= {"lt": "<", "le": "<=", "leq": "<="}
_TAKES_LONG = f"a regular expression takes too long ({predicates.PATIENCE:g} s): use fewer * and +"
_NOT_READ = {"fwmark": "the mark of a socket", "autobound": "whether the kernel chose the port"}


@dataclass(frozen=True, slots=True)
class Query:
    """A filter that is known to be right; equal to another with the same text."""

    text: str
    _predicate: Predicate | None = field(compare=False, repr=False)  # None: everything

    def mask(self, update: Update) -> Mask:
        """(n,) which sockets it chooses. Raises :class:`FilterError` where a regular expression takes too long."""
        if self._predicate is None:
            return np.ones(len(update.sockets), np.bool_)
        try:
            return self._predicate(update)
        except TimeoutError:
            raise FilterError(self.text, max(0, self.text.find("~")), _TAKES_LONG) from None


EVERYTHING = Query("", None)
"""The filter that chooses every socket."""


def compile(text: str) -> Query:  # noqa: A001  # as re.compile
    """Read a filter. Raises :class:`FilterError`, which points at the first wrong character."""
    if not text.strip():
        return EVERYTHING
    parser = _parser()
    from lark.exceptions import UnexpectedInput

    try:
        condition: _Condition = parser.parse(text)  # type: ignore[assignment]  # what _Builder makes, not a Tree
    except UnexpectedInput as error:
        raise _explain(text, error) from None
    except _Mistake as mistake:
        raise FilterError(text, mistake.position, mistake.hint) from None
    if condition.words > MOST_WORDS:
        raise FilterError(text, 0, f"a filter may search for {MOST_WORDS} words, this one has {condition.words:,}")
    return Query(text, condition.mask)


def help_text() -> list[tuple[str, str]]:
    """Examples for the help screen: filter, what it chooses."""
    return [
        ("java", 'any cell or command line contains it; quote words such as "not"'),
        ("state close-wait", "also connected, synchronized, bucket, big, all; exclude time-wait"),
        ("age > 5m", "in its state for more than 5 min for certain; < is at most, for certain"),
        ("dst 10.0.0.0/8", "the peer's address; src is the local one; dst 10.0.0.1:443"),
        ("dport = :https or sport gt :1024", "ports by number or name; = != < <= > >= or eq ne lt le gt ge"),
        ("pid = 4312,4313", "held by any of these processes"),
        ("process ~ ^(java|node)$", "a regular expression, in any case; quote it if it has spaces"),
        ("unit = nginx*", "* and ? stand for anything"),
        ("recvq > 64k and not src 127.0.0.1", "and may be left out; ! & | and ( ) as in ss"),
        ("timer = persist", "the peer's window is closed; also on, keepalive, timewait, off"),
        ("owner = hidden", "its process may not be read; also kernel, listener (not accepted), unfound"),
        ("rtt > 200ms retransmits >= 3", "an unknown value satisfies no comparison, not even !="),
    ]


def prepare(update: Update | None = None) -> None:
    """Load the parser and gather what is searched, while there is time; else the first letter of a filter does."""
    _parser()
    if update is not None:
        search.gathered(update)


@functools.cache
def _parser() -> Lark:
    """The parser, made once and when it is first needed: loading Lark takes longer than most commands run."""
    from lark import Lark

    grammar = resources.files("sockui.view").joinpath("filter.lark").read_text("utf-8")
    return Lark(grammar, parser="lalr", lexer="contextual", transformer=_Builder())


class _Mistake(Exception):  # noqa: N818  # becomes a FilterError where the whole text is known
    def __init__(self, position: int, hint: str) -> None:
        super().__init__(hint)
        self.position = position
        self.hint = hint


class _Condition:
    """A condition: how many are within each other, and how many bare words are in it."""

    def __init__(self, predicate: Predicate, depth: int = 0, words: int = 0, unit: str = "") -> None:
        self.mask = predicate
        self.depth = depth
        self.words = words
        self.unit = unit  # of the plain number that it ends with, "" none: what follows may be meant as its unit


class _States(_Condition):
    """``state A state B exclude C``: those named, without those excluded, as ss(8) reads it."""

    def __init__(self, chosen: frozenset[State], excluded: frozenset[State] = frozenset()) -> None:
        super().__init__(predicates.in_states(chosen - excluded))
        self.chosen = chosen
        self.excluded = excluded

    def then(self, other: _States) -> _States:
        """What the two say one after the other."""
        if other.excluded:
            return _States(self.chosen - self.excluded - other.excluded)
        return _States(self.chosen - self.excluded | other.chosen)


class _Bare(_Condition):
    """A word that is looked for everywhere."""

    def __init__(self, token: Token) -> None:
        word = _unquote(token)
        super().__init__(lambda update: search.contains(update, word), words=1)
        self.token = token


class _Joined(_Condition):
    """Conditions that must all hold, or one of which must; kept flat, however many there are."""

    def __init__(self, how: Callable[[Mask, Mask], Mask], parts: list[_Condition]) -> None:
        super().__init__(self._evaluate, 1 + max(part.depth for part in parts), sum(part.words for part in parts))
        self.how = how
        self.parts = parts

    def _evaluate(self, update: Update) -> Mask:
        return functools.reduce(self.how, (part.mask(update) for part in self.parts))


class _Builder:
    """Makes conditions while Lark parses; a method is named as its rule in the grammar and takes its children."""

    def either(self, children: list[Any]) -> _Condition:
        return self._join(np.logical_or, *children)

    def both(self, children: list[Any]) -> _Condition:
        return self._join(np.logical_and, *children)

    def beside(self, children: list[Any]) -> _Condition:
        left, right = children
        before = left.parts[-1] if isinstance(left, _Joined) else left
        if isinstance(right, _Bare) and right.token.type == "WORD" and predicates.is_unit(right.token, before.unit):
            raise _Mistake(
                right.token.start_pos or 0, f"a unit follows its number without a space, as in 5{right.token}"
            )
        if isinstance(right, _States):
            if isinstance(left, _States):
                return left.then(right)
            if isinstance(left, _Joined) and isinstance(left.parts[-1], _States):
                left.parts[-1] = left.parts[-1].then(right)
                return left
        return self._join(np.logical_and, left, right)

    def _join(self, how: Callable[[Mask, Mask], Mask], left: _Condition, right: _Condition) -> _Condition:
        if isinstance(left, _Joined) and left.how is how:
            left.parts.append(right)
            left.depth = max(left.depth, right.depth + 1)
            left.words += right.words
            return left
        return _Joined(how, [left, right])

    def negation(self, children: list[Any]) -> _Condition:
        sign, condition = children
        denied = _Condition(
            lambda update: ~condition.mask(update), condition.depth + 1, condition.words, condition.unit
        )
        return self._deeper(sign, denied)

    def group(self, children: list[Any]) -> _Condition:
        bracket, condition = children
        return self._deeper(bracket, _Condition(condition.mask, condition.depth, condition.words))

    def _deeper(self, token: Token, condition: _Condition) -> _Condition:
        if condition.depth > DEEPEST:
            raise _Mistake(token.start_pos or 0, f"conditions may be nested {DEEPEST} deep, this one is deeper")
        return condition

    def state(self, children: list[Any]) -> _Condition:
        return _States(_read(children[1], predicates.states))

    def exclude(self, children: list[Any]) -> _Condition:
        return _States(frozenset(State), _read(children[1], predicates.states))

    def values(self, children: list[Any]) -> list[Token]:
        return children

    def place(self, children: list[Any]) -> _Condition:
        field, values = children
        return self._compare(field, "=", values)

    def comparison(self, children: list[Any]) -> _Condition:
        field, sign, values = children
        return self._compare(field, _SIGNS.get(sign.lower(), str(sign)), values)

    def _compare(self, field: Token, sign: str, values: list[Token]) -> _Condition:
        if field.lower() == "dev":
            device = _read(values[0], lambda text: predicates.on_device(sign, text))
            if sign not in ("=", "!=") or len(values) > 1:
                raise _Mistake(field.start_pos or 0, "dev is compared with = or != and one device")
            return _Condition(device)
        column = _column(field)
        for value in values:  # each on its own, so that a mistake is pointed at where it is
            _read(value, lambda text: predicates.compare(column, sign, [text]))
        mask = _read(values[0], lambda _: predicates.compare(column, sign, [*map(_unquote, values)]))
        plain = re.fullmatch(r"[0-9.]+", values[-1])
        return _Condition(mask, unit=("s" if column.kind == "age" else column.unit) if plain else "")

    def match(self, children: list[Any]) -> _Condition:
        field, sign, pattern = children
        column = _column(field)
        return _Condition(_read(pattern, lambda text: predicates.matches(column, str(sign), text)))

    def bare(self, children: list[Any]) -> _Condition:
        return _Bare(children[0])


def _unquote(token: Token) -> str:
    """The text of a token; in quotes a backslash protects the quote and nothing else, as regular expressions need."""
    if token.type != "STRING":
        return str(token)
    return token[1:-1].replace(f"\\{token[0]}", token[0])


def _column(field: Token) -> Column:
    found = find(field)
    if found is not None:
        return found
    if field.lower() in _NOT_READ:
        raise _Mistake(field.start_pos or 0, f"sockui does not read {_NOT_READ[field.lower()]}")
    raise _Mistake(field.start_pos or 0, f"there is no field called that{did_you_mean(field, (*NAMES, 'dev'))}")


def _read(token: Token, read: Callable[[str], Result]) -> Result:
    """What a value means; a problem with it becomes a mistake at its place."""
    try:
        return read(_unquote(token))
    except ValueProblem as problem:
        quote = token.type == "STRING"
        raise _Mistake((token.start_pos or 0) + quote + problem.offset, str(problem)) from None


def _explain(text: str, error: UnexpectedInput) -> FilterError:
    """What would be right where the parser stopped."""
    from lark.exceptions import UnexpectedCharacters, UnexpectedToken

    token = error.token if isinstance(error, UnexpectedToken) else None
    at_end = token is not None and token.type == "$END"
    position = len(text.rstrip()) if at_end else max(error.pos_in_stream or 0, 0)
    expected = (
        error.accepts
        if isinstance(error, UnexpectedToken)
        else error.allowed
        if isinstance(error, UnexpectedCharacters)
        else None
    )
    return FilterError(text, position, _hint(text[position : position + 1], expected or set(), text))


def _hint(character: str, expected: set[str], text: str) -> str:
    if character in ("'", '"'):
        return f"the quote {character} is not closed"
    if character == ")":
        return "there is no ( for this )" if text.count(")") > text.count("(") else "a condition belongs before the )"
    if not character and "RPAR" in expected:
        return "a ( is not closed"
    if "PATTERN" in expected:
        return "a regular expression belongs here; quote it if it has spaces, quotes or nested ( )"
    if "VALUE" in expected:
        return "a state belongs here, such as close-wait" if not expected & {"STRING"} else "a value belongs here"
    if expected & {"COMPARE"} and "WORD" not in expected:
        return "a comparison belongs here: = != < <= > >= ~"
    return "a condition belongs here, such as age > 5m, or a word to search for"
