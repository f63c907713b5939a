# SPDX-License-Identifier: MIT
"""What a module makes while it is imported is lost when the interpreter ends, and so is what is made later; lost at once is
something else. Uses the extension beside the built targets under a name as extensions have it: lose_at_end.py EXTENSION FOLDER."""
import ctypes
import os
import sys

MODULE = """
from __main__ import extension

kept = extension.make_capsule()
extension.lose_raw()
"""

folder = sys.argv[2]
os.symlink(sys.argv[1], os.path.join(folder, "lose.cpython-0.so"))
with open(os.path.join(folder, "made.py"), "w") as file:
    file.write(MODULE)
extension = ctypes.PyDLL(os.path.join(folder, "lose.cpython-0.so"))
extension.make_capsule.restype = ctypes.py_object
extension.lose_raw.restype = None
sys.path.insert(0, folder)


def later():
    return extension.make_capsule()


import made

kept = [later() for _ in range(10)]
