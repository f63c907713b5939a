# SPDX-License-Identifier: MIT
# Asks for memory until there is none, in several ways, and expects MemoryError and nothing else; then goes on.
import sys


def grow_list():
    kept = []
    while True:
        kept.append(bytearray(100_000))


def grow_bytes():
    data = b"x"
    while True:
        data += data


def grow_text():
    text = "\u0394"
    while True:
        text += text


def grow_dict():
    kept = {}
    number = 0
    while True:
        number += 1
        kept[number] = [number]


def small_steps():
    for _ in range(20_000):
        [[], {}, object()]
        bytearray(700)


def main():
    ways = {
        "limit": (grow_list, grow_bytes, grow_text, grow_dict),
        "objects": (grow_dict,),
        "above": (grow_bytes, grow_text),
        "every": (small_steps,),
    }
    done = 0
    for way in ways[sys.argv[1]] * 2:
        try:
            way()
        except MemoryError:
            done += 1
    print(done, sum(range(1000)))


main()
