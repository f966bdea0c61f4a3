"""A namespace name of this test run, and a guard that nothing of it is left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from sockui.collector.namespace import list_namespaces


@pytest.fixture(scope="module")
def namespace(request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"labtest-{request.module.__name__.rpartition('_')[2]}-{os.getpid()}"
    yield name
    left = [each for each in list_namespaces() if each.startswith(name)]
    assert not left, f"namespaces left behind: {left}"
