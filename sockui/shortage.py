"""Errors that are no defect of sockui: what this host, or its limits, did not give.

Owns what a person is told then. Must import nothing that is not in memory anyway: where memory or descriptors have run
out a module cannot be loaded.
"""

from __future__ import annotations

import errno
import os

_MEMORY = "free some, or raise the limit (ulimit -v, memory.max of the cgroup)"


def lacking(error: BaseException | None) -> str:
    """What this host or its limits did not give to sockui, and the cure; "" if the error is of another kind."""
    while error is not None:
        said = str(error)
        code = error.errno if isinstance(error, OSError) else None
        if isinstance(error, MemoryError) or code == errno.ENOMEM or "failed to map segment" in said:  # a library
            return f"there is not enough memory; {_MEMORY}"
        if isinstance(error, SystemError) and "without" in said and "exception" in said:  # it had no room for one
            return f"Python broke off, as it does when memory runs out; {_MEMORY}"
        if code in (errno.EMFILE, errno.ENFILE):
            return f"no file can be opened: {os.strerror(code)}; raise the limit (ulimit -n, sysctl fs.file-max)"
        if isinstance(error, RuntimeError) and "new thread" in said:
            return "no thread can be started; raise the limit (ulimit -u, pids.max of the cgroup), or use `sockui list`"
        error = error.__cause__ or error.__context__
    return ""
