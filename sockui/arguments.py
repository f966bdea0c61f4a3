"""The command line: which command, which options, which words, and what --help says of them.

Owns the names of commands and options and which belong together, and what is said of them (``handbook.command`` makes
the man page of it). Must not act on one, or know what a filter means.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sockui.errors import UsageError

if TYPE_CHECKING:
    import argparse

_COMMANDS = ("list", "diagnose", "explain", "lab")
_FORMATS = {
    "list": ("table", "json", "ndjson", "csv", "markdown"),
    "diagnose": ("text", "json", "markdown"),
    "explain": ("text", "markdown", "html", "man"),
}
"""What a command can print; the first one unless --format says otherwise."""
_ONLY = {  # an option's attribute -> the commands that it belongs to
    "format": ("list", "diagnose", "explain"),
    "columns": ("list",),
    "seconds": ("diagnose",),
    "fail_on": ("diagnose",),
    "list": ("lab",),
    "all": ("explain",),
    "os": ("explain",),
    "texts": ("", "list", "diagnose"),
}
_FLAGS = {"seconds": "--for", "fail_on": "--fail-on", "texts": "a text (--from, -)"}
_OF_THIS_HOST = {
    "source": "--source",
    "netns": "--netns",
    "interval": "--interval",
    "seconds": "--for",
    "allow_actions": "--allow-actions",
}
"""What makes no sense with a text, by its attribute."""
FORMS = ("ss", "netstat", "lsof", "proc", "windows", "bsd", "solaris")
"""What --form forces: the keys of ``collector.text.FORMS``, which is not imported to print help."""
_NEAR = 0.75  # of difflib: a slip or two in a word; what only shares some letters is not suggested

SUMMARY = "What is wrong with the connections on this host, since when, and what to do."

COMMANDS = {
    "sockui [FILTER...]": "look at it live",
    "sockui diagnose [FILTER...]": "print what is wrong, the worst first, the evidence, and what to do",
    "sockui list [FILTER...]": "print the sockets once",
    "sockui explain NAME": "what a state, option, error, finding or setting means, what ends it, what to do",
    "sockui explain --all": "the handbook: everything that can be explained",
    "sockui lab [STATE...]": "make real sockets that are stuck in a state, to try sockui on",
}
"""How a command is called, and what it does."""

FILTERS = """\
filters are those of ss, and fields by name; words by themselves search in what is shown:
  sockui state close-wait and dport = :443
  sockui 'age > 5m and process ~ java'
  sockui -- list             searches for the word "list"\
"""

TEXTS = """\
pasted text of ss, netstat (Linux, macOS, BSD, Windows, Solaris, HP-UX, AIX), lsof -i and /proc/net/tcp, of any host:
  ss -tanpieOm | sockui list - state close-wait
  sockui diagnose --from 0300.txt --from 0305.txt
  sockui --from incident.txt
--from may be given several times: in order, several moments of one host; --from web=a.txt --from db=b.txt are two.
What was recognised, and how many lines were not understood, is said on stderr.\
"""

DIAGNOSE = """\
sockui diagnose looks twice, a second apart; --for 10s and longer also tells how counts develop and when something
runs out. With a filter it shows the findings of which a socket matches; those about the whole host (settings, memory,
conntrack) have none. Ctrl-C after the second look prints what is known by then; before it, that and exit code 130.
It exits 1 only with --fail-on, if a finding that is shown is at least as bad.\
"""

EXPLAIN = """\
sockui explain tells the values of this host's settings; --os NAME the settings of another system. EADDRINUSE and
EADDRNOTAVAIL take an address and port (:8080, 10.0.0.5:443, [::1]:80, udp:53): who holds it, which ports are left.\
"""

EXAMPLES = """\
examples:
  sockui diagnose --format json process ~ java | jq '.findings[].title'
  sockui diagnose --fail-on critical sport = :8080 || echo "page me"
  sockui list --format json state close-wait | jq '.sockets[].pid'
  sockui list --sort -age --columns process,state,age,remote
  sockui explain close-wait
  sockui explain FIN_WAIT2 --os hpux
  sockui explain --all --format html > handbook.html
  sockui --print-config > sockui.toml && sockui --config sockui.toml\
"""

EXIT_CODES = {
    0: "fine",
    1: "diagnose found something of at least --fail-on",
    2: "wrong usage or filter",
    3: "the sockets cannot be read",
    70: "an error in sockui, a report is kept",
    74: "the output cannot be written",
    130: "Ctrl-C",
}


def help_text() -> str:
    """What --help prints."""
    return parser().format_help()


def parse(arguments: list[str]) -> tuple[argparse.Namespace, str | None, list[str]]:
    """Split a command line into options, command (None: the UI) and words; after ``--`` nothing is a command.

    ``format`` has what the command prints unless an option says otherwise. Raises :class:`UsageError`.
    """
    known_options = parser()
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    known, literal = arguments[:cut], arguments[cut + 1 :]
    if "--sort" in known[:-1]:  # `--sort -age`: argparse would take -age for an option
        at = known.index("--sort")
        known[at : at + 2] = [f"--sort={known[at + 1]}"]
    options, unknown = known_options.parse_known_intermixed_args(known)
    if unknown:
        name = unknown[0].split("=")[0]
        hint = _did_you_mean(name, re.findall(r"--[a-z-]+", known_options.format_help())) or ";"
        raise UsageError(f"there is no option {name}{hint} after -- everything is a filter")
    words: list[str] = [word for word in options.words if word != "-"]
    options.texts = (options.texts or []) + ["-"] * (len(options.words) - len(words))
    command = words.pop(0) if words and words[0] in _COMMANDS else None
    if not (options.help or options.version or options.print_config):
        _check(options, command)
    return options, command, words + literal


def _check(options: argparse.Namespace, command: str | None) -> None:
    for name, commands in _ONLY.items():
        if getattr(options, name) and (command or "") not in commands:
            belongs = " and ".join(f"`{f'sockui {each}'.strip()}`" for each in commands)
            more = "; the sockets are printed by `sockui list`" if name == "list" else ""
            raise UsageError(f"{_FLAGS.get(name, f'--{name}')} belongs to {belongs}{more}")
    formats = _FORMATS.get(command or "", ("",))
    options.format = options.format or formats[0]
    if options.format not in formats:
        allowed = f"{', '.join(formats[:-1])} or {formats[-1]}"
        hint = _did_you_mean(options.format, formats)
        raise UsageError(f"--format {options.format}: `sockui {command}` prints {allowed}{hint}")
    _check_texts(options)


def _check_texts(options: argparse.Namespace) -> None:
    if not options.texts:
        for name in ("form", "show_unread"):
            if getattr(options, name):
                raise UsageError(
                    f"--{name.replace('_', '-')} is about a text; name one with --from FILE, or - for stdin"
                )
        return
    for name, flag in _OF_THIS_HOST.items():
        if getattr(options, name) is not None:
            raise UsageError(f"{flag} is about this host; with a text (--from, -) nothing is read or done here")
    if sum(text == "-" or text.endswith("=-") for text in options.texts) > 1:
        raise UsageError("standard input (-) can be read once only")


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word, known, 1, _NEAR)
    return f', did you mean "{near[0]}"?' if near else ""


def parser() -> argparse.ArgumentParser:
    """Every option, in groups, with its help."""
    import argparse  # late: `import sockui.cli` stays free

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> None:  # type: ignore[override]  # the same way out as every wrong usage
            raise UsageError(f"{message}\n(sockui --help shows what is understood)")

    commands = "\n".join(f"  {call:<29}{does}" for call, does in COMMANDS.items())
    codes = "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items())
    parser = Parser(
        "sockui",
        usage="sockui [list | diagnose | explain | lab] [FILTER... | NAME | STATE...] [options]",
        description=f"{SUMMARY}\n\n{commands}",
        epilog="\n\n".join((FILTERS, TEXTS, DIAGNOSE, EXPLAIN, EXAMPLES, textwrap.fill(f"exit codes: {codes}", 119))),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)

    reading = parser.add_argument_group("what is read and how it is put in order")
    reading.add_argument("--sort", metavar="NAME", help="a column; -NAME or NAME:desc begins with the largest")
    reading.add_argument("--source", metavar="auto|netlink|psutil", help="where sockets are read from")
    reading.add_argument("--netns", metavar="NAME|PID", help="look into this network namespace (needs root)")
    reading.add_argument("--interval", metavar="SECONDS", help="between two looks: 2, 0.5, 500ms, 1m; at least 0.1")

    texts = parser.add_argument_group("pasted text instead of this host")
    texts.add_argument(
        "--from", dest="texts", action="append", metavar="[HOST=]FILE", help="read this text; - is standard input"
    )
    texts.add_argument(
        "--form", choices=FORMS, metavar="|".join(FORMS), help="what printed it, if that is not recognised"
    )
    texts.add_argument("--show-unread", action="store_true", help="show lines that were not understood, on stderr")

    printing = parser.add_argument_group("sockui list, sockui diagnose and sockui explain")
    formats = "; ".join(f"{command}: {'|'.join(names)}" for command, names in _FORMATS.items())
    printing.add_argument("--format", metavar="FORMAT", help=f"{formats}; the first unless said otherwise")
    printing.add_argument("--columns", metavar="A,B,C", help="list: which columns, in this order")
    printing.add_argument("--for", dest="seconds", metavar="SECONDS", help="diagnose: how long to look; 1, 10s, 2m")
    severities = ("warning", "critical")
    printing.add_argument(
        "--fail-on", choices=severities, metavar="|".join(severities), help="diagnose: exit 1 if one is found"
    )

    ui = parser.add_argument_group("the UI")
    ui.add_argument("--theme", metavar="dark|light|ansi|mono", help="colours; mono for none")
    ui.add_argument("--no-mouse", dest="mouse", action="store_const", const="false", help="leave it to the terminal")
    ui.add_argument(
        "--slow", action="store_const", const="true", help="for a slow line: fewer colours, painted every 5 s"
    )
    ui.add_argument(
        "--allow-actions",
        action="store_const",
        const=True,
        help="let the remediation page close sockets and signal processes",
    )

    explaining = parser.add_argument_group("sockui explain")
    explaining.add_argument("--all", action="store_true", help="everything: the handbook")
    explaining.add_argument("--os", metavar="NAME", help="macos, freebsd, windows, solaris, hpux or aix")

    lab = parser.add_argument_group("sockui lab")
    lab.add_argument("--list", action="store_true", help="what can be made, and make nothing")

    general = parser.add_argument_group("configuration and help")
    general.add_argument("--config", metavar="FILE", help="instead of the usual configuration file")
    general.add_argument("--print-config", action="store_true", help="print a file with every setting and its meaning")
    general.add_argument("--version", action="store_true", help="print the version")
    general.add_argument("-h", "--help", action="store_true", help="print this")
    return parser
