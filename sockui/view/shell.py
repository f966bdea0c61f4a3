"""What a shell sees in a command: words that are quoted, where the next command begins, where a line may end.

Owns quoting and reading quotes. Must not know what a command is for, nor run it.
"""

from __future__ import annotations

import re
import shlex

from sockui.view.format import cells, escape

_SEPARATOR = re.compile(r" \| | && | \|\| |; ")
_EARLIEST = 0.4
"""A line ends behind a word from that part of its room on: before, it would leave too much of it empty."""


def quote(text: str) -> str:
    """Quote one word for bash and zsh; what cannot be shown, or would end a code span, becomes escapes that mean it."""
    if escape(text) == text and "`" not in text:
        return shlex.quote(text)
    raw = text.encode("utf-8", "surrogateescape")
    return "$'" + "".join(chr(b) if 32 <= b < 127 and b not in b"'\\`" else f"\\x{b:02x}" for b in raw) + "'"


def parts(command: str) -> list[tuple[str, str]]:
    """The commands of a line, each behind what parts it from the one before: nothing, ``" | "``, ``"; "`` and so on."""
    quoted = _quoted(command)
    found, start, lead = [], 0, ""
    for match in _SEPARATOR.finditer(command):
        if not quoted[match.start()]:
            found.append((lead, command[start : match.start()]))
            start, lead = match.end(), match[0]
    return [*found, (lead, command[start:])]


def lines(command: str, room: int) -> list[str]:
    r"""Break a command into lines of at most ``room`` cells that a shell reads as the one that they are.

    A line ends behind a word with ``\``. Only what a line has no room for otherwise is broken within quotes or words.
    """
    quoted, found, start = _quoted(command), [], 0
    while cells(command[start:]) > room:
        end = start + 1
        while cells(command[start : end + 1]) <= room:
            end += 1
        ends = [at for at in range(start + int(_EARLIEST * room), end) if command[at] == " "]
        between = [at for at in ends if not quoted[at] and cells(command[start : at + 1]) < room]
        if between:
            found.append(command[start : between[-1] + 1] + "\\")
        else:
            found.append(command[start : ends[-1] + 1] if ends else command[start:end])
        start += len(found[-1]) - bool(between)
    return [*found, command[start:]]


def _quoted(command: str) -> list[bool]:
    """For each character whether it is within quotes or behind a backslash; the quotes themselves are not."""
    found, quote, escaped = [], "", False
    for letter in command:
        found.append(bool(quote) or escaped)
        if escaped:
            escaped = False
        elif letter == "\\" and quote != "'":
            escaped = True
        elif letter == quote:
            quote = ""
        elif letter in "'\"" and not quote:
            quote = letter
    return found
