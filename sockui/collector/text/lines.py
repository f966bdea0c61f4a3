"""Bytes that somebody pasted -> clean lines of text.

Owns encodings, line ends and escape sequences. Must not know what a socket looks like. Reads in pieces: neither a
file of any size nor a line without an end is held in memory.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from sockui.errors import TextError

PIECE = 64 << 10
"""Bytes read at once."""
LONGEST_LINE = 1 << 20
"""Characters; a listener that a thousand processes share takes 30,000."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[ -/]+[0-~]|[0-~])")  # ECMA-48
_ENDS = re.compile(r"\r+\n?|\n")
_QUOTE = re.compile(r"(?:> ?)+")


def read_lines(data: BinaryIO | bytes) -> Iterator[str | None]:
    """Every line without its end, escape sequences, NULs and mail quoting; None for one longer than LONGEST_LINE.

    UTF-16 is recognised with and without a byte order mark; everything else is read as UTF-8, in which a byte that
    does not fit stays as a surrogate (PEP 383). Raises :class:`TextError` if reading fails.
    """
    source = io.BytesIO(data) if isinstance(data, bytes) else data
    piece = _read(source)
    decoder = _decoder(piece)
    rest = ""
    dropping = False  # within a line that is too long
    while piece:
        text = rest + decoder.decode(piece)
        cut = text.rfind("\n") + 1
        rest = text[cut:]
        if cut:
            lines = _split(text[:cut])
            if dropping:
                lines[0], dropping = None, False
            yield from lines
        if dropping or len(rest) > LONGEST_LINE:
            rest, dropping = "", True
        piece = _read(source)
    rest += decoder.decode(b"", True)
    if dropping:
        yield None
    elif rest:
        yield from _split(rest)


def _read(source: BinaryIO) -> bytes:
    try:
        return source.read(PIECE)
    except (OSError, ValueError) as error:
        raise TextError(f"the text cannot be read: {error}") from error


def _decoder(start: bytes) -> codecs.IncrementalDecoder:
    """PowerShell's ``>`` writes UTF-16 with a byte order mark; without one every other byte of plain text is 0."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return codecs.getincrementaldecoder("utf-16")("replace")
    head = start[:512]
    if len(head) > 8 and not any(head[::2]) and all(head[1::2]):
        return codecs.getincrementaldecoder("utf-16-be")("replace")
    if len(head) > 8 and not any(head[1::2]) and all(head[::2]):
        return codecs.getincrementaldecoder("utf-16-le")("replace")
    return codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")


def _split(text: str) -> list[str | None]:
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    if "\0" in text:
        text = text.replace("\0", "")
    lines = text.split("\n") if "\r" not in text else _ENDS.split(text)
    if not lines[-1] and len(lines) > 1:
        lines.pop()
    return [_QUOTE.sub("", line, count=1) if line[:1] == ">" else line for line in lines]
