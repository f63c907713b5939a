# SPDX-License-Identifier: MIT
"""Loses 30 tokens and ends in the way that the argument says."""
import ctypes
import os
import signal
import sys

import leaky


def lose_tokens():
    for _ in range(30):
        leaky.token()


lose_tokens()
print("lost 30 tokens", flush=True)
how = sys.argv[1]
if how == "_exit":
    os._exit(11)
if how == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if how == "abort":
    os.abort()
if how == "segv":
    ctypes.string_at(0)
if how == "sys.exit":
    sys.exit(12)
if how == "raise":
    raise RuntimeError("the end")
if how == "exec":
    os.execv(sys.executable, [sys.executable, "-c", "print('second image')"])
