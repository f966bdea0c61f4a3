"""The Textual application: starts and ends polling, hands results to the screen, copies, opens screens.

Owns the poller's life, themes and the clipboard. Must not decide what a key means on the main screen
(``main_screen``) or what is said (``wording``).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen
from textual.theme import Theme

from sockui.clipboard import Clipboard
from sockui.collector import Collector, open_collector
from sockui.config import Config
from sockui.diagnosis.engine import Diagnosis
from sockui.diagnosis.finding import Finding
from sockui.model import Host, State
from sockui.moments import Replay, ReplayPoller
from sockui.poller import Poll, Poller
from sockui.tracker import Tracker
from sockui.tui import paragraphs
from sockui.tui.ascii import AsciiFilter
from sockui.tui.hinted_screen import HintedScreen
from sockui.tui.library import Library
from sockui.tui.main_screen import MainScreen
from sockui.tui.pane import Pane
from sockui.tui.remedy_screen import RemedyScreen
from sockui.tui.subject import FindingSubject, SocketSubject, Subject
from sockui.tui.text_screen import TextScreen
from sockui.tui.wording import key_name
from sockui.view import query, table_view
from sockui.view.table_view import TableView

if TYPE_CHECKING:
    from textual.command import Provider

    from sockui.knowledge.topics import Topic

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
SWITCH_SECONDS = 0.0005
"""How long the poller's thread may keep the interpreter while a key waits: a tenth of Python's default."""
THEMES = {"dark": DARK.name, "light": LIGHT.name, "ansi": "ansi-dark", "mono": "ansi-dark"}


class Polled(Message):
    """A poll has come; an older one still waiting is worth nothing any more."""

    def __init__(self, poll: Poll, view: TableView | None) -> None:
        self.poll = poll
        self.view = view
        super().__init__()

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Polled)


def _topics() -> type[Provider]:
    from sockui.tui.palette import TopicProvider

    return TopicProvider


class SockuiApp(App[int]):
    """``collector`` is the source; ``start_polling`` False leaves ticking to the caller (tests).

    ``diagnosis`` None is one that judges by the configuration and looks at the processes of this host.
    """

    TITLE = "sockui"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "colon"
    COMMANDS = App.COMMANDS | {_topics}
    CSS_PATH = "sockui.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("question_mark", "help", "Help"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", "Suspend", show=False, priority=True),
        Binding("ctrl+l", "repaint", "Repaint", show=False, priority=True),
    ]

    def __init__(
        self,
        config: Config,
        collector: Collector,
        filter_text: str = "",
        clipboard: Clipboard | None = None,
        diagnosis: Diagnosis | None = None,
        *,
        start_polling: bool = True,
    ) -> None:
        super().__init__(ansi_color=config.theme in ("ansi", "mono") or None)  # the terminal's own colours, or none
        self.config = config
        self._start_polling = start_polling
        self._hinted = False
        self.clipboard_route = clipboard or Clipboard(config.clipboard, os.environ, self._to_terminal)
        self.main = MainScreen(config, query.compile(filter_text))
        self.library = Library(self._host, config.thresholds)
        diagnosis = diagnosis or Diagnosis(config.thresholds)
        self.poller = Poller(collector, Tracker(config.linger), diagnosis, self._publish, config.interval)
        if config.ascii:
            self._filters.append(AsciiFilter())  # Textual has no public way to filter what is painted
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = THEMES[config.theme]

    def get_default_screen(self) -> Screen[None]:
        return self.main

    def on_mount(self) -> None:
        if self._driver is not None and self._driver.can_suspend:
            signal.signal(signal.SIGCONT, self._continued)
        if self._start_polling:
            self.poller.start()

    def on_unmount(self) -> None:
        self.poller.stop()

    def _continued(self, _number: int, _frame: object) -> None:
        """Take the terminal again after Ctrl-Z, or after a SIGSTOP that nothing announced.

        Textual knows the first alone: after the second it would read the keys twice and never end.
        """
        driver = self._driver
        assert driver is not None  # noqa: S101  this handler is only set where there is one
        if not getattr(driver, "_must_signal_resume", False):
            driver.suspend_application_mode()
        driver.resume_application_mode()

    def on_resize(self) -> None:
        """Paint all: a terminal that shrank and grew back before it was looked at has lost what it showed."""
        self.action_repaint()

    def action_repaint(self) -> None:
        """Paint every cell again, whatever the terminal shows."""
        self.screen.refresh()

    def _fatal_error(self) -> None:
        """Leave without a traceback on the screen; ``run`` raises what happened, and ``cli`` reports it."""
        self._close_messages_no_wait()

    # --- polling ----------------------------------------------------------------------------------

    def _publish(self, poll: Poll) -> None:
        """Filter and sort in the poller's thread, then hand over."""
        view = None
        if poll.update is not None and not poll.error:
            wanted, sort = self.main.wants()
            view = table_view.build(poll.update, wanted, sort, self.main.view)
        self.post_message(Polled(poll, view))

    @on(Polled)
    def _polled(self, event: Polled) -> None:
        if event.poll.crash is not None:
            raise event.poll.crash  # ends the UI, and is reported by cli
        self.main.take(event.poll, event.view)

    def renew_screens(self) -> None:
        """Let a screen on top show what has changed."""
        if isinstance(self.screen, HintedScreen):
            self.screen.renew()

    # --- screens ----------------------------------------------------------------------------------

    def show_details(self, index: int) -> None:
        """All about a socket, by its row in the update that is shown."""
        about = self._socket(index)
        if about is not None:
            full = about.full
            self.push_screen(TextScreen("All about this socket", lambda: paragraphs.details(full()), full))

    def show_remedy(self, index: int) -> None:
        """What to do about a socket, by its row in the update that is shown."""
        about = self._socket(index)
        if about is not None:
            self._show_remedy(about)

    def show_finding_remedy(self, finding: Finding) -> None:
        """What to do about a finding of those that are shown."""
        first = self.main.findings
        if first is not None:
            self._show_remedy(FindingSubject(lambda: self.main.findings or first, finding))

    def _show_remedy(self, about: Subject) -> None:
        self.push_screen(RemedyScreen(about, allow_actions=self.config.allow_actions))

    def _socket(self, index: int) -> SocketSubject | None:
        first = self.main.findings
        return SocketSubject(lambda: self.main.findings or first, index) if first is not None else None

    def _host(self) -> Host:
        found = self.main.findings
        return found.update.snapshot.host if found is not None else Host("", "Linux")

    def explain(self, topic: Topic) -> None:
        """Open the page of a topic; on another page that one is come back to."""
        from sockui.tui.page_screen import PageScreen

        if isinstance(self.screen, PageScreen):
            self.screen.go(topic)
        else:
            self.push_screen(PageScreen(self.library.page, topic))

    @on(Pane.Followed)
    def _followed(self, event: Pane.Followed) -> None:
        self.explain(event.topic)

    def show_diagram(self, state: State) -> None:
        """Walk in the diagram of the states."""
        from sockui.tui.diagram_screen import DiagramScreen

        screen = DiagramScreen(
            state,
            self._state_counts,
            self.library.page,
            self.explain,
            self._show_state,
            ascii_only=self.config.ascii,
        )
        self.push_screen(screen)

    def _show_state(self, name: str) -> None:
        while self.screen is not self.main:
            self.pop_screen()
        self.main.go_to_state(name)

    def _state_counts(self) -> Mapping[str, int]:
        return self.main.view.state_counts if self.main.view is not None else {}

    def action_help(self) -> None:
        """Keys, the filter language, the columns, and the search over all knowledge."""
        self.search(self.explain)

    def search(self, opened: Callable[[Topic], None]) -> None:
        """Help and search; ``opened`` is told which page is chosen."""
        from sockui.tui.help import help_paragraphs
        from sockui.tui.help_screen import HelpScreen

        bindings = [binding for binding in MainScreen.BINDINGS if isinstance(binding, Binding)]
        self.push_screen(HelpScreen(self.library, help_paragraphs(bindings), opened))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Everything that a key does, by name."""
        for binding in MainScreen.BINDINGS:
            if isinstance(binding, Binding) and binding.description:
                key = key_name(binding.key)
                yield SystemCommand(
                    binding.description, f"key {key}", partial(self.main.run_action, f"screen.{binding.action}")
                )
        for name, theme in THEMES.items():
            if name != "mono":
                yield SystemCommand(f"Theme: {name}", "colours", partial(setattr, self, "theme", theme))
        yield SystemCommand("Help", "key ?", self.action_help)
        yield SystemCommand("Quit", "key q", self.action_quit)

    # --- copying ----------------------------------------------------------------------------------

    def _to_terminal(self, sequence: str) -> None:
        if self._driver is not None:  # the one way to the terminal that does not tear Textual's own output
            self._driver.write(sequence)
            self._driver.flush()

    def copy(self, text: str) -> None:
        """Copy a text, and say what became of it."""
        self._copy(text)

    @work(thread=True, group="copy")
    def _copy(self, text: str) -> None:
        copied = self.clipboard_route.copy(text)  # a clipboard tool may take its time
        self.call_from_thread(self._say_copied, text.count("\n") + 1, copied.message)

    def _say_copied(self, lines: int, message: str) -> None:
        size = "1 line" if lines == 1 else f"{lines:,} lines"
        said, _, hint = message.replace(str(Path.home()), "~").partition("\n")
        self._say(f"{size} {said}")
        if hint and not self._hinted:  # once is enough
            self._hinted = True
            self.notify(hint, timeout=10, markup=False)

    def _say(self, note: str) -> None:
        if isinstance(self.screen, MainScreen | HintedScreen):
            self.screen.say(note)
        else:
            self.notify(note, markup=False)

    @on(TextScreen.CopyAsked)
    def _copy_asked(self, event: TextScreen.CopyAsked) -> None:
        if event.text:
            self.copy(event.text)
        else:
            self._say("This step has no command to copy.")


def run(config: Config, filter_text: str, namespace: str = "", texts: Replay | None = None) -> int:
    """Run the UI until it is left; the exit code. ``namespace`` is what was entered with ``--netns``, "" none.

    ``texts`` are shown instead of this host.

    Raises, before the screen is taken, :class:`sockui.errors.FilterError` for a wrong filter and
    :class:`sockui.errors.CollectError` where sockets cannot be read.
    """
    query.compile(filter_text)
    collector = texts or open_collector(config.source, namespace)
    if config.theme == "mono":
        os.environ["NO_COLOR"] = "1"
    else:
        os.environ.pop("NO_COLOR", None)  # a theme that was asked for outweighs it (config)
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        app = SockuiApp(config, collector, filter_text)
        if texts is not None:
            app.poller = ReplayPoller(texts, config, app._publish)
        _end_with_the_line(app)
        code = app.run(mouse=config.mouse)
        if app._exception is not None:  # Textual has no public way to learn what ended it
            raise app._exception
        return code or 0
    finally:
        collector.close()


def _end_with_the_line(app: SockuiApp) -> None:
    """Leave when the terminal goes away, and on SIGTERM: no orphan, the terminal as it was."""

    def leave(number: int, _frame: object) -> None:
        if number == signal.SIGHUP:
            os._exit(129)  # there is no terminal left to restore, and writing to it would block or fail
        app.exit(128 + number)

    for number in (signal.SIGHUP, signal.SIGTERM):
        with contextlib.suppress(ValueError, OSError):
            signal.signal(number, leave)
