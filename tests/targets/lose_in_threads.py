# SPDX-License-Identifier: MIT
"""Loses 25 tokens and 25 texts in each of 8 threads, deep in a recursion, in generators, coroutines and __del__."""
import asyncio
import threading

import leaky


def descend(depth):
    if depth:
        return descend(depth - 1)
    leaky.token()
    leaky.parse("x")
    return None


def generate():
    for _ in range(5):
        leaky.token()
        leaky.parse("x")
        yield


async def wait():
    for _ in range(5):
        leaky.token()
        leaky.parse("x")
        await asyncio.sleep(0)


class Last:
    def __del__(self):
        leaky.token()
        leaky.parse("x")


def work():
    for _ in range(10):
        descend(30)
    list(generate())
    asyncio.new_event_loop().run_until_complete(wait())
    for _ in range(5):
        Last()


threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("lost 200 tokens and 200 texts")
