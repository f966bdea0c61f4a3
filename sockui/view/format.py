"""Numbers and outside text as a person reads them.

Owns every unit, the one place where text from outside is made harmless, and the suggestion for a mistyped word.
Must not know columns, widgets or markup.
"""

from __future__ import annotations

import difflib
import functools
import ipaddress
import math
import re
import socket
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sockui.model import Protocol

# Everything that moves the cursor, changes direction, hides or joins: C0, DEL, C1, bidi controls, zero-width
# and invisible formatting characters, line and paragraph separators, surrogates from undecodable bytes,
# variation selectors and tags: Unicode's categories Cc, Cf, Cs, Zl and Zp, and what it says may be left out.
_HOSTILE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x1b": "\\e", "\x00": "\\0"}


_MARKS = ("Mn", "Me")
"""Categories of what is drawn onto the character before."""
_MOST_MARKS = 2
"""On one character: what languages need. With thousands a cell takes as many bytes, and covers its neighbours."""


def escape(text: str) -> str:
    """Make control, C1, bidi and zero-width characters of outside text visible: ESC becomes a backslash and ``e``.

    So become combining marks that no letter is before, and those beyond the second on one.
    """
    text = _HOSTILE.sub(lambda found: _visible(found[0]), text)
    return text if text.isascii() else _few_marks(text)


def _few_marks(text: str) -> str:
    marks, shown = _MOST_MARKS, []
    for character in text:
        marks = marks + 1 if unicodedata.category(character) in _MARKS else 0
        shown.append(character if marks <= _MOST_MARKS else _visible(character))
    return "".join(shown)


def _visible(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape: the byte itself
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message about a word that is not known: ``, did you mean "recvq"?``; empty if none is near."""
    spelt = {name.lower().replace("_", "-"): name for name in reversed([*known])}  # of equal ones the first
    near = difflib.get_close_matches(word.lower().replace("_", "-"), spelt, 1)
    return f', did you mean "{spelt[near[0]]}"?' if near else ""


def duration(milliseconds: float) -> str:
    """A length of time in its coarsest true unit, rounded down: ``850ms 12s 42m 3h 5d``."""
    if milliseconds < 1000:
        return f"{int(milliseconds)}ms"
    seconds = int(milliseconds // 1000)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m"
    if seconds < 48 * 3600:
        return f"{seconds // 3600}h"
    return f"{seconds // 86400}d"


def long_duration(milliseconds: float) -> str:
    """A length of time in two units, rounded down, for prose: ``1.5 s``, ``42 min 10 s``, ``3 h 5 min``."""
    if milliseconds < 1000:
        return f"{int(milliseconds)} ms"
    if milliseconds < 10_000:
        return f"{milliseconds // 100 / 10:g} s"
    seconds = int(milliseconds // 1000)
    for size, unit, small_size, small_unit in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= size:
            rest = seconds % size // small_size
            return f"{seconds // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{seconds} s"


def elapsed(milliseconds: float) -> str:
    """A time gone by, for prose, rounded down to what changes seldom: ``8.7 s``, ``42 s``, ``4 min``, ``3 h 5 min``."""
    return f"{int(milliseconds // 60_000)} min" if 60_000 <= milliseconds < 3_600_000 else long_duration(milliseconds)


def _duration_up(milliseconds: float) -> str:
    """The same rounded up, for "at most": a bound must not be shown smaller than it is."""
    for size, unit, limit in ((1000, "s", 60), (60_000, "m", 60), (3_600_000, "h", 48)):
        number = math.ceil(milliseconds / size)
        if number < limit:
            return f"{number}{unit}"
    return f"{math.ceil(milliseconds / 86_400_000)}d"


def age(min_ms: int, max_ms: int) -> str:
    """An age interval in at most 7 cells: ``42m`` exact, ``≥42m`` at least, ``≤3h`` at most, ``2m-5m`` between.

    ``max_ms`` -1 is "nothing bounds it"; nothing known at all is the empty string. Bounds that read the
    same in the coarsest true unit, or differ by less than a second, are shown as one. "At least" is rounded
    down and "at most" up, so what is shown is true. (An age of 100 days and more may take 8 or 9 cells.)
    """
    if max_ms < 0:
        return f"≥{duration(min_ms // 1000 * 1000)}" if min_ms >= 1000 else ""
    if max_ms < 1000:
        return "<1s"
    low, high = duration(min_ms // 1000 * 1000), duration(max_ms // 1000 * 1000)
    if low == high or max_ms - min_ms < 1000:
        return high
    return f"≤{_duration_up(max_ms)}" if min_ms < 1000 else f"{low}-{_duration_up(max_ms)}"


def count(number: int) -> str:
    """A whole number with thousands separated: ``12,345``."""
    return f"{number:,}"


def size(number: float) -> str:
    """Bytes in at most 6 cells: ``512``, ``63.7k``, ``1.2M`` (powers of 1024)."""
    if number < 1024:
        return str(int(number))
    for unit in "kMGTPE":
        number /= 1024
        if number < 1024:
            return f"{number:.1f}{unit}" if number < 100 else f"{number:.0f}{unit}"
    return f"{number:.0f}Z"


def address(high: int, low: int, family: int) -> str:
    """An address as the RFCs write it: IPv4 dotted (v4-mapped too), IPv6 compressed (RFC 5952).

    ``high`` and ``low`` are the two halves of the 128-bit address; ``family`` 4 or 6 tells ``0.0.0.0``
    from ``::``.
    """
    if high:  # inet_ntop is five times faster than ipaddress, but writes ::2:0 as ::0.2.0.0
        return socket.inet_ntop(socket.AF_INET6, (high << 64 | low).to_bytes(16))
    if low >> 32 == 0xFFFF:
        return socket.inet_ntoa((low & 0xFFFFFFFF).to_bytes(4))
    if family == 4:  # an IPv4 socket is always held v4-mapped; anything else is a source without an address
        return "0.0.0.0"
    return str(ipaddress.IPv6Address(low))


def endpoint(host: str, port: int) -> str:
    """``10.0.0.1:443``, ``[::1]:443``; port 0 is ``*``."""
    return f"[{host}]:{port or '*'}" if ":" in host else f"{host}:{port or '*'}"


def local_endpoint(row: Any) -> str:
    """The local endpoint of a SOCKET record."""
    return endpoint(address(int(row["local_high"]), int(row["local_low"]), int(row["family"])), int(row["local_port"]))


def remote_endpoint(row: Any) -> str:
    """The remote endpoint of a SOCKET record; ``*`` for a socket with no peer."""
    if not row["remote_port"]:
        return "*"
    return endpoint(
        address(int(row["remote_high"]), int(row["remote_low"]), int(row["family"])), int(row["remote_port"])
    )


def protocol(row: Any) -> str:
    """``tcp``, ``tcp6``, ``udp`` or ``udp6`` of a SOCKET record."""
    return Protocol(int(row["protocol"])).name.lower() + ("6" if row["family"] == 6 else "")


def cells(text: str) -> int:
    """How many terminal cells a text takes: wide East Asian characters two, combining ones none."""
    return len(text) if text.isascii() else _cells(text)


@functools.lru_cache(4096)  # ages with ≥ come back again and again
def _cells(text: str) -> int:
    return sum(
        0 if unicodedata.category(character) in _MARKS else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def clip(text: str, room: int) -> str:
    """The longest beginning of a text that takes at most ``room`` cells."""
    while cells(text) > room:
        text = text[: len(text) - max(1, (cells(text) - room) // 2)]
    return text


def fit(text: str, room: int, right: bool = False) -> str:
    """A text in exactly ``room`` cells: padded, or shortened with ``…``."""
    if len(text) <= room and text.isascii():
        return text.rjust(room) if right else text.ljust(room)
    taken = cells(text)
    if taken > room:
        text = clip(text, room - 1) + "…" if room > 0 else ""
        taken = cells(text)
    padding = " " * (room - taken)
    return padding + text if right else text + padding


def fit_endpoint(text: str, room: int) -> str:
    """An endpoint in exactly ``room`` cells; what is left out is the beginning, for the port says most."""
    return text.ljust(room) if len(text) <= room else "…" + text[len(text) - room + 1 :] if room > 0 else ""


def moment(taken_at: float) -> str:
    """``2026-11-21 03:00:00 UTC``; of a text that does not say when it was taken, that."""
    return f"{datetime.fromtimestamp(taken_at, UTC):%Y-%m-%d %H:%M:%S} UTC" if taken_at else "an unknown time"
