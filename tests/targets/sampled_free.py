# SPDX-License-Identifier: MIT
"""Makes and drops blocks of all kinds under sampling, and says whose function frees Python's objects.

sampled_free.py [stop]   `stop`: tracemalloc, which runs from the start, is stopped halfway
"""
import ctypes
import gc
import os
import sys
import threading
import tracemalloc

try:
    import _xxsubinterpreters as interpreters
except ImportError:
    interpreters = None


class Allocator(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("context", "malloc", "calloc", "realloc", "free")]


def library(address):
    with open("/proc/self/maps") as maps:
        for line in maps:
            start, end = (int(word, 16) for word in line.split()[0].split("-"))
            if start <= address < end:
                return os.path.basename(line.split()[-1])


def frees(domain):
    allocator = Allocator()
    ctypes.pythonapi.PyMem_GetAllocator(domain, ctypes.byref(allocator))
    return "shim" if library(allocator.free) == "libmemshim.so" else "interpreter"


def work(rounds):
    for i in range(rounds):
        grown, table = bytearray(), {}
        for size in range(400):
            grown += bytes(size % 90)
            table[str(size)] = [bytes(size * 2), [size] * (size % 70), size / 3]
        while len(table) > i % 100:
            table.popitem()
        if len(grown) != sum(size % 90 for size in range(400)) or any(key != str(len(bytes(int(key)))) for key in table):
            raise SystemExit("contents have changed")


def work_in_threads():
    threads = [threading.Thread(target=work, args=(40,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def work_in_child():
    child = os.fork()
    if child == 0:
        work(60)
        os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if hasattr(os, "waitstatus_to_exitcode") else \
        os.WEXITSTATUS(os.waitpid(child, 0)[1])


def work_in_interpreters():
    for _ in range(3 if interpreters else 0):
        other = interpreters.create()
        interpreters.run_string(other, "x = [{str(i): [i] * 9 for i in range(300)} for _ in range(200)]\n"
                                       "y = [bytes(i) for i in range(3000)]\n")
        interpreters.destroy(other)


def main(*arguments):
    kept = [[str(i)] for i in range(20000)]
    work(150)
    gc.collect()
    before = sys.getallocatedblocks()
    work(150)
    gc.collect()
    print("blocks kept:", abs(sys.getallocatedblocks() - before) < 300)
    if "stop" in arguments:
        tracemalloc.stop()
    work(100)
    del kept[::2]
    work_in_threads()
    print("child:", work_in_child())
    work_in_interpreters()
    work(50)
    print("freed by:", frees(1), frees(2))


main(*sys.argv[1:])
