# SPDX-License-Identifier: MIT
"""Small workloads made of the standard library and plain Python, for scripts/bench.

workloads.py NAME [FACTOR]  runs one and prints the CPU seconds of this process that it took
workloads.py --list         prints the names
"""
import asyncio
import copy
import decimal
import io
import json
import logging
import pickle
import random
import re
import sqlite3
import string
import sys
import time
import xml.etree.ElementTree as tree


def records(count):
    return [
        {"id": i, "name": "name %d" % i, "tags": ["a", "b", str(i)], "score": i / 7, "nested": {"x": [i, None, True]}}
        for i in range(count)
    ]


def json_dumps(factor):
    data = records(300)
    for _ in range(12 * factor):
        json.dumps(data)


def json_loads(factor):
    text = json.dumps(records(300))
    for _ in range(14 * factor):
        json.loads(text)


def pickle_dumps(factor):
    data = records(300)
    for _ in range(30 * factor):
        pickle.dumps(data)


def pickle_loads(factor):
    data = pickle.dumps(records(300))
    for _ in range(30 * factor):
        pickle.loads(data)


def deep_copy(factor):
    data = records(60)
    for _ in range(10 * factor):
        copy.deepcopy(data)


def regex_compile(factor):
    patterns = [r"(\w+)\s*=\s*(\d+|'[^']*')", r"^\s*(?:def|class)\s+([A-Za-z_]\w*)", r"[a-f0-9]{8}(-[a-f0-9]{4}){3}"]
    for _ in range(8 * factor):
        for pattern in patterns:
            re.purge()
            re.compile(pattern)


def regex_match(factor):
    text = " ".join("key%d = 'value %d'" % (i, i) for i in range(400))
    pattern = re.compile(r"(\w+)\s*=\s*'([^']*)'")
    for _ in range(60 * factor):
        pattern.findall(text)
        pattern.sub(r"\2=\1", text)


def xml_etree(factor):
    for _ in range(3 * factor):
        root = tree.Element("root")
        for i in range(700):
            child = tree.SubElement(root, "item", id=str(i))
            tree.SubElement(child, "name").text = "name %d" % i
        text = tree.tostring(root)
        for element in tree.fromstring(text).iter("name"):
            element.text.upper()


def sqlite(factor):
    database = sqlite3.connect(":memory:")
    database.execute("create table t (a integer, b text, c real)")
    for _ in range(factor):
        database.executemany("insert into t values (?, ?, ?)", [(i, "text %d" % i, i / 3) for i in range(6000)])
        for _ in range(4):
            database.execute("select b, sum(a), avg(c) from t group by b order by 2 desc").fetchall()
        database.execute("delete from t")


def logs(factor):
    logger = logging.getLogger("bench")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.handlers = [logging.StreamHandler(io.StringIO())]
    logger.handlers[0].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for i in range(5000 * factor):
        logger.info("request %d took %.3f s", i, i / 1000)
        logger.debug("not shown %d", i)


def asyncio_tree(factor):
    async def node(depth):
        if depth == 0:
            await asyncio.sleep(0)
            return 1
        return sum(await asyncio.gather(*[node(depth - 1) for _ in range(5)]))

    for _ in range(factor):
        asyncio.run(node(4))


class Task:
    def __init__(self, number, priority):
        self.number = number
        self.priority = priority
        self.inbox = []

    def step(self, tasks):
        if self.inbox:
            message = self.inbox.pop(0)
            target = tasks[(self.number * 7 + message[1]) % len(tasks)]
            if message[1] > 0:
                target.inbox.append((self.number, message[1] - 1, dict(priority=self.priority)))
            return True
        return False


def scheduler(factor):
    """In the manner of richards: tasks that send each other messages."""
    for _ in range(3 * factor):
        tasks = [Task(i, i % 5) for i in range(20)]
        for task in tasks:
            task.inbox.append((0, 300, {}))
        while any([task.step(tasks) for task in tasks]):
            pass


class Variable:
    def __init__(self, value):
        self.value = value
        self.constraints = []


class Constraint:
    def __init__(self, source, target, function):
        self.source, self.target, self.function = source, target, function
        source.constraints.append(self)

    def apply(self):
        self.target.value = self.function(self.source.value)
        return self.target.constraints


def constraints(factor):
    """In the manner of deltablue: values that run through chains of constraints."""
    for _ in range(14 * factor):
        chain = [Variable(0) for _ in range(1500)]
        for one, two in zip(chain, chain[1:]):
            Constraint(one, two, lambda value: value + 1)
        chain[0].value = 1
        plan = list(chain[0].constraints)
        while plan:
            plan.extend(plan.pop().apply())


def telco(factor):
    rate, tax = decimal.Decimal("0.0013"), decimal.Decimal("0.0675")
    total = decimal.Decimal(0)
    for i in range(45000 * factor):
        price = (rate * i).quantize(decimal.Decimal("0.01"))
        total += price + (price * tax).quantize(decimal.Decimal("0.01"))


def n_queens(factor):
    def place(row, columns, left, right, size):
        if row == size:
            return 1
        found = 0
        for column in range(size):
            if column not in columns and row + column not in left and row - column not in right:
                found += place(row + 1, columns | {column}, left | {row + column}, right | {row - column}, size)
        return found

    for _ in range(factor):
        place(0, frozenset(), frozenset(), frozenset(), 7)


def templates(factor):
    template = string.Template("<tr><td>$name</td><td>$value</td></tr>")
    for _ in range(4 * factor):
        rows = [template.substitute(name="row %d" % i, value=i * 1.5) for i in range(1000)]
        "\n".join(rows).replace("<td>", "<th>").split("\n")


def numbers(factor):
    generator = random.Random(1)
    for _ in range(4 * factor):
        points = [complex(generator.random(), generator.random()) for _ in range(10000)]
        sorted(points, key=abs)
        sum(point * point.conjugate() for point in points)


def generators(factor):
    def count(depth):
        if depth:
            for value in count(depth - 1):
                yield value
            for value in count(depth - 1):
                yield value
        else:
            yield object()

    for _ in range(6 * factor):
        for _ in count(11):
            pass


def dictionaries(factor):
    for _ in range(3 * factor):
        counts = {}
        for i in range(20000):
            counts.setdefault("key %d" % (i % 3000), []).append((i, i * 2))
        {key: len(value) for key, value in counts.items()}


def object_pair(factor, depth):
    """Nanoseconds of one object() made and dropped in a stack of `depth` Python frames."""

    def descend(left):
        if left > 1:
            return descend(left - 1)
        start = time.process_time()
        for _ in range(200000 * factor):
            object()
        return time.process_time() - start

    sys.setrecursionlimit(10000)
    return descend(depth - 3) / (200000 * factor) * 1e9


# Name, and the factor with which it takes some 50 ms where nothing slows it down.
WORKLOADS = {
    json_dumps: 15, json_loads: 20, pickle_dumps: 25, pickle_loads: 18, deep_copy: 25, regex_compile: 50,
    regex_match: 4, xml_etree: 12, sqlite: 3, logs: 2, asyncio_tree: 15, scheduler: 16, constraints: 2, telco: 4,
    n_queens: 150, templates: 12, numbers: 6, generators: 16, dictionaries: 5,
}


def main(name, factor="1"):
    if name == "--list":
        print(" ".join(workload.__name__ for workload in WORKLOADS))
    elif name.startswith("object_"):
        print("seconds %.6f" % object_pair(int(factor), int(name[len("object_"):])))
    else:
        workload = {workload.__name__: workload for workload in WORKLOADS}[name]
        workload(1)
        start = time.process_time()
        workload(int(factor) * WORKLOADS[workload])
        print("seconds %.6f" % (time.process_time() - start))


if __name__ == "__main__":
    main(*sys.argv[1:])
