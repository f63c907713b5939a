# SPDX-License-Identifier: MIT
"""Pieces of code that leave nothing behind but caches: scope_clean.py ROUNDS NAME.., or "all". The first round counts."""
import asyncio
import contextlib
import ctypes
import decimal
import json
import os
import re
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading

import memshim
from scope_library import hashes, secure, zones


def lists():
    x = [str(k) for k in range(20)]
    del x


def dicts():
    return len({str(k): k for k in range(50)})


def sets():
    return len({str(k) for k in range(50)})


def gens():
    return sum((k * 1.5 for k in range(300)))


def inner(a, b=2, *c, **d):
    return (a, b, c, d)


def calls():
    def nested(n):
        return inner(n, 3, 4, x=5) if n == 0 else nested(n - 1)

    return nested(30)


def fstrings():
    a = 5
    b = "x" * 40
    return f"{a:>10} {b!r} {a + 1.5:.3f}"


def exceptions():
    try:
        {}["no"]
    except KeyError as e:
        try:
            raise ValueError("x") from e
        except ValueError:
            pass


class Thing:
    def __init__(self):
        self.a = 1
        self.b = [2]


def instances():
    for i in range(10):
        Thing()


def jsons():
    return json.loads(json.dumps({"a": [1, 2.5, None, "x" * 1000], "b": {"c": True}}))


def regex():
    return (re.sub("(\\w)b+c?", "", "abcabc"), re.compile("a|b*").match("aab"))


def sqlite():
    c = sqlite3.connect(":memory:")
    c.execute("create table t(a, b)")
    c.executemany("insert into t values(?, ?)", [(i, str(i)) for i in range(50)])
    rows = c.execute("select * from t order by b").fetchall()
    c.close()
    return len(rows)


def classes():
    class A:
        x = 1

        def f(self):
            return 1

    class B(A):

        def __init__(self):
            self.y = 2
    B().f()


async def co(n):
    await asyncio.sleep(0)
    return n


async def main():
    return await asyncio.gather(*[co(i) for i in range(5)])


def aio():
    return asyncio.run(main())


def threads():
    t = threading.Thread(target=gens)
    t.start()
    t.join()


def strformat():
    return ("{0:>10} {name!r:<5} {1.real}".format(1, 2.5, name="abc"), "%s %5.2f %r" % ("a", 1.25, [1]))


def decimals():
    return decimal.Decimal("1.1") * 3 + decimal.Decimal(2).sqrt()


def structs():
    return struct.unpack("<IHb", struct.pack("<IHb", 1, 2, 3))


def imports():
    import wave
    import colorsys
    return wave


def imports_c():
    import unicodedata, _csv, csv
    return unicodedata.name("a")


def generators():
    def g():
        x = (yield 1)
        while True:
            x = (yield x)
    i = g()
    next(i)
    i.send(3)
    i.close()


def ctyped():
    a = (ctypes.c_int * 10)(*range(10))
    ctypes.pythonapi.PyLong_AsLong(ctypes.py_object(5))
    CB = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)
    CB(lambda x: x)(3)
    p = ctypes.pointer(ctypes.c_int(3))
    return p.contents.value


def bytesy():
    b = bytearray(b'abc')
    b.extend(b'x' * 1000)
    m = memoryview(b)[2:]
    m.release()
    return bytes(b).upper()


def files():
    fd, p = tempfile.mkstemp()
    with os.fdopen(fd, "w") as f:
        f.write("hello\n" * 100)
    with open(p) as f:
        n = len(f.readlines())
    os.unlink(p)
    return n


def sub():
    return subprocess.run(["/bin/true"], stdout=subprocess.PIPE).returncode


def slots():
    class P:
        __slots__ = ("a", "b")
    p = P()
    p.a = 1


def props():
    return sorted(dir(Thing()), key=len)


def attrs():
    t = Thing()
    for i in range(30):
        setattr(t, "name%d" % i, i)


def ints():
    return ([i ** 30 for i in range(40)], sum([0.1] * 100))


def ctx():
    with contextlib.suppress(KeyError):
        raise KeyError

    @contextlib.contextmanager
    def m():
        yield 1
    with m():
        pass


def evals():
    return eval("1 + abc_%d" % 3, {"abc_3": 3})


def uni():
    return ([chr(i) for i in range(300)], "äöü".encode("utf-16").decode("utf-16"), "x".encode("latin-1"))


def matcher():
    a, *b = range(10)
    return {**{"a": a}, "b": b}


def sorting():
    return sorted([(i * 7 % 13, str(i)) for i in range(100)], key=lambda p: p[1])


def dt():
    import datetime
    return (datetime.datetime(2020, 1, 1).strftime("%Y-%m-%d"), datetime.datetime.strptime("2020-01-02", "%Y-%m-%d"))


def copies():
    import copy, pickle
    return (copy.deepcopy({"a": [1, 2, Thing()]}), pickle.loads(pickle.dumps([1, "a", Thing()])))


def enums():
    import enum

    class E(enum.Enum):
        A = 1
        B = 2
    return (E.A, E("B" and 2))


def abcs():
    import collections.abc as c
    return (isinstance(Thing(), c.Iterable), isinstance([], c.Sequence), issubclass(dict, c.Mapping))


def dataclass():
    import dataclasses

    @dataclasses.dataclass
    class D:
        a: int
        b: str = "x"
    return D(1)


def ntuple():
    import collections
    return collections.namedtuple("N", "a b")(1, 2)


def urls():
    import urllib.parse
    return (urllib.parse.urlparse("http://a/b?c=d"), urllib.parse.quote("ä/"))


def tpe():
    import concurrent.futures as f
    with f.ThreadPoolExecutor(2) as p:
        return list(p.map(abs, range(10)))


def big():
    x = [object() for _ in range(20000)]
    d = {i: [i] for i in range(20000)}

    def deep(n):
        return n and deep(n - 1)
    deep(500)


def fnm():
    import fnmatch, glob
    return (fnmatch.filter(["a", "b"], "a*"), glob.glob("/tmp/nothing*"))


def tb():
    import traceback
    try:
        1 / 0
    except ZeroDivisionError:
        return traceback.format_exc()


def weak():
    import weakref
    t = Thing()
    w = weakref.ref(t)
    d = weakref.WeakValueDictionary()
    d[1] = t
    weakref.finalize(t, int)


def csvs():
    import csv, io
    return list(csv.reader(io.StringIO("a,b\n1,2\n")))


def typings():
    import typing

    def f(x: typing.Optional[typing.List[int]]) -> typing.Dict[str, typing.Tuple[int, ...]]:
        pass
    return typing.get_type_hints(f)


def sockets():
    import socket
    a, b = socket.socketpair()
    a.send(b'x')
    b.recv(1)
    a.close()
    b.close()


def randoms():
    import random
    return (random.Random(1).sample(range(100), 5), random.random())


def itert():
    import itertools, collections, heapq, operator
    return (list(itertools.chain.from_iterable([[1], [2]])), collections.Counter("abc"), heapq.nsmallest(2, [3, 1, 2]), collections.deque([1], 5), collections.OrderedDict(a=1), collections.defaultdict(list, a=[1]))


def xmls():
    import xml.etree.ElementTree as E
    return E.tostring(E.fromstring("<a><b c='d'>t</b></a>"))


def tmpdir():
    with tempfile.TemporaryDirectory() as d:
        pathlib_use(d)


def warned():
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.warn("nothing")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warnings.warn("something")
        return len(seen)


def tmpdirs():
    with tempfile.TemporaryDirectory():
        pass


def pathlib_use(d):
    import pathlib
    p = pathlib.Path(d) / "x"
    p.write_text("abc")
    return (p.read_text(), list(pathlib.Path(d).iterdir()))


helpers = ("inner", "Thing", "co", "main", "pathlib_use")
bodies = {
    name: value
    for name, value in list(globals().items())
    if callable(value) and getattr(value, "__module__", "") in ("__main__", "scope_library") and name not in helpers
}


def check(name, rounds):
    """Whether each round left nothing."""
    clean = True
    for number in range(rounds):
        with memshim.check_leaks(raise_on_leak=False) as result:
            bodies[name]()
        if not result.measured or result or result.bytes_leaked:
            print("%s, round %d: %s" % (name, number, result))
            clean = False
    return clean


names = list(bodies) if sys.argv[2:] == ["all"] else sys.argv[2:]
if not all([check(name, int(sys.argv[1])) for name in names]):
    sys.exit(1)
print("clean")
