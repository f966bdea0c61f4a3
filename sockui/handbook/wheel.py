"""The build's hook: the man pages in the wheel, where ``man`` finds them beside the installed program.

Owns what they are called there; hatchling calls it when the wheel is built, and it is not part of the wheel. No
host's values are in them.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManPages(BuildHookInterface[Any]):
    """Makes sockui(1) and sockui(7) of the sources that are built."""

    _made = ""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  # as hatchling calls it
        """Make the pages and have them put below share/man."""
        sys.path.insert(0, self.root)  # what is built is not installed
        from sockui.handbook import man
        from sockui.handbook.book import handbook
        from sockui.handbook.command import manual
        from sockui.model import Host

        self._made = tempfile.mkdtemp(prefix="sockui-man-")
        for name, page in {"man1/sockui.1": manual(), "man7/sockui.7": man.book(handbook(Host("", "")))}.items():
            path = Path(self._made) / Path(name).name
            path.write_text(page, encoding="ascii")
            build_data["shared_data"][str(path)] = f"share/man/{name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        """Leave nothing behind."""
        shutil.rmtree(self._made)
