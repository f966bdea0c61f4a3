"""The terminal's input: waiting for keys, and noticing that the terminal is gone.

Owns the thread that reads. Must not parse what is read: Textual does.
"""

from __future__ import annotations

import os
import select
import signal
from codecs import getincrementaldecoder
from typing import Any

from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

_ESCAPE_SECONDS = 0.1
"""How often the parser is asked whether an Escape that came alone was all."""


class Driver(LinuxDriver):
    """Textual's driver, whose thread sleeps until a key comes, and ends the program when its terminal has ended.

    Textual's own looks up ten times a second, and reads the end of a terminal for ever: where that is not the
    controlling terminal no SIGHUP tells of it.
    """

    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(app, **options)
        self._told, self._tell = os.pipe()  # wakes the thread

    def run_input_thread(self) -> None:
        """Give the parser what comes, until ``exit_event`` is set."""
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")("replace").decode
        while not self.exit_event.is_set():
            waits = _ESCAPE_SECONDS if parser._timeout_time is not None else None  # nothing public tells
            ready, _, _ = select.select([self.fileno, self._told], [], [], waits)
            if self.fileno in ready:
                data = self._read()
                if not data:
                    os.kill(os.getpid(), signal.SIGHUP)  # what the kernel sends whose controlling terminal it was
                    return
                if text := decode(data):  # "" is the end to the parser; here it is half a character
                    for event in parser.feed(text):
                        self.process_message(event)
            for event in parser.tick():
                self.process_message(event)

    def _read(self) -> bytes:
        """What came; nothing if the terminal is gone."""
        try:
            return os.read(self.fileno, 4096)
        except OSError:
            return b""

    def disable_input(self) -> None:
        os.write(self._tell, b".")  # is there to be read until the thread has seen ``exit_event``
        super().disable_input()
        os.read(self._told, 1)
