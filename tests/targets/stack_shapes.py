# SPDX-License-Identifier: MIT
"""Allocates in stacks of all the shapes that Python makes."""
import asyncio
import functools
import json
import re
import sys
import threading

try:
    import ctypes
except ImportError:
    ctypes = None


def recurse(depth):
    kept = [object(), depth]
    return recurse(depth - 1) + len(kept) if depth else len(str(kept))


def generate(depth):
    if depth:
        yield from generate(depth - 1)
    for i in range(3):
        yield {"number": i}


class Node:
    def __init__(self, depth):
        self.child = Node(depth - 1) if depth else None
        self.name = "node %d" % depth

    def __repr__(self):
        return "<%s %r>" % (self.name, self.child)

    def __lt__(self, other):
        return repr(self) < repr(other)


def fail(depth):
    if depth == 0:
        raise ValueError([depth] * 10)
    sorted([1, 2], key=lambda n: fail(depth - 1))


async def wait(depth):
    await asyncio.sleep(0)
    kept = ["x" * 100]
    return (await wait(depth - 1) if depth else 0) + len(kept)


async def gather():
    return sum(await asyncio.gather(*[wait(i % 5) for i in range(20)]))


def call_back():
    if ctypes is None:
        return
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
    numbers = (ctypes.c_int * 20)(*range(20, 0, -1))

    def compare(a, b):
        recurse(3)
        return a[0] - b[0]

    ctypes.CDLL(None).qsort(numbers, len(numbers), ctypes.sizeof(ctypes.c_int), kind(compare))
    assert list(numbers) == list(range(1, 21))


def work():
    for i in range(5):
        recurse(40)
        list(generate(5))
        sorted(Node(i % 4) for _ in range(5))
        try:
            fail(5)
        except ValueError as error:
            str(error)
        functools.reduce(lambda a, b: a + [b], range(20), [])
        json.loads(json.dumps([[Node(2).name] * 5] * 5), object_hook=lambda pairs: dict(pairs))
        re.sub("[0-9]+", lambda match: match.group() * 2, "a1b22c333" * 5)
        exec("recurse(3)", {"recurse": recurse})
        call_back()


sys.setrecursionlimit(3000)
work()
recurse(400)
asyncio.run(gather())
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("done")
