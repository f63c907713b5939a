# SPDX-License-Identifier: MIT
"""Calls functions of the extension beside the built targets: lose_references.py EXTENSION FUNCTION..."""
import ctypes
import sys

extension = ctypes.PyDLL(sys.argv[1])


def lose(name):
    function = extension[name]
    function.restype = None
    if name == "lose_method":
        function(ctypes.py_object(print))
    else:
        function()


def overwrite(depth=40):
    """Leaves other values where the stack still had some of what was lost."""
    return depth and overwrite(depth - 1) + sum(map(len, [str(depth)] * 3))


for argument in sys.argv[2:]:
    lose(argument)
overwrite()
