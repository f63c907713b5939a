# SPDX-License-Identifier: MIT
"""Objects that are reachable by attributes only, of an instance whose __dict__ nobody has asked for, and of one where somebody
has; the process ends at once."""
import os


class Box:
    def __init__(self, other):
        self.first = 1
        self.second = 2
        self.content = other


class Open(Box):
    pass


plain = Box(Box(bytearray(1000)))
opened = Open(bytes(5000))
opened.__dict__
os._exit(0)
