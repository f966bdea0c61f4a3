"""Large arrays are given back, whatever was freed before, and what is free between small ones when it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys
import numpy as np
from sockui.allocation import give_large_arrays_back
class Info(ctypes.Structure):
    _fields_ = [(str(number), ctypes.c_size_t) for number in range(10)]
libc = ctypes.CDLL(None)
if not hasattr(libc, "mallinfo2"):
    sys.exit("no mallinfo2")
libc.mallinfo2.restype = Info
if sys.argv[1] == "set":
    give_large_arrays_back()
del (large := [np.ones(1 << 23, np.uint8)])[:]
before = getattr(libc.mallinfo2(), "4")  # hblkhd: bytes in mappings of their own
kept = np.ones(1 << 22, np.uint8)
print(getattr(libc.mallinfo2(), "4") - before >= 1 << 22)
"""


HOLES = """
import ctypes
from pathlib import Path
import numpy as np
from sockui.allocation import LARGE, give_holes_back, give_large_arrays_back
if not hasattr(ctypes.CDLL(None), "malloc_trim"):
    raise SystemExit("no malloc_trim")
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
give_large_arrays_back()  # these are not large
arrays = [np.ones(LARGE // 4, np.uint8) for _ in range(201)]
del arrays[::2]
before = resident()
give_holes_back()
print(before - resident() > 0.9 * 100 * LARGE // 4)
"""


def mapped(how: str) -> str:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=False)
    if "no mallinfo2" in done.stderr:
        pytest.skip("this C library is not glibc 2.33 or later")
    assert not done.returncode, done.stderr
    return done.stdout.strip()


def test_an_array_has_a_mapping_of_its_own_after_a_larger_one_was_freed() -> None:
    assert mapped("set") == "True"
    assert mapped("left alone") == "False"


def test_what_is_free_between_arrays_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=False)
    if "no malloc_trim" in done.stderr:
        pytest.skip("this C library has no malloc_trim")
    assert (done.stdout, done.stderr) == ("True\n", "")
