"""Every error that sockui raises on purpose.

Owns the exception tree; must not print or exit (``cli`` decides what a person sees).

::

    SockuiError
    ├── UsageError          exit code 2: the command line or the configuration is wrong
    │   └── FilterError     exit code 2: the filter is wrong, and where
    ├── CollectError        exit code 3: sockets cannot be read
    │   ├── NetlinkError    the kernel refused or broke off the dump
    │   ├── NamespaceError  the network namespace cannot be entered
    │   └── TextError       a text cannot be read, or no list of sockets is recognised in it
    └── ActionError         nothing was done: not allowed, not confirmed, not possible here
"""

from __future__ import annotations


class SockuiError(Exception):
    """An error whose text is fit to show: what happened, to what, what to do next."""

    exit_code = 1


class UsageError(SockuiError):
    """The command line or the configuration file is wrong."""

    exit_code = 2


class FilterError(UsageError):
    """A filter that does not parse or names something unknown.

    ``position`` is the offset in ``text`` (characters, 0-based) of the first wrong character;
    ``hint`` is what would be right there, a sentence without a newline.
    """

    def __init__(self, text: str, position: int, hint: str) -> None:
        self.text = text
        self.position = max(0, min(position, len(text)))
        self.hint = hint
        super().__init__(f"{hint}\n  {text}\n  {' ' * self.position}^")


class CollectError(SockuiError):
    """Sockets cannot be read from this host by this source."""

    exit_code = 3


class NetlinkError(CollectError):
    """The kernel refused a sock_diag request or broke off its answer; ``errno`` is the kernel's."""

    def __init__(self, message: str, errno: int = 0) -> None:
        self.errno = errno
        super().__init__(message)


class NamespaceError(CollectError):
    """A network namespace that does not exist or may not be entered."""


class TextError(CollectError):
    """A text that cannot be read, or in which no list of sockets can be recognised."""


class NotKeptError(SockuiError):
    """A file that should have been left behind could not be written; says where and why."""


class ActionError(SockuiError):
    """An action that was not begun: actions are off, the word was not typed, or it is not possible here."""
