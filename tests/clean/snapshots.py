# Takes snapshots in the middle of things: nothing is lost at any of them.
import ctypes
import os
import threading

snapshot = ctypes.CDLL(None).memshim_snapshot
snapshot.argtypes = [ctypes.c_char_p]
snapshot.restype = ctypes.c_int


def take(name):
    result = snapshot(os.path.join(os.environ["SNAPSHOTS"], name + ".jsonl").encode())
    if result < 1:
        print(name, result)


import asyncio
import json
import re
import sqlite3

take("imports")


class Node:
    def __init__(self):
        self.me = self
        self.more = {1: [2], "t": (1, [2], {})}


for _ in range(50):
    Node()
take("cycles")


async def main():
    await asyncio.sleep(0.001)
    take("coroutine")


asyncio.new_event_loop().run_until_complete(main())

table = {str(i): [i, float(i), (i,)] for i in range(1000)}
del table

begun, end = threading.Barrier(4), threading.Event()


def work():
    mine = [object() for _ in range(100)]
    begun.wait()
    end.wait()
    return mine


threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
begun.wait()
take("threads")
end.set()
for thread in threads:
    thread.join()

sorted(range(100), key=lambda x: take("key") or 0 if x == 50 else x)
re.sub("a", lambda match: take("match") or "b", "ab")
database = sqlite3.connect(":memory:")
database.execute("create table t(a)")
database.executemany("insert into t values(?)", [(str(i),) for i in range(100)])
take("database")
