# SPDX-License-Identifier: MIT
"""Buffers that are taken and not given back: module_buffers.py EXTENSION-FOLDER."""
import array
import mmap
import sys

import memshim

sys.path.insert(0, sys.argv[1])
import buffers  # noqa: E402  (takes buffers in C)

before = memoryview(bytearray(3))
memshim.track_buffers()
memshim.track_buffers()  # again: nothing happens
assert memshim.buffer_exports() == []
before.release()


def use():
    """Everything that is taken here is given back."""
    data = bytearray(b"x" * 100)
    with memoryview(data) as view:
        assert memshim.buffer_exports() == ["bytearray: 100 bytes, format B, shape (100,), writable"]
        part = view[10:20].cast("H")
        assert bytes(part) == b"x" * 10
        part.release()
    numbers = array.array("d", [1.0] * 10)
    shared = mmap.mmap(-1, 4096)
    for _ in range(1000):
        b"".join([data, numbers, memoryview(shared)[:10]])
        data.find(b"y")
        numbers.tobytes()
    shared.close()
    buffers.borrow(data)


use()
assert memshim.buffer_exports() == [], memshim.buffer_exports()
for wrong in (int, 5) if memshim.loaded else (bytes, int, 5):
    try:
        memshim.track_buffers(wrong)
    except TypeError:
        pass
    else:
        raise AssertionError(wrong)

lost = array.array("i", range(10))


def forget():
    buffers.keep(lost)


forget()
forget()
assert memshim.buffer_exports() == ["array.array: 40 bytes, format i, shape (10,), writable"] * 2
try:
    lost.append(1)  # as long as there are buffers
except BufferError:
    pass
else:
    raise AssertionError("resized")


kept_views = []


def watch(exporter, described):
    """Of types that are not told when their buffers are given back: all that is not lost is."""
    memshim.track_buffers(type(exporter))
    memshim.track_buffers(type(exporter))
    before = memshim.buffer_exports()
    for _ in range(100):
        buffers.borrow(exporter)
        with memoryview(exporter) as view:
            assert view.obj is exporter
        b"".join([exporter, b"x"])
    assert memshim.buffer_exports() == before, memshim.buffer_exports()
    views = [memoryview(exporter) for _ in range(3)]
    assert memshim.buffer_exports().count(described) == 3, memshim.buffer_exports()
    views[0].release()
    del views[1:]
    assert memshim.buffer_exports() == before, memshim.buffer_exports()
    kept_views.extend(views)  # released, and still there at the end
    buffers.keep(exporter)
    assert sorted(memshim.buffer_exports()) == sorted(before + [described]), memshim.buffer_exports()


def written_in_python():
    """Classes with __buffer__ give out the buffer of a wrapper, and must still be told when it is given back."""

    class Exporter:
        released = 0

        def __buffer__(self, flags):
            return memoryview(bytearray(100))

        def __release_buffer__(self, view):
            self.released += 1
            view.release()

    class Plain:
        def __buffer__(self, flags):
            return memoryview(b"x" * 50)

    memshim.track_buffers(Exporter, Plain)
    before, exporter = memshim.buffer_exports(), Exporter()
    views = [memoryview(each) for each in (exporter, exporter, Plain())]
    found = sorted(text[len("__main__.") :] for text in memshim.buffer_exports() if text.startswith("__main__."))
    assert found == [
        "Exporter: 100 bytes, format B, shape (100,), writable",
        "Exporter: 100 bytes, format B, shape (100,), writable",
        "Plain: 50 bytes, format B, shape (50,), readonly",
    ], found
    for view in views:
        view.release()
    assert memshim.buffer_exports() == before, memshim.buffer_exports()
    assert exporter.released == 2, exporter.released


if sys.version_info >= (3, 12):
    written_in_python()
if memshim.loaded:
    watch(b"some bytes", "bytes: 10 bytes, format B, shape (10,), readonly")
    try:
        import numpy
    except ImportError:
        numpy = None
    if numpy is not None:
        watch(numpy.arange(12.0).reshape(3, 4), "numpy.ndarray: 96 bytes, format d, shape (3, 4), writable")
print("numpy" if memshim.loaded and numpy is not None else "done")
