"""What is worked out once, however many ask for it.

Owns remembering it as long as what it was worked out of lives. Must not know what that is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

_Of = TypeVar("_Of")
_T = TypeVar("_T")


def once(make: Callable[[_Of], _T]) -> Callable[[_Of], _T]:
    """Remember what ``make`` gives, not None, for an update or a view of one as long as that lives: several ask."""
    made: WeakKeyDictionary[_Of, _T] = WeakKeyDictionary()

    @wraps(make)
    def get(of: _Of) -> _T:
        found = made.get(of)
        if found is None:
            found = made[of] = make(of)
        return found

    return get
