"""Commands pasted into real shells in which every tool is a recorder.

Owns the recorders, the shells and what they were told. What the commands should be is for the one who asks.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pexpect

SHELLS = ("bash", "dash")
_RECORDER = """#!/bin/dash
printf '%s\\0' "${0##*/}" "$@" '
' >> "$RECORDED"
"""
_ENTERS = """
while [ "${1#-}" != "$1" ]; do [ "$1" = -t ] && shift; shift; done
[ "$#" -gt 0 ] && exec "$@"
"""
"""sudo and nsenter go on with the command that they are given."""
TOOLS = """
    apachectl awk cat conntrack curl cut date dlv dmesg dotnet-counters dotnet-dump dotnet-stack echo envoy ethtool
    find gdb getconf getent go grep haproxy head httpd ip iptables jcmd journalctl jps jstack kill ls lsns lsof mtr
    nft nginx node nsenter nstat perf pgrep php-fpm ping prlimit ps psql py-spy python3 rbspy readlink redis-cli rm
    ruby runuser sed select sleep socat sort ss strace sudo sysctl systemctl tail tc tcpdump tee test timeout top
    touch tr tracepath traceroute uname uniq watch wc xargs
"""


class Paste:
    """A directory with recorders, and another in which shells stand; nothing may be made there."""

    def __init__(self, scratch: Path) -> None:
        self.tools, self.where, self._recorded = scratch / "tools", scratch / "where", scratch / "recorded"
        self.tools.mkdir()
        self.where.mkdir()
        for tool in TOOLS.split():
            enters = tool in ("sudo", "nsenter")
            (self.tools / tool).write_text(_RECORDER + (_ENTERS if enters else ""))
            (self.tools / tool).chmod(0o755)
        (self.tools / "sh").symlink_to("/bin/dash")
        self._environ = {
            "PATH": str(self.tools),
            "RECORDED": str(self._recorded),
            "HOME": str(self.where),
            "TERM": "dumb",
        }

    def run(self, shell: str, command: str) -> tuple[list[list[bytes]], str]:
        """Give a command to a shell: the argv of every tool that ran, and what went wrong."""
        self._recorded.write_bytes(b"")
        done = subprocess.run(
            [f"/bin/{shell}", "-c", command],
            cwd=self.where, env=self._environ, timeout=20, check=False,
            capture_output=True, text=True, errors="replace",
        )  # fmt: skip
        return self._ran(), done.stderr

    def paste(self, commands: list[str]) -> tuple[list[list[bytes]], str]:
        """Paste commands into an interactive bash one after the other, in brackets as terminals do, each with Enter."""
        self._recorded.write_bytes(b"")
        shell = pexpect.spawn(
            "/bin/bash", ["--norc", "--noprofile", "-i"], env={**self._environ, "PS1": "prompt> "}, cwd=str(self.where),
            encoding="utf-8", codec_errors="replace", timeout=20, dimensions=(50, 4000),
        )  # fmt: skip
        shell.expect_exact("prompt> ")
        said = ""
        for command in commands:
            shell.send(f"\x1b[200~{command}\x1b[201~\r")
            shell.expect_exact("prompt> ")
            said += shell.before or ""
        shell.sendeof()
        shell.expect(pexpect.EOF)
        shell.close()
        return self._ran(), said

    def made(self) -> list[str]:
        """Files that a name managed to have made."""
        return sorted(each for each in os.listdir(self.where) if each != ".bash_history")

    def _ran(self) -> list[list[bytes]]:
        records = self._recorded.read_bytes().split(b"\0\n\0")[:-1]
        return sorted(record.split(b"\0") for record in records)  # both ends of a pipe run at once
