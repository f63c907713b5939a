# SPDX-License-Identifier: MIT
"""A server that forks its workers beforehand, as WSGI servers do: SIGHUP replaces them all, a worker that was killed is replaced, SIGTERM
ends them. Its signals come from itself. Every process prints "kept PID 0 0", by which compare.py knows that it must have a report."""
import os
import select
import signal
import socket
import sys
import threading
import time

WORKERS = 3


def tell():
    os.write(1, f"kept {os.getpid()} 0 0\n".encode())


def work(listener):
    """Serves until a signal ends it."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGQUIT, lambda *_: os._exit(0))
    tell()
    while True:
        readable, _, _ = select.select([listener], [], [], 0.05)
        if not readable:
            continue
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            continue
        thread = threading.Thread(target=answer, args=(connection,))
        thread.start()
        thread.join()


def answer(connection):
    with connection:
        request = connection.recv(1000)
        connection.sendall(b"".join([bytes([byte]) * 100 for byte in request]))


def start(listener):
    pid = os.fork()
    if pid == 0:
        try:
            work(listener)
        finally:
            sys.stdout.flush()
    return pid


def ask(address):
    with socket.create_connection(address) as connection:
        connection.sendall(b"request")
        return len(connection.recv(1000))


def end(workers, number):
    for pid in workers:
        os.kill(pid, number)
    for pid in workers:
        os.waitpid(pid, 0)


def main():
    wanted = []
    signal.signal(signal.SIGHUP, lambda *_: wanted.append("reload"))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(50)
    listener.setblocking(False)
    tell()
    workers = [start(listener) for _ in range(WORKERS)]
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGKILL):
        if any(not ask(listener.getsockname()) for _ in range(10)):
            sys.exit("no answer")
        os.kill(os.getpid(), signal.SIGHUP)
        while not wanted:
            time.sleep(0.01)
        wanted.clear()
        new = [start(listener) for _ in range(WORKERS)]
        end(workers, number)
        workers = new
    end(workers, signal.SIGTERM)


main()
