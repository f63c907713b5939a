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
for wrong in (bytes, int, 5):
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
print("done")
