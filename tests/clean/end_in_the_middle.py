"""Ends at once, deep in calls from C, with tasks, threads, generators and iterators that are half done."""
import asyncio
import collections
import contextlib
import enum
import functools
import itertools
import os
import queue
import re
import threading
import weakref


class Color(enum.IntEnum):
    BLACK = 0
    RED = 1
    LARGE = 1 << 40


class Mode(enum.IntFlag):
    READ = 1
    WRITE = 2


class Slots:
    __slots__ = ("a", "b", "__weakref__")

    def __init__(self, a, b):
        self.a = a
        self.b = b


class Plain:
    def __init__(self, number):
        self.number = number
        self.name = str(number)
        self.list = [number] * 3


Pair = collections.namedtuple("Pair", "left right")


@functools.lru_cache(maxsize=50)
def cached(x):
    return [x] * 3


def generate(count):
    things = {i: Plain(i) for i in range(count)}
    for item in things.items():
        try:
            yield item
        finally:
            pass


async def wait(number, event):
    async with contextlib.AsyncExitStack():
        thing = Plain(number)
        await event.wait()
        return thing


def end_in_a_callback(value):
    if value != 7:
        return -value
    full = queue.Queue()
    for i in range(10):
        full.put(Plain(i))
    lock = threading.Lock()
    lock.acquire()
    ready = threading.Barrier(5)

    def block():
        things = [Plain(i) for i in range(5)]
        ready.wait()
        lock.acquire()
        return things

    for _ in range(4):
        threading.Thread(target=block, daemon=True).start()
    ready.wait()
    for thing, number in zip(map(Plain, range(5)), itertools.cycle([1, 2])):
        if thing.number == 3:
            os._exit(0)


def call(depth, *args, **more):
    if depth:
        return call(depth - 1, *args, thing=Plain(depth), **{"name%d" % depth: Color.RED | Mode.WRITE})
    return sorted(range(10), key=end_in_a_callback)


async def run():
    event = asyncio.Event()
    tasks = [asyncio.ensure_future(wait(i, event)) for i in range(50)]
    await asyncio.sleep(0)
    half = generate(20)
    next(half)
    others = [next(generate(5)) for _ in range(5)]
    match = re.match("(a+)b", "aaab")
    try:
        raise ValueError(match)
    except ValueError as error:
        call(12, error, others, tasks)


kept = [Slots(i, Pair(i, None)) for i in range(30)]
seen = weakref.WeakValueDictionary(enumerate(kept))
results = [cached(i) for i in range(100)]
asyncio.run(run())
