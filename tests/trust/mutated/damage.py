"""Damage to bytes and to text, of the kinds that break parsers.

Owns the mutations that fit anything. Must not know a format.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

ODD = [
    b"\0",
    b"\r",
    b"\n",
    b"\x1b[31m",
    b"\x1b]0;x\x07",
    b"9" * 20,
    b"9" * 5000,
    b"-1",
    b" ",
    b"\t",
    b"\xff\xfe",
    b"\xc2",
]
ODD += [
    "\u202e\u2028٣²".encode(),
    b"'",
    b'"',
    b"\\",
    b"(",
    b")",
    b"[",
    b"]",
    b"{",
    b"}",
    b"%",
    b":",
    b"=",
    b",",
    b".",
    b"/",
]
ODD += [b"1e999", b"nan", b"0x", b"#", b"true", b"->", b"*", b"a" * 300]
REPEATED = 3000
"""Bytes up to which a piece is repeated: what takes quadratic time shows there."""


def damaged(data: bytes, random: Random, odd: Sequence[bytes] = ODD) -> bytes:
    """``data`` after one to six mutations."""
    text = bytearray(data)
    for _ in range(random.randint(1, 6)):
        at = random.randint(0, len(text))
        end = min(len(text), at + random.choice((0, 1, 2, 8, 40, 200)))
        kind = random.randrange(8)
        if kind == 0 and at < len(text):
            text[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            text[at:end] = random.choice(odd)
        elif kind == 2:
            del text[at:end]
        elif kind == 3:
            text[at:at] = text[at:end] * random.randint(1, 3)
        elif kind == 4:
            text[at:end] = random.randbytes(end - at)
        elif kind == 5:
            other = random.randint(0, len(text))
            text[at:end] = text[other : other + end - at]
        elif kind == 6:
            del text[at:]
        elif random.random() < 0.2:
            piece = bytes(text[at : min(end, at + random.randint(1, 8))]) or b"x"
            text[at:at] = piece * (REPEATED // len(piece))
    return bytes(text)
