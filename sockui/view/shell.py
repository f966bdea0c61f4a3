"""What a shell sees in a command: words that are quoted, where the next command begins, where a line may end.

Owns quoting and reading quotes. Must not know what a command is for, nor run it.
"""

from __future__ import annotations

import re
import shlex

from sockui.view.format import cells, escape

_SEPARATOR = re.compile(r" \| | && | \|\| |; ")
_EARLIEST = 0.4
"""A line ends at a space from that part of its room on; before, only if the next word would be broken else."""


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
    apart = [at for at, letter in enumerate(command) if letter == " " and not quoted[at]]  # where words end
    while cells(command[start:]) > room:
        end = start + 1
        while cells(command[start : end + 1]) <= room:
            end += 1
        early = start + int(_EARLIEST * room)
        last = max((at for at in apart if start < at and cells(command[start : at + 1]) < room), default=-1)
        following = min((at for at in apart if at > last), default=len(command))
        if last >= early or (last > 0 and cells(command[last + 1 : following]) < room):
            found.append(command[start : last + 1] + "\\")
            start = last + 1
        else:
            within = command.rfind(" ", early, end) + 1
            found.append(command[start : within or end])
            start = within or end
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
