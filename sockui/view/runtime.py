"""Which kind of program a process is, and the steps that only this kind has.

Owns the names by which programs are known, what their executables prove, and which theme a rule or a situation
belongs to. Must not hold advice (``knowledge/runtimes`` has one file per kind), and runs nothing. What a process
says of itself may be a lie; it is only compared, and chooses nothing worse than a tool that does not fit.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import BinaryIO

from sockui.knowledge import words
from sockui.knowledge.words import RuntimeWords
from sockui.model import Process
from sockui.view.step import Step

UNKNOWN = "unknown"

_PROGRAMS = {
    "jvm": "java jsvc jsvc.exec",
    "cpython": "python gunicorn uwsgi uwsgi-core celery celeryd uvicorn airflow",
    "node": "node nodejs pm2 npm next-server",
    "ruby": "ruby puma unicorn unicorn_rails sidekiq",
    "php_fpm": "php-fpm",
    "dotnet": "dotnet",
    "nginx": "nginx openresty",
    "postgresql": "postgres postmaster",
    "redis": "redis-server redis-sentinel",
    "apache": "apache apache2 httpd httpd-prefork httpd-worker httpd.worker httpd.event",
    "envoy": "envoy",
    "haproxy": "haproxy",
    "go": "alertmanager caddy cloudflared cockroach consul containerd containerd-shim containerd-shim-runc-v2 coredns"
    " crio docker docker-proxy dockerd etcd filebeat flanneld frpc frps gitea grafana grafana-server influxd k3s"
    " kube-apiserver kube-controller kube-controller-manager kube-proxy kube-scheduler kubelet loki metricbeat minio"
    " nats-server node_exporter nomad prometheus promtail rclone syncthing tailscaled telegraf thanos traefik vault",
}
_RUNTIME_OF = {program: runtime for runtime, programs in _PROGRAMS.items() for program in programs.split()}
RUNTIMES = (*_PROGRAMS, UNKNOWN)

_VERSION = re.compile(r"[-.]?[0-9][0-9.]*$")  # python3.11, php-fpm8.2, node-18
_GO_SECTION = b".go.buildinfo\0"
_GO_MAGIC = b"\xff Go buildinf:"

_THEMES = {
    "close_wait": "R01 R02 close_wait close_wait_unread close_wait_read",
    "fin_wait2": "R05 fin_wait2 fin_wait2_held",
    "accept": "R03 R13 R16 R17 accept_queue close_wait_unaccepted listen_queue_full syn_recv_queue_full"
    " syn_sent_local_queue_full",
    "not_reading": "R20 not_reading",
    "peer_not_reading": "R19 peer_not_reading",
    "syn_sent": "R12 syn_sent",
    "retransmitting": "R18 established_retransmitting established_unreachable",
    "idle": "R21 established_idle",
    "ports": "R22",
    "time_wait": "R23 time_wait",
    "fd": "R25",
    "udp_drops": "X3 udp_drops",
}
_THEME_OF = {cause: theme for theme, causes in _THEMES.items() for cause in causes.split()}


def theme_of(cause: str) -> str:
    """The theme of a rule, ``R02``, or of a situation, ``close_wait_read``; "" if no program causes or cures it."""
    return _THEME_OF.get(cause, "")


def recognise(process: Process) -> str:
    """One of ``RUNTIMES``, from the process's argv and comm alone; argv counts more, for a script's comm is its own."""
    return next((known for name in _names(process) if (known := _by_name(name)) != UNKNOWN), UNKNOWN)


def runtime_words(process: Process) -> RuntimeWords:
    """The words of a process's runtime. What its names leave open is looked up in its executable, once.

    That is how a Go program is known, and a program that has given itself a title. It takes the right to trace the
    process (proc(5), /proc/PID/exe); without it, it stays of unknown kind.
    """
    name = recognise(process)
    if name == UNKNOWN:
        name = _by_executable((process.pid, process.started_ticks, process.name))
    return words.runtime(name)


def tools_for(runtime: RuntimeWords, theme: str, known: Mapping[str, str]) -> tuple[Step, ...]:
    """The steps that this kind of program adds about a theme, in the order of the ladder; none for theme "".

    ``known`` fills commands as :func:`sockui.view.remedy.commands` does, quoted; its ``pid`` must be that of the
    process whose runtime this is (of a full listener: the one that listens). A command with an unknown placeholder
    is left out. What asks the network stack still has to go through :func:`sockui.view.remedy.from_outside`.
    """
    steps = [
        Step(
            tool.rung,
            tool.text,
            words.fill(tool.command, known),
            f"{tool.effect}, needs root" if tool.root else tool.effect,
        )
        for tool in runtime.tools
        if theme in tool.themes and all(name in known for name in words.placeholders(tool.command))
    ]
    if theme in runtime.usual_bug:
        steps.append(Step("fix in code", runtime.usual_bug[theme], None, ""))
    return tuple(steps)


def _names(process: Process) -> Iterator[str]:
    """What a process is called, the most telling first; a title ("nginx: worker process") by its first word."""
    if process.cmdline:
        started_as = process.cmdline[0]
        if started_as.startswith("/"):
            yield _last_part(started_as)  # a path may have spaces
        yield _first_word(started_as)
    yield _first_word(process.name)


def _first_word(title: str) -> str:
    return _last_part(next(iter(title.split()), "").strip("[]:-"))


def _last_part(path: str) -> str:
    return path.rpartition("/")[2]


def _by_name(name: str) -> str:
    name = name.lower()
    return _RUNTIME_OF.get(name) or _RUNTIME_OF.get(_VERSION.sub("", name), UNKNOWN)


@lru_cache(maxsize=1024)
def _by_executable(key: tuple[int, int, str], proc: str = "/proc") -> str:
    """What the executable of a process is: (pid, started_ticks, comm), the last because exec() changes it."""
    pid, started_ticks, _ = key
    try:
        with open(f"{proc}/{pid}/exe", "rb") as file:
            found = _by_name(_last_part(os.readlink(f"{proc}/{pid}/exe").removesuffix(" (deleted)")))
            if found == UNKNOWN and _built_by_go(file):
                found = "go"
        with open(f"{proc}/{pid}/stat", "rb") as file:  # a pid may have a new owner
            stat = file.read(4096)
    except (OSError, ValueError, OverflowError, struct.error):
        return UNKNOWN
    fields = stat[stat.rfind(b")") + 2 :].split()
    return found if fields[19:20] == [b"%d" % started_ticks] else UNKNOWN


def _built_by_go(file: BinaryIO) -> bool:
    """Whether an executable has the section with build information that Go's linker has made since 1.13.

    Source: Go, src/debug/buildinfo. Only ELF of 64 bits, little-endian, is read; a packed one (UPX), or one without
    section headers, is not recognised. Raises OSError, ValueError, OverflowError or struct.error for a broken file.
    """
    header = file.read(64)
    if header[:6] != b"\x7fELF\x02\x01":
        return False
    (table,) = struct.unpack_from("<Q", header, 40)
    entry_size, count, names = struct.unpack_from("<HHH", header, 58)
    if entry_size != 64 or names >= count:
        return False
    file.seek(table)
    sections = file.read(entry_size * count)
    offset, size = struct.unpack_from("<QQ", sections, names * entry_size + 24)
    file.seek(offset)
    section_names = file.read(min(size, 1 << 16))
    for start in range(0, entry_size * count, entry_size):
        (at,) = struct.unpack_from("<I", sections, start)
        if section_names.startswith(_GO_SECTION, at):
            file.seek(struct.unpack_from("<Q", sections, start + 24)[0])
            return file.read(len(_GO_MAGIC)) == _GO_MAGIC
    return False
