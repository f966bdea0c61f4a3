"""Another /proc, as a host that hides processes has it."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def mounted_proc(hidepid: int) -> Iterator[str]:
    """Another mount of proc, with the ``hidepid`` that the test is run with, which every user can reach."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        mount = ["mount", "-t", "proc", "-o", f"hidepid={hidepid}", "proc", directory]
        mounted = subprocess.run(mount, capture_output=True, text=True)
        if mounted.returncode:
            pytest.skip(f"cannot mount proc with hidepid: {mounted.stderr.strip()}")
        try:
            yield directory
        finally:
            subprocess.run(["umount", directory], check=True)
