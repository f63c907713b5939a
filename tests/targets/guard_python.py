# SPDX-License-Identifier: MIT
"""Misuses CPython's allocators as a C extension would, by ctypes: guard_python.py WHAT. Each is harmless without memshim, or the
corrected variant of one that is not."""
import ctypes
import sys
import threading

api = ctypes.PyDLL(None)  # keeps the interpreter's lock
free_threads = ctypes.CDLL(None)  # gives it up around each call
MAKERS = {"raw": "PyMem_RawMalloc", "mem": "PyMem_Malloc", "obj": "PyObject_Malloc", "malloc": "malloc"}
RESIZERS = {"raw": "PyMem_RawRealloc", "mem": "PyMem_Realloc", "obj": "PyObject_Realloc", "malloc": "realloc"}
FREERS = {"raw": "PyMem_RawFree", "mem": "PyMem_Free", "obj": "PyObject_Free", "malloc": "free"}


def function(library, name, result, *arguments):
    found = getattr(library, name)
    found.restype, found.argtypes = result, arguments
    return found


def make(domain, size=24):
    return function(api, MAKERS[domain], ctypes.c_void_p, ctypes.c_size_t)(size)


def resize(domain, block, size):
    return function(api, RESIZERS[domain], ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)(block, size)


def free(domain, block, library=api):
    function(library, FREERS[domain], None, ctypes.c_void_p)(block)


def mismatch(made, freed):
    free(freed, make(made))


def overflow(domain):
    block = make(domain)
    ctypes.memset(block + 24, 0x78, 1)
    free(domain, block)


def overflow_resized(domain, size):
    """Of a block that was made by its first resizing."""
    block = resize(domain, resize(domain, None, 24), int(size))
    ctypes.memset(block + int(size), 0x78, 1)
    free(domain, block)


def resized(domain):
    block = None
    for size in 24, 24, 25, 700, 700, 3000, 1 << 19, (1 << 19) + 1, 600, 24, 0:
        block = resize(domain, block, size)
        ctypes.memset(block, size, size)
        assert ctypes.string_at(block, size) == bytes([size % 256]) * size
    free(domain, block)


def late_write(domain):
    block = make(domain)
    free(domain, block)
    ctypes.memset(block + 3, 0x78, 1)


def late_write_served(domain, size="24"):
    """What was written over is found when a new request gets the block."""
    block = make(domain, int(size))
    free(domain, block)
    ctypes.memset(block + 3, 0x78, 1)
    for _ in range(5000):
        free(domain, make(domain, int(size)))


def late_prefix(domain):
    block = make(domain)
    free(domain, block)
    ctypes.memset(block - 32, 0x78, 16)  # what memshim itself has there


def kept_prefix(domain):
    ctypes.memset(make(domain) - 32, 0x78, 16)


def read_over(domain):
    for _ in range(3000):  # some of them against an inaccessible page
        ctypes.string_at(make(domain, 32) + 32, 1)


def read_late(domain):
    for _ in range(3000):
        block = make(domain, 32)
        free(domain, block)
        ctypes.string_at(block + 3, 1)


def twice(domain):
    block = make(domain)
    free(domain, block)
    free(domain, block)


def unlocked(domain):
    block = function(free_threads, MAKERS[domain], ctypes.c_void_p, ctypes.c_size_t)(24)
    free(domain, block)


def in_subinterpreter():
    """Runs in other threads what belongs to an interpreter that this one has made."""
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters
    interpreter = interpreters.create()
    script = "import json; [json.loads(json.dumps({'a': [i] * 10})) for i in range(100)]"
    for _ in range(2):
        thread = threading.Thread(target=interpreters.run_string, args=(interpreter, script))
        thread.start()
        thread.join()
    interpreters.destroy(interpreter)


def clean(domain):
    block = make(domain)
    ctypes.memset(block, 0x78, 24)
    free(domain, block)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
