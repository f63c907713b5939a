# SPDX-License-Identifier: MIT
"""A database in memory, functions in Python, a backup."""
import sqlite3

from lose import lose


def double(value):
    return value * 2


def fill(connection):
    connection.execute("create table numbers (n integer primary key, name text)")
    connection.executemany("insert into numbers values (?, ?)", ((n, "name %d" % n) for n in range(2000)))
    connection.create_function("double", 1, double)
    lose(300)


def ask(connection):
    connection.commit()
    copy = sqlite3.connect(":memory:")
    connection.backup(copy)
    found = copy.execute("select count(*), max(name) from numbers where n % 3 = 0").fetchone()
    copy.close()
    return found


connection = sqlite3.connect(":memory:")
fill(connection)
print(ask(connection), connection.execute("select sum(double(n)) from numbers").fetchone())
connection.close()
