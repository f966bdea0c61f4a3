"""The few files that sockui leaves behind: private to the user, replaced whole or longer by a line, never by a symlink.

Owns where they are and how they are written. Must not know what is in them.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import secrets
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from sockui.errors import NotKeptError


def keep(name: str, text: str, directory: Path | None = None) -> Path:
    """Keep ``text`` as the file ``name`` (mode 0600) and say where.

    The place is ``directory`` (default: the user's state directory of sockui), made with mode 0700. If it cannot be
    written, or it or one above it belongs to somebody else (``sudo`` with the caller's HOME), a fresh private directory
    under the temporary one takes its place, the same for the whole run. Raises :class:`NotKeptError` if that fails too.
    """
    return _somewhere(directory, name, text, _replace)


def append(name: str, line: str, directory: Path | None = None) -> Path:
    """Add one line (without its newline) to the file ``name`` (mode 0600), at the place that :func:`keep` has."""
    return _somewhere(directory, name, line + "\n", _grow)


def _somewhere(directory: Path | None, name: str, text: str, put: Callable[[int, str, bytes], None]) -> Path:
    data = text.encode(errors="backslashreplace")
    wanted = directory if directory is not None else _state_directory()
    try:
        return _write(wanted, name, data, put)
    except OSError as error:
        reason = error.strerror
    try:
        return _write(_temporary_directory(), name, data, put)
    except OSError:
        raise NotKeptError(f"{wanted}: {reason}, and nowhere temporary either") from None


def _state_directory() -> Path:
    import platformdirs  # late: commands that keep nothing need not load it

    return platformdirs.user_state_path("sockui")


@functools.cache
def _temporary_directory() -> Path:
    where = tempfile.gettempdir()
    own = Path(where).stat().st_mode & stat.S_ISVTX or os.environ.get("TMPDIR") == where
    if not own and _is_here(where):  # tempfile's last resort: where the user happens to be
        raise FileNotFoundError(errno.ENOENT, "no temporary directory")
    return Path(tempfile.mkdtemp(prefix="sockui-", dir=where))


def _is_here(where: str) -> bool:
    try:
        return where == str(Path.cwd())
    except FileNotFoundError:  # the working directory was removed
        return False


def _write(directory: Path, name: str, data: bytes, put: Callable[[int, str, bytes], None]) -> Path:
    """Write through the directory's descriptor, so that nobody can change what the path means on the way."""
    if not directory.is_absolute():  # platformdirs without HOME: "~" stays, and would land in the working directory
        raise FileNotFoundError(errno.ENOENT, "no absolute path")
    trusted = {0, os.geteuid(), Path("/").stat().st_uid}  # in a user namespace that one is nobody's
    for each in (directory, *directory.parents):
        with contextlib.suppress(FileNotFoundError):
            if each.lstat().st_uid not in trusted:
                raise PermissionError(errno.EPERM, f"{each} belongs to somebody else")
    for each in reversed((directory, *directory.parents)):  # parents=True would make those above as the umask has it
        if not each.exists():
            each.mkdir(mode=0o700, exist_ok=True)
    place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(place).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "belongs to somebody else")
        os.fchmod(place, 0o700)
        put(place, name, data)
    finally:
        os.close(place)
    return directory / name


def _replace(place: int, name: str, data: bytes) -> None:
    draft = f".{name}.{secrets.token_hex(4)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(draft, flags, 0o600, dir_fd=place)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(draft, name, src_dir_fd=place, dst_dir_fd=place)
    except BaseException:  # a full disk, Ctrl-C: leave no half of a file
        with contextlib.suppress(OSError):
            os.unlink(draft, dir_fd=place)
        raise


def _grow(place: int, name: str, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, 0o600, dir_fd=place), "wb", buffering=0) as file:
        os.fchmod(file.fileno(), 0o600)
        before = os.fstat(file.fileno()).st_size
        if file.write(data) != len(data):  # a full disk: half a line would swallow the next one's beginning
            os.ftruncate(file.fileno(), before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
