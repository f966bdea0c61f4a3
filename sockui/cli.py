"""Arguments -> a front end: parses the command line, runs one command, turns errors into words and exit codes.

Owns the command line and everything that goes to stderr. Must not read the kernel, judge or format sockets; it is
the only importer of ``sockui.tui``, and only when the UI is what is wanted.

Exit codes: 0 fine; 1 ``diagnose`` found something of at least ``--fail-on``; 2 wrong usage, configuration or filter;
3 the sockets cannot be read, or memory, descriptors or threads do not suffice; 70 an error in sockui itself (a report
is kept); 74 the output cannot be written; 129 the terminal is gone; 130 Ctrl-C; 143 SIGTERM. A reader that closes the
pipe early is fine.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

from sockui import __version__
from sockui.arguments import help_text, parse
from sockui.errors import FilterError, SockuiError, UsageError
from sockui.shortage import lacking

if TYPE_CHECKING:
    import argparse

    from sockui.collector.text import TextCollector
    from sockui.config import Config
    from sockui.diagnosis.finding import Findings
    from sockui.model import Coverage, Snapshot
    from sockui.tracker import Update
    from sockui.view.query import Query


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (without the program's name) and return its exit code; no exception leaves."""
    # numpy's linear algebra, which nothing here uses, would start a thread for each CPU, and raise SIGINT if it may not
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
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
        if said := lacking(error):
            if sys.stderr is not None:
                sys.stderr.write(f"sockui: {said}\n")  # nothing more is loaded for it: that would fail too
            return 3
        from sockui import crash

        _say(crash.tell(error))
        return 70


def _run(arguments: list[str]) -> int:
    options, command, words = parse(arguments)
    if options.help:
        return _print(help_text())
    if options.version:
        return _print(f"sockui {__version__}\n")
    if options.print_config:
        from sockui.config import template

        return _print(template())
    if options.netns is not None:
        from sockui.collector.namespace import enter_namespace

        enter_namespace(options.netns)
    if command == "explain":
        return _explain(words, options)
    if command == "lab":
        return _lab(words, only_list=options.list)
    config = _configure(options)
    if command == "list":
        return _list(config, " ".join(words), options)
    if command == "diagnose":
        return _diagnose(config, " ".join(words), options)
    return _ui(config, " ".join(words) or config.filter, options)


def _configure(options: argparse.Namespace) -> Config:
    from pathlib import Path

    from sockui.config import load

    names = ("interval", "source", "sort", "columns", "theme", "mouse", "slow")
    flags = {name: value for name in names if (value := getattr(options, name)) is not None}
    file = Path(options.config) if options.config else None
    return load(flags, os.environ, file, allow_actions=bool(options.allow_actions))


def _explain(words: list[str], options: argparse.Namespace) -> int:
    from sockui.collector.host import HostReader
    from sockui.handbook import place
    from sockui.handbook.book import handbook
    from sockui.handbook.forms import FORMS
    from sockui.view import pages
    from sockui.view.page import Page

    if options.all and words:
        raise UsageError("--all explains everything; name nothing beside it")
    if not (options.all or words):
        raise UsageError("say what: sockui explain close-wait, SO_LINGER, EADDRINUSE, R02, tcp_fin_timeout; or --all")
    config, form = _configure(options), FORMS[options.format]
    system = pages.find_system(options.os) if options.os else None
    if options.all:
        return _print(form.book(handbook(HostReader().read(), config.thresholds, system)))
    name, at = place.cut(words)
    topic = pages.find(name)
    page = pages.page(topic, HostReader().read(), config.thresholds, system)
    if at:
        if system:
            raise UsageError(f"--os {system.key} is another system; {at} is looked for on this host")
        ask = place.question(topic, at)  # before the sockets are read: a typo is answered at once
        update = _read_once(config, options)
        page = Page(page.title, ask(update) + page.sections)
        _say_about(update, "explain", options)
    return _print(form.page(page))


def _lab(names: list[str], *, only_list: bool) -> int:
    from sockui.lab.run import list_lab, run_lab

    if only_list:
        return _write(list_lab)
    return run_lab(names)


def _list(config: Config, filter_text: str, options: argparse.Namespace) -> int:
    from sockui.view import query

    wanted = query.compile(filter_text)  # before the sockets are read: a typo is answered at once
    if options.texts:
        from sockui.moments import last

        return _each_host(options, lambda updates: _print_list(last(updates), wanted, config, options))
    return _print_list(_read_once(config, options), wanted, config, options)


def _read_once(config: Config, options: argparse.Namespace) -> Update:
    from sockui.collector import open_collector
    from sockui.tracker import Tracker

    collector = open_collector(config.source, options.netns or "")
    try:
        return Tracker().update(collector.collect())
    finally:
        collector.close()


def _print_list(update: Update, wanted: Query, config: Config, options: argparse.Namespace) -> int:
    from sockui import report
    from sockui.view.columns import require
    from sockui.view.table_view import Sort, build

    view = build(update, wanted, Sort.parse(config.sort))
    columns = [require(name) for name in config.columns]
    width = None if columns else _width()  # columns that were asked for are all shown, whatever the width
    if code := _write(lambda out: report.write(view, options.format, out, columns, width)):
        return code
    if not len(view.rows):
        _say_nothing(wanted)
    _say_about(update, "list", options)
    return 0


def _diagnose(config: Config, filter_text: str, options: argparse.Namespace) -> int:
    from sockui.config import seconds
    from sockui.view import query

    wanted = query.compile(filter_text)
    if options.texts:
        from sockui.moments import judge, last

        return _each_host(
            options, lambda updates: _print_findings(last(map(judge(config).update, updates)), wanted, options)
        )
    watched = seconds(options.seconds or "1", 0.1, 3600, f"--for {options.seconds}")
    from sockui.collector import open_collector
    from sockui.diagnosis.engine import Diagnosis
    from sockui.poller import Poller
    from sockui.sampling import sample
    from sockui.tracker import Tracker

    collector = open_collector(config.source, options.netns or "")
    poller = Poller(collector, Tracker(), Diagnosis(config.thresholds), lambda _: None, config.interval)
    try:
        found = sample(poller, watched, _count_down)
    finally:
        collector.close()
    return _print_findings(found, wanted, options) or (130 if found.polls < 2 else 0)


def _print_findings(found: Findings, wanted: Query, options: argparse.Namespace) -> int:
    from sockui import findings_report
    from sockui.diagnosis.finding import Severity

    shown = findings_report.select(found, wanted)
    bad = options.fail_on and shown.worst and shown.worst >= Severity[options.fail_on.upper()]
    text = io.StringIO()
    findings_report.write(shown, options.format, text, _width())
    try:
        if failure := _print(text.getvalue()):
            return failure
    except BrokenPipeError:  # `| head` is no error, and no pardon either
        _leave_stdout()
        return int(bool(bad))
    slip = not shown.sockets.any() and _say_nothing(wanted) and options.fail_on  # green for ever would be worse
    _say_about(found.update, "diagnose", options)
    return UsageError.exit_code if slip else int(bool(bad))


def _each_host(options: argparse.Namespace, show: Callable[[Iterator[Update]], int]) -> int:
    """Let ``show`` print what the texts of each host tell, one after the other; the worst exit code."""
    from sockui.collector import open_texts
    from sockui.tracker import Tracker

    sources = open_texts(options.texts, options.form or "auto")
    if len(sources) > 1 and options.format in ("json", "ndjson", "csv"):
        names = ", ".join(each.title for each in sources)
        raise UsageError(f"--format {options.format} is of one host, and these texts are of several: {names}")
    codes = []
    for number, texts in enumerate(sources):
        if len(sources) > 1:
            title = _title(texts.title, options.format)
            _print(f"\n{title}" if number else title)
        codes.append(show(map(Tracker().update, _read(texts, options))))
    return max(codes)


def _read(texts: TextCollector, options: argparse.Namespace) -> Iterator[Snapshot]:
    """Read the texts of one host, and say on stderr as what each was, and what of it was not understood."""
    for path in texts.paths:
        if path == "-" and _is_terminal(sys.stdin):
            _say("paste the text, then press Ctrl-D")
        yield texts.collect()
        for line in texts.read[-1].report(unread=options.show_unread):
            _say(line)


def _title(name: str, form: str) -> str:
    from sockui.view.format import escape
    from sockui.view.markdown import code

    return f"**{code(name)}**\n\n" if form == "markdown" else f"{escape(name)}:\n"


def _say_about(update: Update, command: str, options: argparse.Namespace) -> None:
    """Say what a person should know about what was printed; of a text that is said when it is read."""
    snapshot = update.snapshot
    if snapshot.source != "text":
        for note in snapshot.notes:
            _say(note)
    if options.format != "json":  # whose envelope says it
        _say_gaps(snapshot.coverage, command)


def _count_down(seconds: float, left: float) -> None:
    """Wait, and show on a terminal how much is left; nothing of it stays."""
    import time

    end, last, shows = time.monotonic() + seconds, time.monotonic() + left, _is_terminal(sys.stderr)
    try:
        while (now := time.monotonic()) < end:
            if shows:
                _show(f"\r{f'looking, {last - now:.0f} s left ...':<30}")
            time.sleep(min(1.0, end - now))  # the interval that was asked for, by steps of the countdown
    finally:
        if shows:
            _show(f"\r{'':<36}\r")  # with the terminal's own ^C


def _show(line: str) -> None:
    with contextlib.suppress(OSError):  # the terminal went away; what is found goes elsewhere
        sys.stderr.write(line)
        sys.stderr.flush()


def _say_nothing(wanted: Query) -> bool:
    """Say that the filter matches nothing, where that is no answer; whether it looks like a slip."""
    from sockui.view.meant import guessed, nothing_matches

    if said := nothing_matches(wanted.text):
        _say(said)
    return bool(guessed(wanted.text))


def _say_gaps(coverage: Coverage, command: str) -> None:
    for gap in coverage.gaps:
        _say(f"no owner is named for {gap.sockets} of {coverage.sockets} sockets: they {gap.reason}")
    if coverage.fix:
        _say(f"root may see more: {coverage.fix} {command}")


def _ui(config: Config, filter_text: str, options: argparse.Namespace) -> int:
    piped = "-" in options.texts and not _is_terminal(sys.stdin)
    streams = (sys.stdout, sys.stderr) if piped else (sys.stdin, sys.stdout, sys.stderr)  # painted on stderr
    if not all(map(_is_terminal, streams)):
        raise UsageError("the UI needs a terminal; without one use `sockui list`")
    if os.environ.get("TERM") == "dumb":
        raise UsageError("TERM=dumb cannot draw a screen; use `sockui list`")
    gc.disable()  # what is loaded now stays: to look for garbage in it takes a tenth of the start
    if options.texts:
        return _ui_of_texts(config, filter_text, options, piped=piped)
    from sockui.tui.run import run

    return run(config, filter_text, options.netns or "")


def _ui_of_texts(config: Config, filter_text: str, options: argparse.Namespace, *, piped: bool) -> int:
    """The screen with texts of one host, which are read before it is painted."""
    from sockui.collector import open_texts
    from sockui.moments import Replay
    from sockui.view import query

    query.compile(filter_text)
    first, *others = open_texts(options.texts, options.form or "auto")
    if others:
        names = ", ".join(each.title for each in (first, *others))
        raise UsageError(f"the UI shows one host, and these texts are of several: {names}")
    keys = _terminal() if piped else None
    snapshots = list(_read(first, options))
    if keys is not None:
        os.dup2(keys, 0)  # the text has been read to its end; from here on stdin is the keyboard
        os.close(keys)
    from sockui.tui.run import run

    return run(config, filter_text, texts=Replay(snapshots))


def _terminal() -> int:
    """A descriptor of the terminal that this process belongs to. Raises :class:`UsageError` if there is none."""
    try:
        return os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError as error:
        raise UsageError("there is no terminal to read keys from; use `sockui list -`") from error


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _width() -> int | None:
    """Cells of the terminal that stdout is; None if it is none."""
    return shutil.get_terminal_size().columns if _is_terminal(sys.stdout) else None


def _print(text: str) -> int:
    return _write(lambda out: out.write(text))


def _write(write: Callable[[TextIO], object]) -> int:
    """Let ``write`` write to stdout."""
    if sys.stdout is None:  # `>&-`
        _say("stdout is closed")
        return 74
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a locale without the character is no reason to fail
        if isinstance(sys.stdout.buffer, io.RawIOBase):  # PYTHONUNBUFFERED: what a full disk refuses would just be lost
            encoding, raw = sys.stdout.encoding, sys.stdout.detach()
            sys.stdout = io.TextIOWrapper(io.BufferedWriter(raw), encoding, "backslashreplace")
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
        with contextlib.suppress(OSError):  # nobody can be told
            sys.stderr.write("sockui: " + "\n".join(map(escape, message.split("\n"))) + "\n")
