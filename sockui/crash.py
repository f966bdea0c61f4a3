"""What is kept of an error in sockui itself, for who mends it.

Owns the report and the sentence that says where it is. Must not hold what sockui looks at or was told: the report says
what kind of error it was and where the code stood, not the error's own words, which may quote a command line of this
host, and of the command line of sockui the names of the options alone.
"""

from __future__ import annotations

import platform
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from sockui import __version__
from sockui.errors import NotKeptError
from sockui.statefile import keep


def tell(error: BaseException) -> str:
    """Keep a report, and say what happened and where the report is."""
    try:
        where = f"a report for the maintainers is in {keep('crash.txt', report(error))}"
    except NotKeptError as failure:
        where = f"no report could be kept: {failure}"
    *_, last = chain(error)
    return f"an error in sockui itself ({_kind(last)}{_place(last)}); {where}"


def report(error: BaseException) -> str:
    """Kind and place of the error and of those that led to it, the first one first."""
    options = [word.partition("=")[0] for word in sys.argv[1:] if word.startswith("--")]
    about = f"sockui {__version__}, Python {platform.python_version()}, {platform.system()} {platform.release()}"
    parts = [f"{' '.join([about, *options])}\n"]
    for each in chain(error):
        parts += [
            "\nTraceback (most recent call last):\n",
            *traceback.format_tb(each.__traceback__),
            f"{_kind(each)}\n",
        ]
    return "".join(parts)


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error after those that it came from."""
    seen: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in seen:
        seen.append(each)
        each = each.__cause__ or each.__context__
    yield from reversed(seen)


def _kind(error: BaseException) -> str:
    number = f" {error.errno}" if isinstance(error, OSError) and error.errno else ""
    return type(error).__qualname__ + number


def _place(error: BaseException) -> str:
    """The last line of sockui itself."""
    ours = Path(__file__).parent
    frames = traceback.extract_tb(error.__traceback__)
    places = [f" at {path.relative_to(ours)}:{frame.lineno}" for frame in frames
              if (path := Path(frame.filename)).is_relative_to(ours)]  # fmt: skip
    return places[-1] if places else ""
