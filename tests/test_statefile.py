"""The file that grows by a line: private, whole lines, never through somebody else's link."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from sockui import statefile
from sockui.errors import NotKeptError
from sockui.statefile import append


@pytest.fixture(autouse=True)
def _own_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    statefile._temporary_directory.cache_clear()


def test_lines_come_one_after_the_other(tmp_path: Path) -> None:
    place = tmp_path / "state"
    assert append("a.log", "first", place) == append("a.log", "≥ \udcff", place) == place / "a.log"
    assert (place / "a.log").read_text() == "first\n≥ \\udcff\n"


def test_it_is_private_even_if_it_was_not(tmp_path: Path) -> None:
    place = tmp_path / "state"
    place.mkdir(mode=0o755)
    (place / "a.log").touch(0o644)
    append("a.log", "line", place)
    assert stat.S_IMODE((place / "a.log").stat().st_mode) == 0o600
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_directories_above_are_private_too_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        append("a.log", "line", tmp_path / ".local" / "state" / "sockui")
    finally:
        os.umask(before)
    made = [tmp_path / ".local", tmp_path / ".local/state", tmp_path / ".local/state/sockui"]
    assert [stat.S_IMODE(each.stat().st_mode) for each in made] == [0o700] * 3


def test_a_working_directory_that_was_removed_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    (tmp_path / "file").touch()
    assert append("a.log", "line", tmp_path / "file" / "state").parent.parent == tmp_path


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    place = tmp_path / "state"
    place.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    (place / "a.log").symlink_to(victim)
    path = append("a.log", "line", place)
    assert victim.read_text() == "untouched"
    assert path is not None
    assert path.parent != place
    assert path.read_text() == "line\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a directory to somebody else")
@pytest.mark.parametrize("linked", [False, True])
def test_nothing_is_made_where_somebody_else_chose(tmp_path: Path, *, linked: bool) -> None:
    theirs, ours = tmp_path / "home", tmp_path / "ours"
    ours.mkdir()
    theirs.symlink_to(ours) if linked else theirs.mkdir()
    os.chown(theirs, 65534, 65534, follow_symlinks=False)
    path = append("a.log", "line", theirs / "state" / "sockui")
    assert path.parent.parent == tmp_path
    assert list(theirs.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a directory to somebody else")
def test_somebody_elses_directory_is_not_written(tmp_path: Path) -> None:
    place = tmp_path / "state"
    place.mkdir()
    os.chown(place, 65534, 65534)
    path = append("a.log", "line", place)
    assert path is not None
    assert path.parent != place
    assert list(place.iterdir()) == []


def test_a_full_disk_leaves_no_half_of_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    place = tmp_path / "state"
    append("a.log", "first", place)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))  # Python ignores SIGXFSZ: the write is cut short
    try:
        with pytest.raises(NotKeptError, match="No space left on device"):
            append("a.log", "a line that is longer than what is left", place)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    append("a.log", "second", place)
    assert (place / "a.log").read_text() == "first\nsecond\n"


def test_without_a_temporary_directory_nothing_lands_where_the_user_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where tempfile goes when all else fails, and what the fixture has it say
    (tmp_path / "file").touch()
    with pytest.raises(NotKeptError, match="file/state: Not a directory"):
        append("a.log", "line", tmp_path / "file" / "state")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
