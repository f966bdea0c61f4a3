"""Names that attack: a terminal, a shell, a spreadsheet, a browser, a chat.

Owns the alphabet, and which of it is dangerous where. Each name begins with a mark that is in no other.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

LONGEST = 15
"""Bytes of /proc/PID/comm."""
ARGV = 100_000
"""Bytes of the longest command line."""
CANARY = "canary"
"""A file that must never be made: shells would make it where sockui was started."""

_CONTROLS = [bytes([code]) for code in (*range(1, 32), 127)]
_C1 = [chr(code).encode() for code in range(0x80, 0xA0)]
_RAW = [bytes([code]) for code in range(0x80, 0xA0)]
_INVALID = [b"\xff", b"\xfe", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc0\xaf"]
_BIDI = [chr(code).encode() for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)]
_HIDDEN = [
    chr(code).encode() for code in (*range(0x200B, 0x200E), 0x2060, 0xFEFF, 0xAD, 0x2028, 0x2029, 0x180E, 0xFE0F)
]
_TAGS = [chr(code).encode() for code in (0xE0000, 0xE0001, 0xE0041, 0xE007F)]
_OTHER = [chr(code).encode() for code in (0x34F, 0x600, 0x3164, 0xFFA0, 0x13430, 0x1BCA0, 0x1D173)]
_MARKED = [f"x{mark * 4}".encode() for mark in ("\u0316", "\u0489")]  # more marks than a letter has
_WIDE = [text.encode() for text in ("界", "e\u0301", "\u0300", "ａ", "😀", "ก็", "\U0001f468\u200d")]
UNSEEN = [*_CONTROLS, *_C1, *_RAW, *_INVALID, *_BIDI, *_HIDDEN, *_TAGS, *_OTHER, *_MARKED]
ALPHABET = [*UNSEEN, *_WIDE]

SEQUENCES = [
    b"\x1b[2J", b"\x1b[5;31m", b"\x1bc", b"\x1b[5n", b"\x1b]0;t\x07", b"\x1b]8;;u\x07", b"\x1b]52;;eA==\x07",
    b"\x1bP1$r\x1b\\", b"\x9b2J", b"\xc2\x9b8m", b"\x9d0;t\x9c", b"\x1b[9;9999H", b"\x1b[?1047l", b"\r\nroot#",
]  # fmt: skip
"""None of them is one that sockui writes itself: whatever lets one through is seen."""
STOLEN = "canary"
"""What a clipboard would hold if the long word that copies came through."""
LINE_STARTS = ("root#", ">canary")
"""What a line begins with if a newline came through."""
MARKUP = ["[/x]", "[bold]", "[@click=app]", "[kworker/0:1]", "[red]", "[[", "]", "\\[b]", "[link=x]"]
SHELL = [
    "$(>canary)",
    "`>canary`",
    ";>canary;",
    "|>canary",
    "&&>canary",
    "'>canary'",
    '">canary"',
    "\n>canary\n",
    "#",
    "~",
    "!!",
]
SHEET = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "=cmd|' /C", "%0A=1"]
PAGE = [
    "<script>",
    "<img src=x>",
    "</pre>",
    "&lt;",
    "|a|b|",
    "```",
    "*_x_*",
    "![a](b)",
    "[a](b)",
    "@here",
    "<!-->",
    "a--->",
]
LONG_WORDS = ["$(touch canary)", "$(rm -rf canary)", "`touch canary`", "; touch canary;", "[@click=app.quit]x[/]"]
LONG_WORDS += [
    "Z" + "\u0335" * 500,
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "<a href='javascript:x'>",
    "\x1b]52;c;Y2FuYXJ5\x07",
]


def names() -> list[bytes]:
    """Every name, each at most ``LONGEST`` bytes, each with a mark of its own (``q00z``)."""
    bodies = list(_packed(ALPHABET))
    bodies += SEQUENCES + [text.encode() for text in (*MARKUP, *SHELL, *PAGE)]
    marked = [(f"q{number:02}z".encode() + body)[:LONGEST] for number, body in enumerate(bodies)]
    return [*marked, *(text.encode()[:LONGEST] for text in SHEET)]  # these must be at the beginning


def _packed(pieces: list[bytes]) -> Iterator[bytes]:
    """As many pieces in a row as a name has room for."""
    body = b""
    for piece in pieces:
        if len(body) + len(piece) > LONGEST - 4:
            yield body
            body = b""
        body += piece
    yield body


def arguments(number: int) -> list[bytes]:
    """A command line with everything in it; that of the first has ``ARGV`` bytes."""
    everything = b" ".join([*ALPHABET, *SEQUENCES])
    words = [text.encode() for text in (*MARKUP, *SHELL, *SHEET, *PAGE, *LONG_WORDS)]
    more = b"A" * (ARGV - len(everything) - sum(map(len, words))) if number == 0 else b""
    return [SHEET[number % len(SHEET)].encode(), everything, *words, *([more] if more else [])]


_IGNORABLE = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff"
"""Default_Ignorable_Code_Point, Unicode 15, what is in none of the categories below."""
_OURS = "\t\n"
_UNSEEN_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp")
_CHARACTERS = (chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in _UNSEEN_CATEGORIES)
_MARKS = "".join(chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in ("Mn", "Me"))
HARMFUL = re.compile(
    f"[{re.escape(''.join(each for each in _CHARACTERS if each not in _OURS))}{_IGNORABLE}]|[{re.escape(_MARKS)}]{{3,}}"
)
"""What must not reach a terminal as text; a newline and a tab are the program's own in a table if they are there."""
