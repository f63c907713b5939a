# SPDX-License-Identifier: MIT
"""Calls functions of the extension beside the built targets, with threads of its own at work: lose_states.py EXTENSION END
FUNCTION..., where END is exit, _exit, or the path of a snapshot."""
import ctypes
import os
import sys
import threading

extension = ctypes.PyDLL(sys.argv[1])
begun, done = threading.Semaphore(0), threading.Event()


def wait():
    begun.release()
    done.wait()


def wait_in_c():
    begun.release()
    ctypes.CDLL(None).pause()


threads = [threading.Thread(target=wait, daemon=True) for _ in range(3)]
threads += [threading.Thread(target=wait_in_c, daemon=True) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    begun.acquire()
for name in sys.argv[3:]:
    extension[name].restype = None
    extension[name]()
if sys.argv[2] == "_exit":
    os._exit(0)
if sys.argv[2] != "exit":
    assert ctypes.CDLL(None).memshim_snapshot(sys.argv[2].encode()) > 0
