"""Pasted text -> Snapshot: what ss, netstat, lsof and /proc/net printed, on any system, some time ago.

Owns reading texts. Must not read this host, beyond its names of services.
"""

from __future__ import annotations

from sockui.collector.text.collector import TextCollector, hosts
from sockui.collector.text.snapshot import FORMS, Line, TextSnapshot, read_text

__all__ = ["FORMS", "Line", "TextCollector", "TextSnapshot", "hosts", "read_text"]
