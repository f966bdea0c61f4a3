"""The TCP states as text pictures: a small one of one socket's way, and a large one to walk in, with counts.

Owns the drawings and which state is beside which. Marks are characters, not only colour: ``[CLOSE_WAIT]`` is the
present or chosen state, ``(ESTABLISHED)`` one that sockui saw this socket in. Must not know Rich or Textual.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TypeAlias

from sockui.model import Protocol, State
from sockui.tracker import Update

Span: TypeAlias = tuple[str, str]
"""Text, and its role: ``plain``, ``seen`` or ``present``; of a state in the large picture ``chosen``, ``some`` if there
are sockets in it, or ``none``."""

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

_LARGE = """\
           LISTEN                                SYN_SENT
             │ SYN received                         │ SYN-ACK received
             ▼                                      ▼
          SYN_RECV ─────────── ACK received ────► ESTABLISHED
                                                    │ │
                           close(), FIN sent        │ │ FIN received
                ┌───────────────────────────────────┘ └─────┐
                ▼                                           ▼
            FIN_WAIT1                                   CLOSE_WAIT
    ACK received │  │ FIN received before the ACK           │ close(),
                 ▼  └────────────────┐                      ▼ FIN sent
             FIN_WAIT2            CLOSING                LAST_ACK
    FIN received │  ┌────────────────┘ ACK received         │ ACK received
                 ▼  ▼                                       ▼
              TIME_WAIT ────────── 60 s on Linux ────────► CLOSE"""

_ASCII = str.maketrans("│─┌┐└┘►▼", "|-++++>v")
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


def large(chosen: State, counts: Mapping[str, int], ascii_only: bool = False) -> list[list[Span]]:
    """Draw the states with the number of sockets in each behind its name: 15 lines of at most 78 cells, as spans.

    ``counts`` has them by name, as in :class:`sockui.view.table_view.TableView`; a state that is absent has none.
    """
    picture = _LARGE.translate(_ASCII) if ascii_only else _LARGE
    return [_with_counts(line, chosen, counts) for line in picture.splitlines()]


def beside(state: State, right: int, down: int) -> State:
    """The state that is next to one in the large picture: to the right (1) or left (-1) of it, or below or above.

    Itself where the picture ends.
    """
    places = _places()
    line, middle = places[state]
    if right:
        row = [(each, place[1]) for each, place in places.items() if place[0] == line]
        return min(
            ((each, at) for each, at in row if (at - middle) * right > 0),
            key=lambda found: abs(found[1] - middle),
            default=(state, 0),
        )[0]
    lines = sorted({place[0] for place in places.values() if (place[0] - line) * down > 0}, reverse=down < 0)
    beyond = [(each, place[1]) for each, place in places.items() if lines and place[0] == lines[0]]
    return min(beyond, key=lambda found: abs(found[1] - middle), default=(state, 0))[0]


def _with_counts(line: str, chosen: State, counts: Mapping[str, int]) -> list[Span]:
    spans: list[Span] = []
    end = 0
    for match in _NAME.finditer(line):
        number = counts.get(match[2], 0)
        before, after = ("[", "]") if match[2] == chosen.name else (" ", " ")
        text = f"{before}{match[2]} {number:,}{after}"
        spans += [(line[end : match.start()], "plain")]
        spans.append((text, "chosen" if match[2] == chosen.name else "some" if number else "none"))
        end = match.start() + len(text)
    return [*spans, (line[end:], "plain")]


@cache
def _places() -> dict[State, tuple[int, float]]:
    """Line and middle column of each state in the large picture."""
    return {
        State[match[2]]: (number, (match.start(2) + match.end(2)) / 2)
        for number, line in enumerate(_LARGE.splitlines())
        for match in _NAME.finditer(line)
    }
