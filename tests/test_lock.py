"""requirements/ agrees with pyproject.toml, names no machine, and is complete for every Python that CI runs."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DEPENDENCIES = PROJECT["project"]["dependencies"]
DECLARED = {"run": DEPENDENCIES, "dev": [*DEPENDENCIES, *PROJECT["dependency-groups"]["dev"]]}
PYTHONS = re.findall(r":: (3\.\d+)$", "\n".join(PROJECT["project"]["classifiers"]), re.MULTILINE)


def locked(name: str) -> Iterator[tuple[Requirement, list[str]]]:
    """Each package of a lock with its hashes."""
    text = re.sub(r"^ *#.*\n", "", (ROOT / f"requirements/{name}.txt").read_text(), flags=re.MULTILINE)
    for line in text.replace("\\\n", " ").splitlines():
        requirement, *hashes = line.split("--hash=")
        yield Requirement(requirement), [each.strip() for each in hashes]


def applies(requirement: Requirement, python: str) -> bool:
    here = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    return requirement.marker is None or requirement.marker.evaluate(here)


@pytest.mark.parametrize("lock", DECLARED)
def test_every_package_is_one_version_with_hashes_and_from_no_certain_place(lock: str) -> None:
    for requirement, hashes in locked(lock):
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier))
        assert requirement.url is None
        assert hashes
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", DECLARED)
def test_what_is_declared_is_locked_within_its_bounds(lock: str, python: str) -> None:
    pins = [requirement for requirement, _ in locked(lock) if applies(requirement, python)]
    versions = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}
    assert len(versions) == len(pins)
    for declared in map(Requirement, DECLARED[lock]):
        assert declared.specifier.contains(versions[canonicalize_name(declared.name)]), declared


def test_what_runs_is_what_is_developed_with() -> None:
    developed = {str(requirement): hashes for requirement, hashes in locked("dev")}
    for requirement, hashes in locked("run"):
        assert developed[str(requirement)] == hashes


def test_ci_runs_every_python_that_is_promised() -> None:
    matrix = re.search(r"python: \[(.*)\]", (ROOT / ".github/workflows/ci.yml").read_text())
    assert matrix is not None
    assert re.findall(r"[\d.]+", matrix[1]) == PYTHONS
    assert f">={PYTHONS[0]}" == PROJECT["project"]["requires-python"]
