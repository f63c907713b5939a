"""Ends by os._exit, with the interpreter and its threads alive."""
import os
import threading


class Node:
    pass


keep = [Node() for i in range(1000)]
for number, node in enumerate(keep):
    node.list = [number]
    node.by_number = {number: node}

ready = threading.Barrier(4)
never = threading.Event()


def hold():
    nodes = [Node() for i in range(100)]
    ready.wait()
    never.wait()
    del nodes


for i in range(3):
    threading.Thread(target=hold, daemon=True).start()
ready.wait()
os._exit(0)
