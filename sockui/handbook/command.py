"""sockui(1): the man page of the command.

Owns what it says beside what ``arguments``, ``config`` and the filter language say of themselves: keys, files and
environment. Must not read any of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import fields
from itertools import groupby

from sockui import arguments
from sockui.config import Config
from sockui.handbook import man
from sockui.view import query
from sockui.view.page import Block, Section, fact, section, text

KEYS = (
    ("arrows, h j k l", "move; scroll the columns; in the tree fold and unfold"),
    ("PgUp PgDn", "a page"),
    ("g G", "first, last"),
    ("Tab", "next pane: counts, table, explanation"),
    ("1", "Findings"),
    ("2", "Sockets"),
    ("3", "Processes"),
    ("/", "Filter"),
    ("Esc", "Back one step"),
    ("s", "Sort by…"),
    ("S", "Reverse the order"),
    ("Space", "Mark"),
    ("p", "Pause"),
    ("+", "Longer interval"),
    ("-", "Shorter interval"),
    ("Enter", "All about it; of a finding or a process its sockets"),
    ("r", "Remediation"),
    ("i", "What it means: the page of the state or finding"),
    ("D", "Diagram of the states, to walk in"),
    ("a", "Acknowledge a finding, or take that back"),
    ("c", "Copy a summary"),
    ("C", "Copy marked rows or the table"),
    ("d", "Copy full diagnostics"),
    ("e", "Explainer on/off"),
    ("o", "Columns"),
    ("Tab n N Enter", "in a text: next link, next and previous link, open it"),
    (":", "every command, and every page of knowledge, by name"),
    ("?", "Help"),
    ("q", "Quit"),
)
"""Keys of the UI, in the words of its bindings."""

_FILES = {
    "~/.config/sockui/config.toml": "Settings. sockui --print-config prints it with every setting and its meaning;"
    " below $XDG_CONFIG_HOME if that is set.",
    "~/.local/state/sockui/copied.md": "What was copied last; below $XDG_STATE_HOME if that is set.",
    "~/.local/state/sockui/actions.log": "What the remediation page did, a line each.",
    "~/.local/state/sockui/crash.txt": "The report of an error in sockui itself.",
}
_ENVIRONMENT = {
    "SOCKUI_CONFIG": "The configuration file, unless --config names one. It must exist.",
    "NO_COLOR": "Any value but the empty one: no colours, unless --theme or SOCKUI_THEME asks for some.",
    "LC_ALL, LC_CTYPE, LANG": "The first that is set tells whether the locale is UTF-8, for the setting ascii.",
    "TERM": "dumb: there is no UI. tmux..., screen...: as TMUX, STY.",
    "SSH_CONNECTION, SSH_TTY, SSH_CLIENT": "With the setting clipboard at auto: if one is set, copied text goes to the"
    " terminal (OSC 52), not to the clipboard of this machine.",
    "TMUX, STY": "Inside tmux, inside GNU screen: what is copied is wrapped so that it gets through.",
    "COLUMNS": "The width of what is printed on a terminal, instead of the terminal's own.",
    "SUDO_USER": "Who is behind sudo, for the log of actions.",
    "TMPDIR": "Where the files below ~/.local/state go if that cannot be written.",
}


def manual() -> str:
    """The man page, as roff."""
    return man.document("sockui", 1, arguments.SUMMARY[0].lower() + arguments.SUMMARY[1:].rstrip("."), _sections())


def _sections() -> Iterator[Section]:
    yield from section("SYNOPSIS", *(Block("table", f"{call} [options]") for call in arguments.COMMANDS))
    yield from section(
        "DESCRIPTION",
        *(fact(call, does) for call, does in arguments.COMMANDS.items()),
        *_blocks(arguments.DIAGNOSE),
        *_blocks(arguments.EXPLAIN),
    )
    for group in arguments.parser()._action_groups:
        told = [fact(_call(each), each.help or "") for each in group._group_actions if each.option_strings]
        yield from section(f"OPTIONS: {group.title}", *told)
    yield from section("KEYS OF THE UI", *(Block("table", f"{key:<18}{does}") for key, does in KEYS))
    examples = (fact(example, chosen) for example, chosen in query.help_text())
    yield from section("FILTERS", *_blocks(arguments.FILTERS), *examples)
    yield from section("PASTED TEXT", *_blocks(arguments.TEXTS))
    yield from section("EXAMPLES", *_blocks(arguments.EXAMPLES.partition("\n")[2]))
    codes = arguments.EXIT_CODES.items()
    yield from section("EXIT STATUS", *(fact(str(code), meaning) for code, meaning in codes))
    settings = {
        f"SOCKUI_{each.name.upper()}": f"{each.metadata['meaning']} Allowed: {each.metadata['allowed']}."
        for each in fields(Config)
        if each.metadata  # thresholds are a table of the file, allowing actions is a flag: nowhere else
    }
    variables = (_ENVIRONMENT | settings).items()
    yield from section("ENVIRONMENT", *(fact(name, meaning) for name, meaning in variables))
    yield from section("FILES", *(fact(name, meaning) for name, meaning in _FILES.items()))
    yield from section("SEE ALSO", text("sockui(7), ss(8), netstat(8), lsof(8), tcp(7)"))


def _call(option: argparse.Action) -> str:
    """How an option is written: ``-h, --help``, ``--sort NAME``."""
    return f"{', '.join(option.option_strings)} {option.metavar or ''}".rstrip()


def _blocks(words: str) -> Iterator[Block]:
    """Words of --help: lines that are indented stand as they are, the others flow."""
    for indented, lines in groupby(words.splitlines(), lambda line: line.startswith(" ")):
        if indented:
            yield from (Block("table", line) for line in lines)
        else:
            yield text(" ".join(lines))
