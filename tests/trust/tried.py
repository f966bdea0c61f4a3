"""A file of tests as a row of the table: each test is one situation, provoked for real.

Owns running pytest and counting. Must not hold tests.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as Tree
from pathlib import Path

from tests.trust.table import Row

ROOT = Path(__file__).parents[2]


def tried(what: str, *files: str, seconds: float) -> Row:
    """Run the tests of some files, paths below the checkout; what was skipped counts as not tried."""
    with tempfile.TemporaryDirectory() as where:
        report = Path(where) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junit-xml={report}", *files]
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10 * seconds, check=False)
        except subprocess.TimeoutExpired:
            return Row(what, 1, "situations", 1, f"did not end within {10 * seconds:g} s")
        if not report.exists():
            return Row(what, 1, "situations", 1, done.stderr.strip().rpartition("\n")[2])
        cases = list(Tree.parse(report).iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = [case for case in cases if case.find("skipped") is not None]
    notes = [f"first: {failed[0].get('name')}"] if failed else []
    if skipped:
        notes.append(f"{len(skipped)} not tried here")
    return Row(what, len(cases) - len(skipped), "situations", len(failed), "; ".join(notes))
