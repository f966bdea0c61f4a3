"""The project's files agree with each other: what is imported, declared, installed and promised."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import sockui
from sockui.handbook import man
from sockui.handbook.book import handbook
from sockui.handbook.command import manual
from sockui.model import Host

ROOT = Path(sockui.__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WHEEL = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
BUILDING = {ROOT / name for name in WHEEL["exclude"]}
SOURCES = sorted(set((ROOT / "sockui").rglob("*.py")) - BUILDING)


def declared() -> set[str]:
    """Names of the packages that an installation brings."""
    return {re.split(r"[<>=]", requirement)[0] for requirement in PROJECT["project"]["dependencies"]}


def imported(source: Path) -> Iterator[str]:
    """Top-level packages that a file imports, late imports too."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def test_everything_imported_is_declared() -> None:
    # Textual is made of rich, and brings it.
    known = declared() | {"sockui", "rich"} | sys.stdlib_module_names
    foreign = {(str(source.relative_to(ROOT)), name) for source in SOURCES for name in imported(source)}
    assert {(source, name) for source, name in foreign if name not in known} == set()


def test_everything_declared_is_imported() -> None:
    everything = "\n".join(source.read_text() for source in SOURCES)
    unused = {name for name in declared() if not re.search(rf"^\s*(import|from) {name}\b", everything, re.MULTILINE)}
    assert unused == set()


def test_no_file_is_longer_than_400_lines() -> None:
    long = {str(source.relative_to(ROOT)): len(source.read_text().splitlines()) for source in SOURCES}
    assert {source: lines for source, lines in long.items() if lines > 400} == {}


def test_what_the_source_distribution_needs_is_there() -> None:
    wanted = {*PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"], PROJECT["project"]["readme"]}
    assert [name for name in sorted(wanted) if not (ROOT / name).exists()] == []


def test_the_installed_program_is_this_one() -> None:
    if not [1 for each in importlib.metadata.distributions() if each.name == "sockui"]:
        pytest.skip("sockui is not installed here, only on the path")
    assert importlib.metadata.version("sockui") == sockui.__version__
    program = Path(sys.executable).with_name("sockui")
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == f"sockui {sockui.__version__}\n"


def build(source: Path, directory: Path, umask: int = 0o022, **environ: str) -> dict[str, Path]:
    """Build wheel and source distribution as `make dist` does, and say where each is."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(directory)]
    subprocess.run(command, cwd=source, env={**os.environ, **environ}, umask=umask, capture_output=True, check=True)
    return {"".join(made.suffixes[-1:]): made for made in directory.iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Wheel and source distribution of these sources."""
    pytest.importorskip("hatchling")
    return build(ROOT, tmp_path_factory.mktemp("built"))


class TestSourceDistribution:
    @pytest.fixture(scope="class")
    def unpacked(self, built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The source distribution in a folder of its own, private, and not of today."""
        directory = tmp_path_factory.mktemp("unpacked")
        with tarfile.open(built[".gz"]) as archive:
            archive.extractall(directory, filter="data")
        (root,) = directory.iterdir()
        for path in (root, *root.rglob("*")):
            path.chmod(0o700 if path.stat().st_mode & 0o100 else 0o600)  # as with a umask of 077
            os.utime(path, (1_000_000_000, 1_000_000_000))
        return root

    def test_it_builds_the_same_bytes_elsewhere_at_another_time(
        self, built: dict[str, Path], unpacked: Path, tmp_path: Path
    ) -> None:
        elsewhere = {"TZ": "Pacific/Auckland", "LC_ALL": "C", "COLUMNS": "40", "FORCE_COLOR": "1"}
        again = build(unpacked, tmp_path, umask=0o077, PYTHONHASHSEED="7", **elsewhere)
        assert set(again) == set(built) == {".whl", ".gz"}
        for kind, made in built.items():
            assert again[kind].name == made.name
            assert again[kind].read_bytes() == made.read_bytes(), kind

    def test_it_has_every_file_of_the_repository(self, unpacked: Path) -> None:
        if shutil.which("git") is None or not (ROOT / ".git").exists():
            pytest.skip("not a git checkout: which files belong to it is not known")
        # CI may be another user than the checkout's owner
        command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
        files = {name for name in listed if name and (ROOT / name).exists()}
        held = {str(path.relative_to(unpacked)) for path in unpacked.rglob("*") if path.is_file()}
        assert held - {"PKG-INFO"} == files - {".gitattributes"}


class TestWheel:
    @pytest.fixture(scope="class")
    def wheel(self, built: dict[str, Path]) -> zipfile.ZipFile:
        return zipfile.ZipFile(built[".whl"])

    def test_it_has_the_man_pages_without_a_value_of_this_host(self, wheel: zipfile.ZipFile) -> None:
        place = f"sockui-{sockui.__version__}.data/data/share/man"
        pages = {"man1/sockui.1": manual(), "man7/sockui.7": man.book(handbook(Host("", "")))}
        assert [name for name in wheel.namelist() if "/man/" in name] == [f"{place}/{name}" for name in pages]
        for name, page in pages.items():
            assert wheel.read(f"{place}/{name}").decode("ascii") == page

    def test_it_has_every_source_and_nothing_that_only_builds_it(self, wheel: zipfile.ZipFile) -> None:
        held = {name for name in wheel.namelist() if name.endswith(".py")}
        assert held == {str(source.relative_to(ROOT)) for source in SOURCES}

    def test_it_has_every_file_of_words(self, wheel: zipfile.ZipFile) -> None:
        words = {str(path.relative_to(ROOT)) for path in (ROOT / "sockui").rglob("*.toml")}
        assert words - set(wheel.namelist()) == set()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
class TestMakefile:
    """The targets that README and CONTRIBUTING name."""

    def commands(self, *arguments: str) -> str:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # of `make test`
        command = ["make", "-n", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True).stdout

    @pytest.mark.parametrize(
        "target", ["run", "test", "lint", "check", "bench", "screenshots", "lock", "dist", "sbom", "clean"]
    )
    def test_it_has_the_target(self, target: str) -> None:
        assert self.commands(target)

    def test_run_passes_arguments(self) -> None:
        last = self.commands("run", "ARGS=list state close-wait").splitlines()[-1]
        assert last == ".venv/bin/sockui list state close-wait"

    def test_the_script_that_takes_the_screenshots_exists(self) -> None:
        script = re.search(r"screenshots/\S+", self.commands("screenshots"))
        assert script is not None
        assert (ROOT / script[0]).exists()

    def test_every_make_target_that_is_promised_exists(self) -> None:
        promised = set()
        for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md"):
            promised |= set(re.findall(r"`?\bmake ([a-z]+)\b", (ROOT / name).read_text()))
        targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        assert promised - targets - {"it", "sure", "a", "them"} == set()
