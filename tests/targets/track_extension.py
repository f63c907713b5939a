# SPDX-License-Identifier: MIT
"""An extension that tells CPython of its memory. Arguments: its path, and "traced" where tracemalloc is to see that."""
import ctypes
import os
import sys

extension = ctypes.PyDLL(sys.argv[1])
traced = sys.argv[2:] == ["traced"]
if traced:
    import tracemalloc

    tracemalloc.start()


def work():
    assert extension.keep_array() == (0 if traced else -2)
    assert extension.resize_array() == (0 if traced else -2)
    assert extension.map_device() == (0 if traced else -2)
    assert extension.unmap_device() == (0 if traced else -2)


work()
if traced:
    arrays = tracemalloc.take_snapshot().filter_traces([tracemalloc.DomainFilter(True, 389047)])
    assert [trace.size for trace in arrays.traces] == [5 << 20], arrays.traces
os._exit(0)
