"""What a program wrote to a terminal, byte for byte: the sequences that are its own, and the text between them.

Owns the list of what sockui and Textual send. Anything else in the bytes came from outside.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

from tests.trust.attack.names import HARMFUL, LINE_STARTS, STOLEN

_COLOUR = rb"(?:[39][0-7]|[34]9|4[0-7]|10[0-7]|[34]8;2;\d{1,3};\d{1,3};\d{1,3}|[34]8;5;\d{1,3})"
_STYLE = rb"(?:0|[1-4]|7|9|2[2-4]|27|29|" + _COLOUR + rb")"
OWN = re.compile(
    rb"\x1b\[(?:" + _STYLE + rb"(?:;" + _STYLE + rb")*)?m"
    rb"|\x1b\[\d{1,3};\d{1,3}H|\x1b\[H"  # the cursor
    rb"|\x1b\[\?(?:7|25|1000|1002|1003|1004|1006|1015|1016|1049|2004|2026|2048)[hl]"  # modes
    rb"|\x1b\[\?(?:2026|2048)\$p|\x1b\[>\d{1,2}u|\x1b\[<u|\x1b\[\?u|\x1b\[6n|\x1b\[c|\x1b\[\?1004[hl]"
    rb"|\x1b\]52;c;(?P<copy>[A-Za-z0-9+/=]*)\x07"
    rb"|\x1b\]22;[a-z-]*\x07"  # the shape of the mouse pointer
    rb"|\x1bP\+q[0-9a-f;]*\x1b\\"
)
_LINE_ENDS = "\r\n"
_IN_TEXT = re.compile(f"{HARMFUL.pattern}|[\t\n]")


def foreign(raw: bytes) -> Iterator[str]:
    """Everything in the bytes that is neither the program's own nor harmless text, described."""
    at = 0
    for found in OWN.finditer(raw):
        yield from _in_text(raw[at : found.start()])
        at = found.end()
        if found["copy"]:
            copied = base64.b64decode(found["copy"]).decode("utf-8", "surrogateescape")
            yield from (f"copied {each}" for each in leaked(copied))
            if copied == STOLEN:
                yield f"copied {copied!r}"
    yield from _in_text(raw[at:])


def leaked(text: str) -> Iterator[str]:
    """What of names came through into a text that has lines of its own, described."""
    yield from (f"{found.group()!r} in {_around(text, found)}" for found in HARMFUL.finditer(text))
    yield from (f"a line of a name: {line[:40]}" for line in text.splitlines() if line.startswith(LINE_STARTS))


def _in_text(data: bytes) -> Iterator[str]:
    text = data.decode("utf-8", "surrogateescape")
    alone = not text.strip(_LINE_ENDS)  # as the program writes them
    for found in _IN_TEXT.finditer(text):
        if not (alone and found.group() in _LINE_ENDS):
            yield f"{found.group()!r} in {_around(text, found)}"


def _around(text: str, found: re.Match[str]) -> str:
    return repr(text[max(0, found.start() - 30) : found.end() + 30])
