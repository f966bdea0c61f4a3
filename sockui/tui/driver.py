"""The terminal: its keys, what is written to it, and noticing that it is gone.

Owns reading and writing, each in a thread. Must not parse what is read: Textual does.
"""

from __future__ import annotations

import os
import select
import signal
from codecs import getincrementaldecoder
from typing import Any, TextIO

from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

_ESCAPE_SECONDS = 0.1
"""How often the parser is asked whether an Escape that came alone was all."""


class _Output:
    """What Textual's writer writes to, in the place of stderr, whose buffer loses text where a write would block.

    That it may block or not is a property of the terminal, not of the program: who had it before may have left it so.
    """

    def __init__(self, file: TextIO) -> None:
        self._number = file.fileno()
        self._encoding = file.encoding
        self._kept: list[str] = []

    def fileno(self) -> int:
        return self._number

    def write(self, text: str) -> None:
        self._kept.append(text)

    def flush(self) -> None:
        """Write all, however long the terminal takes; a terminal that is gone ends the program."""
        left = memoryview("".join(self._kept).encode(self._encoding, "backslashreplace"))
        self._kept.clear()
        while left:
            try:
                left = left[os.write(self._number, left) :]
            except BlockingIOError:
                select.select([], [self._number], [])
            except OSError:
                _hang_up()
                return


def _hang_up() -> None:
    """Do what the kernel does to those whose controlling terminal is gone: this may be another."""
    os.kill(os.getpid(), signal.SIGHUP)


class Driver(LinuxDriver):
    """Textual's driver, whose thread sleeps until a key comes, and ends the program when its terminal has ended.

    Textual's own looks up ten times a second, and reads the end of a terminal for ever: where that is not the
    controlling terminal no SIGHUP tells of it.
    """

    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(app, **options)
        self._told, self._tell = os.pipe()  # wakes the thread
        self._file: Any = _Output(self._file)

    @property
    def has_terminal(self) -> bool:
        """Whether the terminal is taken, and not given back: to leave it, or to be stopped."""
        return self._writer_thread is not None and self._writer_thread.is_alive()

    def write(self, data: str) -> None:
        if self.has_terminal:  # what would be kept for later is painted anew later
            super().write(data)

    def suspend_application_mode(self) -> None:
        if self.has_terminal:  # a second SIGTSTP makes the kernel forget the SIGCONT between
            super().suspend_application_mode()

    def _run_input_thread(self) -> None:
        """Let an error end the UI as any other does; Textual's own way prints it over the screen, and ends with 0."""
        try:
            self.run_input_thread()
        except Exception as error:
            self._app.call_later(self._app._handle_exception, error)

    def run_input_thread(self) -> None:
        """Give the parser what comes, until ``exit_event`` is set."""
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")("replace").decode
        while not self.exit_event.is_set():
            waits = _ESCAPE_SECONDS if parser._timeout_time is not None else None  # nothing public tells
            ready, _, _ = select.select([self.fileno, self._told], [], [], waits)
            if self.fileno in ready:
                try:
                    data = os.read(self.fileno, 4096)
                except BlockingIOError:  # somebody else reads this terminal too, and was faster
                    continue
                except OSError:
                    data = b""
                if not data:
                    _hang_up()
                    return
                if text := decode(data):  # "" is the end to the parser; here it is half a character
                    for event in parser.feed(text):
                        self.process_message(event)
            for event in parser.tick():
                self.process_message(event)

    def disable_input(self) -> None:
        os.write(self._tell, b".")  # is there to be read until the thread has seen ``exit_event``
        super().disable_input()
        os.read(self._told, 1)
