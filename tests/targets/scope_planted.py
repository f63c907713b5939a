# SPDX-License-Identifier: MIT
"""What is planted in a scope is found, wherever it is kept, and with its exact bytes where nothing else is made for it."""
import atexit
import collections
import contextvars
import ctypes
import functools
import hashlib
import logging
import os
import signal
import sqlite3
import sys
import threading
import weakref

import memshim

size_of = sys.getsizeof
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]


class Kept(list):
    """With room, so that nothing is allocated to keep something."""

    def keep(self, value):
        self[self.used] = value
        self.used += 1


class Thing:
    def __init__(self, value=None):
        self.value = value


kept = Kept([None] * 1000)
kept.used = 0
holder = Thing()
table = {}
ordered = collections.OrderedDict()
local = threading.local()
local.value = 0
variable = contextvars.ContextVar("variable")


def lose(value):
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))


@functools.lru_cache(None)
def cached(size):
    return bytes(size)


def expect(function, least, blocks=None, **options):
    """With `blocks` the bytes are exact."""
    with memshim.check_leaks(raise_on_leak=False, **options) as result:
        function()
    found = (result.bytes_leaked, result.blocks)
    if found != (least, blocks) if blocks is not None else result.bytes_leaked < least:
        print("%s: %d bytes, %s blocks expected: %s" % (function.__name__, least, blocks, result))
        expect.failed = True


expect.failed = False


# ---- lost ----


def lost_block():
    libc.malloc(77777)


def lost_bytes():
    lose(bytes(2000))


def lost_list():
    lose([1, 2, 3, object()])


def lost_class():
    class Lost:
        pass

    lose(Lost)


def lost_cycle():
    thing = Thing()
    thing.value = thing
    lose(thing)


def lost_name():
    lose(sys.intern("a name made for %d" % kept.used))


lose(None)
expect(lost_block, 77777, 1)
expect(lost_bytes, size_of(bytes(2000)), 1)
expect(lost_list, 56 + 32 + 16, 3)
expect(lost_class, 900)
expect(lost_cycle, 40)
if sys.version_info < (3, 12):  # later the interpreter keeps them all
    expect(lost_name, 50)


# ---- kept ----


def kept_bytes():
    kept.keep(bytes(1000))


def kept_block():
    libc.malloc.kept = libc.malloc(4321)


def kept_list():
    holder.many = [bytes(100) for _ in range(10)]


def kept_class():
    class Kept:
        pass

    kept.keep(Kept)


def kept_attribute():
    holder.value = bytes(5000)


def kept_instance():
    kept.keep(Thing(bytes(3000)))


def kept_in_dict():
    table[len(table)] = bytes(800)


def kept_in_ordered_dict():
    ordered[len(ordered)] = bytes(900)


def kept_in_local():
    local.value = bytes(6000)


def kept_in_new_local():
    holder.local = threading.local()
    holder.local.value = bytes(7000)


def kept_in_variable():
    variable.set(bytes(8000))


def kept_in_cache():
    cached(9000)


def kept_in_function():
    lose.value = bytes(1100)


def kept_in_class():
    Thing.shared = bytes(1200)


def kept_in_generator():
    def generate():
        mine = bytes(1300)
        yield 1
        yield mine

    generator = generate()
    next(generator)
    kept.keep(generator)


def kept_at_exit():
    mine = bytes(1400)
    atexit.register(lambda: mine)


def kept_by_signal():
    mine = bytes(1500)
    signal.signal(signal.SIGUSR1, lambda *args: mine)


def kept_in_closure():
    mine = bytes(1600)
    kept.keep(lambda: mine)


def kept_in_exception():
    try:
        1 / 0
    except ZeroDivisionError as error:
        error.mine = bytes(1700)
        kept.keep(error)


def kept_by_weakref():
    mine = bytes(1800)
    kept.keep(weakref.ref(holder, lambda reference: mine))


def kept_in_environment():
    os.environ["SCOPE_PLANTED"] = "y" * 1900


def kept_in_logger():
    logging.getLogger("planted").mine = bytes(2100)


def kept_in_global():
    global planted
    planted = bytes(2200)


def kept_hash():
    kept.keep(hashlib.sha256(b"mine"))


def kept_connection():
    kept.keep(sqlite3.connect(":memory:"))


def kept_specific():
    libc.pthread_setspecific(key, ctypes.c_void_p(libc.malloc(2300)))


def lost_copy():
    libc.strdup(b"z" * 2400)


def in_thread():
    thread = threading.Thread(target=lambda: kept.keep(bytes(50000)))
    thread.start()
    thread.join()


expect(kept_bytes, size_of(bytes(1000)), 1)
expect(kept_block, 4321)
expect(kept_list, 56 + 10 * size_of(bytes(100)))
expect(kept_class, 900)
expect(kept_attribute, size_of(bytes(5000)), 1)
expect(kept_instance, size_of(bytes(3000)) + 40)
expect(kept_in_dict, size_of(bytes(800)))
expect(kept_in_ordered_dict, size_of(bytes(900)))
expect(kept_in_local, size_of(bytes(6000)), 1)
expect(kept_in_new_local, size_of(bytes(7000)))
expect(kept_in_variable, size_of(bytes(8000)))
expect(kept_in_cache, size_of(bytes(9000)))
expect(kept_in_function, size_of(bytes(1100)))
expect(kept_in_class, size_of(bytes(1200)))
expect(kept_in_generator, size_of(bytes(1300)))
expect(kept_at_exit, size_of(bytes(1400)))
expect(kept_by_signal, size_of(bytes(1500)))
expect(kept_in_closure, size_of(bytes(1600)))
expect(kept_in_exception, size_of(bytes(1700)))
expect(kept_by_weakref, size_of(bytes(1800)))
expect(kept_in_environment, 1900)
expect(kept_in_logger, size_of(bytes(2100)))
expect(kept_in_global, size_of(bytes(2200)))

# ---- C libraries ----

hashlib.sha256(b"first").digest()
sqlite3.connect(":memory:").close()
key = ctypes.c_uint()
libc.pthread_key_create(ctypes.byref(key), None)
expect(kept_hash, 200)  # with what OpenSSL has for it
expect(kept_connection, 10000)  # and SQLite
expect(kept_specific, 2300)
expect(lost_copy, 2401)

# ---- threads ----

in_thread()
expect(in_thread, 0, 0)
expect(in_thread, size_of(bytes(50000)), 1, all_threads=True)

go_on, ready = threading.Event(), threading.Event()


def wait():
    mine = bytes(60000)
    ready.set()
    go_on.wait()
    del mine


def start():
    thread = threading.Thread(target=wait)
    thread.start()
    ready.wait()
    kept.keep(thread)


expect(start, size_of(bytes(60000)), all_threads=True)
go_on.set()

if expect.failed:
    sys.exit(1)
print("found")
