# SPDX-License-Identifier: MIT
"""Loses 1 token in this process, and 10, 20, .. in children that multiprocessing starts in the way the argument says."""
import multiprocessing
import sys

import leaky


def lose_tokens(count):
    for _ in range(count):
        leaky.token()


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    lose_tokens(1)
    children = [context.Process(target=lose_tokens, args=(10 * (i + 1),)) for i in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    print("exit codes:", [child.exitcode for child in children])
