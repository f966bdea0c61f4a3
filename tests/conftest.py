"""What holds for every test."""

from __future__ import annotations

import signal

import hypothesis


def pytest_configure() -> None:
    """Take SIGINT again where it is ignored, as in a job in the background: programs under test would inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    hypothesis.settings.register_profile("sockui", deadline=None)  # how long an example takes is the machine's matter
    hypothesis.settings.load_profile("sockui")
