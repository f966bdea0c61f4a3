"""The TCP states as a small text picture, with the present one and those that were seen marked.

Owns the drawing. Marks are characters, not only colour: ``[CLOSE_WAIT]`` is the present state,
``(ESTABLISHED)`` one that sockui saw this socket in. Must not know Rich or Textual.
"""

from __future__ import annotations

import re
from typing import TypeAlias

from sockui.model import Protocol, State
from sockui.tracker import Update

Span: TypeAlias = tuple[str, str]
"""Text, and its role: ``plain``, ``seen`` or ``present``."""

_PICTURE = """\
  LISTEN          SYN_SENT
    │ SYN            │ SYN-ACK
 SYN_RECV ──ACK─► ESTABLISHED
        close() │      │ FIN
           ┌────┘      └────┐
       FIN_WAIT1        CLOSE_WAIT
      ACK │  │ FIN          │ close()
  FIN_WAIT2  CLOSING     LAST_ACK
      FIN │  │ ACK          │ ACK
       TIME_WAIT ──60 s──► CLOSE"""

_ASCII = str.maketrans("│─┌┐└┘►", "|-++++>")
_NAME = re.compile(
    "([ ])(" + "|".join(sorted((state.name for state in State), key=len, reverse=True)) + r")(?=[ \n]|$)"
)


def diagram(update: Update, index: int, ascii_only: bool = False) -> list[list[Span]]:
    """Draw the states for the socket in row ``index``: at most 11 lines of at most 38 cells, as spans.

    A UDP socket has no states: one line that says so.
    """
    row = update.sockets[index]
    if row["protocol"] == Protocol.UDP:
        return [[("UDP has no handshake and no states.", "plain")]]
    present, path = int(row["state"]), int(update.path[index])
    seen = set()
    while path:
        seen.add(path & 15)
        path >>= 4
    picture = _PICTURE.translate(_ASCII) if ascii_only else _PICTURE
    return [_spans(line, present, seen) for line in picture.splitlines()]


def _spans(line: str, present: int, seen: set[int]) -> list[Span]:
    spans: list[Span] = []
    end = 0
    for match in _NAME.finditer(line):
        state = State[match[2]]
        if state != present and state not in seen:
            continue
        before, after = ("[", "]") if state == present else ("(", ")")
        if match.start() > end:
            spans.append((line[end : match.start()], "plain"))
        spans.append((f"{before}{match[2]}{after}", "present" if state == present else "seen"))
        end = match.end() + 1
    if end < len(line):
        spans.append((line[end:], "plain"))
    return spans
