# SPDX-License-Identifier: MIT
"""Loses four tokens at the end of a recursion 500 calls deep."""
import sys

import leaky


def descend(depth):
    if depth == 0:
        for _ in range(4):
            leaky.token()
        return 0
    return descend(depth - 1) + 1


sys.setrecursionlimit(2000)
print(descend(500))
