"""The Textual application: starts and ends polling, hands results to the screen, copies, opens screens.

Owns the poller's life, the theme and the clipboard, and when what is loaded: on top only what the first frame needs;
what every session needs once that is painted; what a page needs when it is opened. Must not decide what a key means on
the main screen (``main_screen``) or what is said (``wording``).
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import SystemCommand
from textual.await_complete import AwaitComplete
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen

from sockui.clipboard import Clipboard
from sockui.config import SLOW_INTERVAL
from sockui.giving_way import GivingWay
from sockui.tui.beside import beside
from sockui.tui.driver import Driver
from sockui.tui.hinted_screen import HintedScreen
from sockui.tui.opening import Opening
from sockui.tui.paced import PacedApp
from sockui.tui.themes import DARK, LIGHT, THEMES

if TYPE_CHECKING:
    from textual.command import Provider

    from sockui.collector import Collector
    from sockui.config import Config
    from sockui.diagnosis.engine import Diagnosis
    from sockui.diagnosis.finding import Finding
    from sockui.knowledge.topics import Topic
    from sockui.model import Host, State
    from sockui.poller import Poll, Poller
    from sockui.tui.library import Library
    from sockui.tui.main_screen import MainScreen
    from sockui.tui.pane import Pane
    from sockui.tui.subject import SocketSubject, Subject
    from sockui.tui.text_screen import TextScreen
    from sockui.view.table_view import TableView


STAYING = 2
"""Screens that are never closed: the first one, and the main one."""


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


class SockuiApp(PacedApp):
    """``open_source`` opens what is polled; ``start_polling`` False leaves ticking to the caller (tests).

    ``diagnosis`` None is one that judges by the configuration and looks at the processes of this host.
    ``main``, ``library`` and ``poller`` are there once it has ``begun``.
    """

    TITLE = "sockui"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "colon"
    COMMANDS = PacedApp.COMMANDS | {_topics}
    CSS_PATH = "sockui.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("question_mark", "help", "Help"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", "Suspend", show=False, priority=True),
        Binding("ctrl+l", "repaint", "Repaint", show=False, priority=True),
    ]

    main: MainScreen
    library: Library
    poller: Poller

    def __init__(
        self,
        config: Config,
        open_source: Callable[[], Collector],
        filter_text: str = "",
        clipboard: Clipboard | None = None,
        diagnosis: Diagnosis | None = None,
        *,
        start_polling: bool = True,
        give_way: GivingWay | None = None,
    ) -> None:
        self._give_way = give_way or GivingWay()
        super().__init__(ansi_color=config.theme in ("ansi", "mono") or None)  # the terminal's own colours, or none
        self.config = config
        self._open_source = open_source
        self._filter_text = filter_text
        self._diagnosis = diagnosis
        self.polling = start_polling
        self.begun = asyncio.Event()  # the main screen is there
        self._hinted = False
        self.clipboard_route = clipboard or Clipboard(config.clipboard, os.environ, self._to_terminal)
        if config.ascii:
            from sockui.tui.ascii import AsciiFilter

            self._filters.append(AsciiFilter())  # Textual has no public way to filter what is painted
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = THEMES[config.theme]

    def get_default_screen(self) -> Screen[None]:
        view = self.config.view
        return Opening("sockets" if view == "auto" else view, bool(self._filter_text))

    def on_mount(self) -> None:
        if isinstance(self._driver, Driver):
            # as messages: a handler in the midst of a write would wait for the lock of its own queue
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTSTP, self.call_later, self._driver._sigtstp_application)
            loop.add_signal_handler(signal.SIGCONT, self.call_later, self._continued)
        self.call_after_refresh(self.begin)

    async def begin(self) -> None:
        """Load what every session needs, begin to poll, and go from the first frame to the main screen.

        Raises :class:`sockui.errors.CollectError` where sockets cannot be read.
        """
        from sockui.diagnosis.engine import Diagnosis
        from sockui.moments import Replay, ReplayPoller
        from sockui.poller import Poller
        from sockui.tracker import Tracker
        from sockui.tui.library import Library
        from sockui.tui.main_screen import MainScreen
        from sockui.view import query

        source = self._source = self._open_source()
        if isinstance(source, Replay):
            self.poller = ReplayPoller(source, self.config, self._publish)
        else:
            diagnosis = self._diagnosis or Diagnosis(self.config.thresholds, give_way=self._give_way)
            tracker, interval = Tracker(self.config.linger, self._give_way), self.config.interval
            self.poller = Poller(source, tracker, diagnosis, self._publish, interval, give_way=self._give_way)
        self.library = Library(self._host, self.config.thresholds)
        self.main = MainScreen(self.config, query.compile(self._filter_text))
        if self.polling:
            self.poller.start()
        gc.enable()  # cli put it off while all this was loaded
        opening = self.screen
        await self.push_screen(self.main)
        if isinstance(opening, Opening):
            for key in opening.typed:
                self.post_message(key)
        self.begun.set()

    def on_unmount(self) -> None:
        if self.begun.is_set():
            self.poller.stop()
            self._source.close()

    def _continued(self) -> None:
        """Take the terminal again after Ctrl-Z, or after a SIGSTOP that nothing announced.

        Textual knows the first alone: after the second it would read the keys twice and never end.
        """
        driver = self._driver
        assert driver is not None  # noqa: S101  this handler is only set where there is one
        driver.suspend_application_mode()
        driver.resume_application_mode()

    def on_resize(self) -> None:
        """Paint all: a terminal that shrank and grew back before it was looked at has lost what it showed."""
        self.action_repaint()

    def action_repaint(self) -> None:
        """Paint every cell again, whatever the terminal shows."""
        self.screen.refresh()

    def pop_screen(self) -> AwaitComplete:
        """Close the screen on top, but never the main one: clicks beside the palette close it once each."""
        return super().pop_screen() if len(self.screen_stack) > STAYING else AwaitComplete()

    def _fatal_error(self) -> None:
        """Leave without a traceback on the screen; ``run`` raises what happened, and ``cli`` reports it."""
        self._close_messages_no_wait()

    # --- polling ----------------------------------------------------------------------------------

    def _publish(self, poll: Poll) -> None:
        """Prepare in the poller's thread, then hand over."""
        self.post_message(Polled(*self.main.prepare(poll)))

    @on(Polled)
    def _polled(self, event: Polled) -> None:
        if event.poll.crash is not None:
            raise event.poll.crash  # ends the UI, and is reported by cli
        if self.polling and self.main.view is None:
            self.call_after_refresh(gc.freeze)  # looking through what stays takes 0.1 s each time, between two keys
            self.call_after_refresh(self._load_ahead)
        self.main.take(event.poll, event.view)

    def _load_ahead(self) -> None:
        from sockui.tui.ahead import load_ahead

        self.run_worker(load_ahead())

    def key_came(self) -> None:
        self._give_way.key()
        if self._notifications:
            self.clear_notifications()  # they cover what the next key may be about

    def focus_changed(self) -> None:
        if self.begun.is_set():
            self.main.show_top()

    def line_is_slow(self) -> None:
        """Paint as ``--slow`` does: the sixteen colours of the terminal, and not so often."""
        if self.config.theme in ("dark", "light"):
            self.ansi_color = True
            self.theme = THEMES["ansi"]
        self.poller.interval = max(self.poller.interval, SLOW_INTERVAL)
        self.main.show_rate(True)
        self.main.say(f"Slow line: painted every {self.poller.interval:g} s, in fewer colours; --slow begins so.")

    def renew_screens(self) -> None:
        """Let a screen on top show what has changed."""
        if isinstance(self.screen, HintedScreen):
            self.screen.renew()

    # --- screens ----------------------------------------------------------------------------------

    def show_details(self, index: int) -> None:
        """All about a socket, by its row in the update that is shown."""
        from sockui.tui import paragraphs
        from sockui.tui.text_screen import TextScreen

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
        from sockui.tui.subject import FindingSubject

        first = self.main.findings
        if first is not None:
            self._show_remedy(FindingSubject(lambda: self.main.findings or first, finding))

    def _show_remedy(self, about: Subject) -> None:
        from sockui.tui.remedy_screen import RemedyScreen

        self.push_screen(RemedyScreen(about, allow_actions=self.config.allow_actions))

    def _socket(self, index: int) -> SocketSubject | None:
        from sockui.tui.subject import SocketSubject

        first = self.main.findings
        return SocketSubject(lambda: self.main.findings or first, index) if first is not None else None

    def _host(self) -> Host:
        from sockui.model import Host

        found = self.main.findings
        return found.update.snapshot.host if found is not None else Host("", "Linux")

    def explain(self, topic: Topic) -> None:
        """Open the page of a topic; on another page that one is come back to."""
        from sockui.tui.page_screen import PageScreen

        if isinstance(self.screen, PageScreen):
            self.screen.go(topic)
        else:
            self.push_screen(PageScreen(self.library.page, topic))

    def on_pane_followed(self, event: Pane.Followed) -> None:
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

    def action_command_palette(self) -> None:
        """Everything that a key does, and every topic, by name."""
        from sockui.tui.palette import Palette

        if not isinstance(self.screen, Palette):
            self.push_screen(Palette(id="--command-palette"))

    def search(self, opened: Callable[[Topic], None]) -> None:
        """Help and search; ``opened`` is told which page is chosen."""
        from sockui.tui.help import help_paragraphs
        from sockui.tui.help_screen import HelpScreen

        bindings = [binding for binding in self.main.BINDINGS if isinstance(binding, Binding)]
        self.push_screen(HelpScreen(self.library, help_paragraphs(bindings), opened))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Everything that a key does, by name."""
        from sockui.tui.wording import key_name

        for binding in self.main.BINDINGS:
            if isinstance(binding, Binding) and binding.description:
                key = key_name(binding.key)
                yield SystemCommand(
                    binding.description, f"key {key}", partial(self.main.run_action, f"screen.{binding.action}")
                )
        for name, theme in THEMES.items():
            if name != "mono":
                yield SystemCommand(f"Theme: {name}", "colours", partial(setattr, self, "theme", theme))
        shown = self.main.shows_rate
        yield SystemCommand(
            "Bytes per second", "written to the terminal: on/off", partial(self.main.show_rate, not shown)
        )
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

    @work(group="copy")
    async def _copy(self, text: str) -> None:
        copied = await beside(partial(self.clipboard_route.copy, text))  # a clipboard tool may take its time
        self._say_copied(text.count("\n") + 1, copied.message)

    def _say_copied(self, lines: int, message: str) -> None:
        size = "1 line" if lines == 1 else f"{lines:,} lines"
        home = os.path.expanduser("~")  # noqa: PTH111  does not fail where nobody has a home
        said, _, hint = message.replace(f"{home}/", "~/").partition("\n")
        self._say(f"{size} {said}")
        if hint and not self._hinted:  # once is enough
            self._hinted = True
            self.notify(hint, timeout=10, markup=False)

    def _say(self, note: str) -> None:
        if isinstance(self.screen, HintedScreen):
            self.screen.say(note)
        elif self.screen is self.main:
            self.main.say(note)
        else:
            self.notify(note, markup=False)

    def on_text_screen_copy_asked(self, event: TextScreen.CopyAsked) -> None:
        if event.text:
            self.copy(event.text)
        else:
            self._say("This step has no command to copy.")
