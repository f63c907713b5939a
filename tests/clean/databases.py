"""A database in memory with functions in Python, and an encrypted connection that fails."""
import ssl
import sqlite3


class Sum:
    def __init__(self):
        self.total = 0

    def step(self, value):
        self.total += value

    def finalize(self):
        return self.total


database = sqlite3.connect(":memory:")
database.row_factory = sqlite3.Row
database.create_function("double", 1, lambda value: 2 * value)
database.create_aggregate("total_of", 1, Sum)
database.create_collation("backwards", lambda a, b: (a < b) - (a > b))
database.execute("create table numbers (value integer, name text)")
with database:
    database.executemany("insert into numbers values (?, ?)", [(i, str(i)) for i in range(100)])
assert database.execute("select total_of(double(value)) from numbers").fetchone()[0] == 9900
rows = [dict(row) for row in database.execute("select * from numbers order by name collate backwards")]
assert rows[0]["name"] == "99"
try:
    database.execute("select nothing")
except sqlite3.OperationalError:
    pass
database.close()

context = ssl.create_default_context()
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
connection = context.wrap_bio(incoming, outgoing, server_hostname="example.org")
for answer in [b"", b"no answer to a client's hello"]:
    incoming.write(answer)
    try:
        connection.do_handshake()
    except ssl.SSLError:
        pass
assert outgoing.read()
