# SPDX-License-Identifier: MIT
"""The examples of documents about memory: module_documented.py EXTENSION-FOLDER good|bad|limit."""
import collections
import resource
import sys

import memshim
import memshim.testing

sys.path.insert(0, sys.argv[1])
import documented  # noqa: E402


def good_functions():
    # not use_weak_ref: a cache of CPython's keeps the names that attributes are asked for by
    return [
        documented.io_malloc,
        documented.io_mem,
        documented.io_new,
        lambda: documented.three_buffers(False),
        documented.no_bytes,
        lambda: documented.incref_example([]),
        documented.create_and_return,
        documented.create_and_use,
        lambda: documented.add_to_list(False),
        documented.count_references,
        documented.multiple_buffers,
        documented.pool_example,
        documented.io_operation,
        lambda: documented.take_buffer(documented.Plane(), True),
        lambda: memoryview(documented.Plane())[2, 3],
        lambda: bytes(documented.memory_view()),
    ]


def check_values():
    assert documented.io_malloc() == b"malloc" and documented.io_mem() == b"PyMem_Malloc"
    assert documented.io_new() == b"PyMem_New" and documented.no_bytes() is True
    assert documented.create_and_use() == 8400000 and documented.add_to_list(False) == [42.5]
    assert documented.count_references() == (1, 2) and documented.multiple_buffers() is True
    kept = collections.UserDict()
    weak = documented.use_weak_ref(kept)
    assert weak() is kept
    del kept
    assert weak() is None


def detect_leaks():
    for function in good_functions():
        info = memshim.testing.detectLeaks(function)
        assert info.bytes_leaked == 0 and info.measured is memshim.loaded, "%s: %s" % (function, info)
    if not memshim.loaded:
        return
    info = memshim.testing.detectLeaks(documented.leak_example)
    assert info.bytes_leaked == sys.getsizeof("leaked") and info.blocks == 1, str(info)
    assert "Memory leak detected: %d bytes leaked" % info.bytes_leaked in str(info)
    info = memshim.testing.detectLeaks(documented.allocation_leak)
    assert info.bytes_leaked == 1024 and info.leaks[0].domain in ("mem", "malloc"), str(info)
    info = memshim.testing.detectLeaks(lambda: documented.add_to_list(True))
    assert info.bytes_leaked == sys.getsizeof(42.5), str(info)


def track_allocations():
    """Before and after a piece of work."""
    before = memshim.get_memory_stats()
    kept = [documented.io_mem() for _ in range(1000)]
    after = memshim.get_memory_stats()
    if memshim.loaded:
        assert after["allocations"] - before["allocations"] >= 2000
        assert after["live_bytes"] - before["live_bytes"] >= 1000 * sys.getsizeof(kept[0])


class Emulated:
    """Emulates a buffer type (from 3.12 on)."""

    def __init__(self):
        self.data, self.released = bytearray(b"emulated"), 0

    def __buffer__(self, flags):
        return memoryview(self.data)

    def __release_buffer__(self, buffer):
        buffer.release()
        self.released += 1


def buffers():
    memshim.track_buffers()
    memshim.track_buffers(documented.Plane)
    plane = documented.Plane()
    view = memoryview(plane)
    assert view.format == "i" and view.shape == (3, 4) and view[0, 0] == 0
    view[1, 2] = 77
    assert view.tolist()[1][2] == 77
    assert memshim.buffer_exports() == ["documented.Plane: 48 bytes, format i, shape (3, 4), writable"]
    view.release()
    assert documented.exports(plane) == 0 and memshim.buffer_exports() == []
    try:
        import numpy
    except ImportError:
        numpy = None
    if numpy is not None:
        array = numpy.frombuffer(plane, dtype="i")
        assert array[6] == 77
        del array
    assert documented.exports(plane) == 0
    if sys.version_info >= (3, 12):
        emulated = Emulated()
        with memoryview(emulated) as view:
            assert view[0] == ord("e")
        assert emulated.released == 1
        assert memshim.buffer_exports() == [], memshim.buffer_exports()
    assert documented.take_buffer(plane, False) == 48  # and never gives it back
    assert documented.exports(plane) == 1


def good():
    check_values()
    detect_leaks()
    track_allocations()
    buffers()


def bad():
    documented.three_buffers(True)


def limit():
    """Memory limits: of the system, and of memshim."""
    if not memshim.loaded:
        resource.setrlimit(resource.RLIMIT_AS, (1024 * 1024 * 1024, 1024 * 1024 * 1024))
    try:
        kept = []
        while True:
            kept.append([None] * 100000)
    except MemoryError:
        del kept
    assert len([None] * 1000) == 1000


{"good": good, "bad": bad, "limit": limit}[sys.argv[2]]()
print("done")
