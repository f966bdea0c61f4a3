"""What every reader of a form has in common. Owns the contract; must not read anything."""

from __future__ import annotations

from enum import IntEnum

from sockui.collector.text.table import SocketTable


class Seen(IntEnum):
    """What a line was to a reader."""

    UNKNOWN = 0  # not of this form, or damaged
    SOCKET = 1  # a row was added to the table
    MORE = 2  # more about the last row
    HEADING = 3  # a title or a row of column names
    OTHER = 4  # a socket that is neither TCP nor UDP over IP
    CUT = 5  # a socket whose address the program cut short, or replaced by a host name


class Reader:
    """Reads the lines of one form into a table."""

    one_row_per_holder = False
    """Whether a socket has a line for each process that holds it."""

    def __init__(self, table: SocketTable) -> None:
        self._table = table

    def read(self, line: str) -> Seen:
        """Take the next line, which is without its end."""
        raise NotImplementedError

    def command(self, words: str) -> None:
        """Hear of a command that stands before what it printed (``ss -tan state close-wait``)."""

    def finish(self) -> None:
        """Hear that the text is at its end."""

    def title(self) -> str:
        """What was recognised, for people: ``Linux ss -tanpieO``."""
        raise NotImplementedError

    def notes(self) -> tuple[str, ...]:
        """What a person should know about this list: sentences."""
        return ()
