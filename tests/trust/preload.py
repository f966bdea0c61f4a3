"""A library that stands between a program and libc: other clocks, and a kernel that lacks a diag module.

Owns its source and building it with the C compiler of the host. The kernel's answers stay its own: a request for one
protocol's sockets is turned into one for SCTP's (or DCCP's), for which it has no module.
"""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
from pathlib import Path

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const int64_t *shifts;   /* seconds: CLOCK_REALTIME, CLOCK_BOOTTIME */

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SHIFTS");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        void *map = mmap(0, 16, PROT_READ, MAP_SHARED, file, 0);
        if (map != MAP_FAILED) shifts = map;
        close(file);
    }
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, now);
    if (!failed && shifts && clock == CLOCK_REALTIME) now->tv_sec += shifts[0];
    if (!failed && shifts && clock == CLOCK_BOOTTIME) now->tv_sec += shifts[1];
    return failed;
}

ssize_t send(int descriptor, const void *data, size_t size, int flags) {
    const char *protocol = getenv("UNLISTED");
    unsigned char copy[76];
    if (protocol && size == 76 && atoi(protocol) == 6) {        /* TCPDIAG_GETSOCK */
        memcpy(copy, data, 76);
        copy[4] = 19;                                           /* DCCPDIAG_GETSOCK */
        data = copy;
    } else if (protocol && size == 72 && ((const unsigned char *)data)[17] == atoi(protocol)) {
        memcpy(copy, data, 72);
        copy[17] = 132;                                         /* IPPROTO_SCTP */
        data = copy;
    }
    return sendto(descriptor, data, size, flags, 0, 0);
}
"""
COMPILER = shutil.which("cc") or shutil.which("gcc")


def built(directory: Path) -> Path:
    """Build the library."""
    source, library = directory / "preload.c", directory / "preload.so"
    source.write_text(_SOURCE)
    command = [str(COMPILER), "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return library


class Clocks:
    """The clocks of a program with the library loaded, which may be moved while it runs; ``environ`` is for it."""

    def __init__(self, library: Path) -> None:
        path = library.with_name("shifts")
        path.write_bytes(bytes(16))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 16)
        self.environ = {"LD_PRELOAD": str(library), "SHIFTS": str(path)}

    def shift(self, *, realtime: int = 0, boottime: int = 0) -> None:
        """Move clocks to so many seconds beside the kernel's."""
        self._map[:] = struct.pack("=qq", realtime, boottime)
