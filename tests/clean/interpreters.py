"""Subinterpreters, one after the other and two at a time."""
import sys

try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

IMPORTS = """
import json, re, collections
items = [json.loads(json.dumps({"a": [i] * 10})) for i in range(100)]
"""
SCRIPT = """
class Node:
    def __init__(self):
        self.itself = self
nodes = [Node() for i in range(100)]
"""

# With two interpreters at a time CPython 3.11.2 loses two dicts of classes for each time that both import enum, and 3.9 the module
# _sre: sys.getallocatedblocks() grows by 4 and by 10 or more for each, not so in 3.11.7 and 3.10. 3.9 also loses an empty frozenset
# of the module keyword, once.
if sys.version_info[:2] != (3, 9) and not (3, 11) <= sys.version_info < (3, 11, 7):
    SCRIPT += IMPORTS

for _ in range(3):
    first, second = interpreters.create(), interpreters.create()
    interpreters.run_string(first, SCRIPT)
    interpreters.run_string(second, SCRIPT)
    interpreters.destroy(first)
    interpreters.destroy(second)
