# SPDX-License-Identifier: MIT
"""Blocks whose addresses are kept in ints, and others whose are not; the process ends at once."""
import ctypes
import os

allocate = ctypes.pythonapi.PyMem_RawMalloc
allocate.restype, allocate.argtypes = ctypes.c_void_p, [ctypes.c_size_t]


def keep_address():
    return allocate(96)


def forget_address():
    return allocate(80) & 1


def overwrite(depth=40):
    """Leaves other values where the stack still has the last ones, and makes other ints of the same size."""
    return depth and overwrite(depth - 1) + sum([(1 << 40) + depth + i for i in range(100)])


kept = [keep_address() for _ in range(10)]
forgotten = [forget_address() for _ in range(10)]
overwrite()
os._exit(0)
