"""The host at one moment: settings that the explanations use, and the kernel's counters.

Owns the type only; ``collector.host`` fills it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Host:
    """Settings and counters of the network namespace that is looked at."""

    name: str  # host name
    system: str  # "Linux 6.18.44"
    sysctls: Mapping[str, str] = field(default_factory=dict)  # "net.ipv4.tcp_fin_timeout" -> "60"; absent: unreadable
    counters: Mapping[str, int] = field(default_factory=dict)  # "TcpExt.ListenOverflows", "Tcp.RetransSegs", ...
    sockstat: Mapping[str, int] = field(default_factory=dict)  # "TCP.orphan", "TCP.tw", "TCP.mem" (pages), ...
    namespace: str = ""  # what --netns named: a name under /run/netns or a pid; "" the one sockui was started in

    def number(self, name: str, index: int = 0) -> int | None:
        """The ``index``-th whitespace-separated number of a sysctl, None if it cannot be read."""
        parts = self.sysctls.get(name, "").split()
        return int(parts[index]) if index < len(parts) and parts[index].lstrip("-").isdigit() else None
