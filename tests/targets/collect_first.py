# SPDX-License-Identifier: MIT
"""Says "ready" and goes on until it is killed, with garbage that no collection has come to: collect_first.py MAIN, where MAIN says
what the main thread does: "python" runs Python code, "c" waits in C while another thread runs Python code, "alone" waits in C while
nobody does anything."""
import ctypes
import gc
import os
import sys
import threading

main = threading.get_native_id()


class Node:
    pass


def make_garbage():
    for _ in range(50):
        node = Node()
        node.itself = node


def work():
    while True:
        [bytearray(100) for _ in range(100)]


def wait_for_main():
    """Until it is in read(2)."""
    while True:
        with open(f"/proc/self/task/{main}/syscall") as file:
            if file.read().split()[0] == "0":
                break
    print("ready", flush=True)
    if sys.argv[1] == "c":
        work()


gc.set_threshold(0)
make_garbage()
if sys.argv[1] == "python":
    print("ready", flush=True)
    work()
read, pipe, buffer = ctypes.CDLL(None).read, os.pipe(), ctypes.create_string_buffer(1)
threading.Thread(target=wait_for_main, daemon=True).start()
read(pipe[0], buffer, 1)  # goes on after a signal
