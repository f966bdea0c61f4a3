"""What somebody meant whose filter matches nothing: bare words that are nearly a state, a column or a command.

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
_COMMANDS = ("list", "diagnose", "explain", "lab")
_NEAR = 0.75  # of difflib: a slip or two in a word; what only shares some letters is not suggested


def nothing_matches(filter_text: str) -> str:
    """That bare words were found nowhere, and what was meant; "" for conditions, to which no socket is an answer."""
    if not _bare(filter_text):
        return ""
    found = guessed(filter_text)
    return f"nothing matches; did you mean: {found}" if found else "no socket matches the filter"


def guessed(filter_text: str) -> str:
    """What was meant by bare words that were found nowhere: a condition, or a command of sockui; "" no guess."""
    words = _bare(filter_text)
    if not words:
        return ""
    command = get_close_matches(words[0], _COMMANDS, 1, _NEAR)
    return meant(words) or (" ".join(["sockui", *command, *words[1:]]) if command else "")


def _bare(filter_text: str) -> list[str]:
    """The words of a filter that is nothing else."""
    words = filter_text.lower().split()
    return words if _CONDITION.isdisjoint([*words, *filter_text]) else []


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
