"""The colours: sockui's own themes, and which one a configuration means.

Owns them. Must not paint.
"""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="sockui-dark",
    dark=True,
    primary="#5fafff",
    secondary="#87afd7",
    accent="#ffd75f",
    success="#87d787",
    warning="#ffaf5f",
    error="#ff6b6b",
    foreground="#d8d8d8",
    background="#16181d",
    surface="#1e2128",
    panel="#262a33",
)
LIGHT = Theme(
    name="sockui-light",
    dark=False,
    primary="#005faf",
    secondary="#3a6ea5",
    accent="#8a4b00",
    success="#1b6e1b",
    warning="#8a5200",
    error="#b00020",
    foreground="#1c1c1c",
    background="#fbfbf8",
    surface="#f1f1ec",
    panel="#e4e4dd",
)
THEMES = {"dark": DARK.name, "light": LIGHT.name, "ansi": "ansi-dark", "mono": "ansi-dark"}
