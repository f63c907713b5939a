# SPDX-License-Identifier: MIT
"""What the programs of this folder lose."""
import ctypes

libc = ctypes.CDLL(None)


def lose(size, times=10):
    for _ in range(times):
        libc.calloc(1, size)  # cut to an int: no pointer is left; zeroed: it points to none of the others
