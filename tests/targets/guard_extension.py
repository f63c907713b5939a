# SPDX-License-Identifier: MIT
"""Calls the extension beside the built targets: guard_extension.py EXTENSION."""
import ctypes
import sys

extension = ctypes.PyDLL(sys.argv[1])
extension.count_letters.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
extension.count_letters.restype = ctypes.c_size_t


def greet():
    return extension.count_letters(b"good morning, all", 16)


print(greet())
