# SPDX-License-Identifier: MIT
"""Compares the shim's Python stacks with the interpreter's own. Run by any CPython 3.8 or later:

    python3 pyframes_check.py LIBRARY [DEPTH [speed]]

Part one compares file, line and name of every frame with sys._getframe() in all kinds of places. Part two hooks the
allocators and compares each capture, while varied code runs, with a plain walk over the frames. Exit status 0: no
difference."""

import asyncio
import ctypes
import functools
import gc
import os
import sys
import tempfile
import threading

LIBRARY = os.path.abspath(sys.argv[1])
DEPTH = int(sys.argv[2]) if len(sys.argv) > 2 else 64

# PyDLL: the calls keep the GIL, as allocations do.
check = ctypes.PyDLL(LIBRARY)
check.check_stack.restype = ctypes.c_char_p
check.check_first_difference.restype = ctypes.c_char_p
check.check_speed.restype = ctypes.c_double
for name in ("captures", "frames", "differences"):
    getattr(check, "check_" + name).restype = ctypes.c_uint64

compared = 0
failures = []


def name_of(code):
    return getattr(code, "co_qualname", code.co_name)


def printable(text):
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def expected_stack(frame, line):
    stack = []
    while frame is not None:
        code = frame.f_code
        stack.append((printable(code.co_filename), line or frame.f_lineno, printable(name_of(code))))
        frame = frame.f_back
        line = None
    return stack


def parse(text):
    stack, cut = [], None
    for row in text.decode("utf-8").split("\n")[:-1]:
        fields = row.split("\t")
        if fields[0] == "cut":
            cut = int(fields[1])
        else:
            stack.append((fields[0], int(fields[1]), fields[2]))
    return stack, cut


def here(where):
    """Compares the stack at the caller's line."""
    global compared
    # One line, so that both look at the same line of this function; it is left out of the comparison anyway.
    found, cut = parse(check.check_stack())
    expected = expected_stack(sys._getframe(), None)
    total = len(expected)
    found, expected = found[1:], expected[:DEPTH][1:]
    compared += 1
    if found != expected or (cut or 0) != max(0, total - DEPTH):
        failures.append((where, found, expected, cut, total))
    return where


def nested(n):
    return here("nested") if n == 0 else nested(n - 1)


def closure():
    x = 1

    def inner():
        def innermost():
            here("closure")
            return x
        return innermost()
    return inner()


def comprehensions():
    [here("list comprehension") for _ in range(2)]
    {here("set comprehension") for _ in range(2)}
    {here("dict comprehension"): 1 for _ in range(2)}
    list(here("generator expression") for _ in range(2))
    [[here("nested comprehension") for _ in range(2)] for _ in range(2)]


def generator():
    here("generator first")
    try:
        yield 1
        here("generator second")
        yield from inner_generator()
    finally:
        here("generator closed")


def inner_generator():
    here("yield from")
    yield 2


def generators():
    for _ in generator():
        here("generator user")
    g = generator()
    next(g)
    g.close()
    for _ in zip(generator(), generator()):
        pass


async def coroutine(n):
    here("coroutine")
    await asyncio.sleep(0)
    here("coroutine resumed")
    if n:
        await coroutine(n - 1)
    async with Context():
        here("async with")
    async for _ in async_generator():
        here("async for")


class Context:
    async def __aenter__(self):
        here("aenter")

    async def __aexit__(self, *_):
        await asyncio.sleep(0)
        here("aexit")


async def async_generator():
    for i in range(2):
        here("async generator")
        yield i
        await asyncio.sleep(0)


async def many():
    await asyncio.gather(*(coroutine(n) for n in range(4)))


class Meta(type):
    def __call__(cls, *args):
        here("metaclass call")
        return super().__call__(*args)


class Thing(metaclass=Meta):
    def __init__(self):
        here("init")

    @property
    def attribute(self):
        return (lambda: here("lambda in property"))()

    @staticmethod
    def static():
        here("static method")

    def __lt__(self, other):
        here("lt")
        return True

    def __del__(self):
        here("del")

    def __getattr__(self, name):
        here("getattr")
        raise AttributeError(name)


class Plain:
    def __init__(self):
        here("plain init")


def objects():
    for _ in range(60):  # specialised after a while
        Plain()
    thing = Thing()
    thing.attribute
    thing.static()
    hasattr(thing, "nothing")
    sorted([thing, Thing(), Thing()])
    del thing
    cycle = Thing()
    cycle.cycle = cycle
    del cycle
    gc.collect()


def callbacks():
    sorted(range(3), key=lambda x: here("sorted key") and x)
    list(map(lambda x: here("map"), range(3)))
    functools.partial(nested, 3)()
    functools.reduce(lambda a, b: here("reduce"), range(3))
    ctypes.CFUNCTYPE(ctypes.c_int)(lambda: len(here("ctypes callback")))()
    for call in (nested, functools.partial(nested), nested):
        call(0)


SOURCE = '''def gr\u00fc\u00dfe(n):
    if n:
        return gr\u00fc\u00dfe(n - 1)
    here("exec")
    return [here("exec in list") for \u0432 in range(1)]

class \u041a\u043b\u0430\u0441\u0441:
    def \u65b9\u6cd5(self): here("exec method")

gr\u00fc\u00dfe(3)
\u041a\u043b\u0430\u0441\u0441().\u65b9\u6cd5()
here("exec module")
'''


def executed():
    for file in ("caf\u00e9.py", "\u6f22\u5b57.py", "\U0001f40d/\u00e9.py", "odd\udc80name", "x" * 300 + ".py", ""):
        exec(compile(SOURCE, file, "exec"), {"here": here})
    for i in range(300):  # code objects at the same addresses
        source = "\n" * (i % 7) + "def f%d():\n%s here('again')\nf%d()" % (i % 3, "\n" * (i % 5), i % 3)
        exec(compile(source, "again%d.py" % (i % 4), "exec"), {"here": here})
    eval("here('eval')", {"here": here})
    lines = "def long():\n" + "\n" * 400 + " here('long')\n" + " x = 1\n" * 700 + "\n" * 200 + " here('long end')\nlong()\n"
    exec(compile(lines, "long.py", "exec"), {"here": here})


def traced():
    def tracer(frame, event, argument):
        here("tracer")
        return tracer
    sys.settrace(tracer)
    nested(2)
    sum(x for x in range(2))
    sys.settrace(None)
    sys.setprofile(lambda *_: here("profiler"))
    nested(1)
    sys.setprofile(None)


def threads():
    def body():
        for n in (0, 5, 80, 5):
            nested(n)
        generators()
    running = [threading.Thread(target=body) for _ in range(3)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def exceptions():
    try:
        try:
            raise ValueError
        except ValueError:
            here("except")
            raise
        finally:
            here("finally")
    except ValueError:
        here("outer except")
    with open(os.devnull):
        here("with")


def deep():
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20000)
    for n in (300, max(0, DEPTH - 10), DEPTH, DEPTH + 1, 301, 299, 300, 900, 10):
        nested(n)
    sys.setrecursionlimit(limit)


def everything():
    here("function"); here("same line")
    for n in (0, 1, 2, 3, 2, 1, 30, 5):
        nested(n)
    closure()
    comprehensions()
    generators()
    asyncio.run(many())
    objects()
    callbacks()
    executed()
    traced()
    threads()
    exceptions()
    deep()


def varied_work():
    """Allocates in as many ways as the standard library has at hand."""
    import decimal
    import json
    import pickle
    import re
    import sqlite3
    import string
    import unittest
    import xml.etree.ElementTree as tree

    re.purge()
    for pattern in (r"(a|b)*c(?P<x>[0-9]+)", r"(?:x(?=y))+?", r"[\w.]+@[\w.]+"):
        re.compile(pattern).findall("abab c12 x@y.z " * 5)
    data = {str(i): [i, {"x": (i, str(i))}] for i in range(30)}
    json.loads(json.dumps(data, indent=1, default=str))
    pickle._loads(pickle._dumps(data))
    tree.fromstring("<a>" + "<b c='d'>e</b>" * 20 + "</a>")
    base = sqlite3.connect(":memory:")
    base.create_function("f", 1, lambda x: [x] and x)
    base.execute("select f(1), f(2)").fetchall()
    base.close()
    str(decimal.Decimal(2).sqrt())
    string.Template("$a").substitute(a=1)

    class Case(unittest.TestCase):
        def test(self):
            self.assertEqual(1, 1)
            with self.assertRaises(ValueError):
                int("x")
    unittest.TextTestRunner(stream=open(os.devnull, "w")).run(unittest.defaultTestLoader.loadTestsFromTestCase(Case))


def deep_work(n):
    data = [n]
    return len(data) + (deep_work(n - 1) if n else 0)


def very_deep():
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(8000)
    deep_work(100)
    deep_work(700)
    if sys.version_info >= (3, 11):  # elsewhere the C stack would not do
        deep_work(3000)
    sys.setrecursionlimit(limit)


SUBINTERPRETER = """
import json
def f(n):
    return json.dumps([str(n)] * n) if n < 3 else f(n - 1)
for i in range(200):
    f(i % 9)
    exec(compile("def g(n): return [n] if n < 1 else g(n - 1)\\ng(%d)" % (i % 4), "sub%d.py" % (i % 3), "exec"), {})
"""


def subinterpreters():
    """Since 3.12 they have a GIL each and run at the same time."""
    try:
        import _interpreters as interpreters
    except ImportError:
        try:
            import _xxsubinterpreters as interpreters
        except ImportError:
            return

    def run():
        interpreter = interpreters.create()
        interpreters.run_string(interpreter, SUBINTERPRETER)
        interpreters.destroy(interpreter)

    run()
    if sys.version_info >= (3, 12):
        running = [threading.Thread(target=run) for _ in range(4)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()


def checked_work():
    for _ in range(2):
        everything()
        varied_work()
    very_deep()
    subinterpreters()
    workers = [threading.Thread(target=varied_work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    sys.setprofile(lambda *_: [])
    varied_work()
    sys.setprofile(None)
    def tracer(*_):
        list(_)
        return tracer
    sys.settrace(tracer)
    nested(3)
    sys.settrace(None)


def main():
    here("module main")
    if not check.check_program_started():
        failures.append(("program_started", None, None, None, None))
    everything()
    direct = compared
    check.check_hook()
    checked_work()
    before = check.check_codes()
    for i in range(500):  # equal code is stored once
        exec(compile("def again(): return [1]\nagain()", "equal.py", "exec"), {})
    grown = check.check_codes() - before
    if grown > 10:
        failures.append(("codes", grown, None, None, None))
    for failure in failures[:3]:
        where, found, expected, cut, total = failure
        print("difference:", where, "cut", cut, "of", total, file=sys.stderr)
        for got, want in zip(found or [], expected or []):
            if got != want:
                print("  found", ascii(got), "\n  expected", ascii(want), file=sys.stderr)
                break
        else:
            print("  lengths", found and len(found), expected and len(expected), file=sys.stderr)
    print("Python %s, depth %d: %d stacks compared with sys._getframe (%d before the hooks), %d different;"
          " %d captures, %d frames, %d different %s"
          % (sys.version.split()[0], DEPTH, compared, direct, len(failures), check.check_captures(),
             check.check_frames(), check.check_differences(), check.check_first_difference().decode()))
    return 1 if failures or check.check_differences() else 0


def speed():
    def at(n):
        return at(n - 1) if n else min(check.check_speed(1000) for _ in range(500))
    print("Python %s: one capture" % sys.version.split()[0], end="")
    for n in (5, 50, 200):
        print(", %d deep: %.1f ns" % (n, at(n - 3)), end="")
    print()


def start():
    with tempfile.TemporaryDirectory() as folder:
        result = check.check_start(os.path.join(folder, "check.jsonl").encode(), DEPTH)
        if result:
            sys.exit("check_start: %d" % result)
        try:
            return speed() if sys.argv[3:] == ["speed"] else main()
        finally:
            check.check_end()


if __name__ == "__main__":
    sys.exit(start())
