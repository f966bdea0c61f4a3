"""The few files that sockui leaves behind: private to the user, replaced whole, never through a symlink.

Owns where they are and how they are written. Must not know what is in them.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import tempfile
from pathlib import Path


def keep(name: str, text: str, directory: Path | None = None) -> Path | None:
    """Keep ``text`` as the file ``name`` (mode 0600) and say where; None if no directory can be written.

    The place is ``directory`` (default: the user's state directory of sockui), made with mode 0700. If it cannot be
    written, or belongs to somebody else (``sudo`` with the caller's HOME), a fresh private directory under the
    temporary one takes its place, the same for the whole run.
    """
    with contextlib.suppress(OSError):
        return _write(directory if directory is not None else _state_directory(), name, text)
    with contextlib.suppress(OSError):
        return _write(_temporary_directory(), name, text)
    return None


def _state_directory() -> Path:
    import platformdirs  # late: commands that keep nothing need not load it

    return platformdirs.user_state_path("sockui")


@functools.cache
def _temporary_directory() -> Path:
    return Path(tempfile.mkdtemp(prefix="sockui-"))


def _write(directory: Path, name: str, text: str) -> Path:
    """Write through the directory's descriptor, so that nobody can change what the path means on the way."""
    if not directory.is_absolute():  # platformdirs without HOME: "~" stays, and would land in the working directory
        raise FileNotFoundError(directory)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(place).st_uid != os.geteuid():
            raise PermissionError(directory)
        os.fchmod(place, 0o700)
        draft = f".{name}.{secrets.token_hex(4)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(draft, flags, 0o600, dir_fd=place)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            os.replace(draft, name, src_dir_fd=place, dst_dir_fd=place)
        except BaseException:  # a full disk, Ctrl-C: leave no half of a file
            with contextlib.suppress(OSError):
                os.unlink(draft, dir_fd=place)
            raise
    finally:
        os.close(place)
    return directory / name
