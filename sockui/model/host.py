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
    system: str  # "Linux 6.18.44"; of a text as far as it is known: "HP-UX", "macOS, FreeBSD or AIX"
    sysctls: Mapping[str, str] = field(default_factory=dict)  # "net.ipv4.tcp_fin_timeout" -> "60"; absent: unreadable
    counters: Mapping[str, int] = field(default_factory=dict)  # "TcpExt.ListenOverflows", "conntrack.drop", ...
    sockstat: Mapping[str, int] = field(default_factory=dict)  # "TCP.orphan", "TCP.tw", "TCP.mem" (pages), ...
    page_size: int = 4096  # bytes; TCP.mem of sockstat and net.ipv4.tcp_mem are counted in pages
    namespace: str = ""  # what --netns named: a name under /run/netns or a pid; "" the one sockui was started in

    @property
    def is_linux(self) -> bool:
        """Whether what is known of Linux is true here: its settings, its times, its commands."""
        return self.system.startswith("Linux")

    @property
    def default_max_tw_buckets(self) -> int | None:
        """What net.ipv4.tcp_max_tw_buckets is unless somebody sets it; None before Linux 6.2, which does not tell.

        Half of the hash table (net/ipv4/tcp_ipv4.c:tcp_set_hashinfo).
        """
        entries = self.number("net.ipv4.tcp_ehash_entries")
        return None if entries is None else abs(entries) // 2  # negative: that of the first namespace, shared

    @property
    def default_max_syn_backlog(self) -> int | None:
        """What net.ipv4.tcp_max_syn_backlog is unless somebody sets it; None as above, from the same function."""
        entries = self.number("net.ipv4.tcp_ehash_entries")
        return None if entries is None else max(128, abs(entries) // 128)

    @property
    def nr_open(self) -> int:
        """The highest limit of open files that the kernel gives a process; its default where it is not known."""
        return self.number("fs.nr_open") or 1 << 20

    def number(self, name: str, index: int = 0) -> int | None:
        """The ``index``-th whitespace-separated number of a sysctl, None if it cannot be read."""
        parts = self.sysctls.get(name, "").split()
        return int(parts[index]) if index < len(parts) and parts[index].lstrip("-").isdigit() else None
