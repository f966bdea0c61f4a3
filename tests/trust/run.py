"""Everything that sockui must withstand, thrown at it for real: accuracy under churn, fuzz, hostile names, faults.

make trust ARGS="[GROUP...] [--seconds N] [--json FILE]"
make trust ARGS=--soak

Owns the order of groups and the time they may take. What is thrown is in a module of the group's name, each with
``measure(seconds)``, which yields rows; the same modules serve the tests beside them with less time.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from importlib import import_module
from pathlib import Path

from tests.trust.table import HEADINGS, Row, as_json

GROUPS = {  # name: (s that it may take, what it is)
    "accuracy": (150, "every socket as ss shows it, while sockets come and go"),
    "fuzz": (120, "mutated dumps, filters, texts, files"),
    "hostile": (120, "process names and arguments that attack a terminal, a shell, a spreadsheet"),
    "faults": (90, "a kernel, a /proc and a host in trouble"),
    "line": (180, "terminals in trouble, and SSH lines that drop"),
    "privileges": (60, "nobody, single capabilities, user namespaces; and that it only looks"),
}
SOAK = "soak"
SOAK_SECONDS = 7200.0
"""Two hours: only with ``--soak``, and then nothing else."""


def main() -> None:
    """Throw what is asked for; exit code 1 if anything failed."""
    parser = argparse.ArgumentParser(
        "trust",
        description="What sockui must withstand, thrown at it for real, as a table.",
        epilog="groups, all unless some are named:\n"
        + "\n".join(f"  {name:12}{about}, {seconds} s" for name, (seconds, about) in GROUPS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("groups", nargs="*", metavar="GROUP", help="what to throw")
    parser.add_argument("--soak", action="store_true", help=f"{SOAK_SECONDS / 3600:g} hours with churn, instead")
    parser.add_argument("--seconds", type=float, help="for each group, or for the soak")
    parser.add_argument("--json", metavar="FILE", type=Path, help="keep the rows as a JSON object too")
    options = parser.parse_args()
    if unknown := set(options.groups) - GROUPS.keys():
        parser.error(f"there is no group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    machine = f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    print(f"{machine}\n\n{HEADINGS}", flush=True)
    rows: list[Row] = []
    started = time.monotonic()
    for group in (SOAK,) if options.soak else options.groups or GROUPS:
        seconds = options.seconds or (SOAK_SECONDS if group == SOAK else GROUPS[group][0])
        begun = time.monotonic()
        for row in import_module(f"tests.trust.{group}").measure(seconds):
            rows.append(row)
            print(row.markdown(), flush=True)
        print(f"trust: {group} took {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    print(f"trust: everything took {time.monotonic() - started:.0f} s", file=sys.stderr)
    if options.json:
        options.json.write_text(as_json(machine, rows) + "\n")
    sys.exit(any(row.failed for row in rows))


if __name__ == "__main__":
    main()
