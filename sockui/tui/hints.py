"""Which keys work on the main screen, in its last line.

Owns their order and their words. Must load nothing but Textual: they are on the first frame.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from sockui.tui.bar import Word

Place: TypeAlias = Literal["table", "text", "counts", "filter"]
"""What has the focus."""


def hints(showing: str, width: int, filtered: bool, place: Place = "table", empty: bool = False) -> list[Word]:
    """The last line: the keys that work here, as many as fit, the most useful first. ``empty``: no finding is there."""
    last = [("?", "help"), ("q", "quit")]
    if place == "filter":  # any other key is a letter of it
        keys, last = [("Enter", "keep it"), ("Esc", "as it was before")], []
    elif place == "text":
        keys = [("Tab", "next link"), ("n N", "link"), ("Enter", "open it"), ("↑↓", "scroll"), ("Esc", "table")]
    elif place == "counts":
        keys = [("←→", "choose a state"), ("Enter", "filter by it"), ("i", "meaning"), ("Esc", "table")]
    elif showing == "sockets":
        keys = [
            ("r", "remedy"),
            ("c", "copy"),
            ("/", "filter"),
            ("s", "sort"),
            ("1", "findings"),
            ("3", "processes"),
            ("Enter", "details"),
            ("i", "meaning"),
        ]
        keys += [("d", "copy all"), ("Space", "mark"), ("e", "explain"), ("o", "columns"), ("p", "pause")]
    elif showing == "findings" and empty:
        keys = [("2", "sockets"), ("3", "processes"), ("/", "filter"), ("p", "pause")]
    elif showing == "findings":
        keys = [("Enter", "its sockets"), ("r", "remedy"), ("c", "copy"), ("a", "acknowledge"), ("2", "sockets")]
        keys += [("i", "meaning"), ("3", "processes"), ("/", "filter"), ("e", "explain"), ("p", "pause")]
    else:
        keys = [("Enter", "its sockets"), ("←→", "fold"), ("c", "copy"), ("/", "filter"), ("s", "sort")]
        keys += [("1", "findings"), ("2", "sockets"), ("e", "explain"), ("p", "pause")]
    if filtered and place == "table":
        keys.insert(2, ("Esc", "show all"))
    room = width - sum(len(key) + len(what) + 3 for key, what in last) - 1
    words = [Word(" ")]
    for key, what in keys:
        taken = len(key) + len(what) + 3
        if taken > room:
            continue
        room -= taken
        words += [Word(key, "key"), Word(f" {what}  ")]
    for key, what in last:
        words += [Word(key, "key"), Word(f" {what}  ")]
    return words
