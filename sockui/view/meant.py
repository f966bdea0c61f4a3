"""What somebody meant whose filter matches nothing: bare words that are nearly a state or a column.

Owns the guess. Must not read sockets; a filter that does not parse is ``query``'s to explain.
"""

from __future__ import annotations

from difflib import get_close_matches

from sockui.errors import FilterError
from sockui.model import State, parse_state
from sockui.view import query
from sockui.view.columns import nearest, require

_CONDITION = frozenset((*"()&|<>=!~,", "and", "or", "not", "state", "exclude", "src", "dst", "sport", "dport", "dev"))
"""What makes a filter more than bare words."""
_NEAR = 0.75  # of difflib: a slip or two in a word; what only shares some letters is not suggested


def nothing_matches(filter_text: str) -> str:
    """That bare words were found nowhere, and what was meant; "" for conditions, to which no socket is an answer."""
    words = filter_text.lower().split()
    if not words or not _CONDITION.isdisjoint([*words, *filter_text]):
        return ""
    found = meant(words)
    return f"nothing matches; did you mean: {found}" if found else "no socket matches the filter"


def meant(words: list[str]) -> str:
    """The condition that bare words are spelt like, or nearly; empty if there is none."""
    column = nearest(words[0])
    if column == "state" and len(words) > 1:
        words = words[1:]
    state = parse_state(" ".join(words))
    name = state.name if state else "_".join(words).replace("-", "_").upper()
    if states := get_close_matches(name, [known.name for known in State], 1, _NEAR):
        return f"state {states[0].lower().replace('_', '-')}"
    if column is None or len(words) > 2:
        return ""
    value = f"= {words[1]}" if len(words) == 2 else "> 0" if require(column).kind in ("number", "age") else "= '*'"
    try:
        query.compile(f"{column} {value}")
    except FilterError:
        return ""
    return f"{column} {value}"
