# SPDX-License-Identifier: MIT
"""Three places make more and more objects between marks: garbage that the collector has yet to come to, a list that the program
keeps, and one in a cycle that becomes garbage only when its function returns. grow_garbage.py INTERVALS exit|_exit|kill"""
import ctypes
import gc
import os
import signal
import sys

mark = ctypes.CDLL(None).memshim_mark
cache = []


class Node:
    pass


class Holder:
    def __init__(self):
        self.itself = self
        self.items = []


def make_garbage():
    for _ in range(20):
        node = Node()
        node.itself = node
        node.other = bytearray(100)


def keep():
    for _ in range(20):
        cache.append(bytearray(200))


def hold(holder):
    for _ in range(20):
        holder.items.append(bytearray(300))


def serve(intervals):
    holder = Holder()
    for _ in range(intervals + 1):
        make_garbage()
        keep()
        hold(holder)
        mark(None)


if __name__ == "__main__":
    gc.disable()
    serve(int(sys.argv[1]))
    if sys.argv[2] == "_exit":
        os._exit(0)
    if sys.argv[2] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
