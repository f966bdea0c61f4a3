"""Entering network namespaces, in a process of its own each time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sockui.collector.namespace import enter_namespace, list_namespaces
from sockui.errors import NamespaceError

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
ENTER = """
import os, sys
from sockui.collector.namespace import enter_namespace
from sockui.errors import NamespaceError
if sys.argv[2:]:
    os.setgroups([]); os.setuid(65534)
try:
    enter_namespace(sys.argv[1])
except NamespaceError as error:
    print(error)
else:
    print(os.stat("/proc/self/ns/net").st_ino)
"""


def entered(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", ENTER, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def named(namespace: str) -> Iterator[str]:
    subprocess.run(["ip", "netns", "add", namespace], check=True)
    yield namespace
    subprocess.run(["ip", "netns", "delete", namespace], check=True)


@NEEDS_ROOT
@pytest.mark.kernel
def test_by_name(named: str) -> None:
    assert named in list_namespaces()
    assert entered(named) == str(Path(f"/run/netns/{named}").stat().st_ino)


@NEEDS_ROOT
@pytest.mark.kernel
def test_by_pid(named: str) -> None:
    with subprocess.Popen(
        ["ip", "netns", "exec", named, "sh", "-c", "echo; cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as inside:
        assert inside.stdout is not None
        inside.stdout.readline()
        assert entered(str(inside.pid)) == str(Path(f"/run/netns/{named}").stat().st_ino)
        inside.communicate()


@NEEDS_ROOT
@pytest.mark.kernel
def test_without_privilege_it_says_who_may(named: str) -> None:
    assert "needs root" in entered(named, "as nobody")
    assert "needs root" in entered("1", "as nobody")


@NEEDS_ROOT
@pytest.mark.kernel
def test_unknown_name_lists_the_known(named: str) -> None:
    with pytest.raises(NamespaceError, match=f"no network namespace named 'nowhere'.*{named}"):
        enter_namespace("nowhere")


@NEEDS_ROOT
@pytest.mark.kernel
def test_leftover_file_is_recognised(namespace: str) -> None:
    subprocess.run(["ip", "netns", "add", f"{namespace}-real"], check=True)  # makes /run/netns
    stale = Path(f"/run/netns/{namespace}-stale")
    stale.touch()
    try:
        assert f"ip netns delete {stale.name}" in entered(stale.name)
    finally:
        stale.unlink()
        subprocess.run(["ip", "netns", "delete", f"{namespace}-real"], check=True)


def test_process_that_is_not_there() -> None:
    with pytest.raises(NamespaceError, match="neither a network namespace nor a process 99999999"):
        enter_namespace("99999999")


@pytest.mark.parametrize("name", ["../../proc/1/ns/net", ".", "", "٣"])
def test_a_name_is_never_a_path(name: str) -> None:
    with pytest.raises(NamespaceError, match="no network namespace named"):
        enter_namespace(name)
