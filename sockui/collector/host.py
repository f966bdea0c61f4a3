"""The host's settings and the kernel's counters, for the network namespace of the calling thread.

Owns the list of settings that rules and explanations may name. Must not judge them. Whatever does not exist on
this kernel or cannot be read is absent.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from functools import lru_cache

from sockui.model import Host

_TCP = """
    fin_timeout syn_retries syn_linear_timeouts synack_retries retries1 retries2 orphan_retries max_orphans
    max_tw_buckets tw_reuse tw_reuse_delay tw_recycle keepalive_time keepalive_intvl keepalive_probes syncookies
    max_syn_backlog abort_on_overflow rfc1337 timestamps mem rmem wmem mtu_probing rto_min_us rto_max_ms
    migrate_req child_ehash_entries ehash_entries
"""
_CONNTRACK_TIMEOUTS = """
    established syn_sent syn_recv fin_wait close_wait last_ack time_wait close max_retrans unacknowledged
"""
SETTINGS = (
    *(f"net.ipv4.tcp_{name}" for name in _TCP.split()),
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.core.somaxconn",
    "net.core.rmem_max",
    "net.core.wmem_max",
    "fs.file-max",
    "fs.nr_open",
    "net.netfilter.nf_conntrack_max",
    *(f"net.netfilter.nf_conntrack_tcp_timeout_{name}" for name in _CONNTRACK_TIMEOUTS.split()),
)
"""sysctls that somebody sets; read again every ``SECONDS`` seconds."""
GAUGES = ("fs.file-nr", "net.netfilter.nf_conntrack_count")
"""sysctls that the kernel counts; read every time."""
SECONDS = 10.0
_READ = 1 << 16  # bytes; most files of /proc are told whole by one read
_CONNTRACK = ("insert_failed", "drop", "early_drop")


class HostReader:
    """Reads the :class:`Host` again and again; ``clock`` is monotonic, seconds.

    ``namespace`` is the name of the network namespace that the calling thread was moved into; it is only passed on.
    """

    def __init__(
        self, proc: str = "/proc", clock: Callable[[], float] = time.monotonic, *, namespace: str = ""
    ) -> None:
        self._proc = proc
        self._clock = clock
        self._namespace = namespace
        self._settings: dict[str, str] = {}
        self._settings_at = -SECONDS

    def read(self) -> Host:
        """Settings at most ``SECONDS`` seconds old, gauges and counters as of now."""
        now = self._clock()
        if now - self._settings_at >= SECONDS:
            self._settings, self._settings_at = self._sysctls(SETTINGS), now
        net = f"{self._proc}/thread-self/net"  # /proc/net is that of the main thread, which may be elsewhere
        return Host(
            name=platform.node(),
            system=f"{platform.system()} {platform.release()}",
            sysctls=self._settings | self._sysctls(GAUGES),
            counters={
                **_numbers(parse_counters, f"{net}/netstat"),
                **_numbers(parse_conntrack, f"{net}/stat/nf_conntrack"),
            },
            sockstat={**_numbers(parse_sockstat, f"{net}/sockstat"), **_numbers(parse_sockstat, f"{net}/sockstat6")},
            page_size=os.sysconf("SC_PAGE_SIZE"),
            namespace=self._namespace,
        )

    def _sysctls(self, names: tuple[str, ...]) -> dict[str, str]:
        values = {name: _text(f"{self._proc}/sys/{name.replace('.', '/')}") for name in names}
        return {name: " ".join(value.split()) for name, value in values.items() if value is not None}


def _text(path: str) -> str | None:
    """A whole file of /proc, None if it cannot be read. Read without buffers: half the time of a text file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = b""
        while part := os.read(descriptor, _READ):
            text += part
        return text.decode("ascii", "replace")
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _numbers(parse: Callable[[str], dict[str, int]], path: str) -> dict[str, int]:
    """What a file tells; nothing if it cannot be read, or is not as Linux writes it (containers may have their own)."""
    try:
        return parse(_text(path) or "")
    except ValueError:
        return {}


def parse_counters(text: str) -> dict[str, int]:
    """``TcpExt.ListenOverflows`` and so on, from /proc/net/netstat: a line of names, a line of values."""
    counters: dict[str, int] = {}
    lines = text.splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        counters.update(zip(_counter_names(names), map(int, values.split()[1:]), strict=False))
    return counters


@lru_cache(maxsize=8)  # a line of each of TcpExt, IpExt and MPTcpExt, the same until another kernel runs
def _counter_names(line: str) -> tuple[str, ...]:
    group, *columns = line.split()
    return tuple(f"{group.removesuffix(':')}.{column}" for column in columns)


def parse_conntrack(text: str) -> dict[str, int]:
    """What connection tracking gave up, from /proc/net/stat/nf_conntrack: hexadecimal, a line for each CPU.

    ``conntrack.drop``: packets dropped, because the table was full, memory short, or two of them raced for one entry;
    ``conntrack.insert_failed``: entries that lost such a race (older kernels count those that cost no packet too);
    ``conntrack.early_drop``: entries without an answer that were thrown out of a full table
    (net/netfilter/nf_conntrack_standalone.c:ct_cpu_seq_show, nf_conntrack_core.c). 32 bits for each CPU, then they
    begin again. Nothing without the module.
    """
    header, *lines = text.splitlines() or [""]
    columns = header.split()
    rows = [dict(zip(columns, line.split(), strict=False)) for line in lines]
    return {
        f"conntrack.{name}": sum(int(row.get(name, "0"), 16) for row in rows) for name in _CONNTRACK if name in columns
    }


def parse_sockstat(text: str) -> dict[str, int]:
    """``TCP.orphan`` and so on, from /proc/net/sockstat and sockstat6; ``mem`` in pages, ``memory`` in bytes."""
    numbers: dict[str, int] = {}
    for line in text.splitlines():
        group, *words = line.split()
        for name, value in zip(words[::2], words[1::2], strict=False):
            numbers[f"{group.removesuffix(':')}.{name}"] = int(value)
    return numbers
