# SPDX-License-Identifier: MIT
"""Makes memory errors of random kinds among random work with blocks of random sizes and domains, each on a block of its own, and
prints how many of each kind memshim must find: guard_random.py SEED ERRORS LARGEST. Each has stacks of its own."""
import collections
import ctypes
import json
import random
import sys

api = ctypes.PyDLL(None)  # keeps the interpreter's lock
DOMAINS = ("raw", "mem", "obj", "malloc")
PREFIXES = {"raw": "PyMem_Raw%s", "mem": "PyMem_%s", "obj": "PyObject_%s"}


def functions(name, result, *arguments):
    found = {}
    for domain in DOMAINS:
        found[domain] = api[PREFIXES[domain] % name if domain in PREFIXES else name.lower()]
        found[domain].restype, found[domain].argtypes = result, arguments
    return found


malloc = functions("Malloc", ctypes.c_void_p, ctypes.c_size_t)
calloc = functions("Calloc", ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)
realloc = functions("Realloc", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
free = functions("Free", None, ctypes.c_void_p)
memset = api.memset
memset.restype, memset.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)


class Work:
    def __init__(self, seed, largest):
        self.random = random.Random(seed)
        self.largest = largest
        self.live = []
        self.expected = collections.Counter()

    def size(self):
        """Not 0: CPython asks for one byte then (PyMem_RawMalloc), and realloc frees."""
        return min(self.random.randint(1, self.random.choice((64, 64, 64, 600, 600, 5000, 300000))), self.largest)

    def make(self, domain, size):
        how = self.random.randrange(4)
        if how == 0:
            return calloc[domain](1, size)
        if how == 1:
            return realloc[domain](malloc[domain](self.size()), size)
        return malloc[domain](size)

    def churn(self, steps):
        for _ in range(steps):
            if self.live and self.random.random() < 0.5:
                index = self.random.randrange(len(self.live))
                self.live[index], self.live[-1] = self.live[-1], self.live[index]
                domain, block = self.live.pop()
                free[domain](block)
            else:
                domain, size = self.random.choice(DOMAINS), self.size()
                self.live.append((domain, self.make(domain, size)))
                memset(self.live[-1][1], self.random.randrange(256), size)

    def err(self, kind):
        domain, size = self.random.choice(DOMAINS), self.size()
        block = self.make(domain, size)
        self.expected[getattr(self, kind)(domain, block, size)] += 1

    def freed_with(self, domain, block, offset, size=1):
        memset(block + offset, 0x11, size)
        free[domain](block)

    def overflow(self, domain, block, size):
        self.freed_with(domain, block, size + self.random.choice((0, 0, 3)))
        return "overflow"

    def overflow_resized(self, domain, block, size):
        memset(block + size, 0x11, 1)
        free[domain](realloc[domain](block, self.size()))
        return "overflow"

    def overflow_kept(self, domain, block, size):
        memset(block + size, 0x11, 1)
        return "overflow"

    def underflow(self, domain, block, size):
        self.freed_with(domain, block, -1 - self.random.choice((0, 0, 3)))
        return "underflow"

    def prefix(self, domain, block, size):
        """What memshim itself has before a block."""
        self.freed_with(domain, block, -32, 16)
        return "underflow"

    def late_prefix(self, domain, block, size):
        free[domain](block)
        memset(block - 32, 0x11, 16)
        return "underflow"

    def late_write(self, domain, block, size):
        free[domain](block)
        memset(block + self.random.choice((0, size - 1, self.random.randrange(size))), 0x11, 1)
        return "use-after-free"

    def twice(self, domain, block, size):
        free[domain](block)
        free[domain](block)
        return "double-free"

    def mismatch(self, domain, block, size):
        free[self.random.choice([other for other in DOMAINS if other != domain])](block)
        return "domain-mismatch"

    def inside(self, domain, block, size):
        free[domain](block + self.random.randint(1, size))
        free[domain](block)
        return "invalid-free"


KINDS = ("overflow", "overflow_resized", "overflow_kept", "underflow", "prefix", "late_prefix", "late_write", "twice", "mismatch",
         "inside")


def main(seed, errors, largest):
    work = Work(seed, largest)
    for step in range(errors):
        work.churn(work.random.choice((0, 5, 200)))
        names = {"work": work}
        exec("def error_%d(kind): work.err(kind)" % step, names)
        names["error_%d" % step](work.random.choice(KINDS))
    for domain, block in work.live:
        if work.random.random() < 0.7:
            free[domain](block)
    print(json.dumps(work.expected))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
