# SPDX-License-Identifier: MIT
"""Uses a lot of the interpreter and prints what must not depend on who watches."""
import collections
import gc
import hashlib
import json
import re
import sqlite3
import sys
import weakref
import zlib

data = [{"key %d" % i: [i, str(i) * 3, float(i), None, {"deep": list(range(i % 7))}]} for i in range(500)]
text = json.dumps(data, sort_keys=True)
assert json.loads(text) == data
print(hashlib.sha256(text.encode()).hexdigest())
print(len(zlib.decompress(zlib.compress(text.encode()))))
print(collections.Counter(re.findall(r"[a-z]+", text)).most_common(2))


class Node:
    def __init__(self):
        self.me = self


nodes = [Node() for _ in range(1000)]
references = [weakref.ref(node) for node in nodes]
del nodes
gc.collect()
print(sum(reference() is not None for reference in references))

database = sqlite3.connect(":memory:")
database.execute("create table t (a, b)")
database.executemany("insert into t values (?, ?)", [(i, str(i)) for i in range(1000)])
print(database.execute("select sum(a), max(b) from t").fetchone())

print(sys.getsizeof([]), sys.getsizeof({}), sys.getsizeof("x"), sys.getsizeof(1), sys.getsizeof(b"x" * 1000))
big = bytearray(10 ** 7)
big.extend(b"x" * 10 ** 6)
print(len(big), memoryview(big)[10 ** 7])
try:
    bytearray(2 ** 62)
except MemoryError:
    print("MemoryError")
