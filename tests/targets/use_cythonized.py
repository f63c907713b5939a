# SPDX-License-Identifier: MIT
"""Uses cythonized.pyx: use_cythonized.py EXTENSION-FOLDER."""
import sys

import memshim

sys.path.insert(0, sys.argv[1])
import cythonized  # noqa: E402

memshim.track_buffers(cythonized.Grid)
if memshim.loaded:
    memshim.track_buffers(cythonized.Plain)
grid, plain = cythonized.Grid(), cythonized.Plain()


def work():
    """What is taken here is given back."""
    assert cythonized.total(grid) == 15
    cythonized.keep_nothing(700)
    with memoryview(grid) as view:
        assert view.shape == (2, 3) and view.format == "d"
        assert memshim.buffer_exports() == ["cythonized.Grid: 48 bytes, format d, shape (2, 3), writable"]
    memoryview(plain).release()
    assert memshim.buffer_exports() == [], memshim.buffer_exports()
    assert grid.views == 0


def lose():
    for _ in range(10):
        cythonized.lose_block(1111)
    for _ in range(5):
        cythonized.lose_reference(2222)


def forget():
    cythonized.forget_buffer(grid)
    if memshim.loaded:
        cythonized.forget_buffer(plain)


work()
if memshim.loaded:
    result = memshim.detect_leaks(work)
    assert result.measured and result.bytes_leaked == 0, result
    lost = memshim.detect_leaks(lambda: cythonized.lose_block(3333))
    assert lost.bytes_leaked >= 3333, lost
lose()
forget()
assert len(memshim.buffer_exports()) == 1 + memshim.loaded, memshim.buffer_exports()
assert grid.views == 1
print("done")
