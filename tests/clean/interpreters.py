"""Subinterpreters, one after the other and two at a time."""
import sys

if sys.version_info[:2] in ((3, 8), (3, 9), (3, 11)):  # these lose something with each
    sys.exit()
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

SCRIPT = """
import json, re, collections
items = [json.loads(json.dumps({"a": [i] * 10})) for i in range(100)]
class Node:
    def __init__(self):
        self.itself = self
nodes = [Node() for i in range(100)]
"""

for _ in range(3):
    first, second = interpreters.create(), interpreters.create()
    interpreters.run_string(first, SCRIPT)
    interpreters.run_string(second, SCRIPT)
    interpreters.destroy(first)
    interpreters.destroy(second)
