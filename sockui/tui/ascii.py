"""Painting with ASCII alone, for terminals and locales that have nothing else.

Owns the replacements. Must not change what is copied or written elsewhere.
"""

from __future__ import annotations

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_REPLACED = str.maketrans(
    {
        "≥": ">",
        "≤": "<",
        "…": "~",
        "×": "x",
        "▲": "^",
        "▼": "v",
        "↓": "v",
        "↑": "^",
        "→": ">",
        "←": "<",
        "•": "*",
        "·": "-",
        "–": "-",
        "—": "-",
        "µ": "u",
        "▶": ">",
        "›": ">",
    }
)
_UPRIGHT, _LYING = "│┃║▌▐▏▕▎▊", "─━═▔▁▀▄"
_REPLACED.update(
    {code: "|" if chr(code) in _UPRIGHT else "-" if chr(code) in _LYING else "+" for code in range(0x2500, 0x25A0)}
)


class AsciiFilter(LineFilter):
    """Replaces every character that is not ASCII in what is painted."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            segment if segment.text.isascii() else Segment(_ascii(segment.text), segment.style, segment.control)
            for segment in segments
        ]


def _ascii(text: str) -> str:
    replaced = text.translate(_REPLACED)
    return replaced if replaced.isascii() else "".join(c if c.isascii() else "?" for c in replaced)
