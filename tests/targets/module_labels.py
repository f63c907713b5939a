# SPDX-License-Identifier: MIT
"""Labels, ignored scopes and tracked regions from Python: keeps blocks of 5000 bytes and more."""
import os
import threading

import memshim

kept = []


def keep(size=5000):
    kept.append(bytearray(size))


@memshim.label("loading")
def load():
    keep()
    with memshim.label("parsing"):
        keep()
    keep()


def run_thread():
    with memshim.label("thread"):
        keep()
    keep()  # without a label


def make_ignored():
    kept.append(bytearray(7000))


def keep_region():
    domain = memshim.domain("device")
    address = 0x10000  # nothing is read there that cannot be
    memshim.track(domain, address, 4096)
    memshim.track(domain, address + 4096, 4096)
    assert memshim.untrack(domain, address + 4096) is memshim.loaded
    assert memshim.untrack(domain, address + 4096) is False
    assert (domain > 0) is memshim.loaded


load()
loading = memshim.label("loading")
with loading:
    with loading:
        keep()
thread = threading.Thread(target=run_thread)
thread.start()
thread.join()
with memshim.ignored(), memshim.quiet():
    make_ignored()
keep_region()
try:
    with memshim.label("given up"):
        raise KeyError
except KeyError:
    keep()  # the label has ended
for wrong in ("", "x" * 64, "\0", "\ud800"):
    try:
        with memshim.label(wrong):
            assert not memshim.loaded and wrong in ("", "x" * 64)
    except ValueError:
        pass
if memshim.loaded:
    try:
        memshim.track(0, 0, 1)
    except ValueError:
        pass
    else:
        raise AssertionError("NULL was tracked")
os._exit(0)
