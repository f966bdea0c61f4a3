"""Errors that nobody meant to raise: what this host did not give, or a defect of sockui; what a person is told.

Owns those sentences and the report of a defect. Must import nothing that is not in memory anyway when it is needed:
where memory or descriptors have run out a module cannot be loaded.
"""

from __future__ import annotations

import errno
import os
import sys

from sockui import __version__


def lacking(error: BaseException | None) -> str:
    """What this host or its limits did not give to sockui, and the cure; "" if the error is of another kind."""
    while error is not None:
        said = str(error)
        code = error.errno if isinstance(error, OSError) else None
        if isinstance(error, MemoryError) or code == errno.ENOMEM or "failed to map segment" in said:  # a library
            return "there is not enough memory; free some, or raise the limit (ulimit -v, memory.max of the cgroup)"
        if code in (errno.EMFILE, errno.ENFILE):
            return f"no file can be opened: {os.strerror(code)}; raise the limit (ulimit -n, sysctl fs.file-max)"
        if isinstance(error, RuntimeError) and "new thread" in said:
            return "no thread can be started; raise the limit (ulimit -u, pids.max of the cgroup), or use `sockui list`"
        error = error.__cause__ or error.__context__
    return ""


def kept(error: Exception) -> str:
    """Keep a report of an error in sockui itself; a sentence that says where."""
    import platform
    import shlex
    import traceback

    from sockui.statefile import keep

    about = f"sockui {__version__}, Python {platform.python_version()}, {platform.system()} {platform.release()}"
    report = f"{about}\n{shlex.join(sys.argv)}\n\n{''.join(traceback.format_exception(error))}"
    path = keep("crash.txt", report)
    where = f"; a report for the maintainers is in {path}" if path else "; no directory can be written for a report"
    summary = "".join(traceback.format_exception_only(error)).strip().replace("\n", " ")
    return f"an error in sockui itself ({summary}){where}"
