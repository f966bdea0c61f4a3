"""Large arrays are given back, whatever was freed before."""

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


def mapped(how: str) -> str:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=False)
    if "no mallinfo2" in done.stderr:
        pytest.skip("this C library is not glibc 2.33 or later")
    assert not done.returncode, done.stderr
    return done.stdout.strip()


def test_an_array_has_a_mapping_of_its_own_after_a_larger_one_was_freed() -> None:
    assert mapped("set") == "True"
    assert mapped("left alone") == "False"
