"""Arguments -> a front end: parses the command line, runs one command, turns errors into words and exit codes.

Owns the command line and everything that goes to stderr. Must not read the kernel, judge or format sockets; it is
the only importer of ``sockui.tui``, and only when the UI is what is wanted.

Exit codes: 0 fine; 2 wrong usage, configuration or filter; 3 the sockets cannot be read; 70 an error in sockui itself
(a report is kept); 74 the output cannot be written; 130 Ctrl-C. A reader that closes the pipe early is fine.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

from sockui import __version__
from sockui.errors import FilterError, SockuiError, UsageError

if TYPE_CHECKING:
    import argparse

    from sockui.config import Config
    from sockui.model import Coverage

_COMMANDS = ("list", "explain", "lab")
_CONDITION = frozenset((*"()&|<>=!~,", "and", "or", "not", "state", "exclude", "src", "dst", "sport", "dport", "dev"))
"""What makes a filter more than bare words."""
_NEAR = 0.75  # of difflib: a slip or two in a word; what only shares some letters is not suggested

_DESCRIPTION = """\
What is wrong with the connections on this host, since when, and what to do.

  sockui [FILTER...]         look at it live
  sockui list [FILTER...]    print the sockets once
  sockui explain STATE       what a TCP state means and what ends it
  sockui lab [STATE...]      make real sockets that are stuck in a state, to try sockui on"""

_EPILOG = """\
filters are those of ss, and fields by name; words by themselves search in what is shown:
  sockui state close-wait and dport = :443
  sockui 'age > 5m and process ~ java'
  sockui -- list             searches for the word "list"

examples:
  sockui list --format json state close-wait | jq '.sockets[].pid'
  sockui list --sort -age --columns process,state,age,remote
  sockui explain close-wait
  sockui --print-config > sockui.toml && sockui --config sockui.toml

exit codes: 0 fine; 2 wrong usage or filter; 3 the sockets cannot be read; 70 an error in sockui, a report is kept;
74 the output cannot be written; 130 Ctrl-C"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (without the program's name) and return its exit code; no exception leaves."""
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader has what it wanted: `| head`
        _leave_stdout()
        return 0
    except FilterError as error:
        from sockui.view.format import escape

        before = escape(error.text[: error.position])
        _say(f"{error.hint}\n  {before}{escape(error.text[error.position :])}\n  {' ' * len(before)}^")
        return error.exit_code
    except SockuiError as error:
        _say(str(error))
        return error.exit_code
    except Exception as error:  # the last line of defence: a person at a terminal gets a sentence, not a traceback
        return _crashed(error)


def _run(arguments: list[str]) -> int:
    parser = _parser()
    options, command, words = _parse(parser, arguments)
    if options.help:
        return _print(parser.format_help())
    if options.version:
        return _print(f"sockui {__version__}\n")
    if options.print_config:
        from sockui.config import template

        return _print(template())
    if command != "list" and (options.format or options.columns is not None):
        raise UsageError("--format and --columns belong to `sockui list`")
    if command != "lab" and options.list:
        raise UsageError("--list belongs to `sockui lab`; the sockets are printed by `sockui list`")
    if options.netns is not None:
        from sockui.collector.namespace import enter_namespace

        enter_namespace(options.netns)
    if command == "explain":
        return _explain(words)
    if command == "lab":
        return _lab(words, only_list=options.list)
    config = _configure(options)
    if command == "list":
        return _list(config, " ".join(words), options.format or "table", options.netns or "")
    return _ui(config, " ".join(words) or config.filter, options.netns or "")


def _parser() -> argparse.ArgumentParser:
    import argparse  # late: `import sockui.cli` stays free

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> None:  # type: ignore[override]  # the same way out as every wrong usage
            raise UsageError(f"{message}\n(sockui --help shows what is understood)")

    parser = Parser(
        "sockui",
        usage="sockui [list | explain | lab] [FILTER... | STATE...] [options]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)

    reading = parser.add_argument_group("what is read and how it is put in order")
    reading.add_argument("--sort", metavar="NAME", help="a column; -NAME or NAME:desc begins with the largest")
    reading.add_argument("--source", metavar="auto|netlink|psutil", help="where sockets are read from")
    reading.add_argument("--netns", metavar="NAME|PID", help="look into this network namespace (needs root)")

    listing = parser.add_argument_group("sockui list")
    formats = ("table", "json", "ndjson", "csv", "markdown")
    listing.add_argument("--format", choices=formats, metavar="|".join(formats), help="table unless said otherwise")
    listing.add_argument("--columns", metavar="A,B,C", help="which columns, in this order")

    ui = parser.add_argument_group("the UI")
    ui.add_argument("--interval", metavar="SECONDS", help="between two looks: 2, 0.5, 500ms; at least 0.1")
    ui.add_argument("--theme", metavar="dark|light|ansi|mono", help="colours; mono for none")
    ui.add_argument("--no-mouse", dest="mouse", action="store_const", const="false", help="leave it to the terminal")

    lab = parser.add_argument_group("sockui lab")
    lab.add_argument("--list", action="store_true", help="what can be made, and make nothing")

    general = parser.add_argument_group("configuration and help")
    general.add_argument("--config", metavar="FILE", help="instead of the usual configuration file")
    general.add_argument("--print-config", action="store_true", help="print a file with every setting and its meaning")
    general.add_argument("--version", action="store_true", help="print the version")
    general.add_argument("-h", "--help", action="store_true", help="print this")
    return parser


def _parse(parser: argparse.ArgumentParser, arguments: list[str]) -> tuple[argparse.Namespace, str | None, list[str]]:
    """Split a command line into options, command (None: the UI) and words; after ``--`` nothing is a command."""
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    known, literal = arguments[:cut], arguments[cut + 1 :]
    if "--sort" in known[:-1]:  # `--sort -age`: argparse would take -age for an option
        at = known.index("--sort")
        known[at : at + 2] = [f"--sort={known[at + 1]}"]
    options, unknown = parser.parse_known_intermixed_args(known)
    if unknown:
        from difflib import get_close_matches

        name = unknown[0].split("=")[0]
        near = get_close_matches(name, re.findall(r"--[a-z-]+", parser.format_help()), 1, _NEAR)
        hint = f', did you mean "{near[0]}"?' if near else ";"
        raise UsageError(f"there is no option {name}{hint} after -- everything is a filter")
    words: list[str] = options.words
    command = words.pop(0) if words and words[0] in _COMMANDS else None
    return options, command, words + literal


def _configure(options: argparse.Namespace) -> Config:
    from pathlib import Path

    from sockui.config import load

    names = ("interval", "source", "sort", "columns", "theme", "mouse")
    flags = {name: value for name in names if (value := getattr(options, name)) is not None}
    return load(flags, os.environ, Path(options.config) if options.config else None)


def _explain(words: list[str]) -> int:
    if not words:
        raise UsageError("say which state: sockui explain close-wait")
    from sockui.collector.host import HostReader
    from sockui.view.explain import explain_state

    return _print(explain_state(" ".join(words), HostReader().read()) + "\n")


def _lab(names: list[str], *, only_list: bool) -> int:
    from sockui.lab.run import list_lab, run_lab

    if only_list:
        return _write(list_lab)
    return run_lab(names)


def _list(config: Config, filter_text: str, form: str, namespace: str) -> int:
    from sockui.view import query

    wanted = query.compile(filter_text)  # before the sockets are read: a typo is answered at once
    from sockui import report
    from sockui.collector import open_collector
    from sockui.tracker import Tracker
    from sockui.view.columns import require
    from sockui.view.table_view import Sort, build

    collector = open_collector(config.source, namespace)
    try:
        update = Tracker().update(collector.collect())
    finally:
        collector.close()
    view = build(update, wanted, Sort.parse(config.sort))
    columns = [require(name) for name in config.columns]
    fits = not columns and _is_terminal(sys.stdout)  # columns that were asked for are all shown, whatever the width
    width = shutil.get_terminal_size().columns if fits else None
    if code := _write(lambda out: report.write(view, form, out, columns, width)):
        return code
    if not len(view.rows):
        _say_nothing(filter_text)
    for note in update.snapshot.notes:
        _say(note)
    if form != "json":  # whose envelope says it
        _say_gaps(update.snapshot.coverage)
    return 0


def _say_nothing(filter_text: str) -> None:
    """Say that bare words were found nowhere, and what was meant; for conditions no socket is an answer."""
    words = filter_text.lower().split()
    if words and _CONDITION.isdisjoint([*words, *filter_text]):
        meant = _meant(words)
        _say(f"nothing matches; did you mean: {meant}" if meant else "no socket matches the filter")


def _meant(words: list[str]) -> str:
    """The condition that bare words are spelt like, or nearly; empty if there is none."""
    from difflib import get_close_matches

    from sockui.model import State, parse_state
    from sockui.view import query
    from sockui.view.columns import nearest, require

    column = nearest(words[0])
    if column == "state" and len(words) > 1:
        words = words[1:]
    state = parse_state(" ".join(words))
    name = state.name if state else "_".join(words).replace("-", "_").upper()
    if states := get_close_matches(name, [known.name for known in State], 1, _NEAR):
        return f"state {states[0].lower().replace('_', '-')}"
    if column is None or len(words) > 2:
        return ""
    value = f"= {words[1]}" if len(words) == 2 else "> 0" if require(column).kind in ("number", "age") else "= '*'"
    try:
        query.compile(f"{column} {value}")
    except FilterError:
        return ""
    return f"{column} {value}"


def _say_gaps(coverage: Coverage) -> None:
    for gap in coverage.gaps:
        _say(f"no owner is named for {gap.sockets} of {coverage.sockets} sockets: they {gap.reason}")
    if coverage.fix:
        _say(f"root may see more: {coverage.fix} list")


def _ui(config: Config, filter_text: str, namespace: str) -> int:
    streams = (sys.stdin, sys.stdout, sys.stderr)  # the screen is painted on stderr
    if not all(map(_is_terminal, streams)):
        raise UsageError("the UI needs a terminal; without one use `sockui list`")
    if os.environ.get("TERM") == "dumb":
        raise UsageError("TERM=dumb cannot draw a screen; use `sockui list`")
    from sockui.tui.app import run

    return run(config, filter_text, namespace)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _print(text: str) -> int:
    return _write(lambda out: out.write(text))


def _write(write: Callable[[TextIO], object]) -> int:
    """Let ``write`` write to stdout."""
    if sys.stdout is None:  # `>&-`
        _say("stdout is closed")
        return 74
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a locale without the character is no reason to fail
    try:
        write(sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _leave_stdout()
        _say(f"the output cannot be written: {error.strerror}")
        return 74
    return 0


def _leave_stdout() -> None:
    """Send what is still buffered nowhere: Python would try to write it again at its exit, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(message: str) -> None:
    """Print a message to stderr, with what it quotes from outside made harmless."""
    from sockui.view.format import escape

    if sys.stderr is not None:
        sys.stderr.write("sockui: " + "\n".join(map(escape, message.split("\n"))) + "\n")


def _crashed(error: Exception) -> int:
    """Keep a report of an error in sockui itself, and say where."""
    import platform
    import shlex
    import traceback

    from sockui.statefile import keep

    about = f"sockui {__version__}, Python {platform.python_version()}, {platform.system()} {platform.release()}"
    report = f"{about}\n{shlex.join(sys.argv)}\n\n{''.join(traceback.format_exception(error))}"
    path = keep("crash.txt", report)
    where = f"; a report for the maintainers is in {path}" if path else "; no directory can be written for a report"
    summary = "".join(traceback.format_exception_only(error)).strip().replace("\n", " ")
    _say(f"an error in sockui itself ({summary}){where}")
    return 70
