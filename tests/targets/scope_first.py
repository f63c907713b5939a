# SPDX-License-Identifier: MIT
"""The same as scope_clean.py in a process where nothing has been imported yet: what the first import of a module of the library,
and its first use, leave behind are caches only. scope_first.py ROUNDS NAME"""
import sys

import memshim
from scope_library import hashes, secure, zones


def named_zones():
    try:
        import zoneinfo
        return zoneinfo.ZoneInfo("UTC").utcoffset(None)
    except ImportError:  # before 3.9
        pass


def tmpdir():
    import tempfile
    with tempfile.TemporaryDirectory():
        pass


def warned():
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.warn("nothing")


def sqlite():
    import sqlite3
    sqlite3.connect(":memory:").close()


def decimals():
    import decimal
    return decimal.Decimal("1.1") * 3


def xmls():
    import xml.etree.ElementTree as tree
    return tree.fromstring("<a><b c='d'>t</b></a>")


def compressed():
    import bz2, lzma, zlib
    return (zlib.compress(b"x" * 1000), bz2.compress(b"y" * 1000), lzma.compress(b"z" * 1000))


def resolved():
    import socket
    return socket.getaddrinfo("127.0.0.1", 80)


clean = True
for number in range(int(sys.argv[1])):
    with memshim.check_leaks(raise_on_leak=False) as result:
        globals()[sys.argv[2]]()
    if not result.measured or result or result.bytes_leaked:
        print("%s, round %d: %s" % (sys.argv[2], number, result))
        clean = False
if not clean:
    sys.exit(1)
print("clean")
