# SPDX-License-Identifier: MIT
"""Shared pools from Python: module_pools.py good|bad|lost|kill NAME, or the other side of one of them."""
import os
import signal
import subprocess
import sys
import threading

from memshim.managed_memory import (
    AllocType,
    DragonPoolAttachFail,
    DragonPoolCreateFail,
    DragonPoolError,
    MemoryAlloc,
    MemoryAllocations,
    MemoryPool,
)

name = sys.argv[2]


def expect(exception, function, *args):
    try:
        function(*args)
    except exception:
        pass
    else:
        raise AssertionError("no %s by %s%r" % (exception.__name__, function.__name__, args))


def other_side(what, data):
    command = [sys.executable, sys.argv[0], what, name]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE).stdout


def good():
    pool = MemoryPool(65536, name, 1)
    memory = pool.alloc(512)
    view = memory.get_memview()
    assert isinstance(view, memoryview) and len(view) == 512 and not view.readonly
    assert view.format == "B" and view.shape == (512,) and view.contiguous
    view[:5] = b"hello"
    assert bytes(memoryview(memory)[:5]) == b"hello"

    # another process reads it, answers in place, and makes one of its own
    answer = other_side("answer", pool.serialize() + memory.serialize())
    assert bytes(view[:5]) == b"HELLO", bytes(view[:5])
    theirs = pool.get_alloc_by_id(AllocType.DATA, int(answer))
    assert bytes(theirs.get_memview()[:6]) == b"theirs"

    allocations = pool.get_allocations()
    assert isinstance(allocations, MemoryAllocations)
    assert len(allocations) == allocations.num_allocs == 2
    ids = {allocations.alloc_id(i) for i in range(2)}
    assert ids == {memory.alloc_id, theirs.alloc_id}
    assert allocations.alloc_type(0) is AllocType.DATA
    assert pool.allocation_exists(AllocType.DATA, memory.alloc_id)
    assert not pool.allocation_exists(AllocType.DATA, 10**6)
    pool.free(theirs)
    pool.free(memory)
    assert len(pool.get_allocations()) == 0

    # a program's own types and ids
    typed = pool.alloc(10, alloc_type=77, alloc_id=5)
    assert typed.alloc_type == 77 and typed.alloc_id == 5 and typed.size == 10
    found = pool.get_alloc_by_id(77, 5)
    pool.free(found)
    expect(RuntimeError, pool.free, typed)

    # detached, and attached again
    pool.detach(serialize=True)
    again = MemoryPool.attach(pool.serialize())
    assert again.stats()["used"] == 0
    again.destroy()
    view[0] = 1  # a view outlives the pool


def answer():
    data = sys.stdin.buffer.read()
    pool = MemoryPool.attach(data[:320])
    memory = MemoryAlloc.attach(data[320:])
    view = memory.get_memview()
    view[:5] = bytes(view[:5]).upper()
    mine = pool.alloc(100)
    mine.get_memview()[:6] = b"theirs"
    print(mine.alloc_id)
    memory.detach()
    expect(RuntimeError, memory.get_memview)
    expect(RuntimeError, memory.detach)
    pool.detach()


def waiting():
    pool = MemoryPool(65536, name, 1)
    everything = pool.alloc(65536)
    expect(DragonPoolError, pool.alloc_blocking, 64, 0)
    expect(DragonPoolError, pool.alloc_blocking, 64, 0.01)
    got = []
    thread = threading.Thread(target=lambda: got.append(pool.alloc_blocking(1000, timeout=None)))
    thread.start()
    pool.free(everything)
    thread.join()
    pool.free(got[0])
    pool.destroy()


def bad():
    expect(TypeError, MemoryPool, "1024", name, 1)
    expect(TypeError, MemoryPool, 1024, 5, 1)
    expect(TypeError, MemoryPool, 1024)
    expect(DragonPoolCreateFail, MemoryPool, 0, name, 1)
    expect(DragonPoolCreateFail, MemoryPool, -1, name, 1)
    expect(DragonPoolCreateFail, MemoryPool, 2**62, name, 1)
    expect(DragonPoolCreateFail, MemoryPool, 1024, "a/b", 1)
    pool = MemoryPool(65536, name, 1)
    expect(DragonPoolCreateFail, MemoryPool, 1024, name, 1)
    serialized = pool.serialize()
    assert len(serialized) == 320 and pool.serialize() is serialized
    for data in (b"", serialized[:-1], serialized + b"x", bytes(320), serialized[:100] + b"?" + serialized[101:]):
        expect(DragonPoolAttachFail, MemoryPool.attach, data)
        expect(RuntimeError, MemoryAlloc.attach, data)
    expect(TypeError, MemoryPool.attach, "text")
    expect(TypeError, MemoryAlloc)
    expect(TypeError, MemoryAllocations)
    expect(DragonPoolError, pool.alloc, 0)
    expect(DragonPoolError, pool.alloc, -1)
    expect(DragonPoolError, pool.alloc, 65537)
    expect(DragonPoolError, pool.alloc_blocking, 65537)
    expect(ValueError, pool.alloc_blocking, 1, -1)
    expect(TypeError, pool.free, None)
    expect(DragonPoolError, pool.get_alloc_by_id, 1, 1)
    memory = pool.alloc(100)
    allocations = pool.get_allocations()
    for index in (-1, 1, 10**30):
        expect(RuntimeError, allocations.alloc_id, index)
        expect(RuntimeError, allocations.alloc_type, index)
    expect(TypeError, allocations.alloc_id, "0")
    handle = memory.serialize()
    pool.free(memory)
    for function in (memory.get_memview, memory.serialize, memory.detach):
        expect(RuntimeError, function)
    expect(RuntimeError, pool.free, memory)
    expect(RuntimeError, MemoryAlloc.attach, handle)
    memory = pool.alloc(100)
    pool.destroy()
    for function in (pool.destroy, pool.detach, pool.get_allocations, memory.get_memview):
        expect(RuntimeError, function)
    expect(DragonPoolError, pool.alloc, 1)
    expect(DragonPoolAttachFail, MemoryPool.attach, serialized)
    assert pool.serialize() == serialized


def keep(pool, size):
    return pool.alloc(size)


def lost():
    pool = MemoryPool(65536, name, 1)
    keep(pool, 1234)
    other_side("die", pool.serialize())
    attached = MemoryPool.attach(pool.serialize())
    del attached  # never detached
    pool.destroy()


def die():
    pool = MemoryPool.attach(sys.stdin.buffer.read())
    keep(pool, 4321)
    os.kill(os.getpid(), signal.SIGKILL)


globals()[sys.argv[1]]()
