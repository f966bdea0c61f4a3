"""The sockets among what a process has open, from /proc/PID/fd.

Owns reading that directory and its links. Must not remember anything: that is ``owners``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def read_links(directory: int, known: NDArray[np.int32]) -> tuple[list[int], list[int], NDArray[np.bool_]]:
    """Descriptors and inodes of the sockets that are not ``known`` ones, and which of those are closed now.

    ``directory`` is an open /proc/PID/fd. Raises OSError as reading it does.

    The kernel gives out the lowest free number. So the numbers between the known ones are usually all there is,
    and trying them costs little where listing 100,000 takes 0.1 s; the count of open descriptors tells if it was all.
    """
    if not len(known):
        _, fds, inodes = _socket_links(directory, os.listdir(directory))
        return fds, inodes, np.empty(0, np.bool_)
    open_count = os.stat(directory).st_size
    top = max(int(known.max()) + 1, open_count)
    if open_count and top <= 2 * len(known):
        free = np.ones(top, np.bool_)
        free[known] = False
        found, fds, inodes = _socket_links(directory, map(str, np.flatnonzero(free).tolist()))
        if found + len(known) == open_count:
            return fds, inodes, np.zeros(len(known), np.bool_)
    listed = np.array(list(map(int, os.listdir(directory))), np.int32)
    _, fds, inodes = _socket_links(directory, map(str, listed[~np.isin(listed, known)].tolist()))
    return fds, inodes, ~np.isin(known, listed)


def _socket_links(directory: int, names: Iterable[str]) -> tuple[int, list[int], list[int]]:
    """How many of the descriptors ``names`` are open; the numbers and inodes of the sockets among them."""
    found = 0
    fds: list[int] = []
    inodes: list[int] = []
    for name in names:
        try:
            link = os.readlink(name, dir_fd=directory)
        except FileNotFoundError:  # closed since it was listed, or never open
            continue
        found += 1
        if link.startswith("socket:[") and link[8:-1].isdecimal():
            fds.append(int(name))
            inodes.append(int(link[8:-1]) & 0xFFFFFFFF)  # inet_diag cuts them to 32 bits too
    return found, fds, inodes
