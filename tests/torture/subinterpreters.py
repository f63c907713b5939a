# SPDX-License-Identifier: MIT
"""Runs code in subinterpreters, one after the other and in threads side by side, in the ways that this version of Python has."""
import sys
import threading

CODE = """
import json
data = [{str(i): [i] * 3} for i in range(500)]
for _ in range(3):
    data = json.loads(json.dumps(data))
class Kept:
    pass
kept = [Kept() for _ in range(100)]
"""


def module():
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            return __import__(name)
        except ImportError:
            continue
    return None


def run(interpreters):
    made = interpreters.create()
    result = interpreters.run_string(made, CODE)
    interpreters.destroy(made)
    if result is not None and result is not False:
        print("failed", result)


def main():
    interpreters = module()
    if interpreters is None:
        print("none")
        return
    for _ in range(5):
        run(interpreters)
    if sys.version_info >= (3, 12):
        threads = [threading.Thread(target=run, args=(interpreters,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print("done")


main()
