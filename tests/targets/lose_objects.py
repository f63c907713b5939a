"""Loses objects by a reference that is never given back, and blocks of CPython's allocators."""
import ctypes

api = ctypes.pythonapi
keep = api.Py_IncRef
keep.argtypes = [ctypes.py_object]
api.PyMem_RawMalloc.restype = ctypes.c_void_p
api.PyMem_RawMalloc.argtypes = [ctypes.c_size_t]


class Thing:
    def __init__(self, value):
        self.value = value


def lose_instances():
    for i in range(7):
        keep(Thing(None))


def lose_floats():
    for i in range(17):
        keep(i * 1.25)


def lose_raw():
    for i in range(4):
        api.PyMem_RawMalloc(72)


lose_instances()
lose_floats()
lose_raw()
