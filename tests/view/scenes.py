"""A host with default settings, rows with numbers that a kernel gave, and all that is said of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sockui.model import Host, Known, Process, Shutdown, State
from sockui.tracker import Update
from sockui.view.explain import explain

MakeUpdate = Callable[..., Update]
MakeProcess = Callable[..., Process]
MINI = int(Known.QUEUES | Known.TIMER | Known.INODE | Known.COOKIE | Known.MINI)
DEFAULTS = Host(
    "web1",
    "Linux 6.18.44",
    {
        "net.ipv4.tcp_fin_timeout": "60",
        "net.ipv4.tcp_retries2": "15",
        "net.ipv4.tcp_orphan_retries": "0",
        "net.ipv4.tcp_syn_retries": "6",
        "net.ipv4.tcp_syn_linear_timeouts": "4",
        "net.ipv4.tcp_synack_retries": "5",
        "net.ipv4.ip_local_port_range": "32768\t60999",
        "net.core.somaxconn": "4096",
    },
)
SILENT: dict[str, Any] = {"bytes_sent": 0, "bytes_received": 1}
CLOSE_WAIT: dict[str, Any] = {
    "state": State.CLOSE_WAIT,
    "shutdown": Shutdown.RECEIVE,
    "recv_queue": 1,
    "pid": 4312,
    "fd": 87,
    "inode": 225749,
    "age": (2_530_000, 2_530_020),
    "last_ack_recv": 2_530_000,
    "last_data_recv": 2_530_000,
    **SILENT,
}
LISTEN: dict[str, Any] = {"state": State.LISTEN, "remote": ("0.0.0.0", 0), "send_queue": 2, "pid": 812, "fd": 6}


def said(update: Update, index: int = 0) -> str:
    """Everything that is said, as one text."""
    known = explain(update, index)
    causes = [text for cause in known.causes for text in (cause.text, cause.tell)]
    first = [known.first.text, known.first.command or ""] if known.first else []
    return "\n".join(
        [known.heading, known.title, known.sentence, *known.evidence, known.turn, known.ends, *causes, *first]
    )
