# SPDX-License-Identifier: MIT
"""Fills many arenas of the interpreter and keeps a few blocks in each. Argument: how to end."""
import os
import signal
import sys

kept = []


def fill():
    return [(number,) for number in range(200000)]


def work():
    for _ in range(3):
        many = fill()
        kept.append(many[::2000])
        del many


work()
if sys.argv[1] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[1] == "fork" and os.fork():
    os.wait()
os._exit(0)
