"""Which errors are this host's, and what is said of them."""

from __future__ import annotations

import errno
import os

import pytest

from sockui.errors import CollectError
from sockui.shortage import lacking

MEMORY = "free some, or raise the limit"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), MEMORY),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), MEMORY),
        (ImportError("x.so: failed to map segment from shared object"), MEMORY),
        (SystemError("error return without exception set"), MEMORY),
        (SystemError("<class 'dict'> returned NULL without setting an exception"), MEMORY),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "Too many open files; raise the limit (ulimit -n"),
        (RuntimeError("can't start new thread"), "no thread can be started"),
        (SystemError("bad argument to internal function"), ""),
        (OSError(errno.EPERM, os.strerror(errno.EPERM)), ""),
        (RuntimeError("dictionary changed size during iteration"), ""),
        (None, ""),
    ],
)
def test_what_is_lacking(error: Exception | None, said: str) -> None:
    assert bool(said) == bool(lacking(error))
    assert said in lacking(error)


def test_what_an_error_came_from_counts() -> None:
    error = CollectError("no sockets")
    error.__cause__ = MemoryError()
    assert MEMORY in lacking(error)
