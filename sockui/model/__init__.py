"""What the kernel said: the types that every later stage reads.

Owns the socket dtype (the data dictionary), the owner types and :class:`Snapshot`. Must not do I/O,
compute ages or know how anything is shown.
"""

from sockui.model.endings import ENDING, EndingArray, Endings, How, settled
from sockui.model.host import Host
from sockui.model.owners import Coverage, Gap, Holders, Process
from sockui.model.snapshot import Snapshot
from sockui.model.sockets import (
    SOCKET,
    Known,
    Owner,
    Protocol,
    Shutdown,
    SocketArray,
    State,
    Timer,
    empty_sockets,
    parse_state,
    state_name,
)
from sockui.model.threads import Call, Threads

__all__ = [
    "ENDING",
    "SOCKET",
    "Call",
    "Coverage",
    "EndingArray",
    "Endings",
    "Gap",
    "Holders",
    "Host",
    "How",
    "Known",
    "Owner",
    "Process",
    "Protocol",
    "Shutdown",
    "Snapshot",
    "SocketArray",
    "State",
    "Threads",
    "Timer",
    "empty_sockets",
    "parse_state",
    "settled",
    "state_name",
]
