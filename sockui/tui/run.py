"""Running the UI in this process: what it takes of the process, and how it ends.

Owns signals, what the environment says of the terminal, and the interpreter's switch interval. Must not show anything.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

from sockui.giving_way import GivingWay
from sockui.tui.app import SockuiApp

if TYPE_CHECKING:
    from sockui.collector import Collector
    from sockui.config import Config
    from sockui.moments import Replay

SWITCH_SECONDS = 0.00005
"""How long the poller's thread may keep the interpreter while a key waits, which it does some 40 times until its paint:
a hundredth of Python's default."""


def run(config: Config, filter_text: str, namespace: str = "", texts: Replay | None = None) -> int:
    """Run the UI until it is left; the exit code. ``namespace`` is what was entered with ``--netns``, "" none.

    ``texts`` are shown instead of this host.

    Raises :class:`sockui.errors.FilterError` for a wrong filter, before the screen is taken, and
    :class:`sockui.errors.CollectError` where sockets cannot be read, when the screen was given back.
    """
    if filter_text:
        from sockui.view import query

        query.compile(filter_text)
    if config.theme == "mono":
        os.environ["NO_COLOR"] = "1"
    else:
        os.environ.pop("NO_COLOR", None)  # a theme that was asked for outweighs it (config)
    for name in ("COLUMNS", "LINES"):  # exported, they outlive a resize, or are of another terminal
        os.environ.pop(name, None)
    sys.setswitchinterval(SWITCH_SECONDS)
    give_way = GivingWay()
    open_source = partial(_open, config, namespace, give_way) if texts is None else lambda: texts
    app = SockuiApp(config, open_source, filter_text, give_way=give_way)
    _end_with_the_line(app)
    code = app.run(mouse=config.mouse)
    if app._exception is not None:  # Textual has no public way to learn what ended it
        raise getattr(app._exception, "error", app._exception)  # WorkerFailed tells of the error of a thread
    return code or 0


def _open(config: Config, namespace: str, give_way: GivingWay) -> Collector:
    from sockui.collector import open_collector

    return open_collector(config.source, namespace, give_way)


def _end_with_the_line(app: SockuiApp) -> None:
    """Leave when the terminal goes away, and on SIGTERM: no orphan, the terminal as it was."""

    def leave(number: int, _frame: object) -> None:
        if number == signal.SIGHUP and not os.isatty(2):  # hung up: nothing to restore, and writing would block or fail
            os._exit(129)
        app.exit(128 + number)

    for number in (signal.SIGHUP, signal.SIGTERM):
        with contextlib.suppress(ValueError, OSError):
            signal.signal(number, leave)
