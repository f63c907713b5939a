# SPDX-License-Identifier: MIT
"""Starts processes in the ways that Python has. Each prints "kept PID 0 0", by which compare.py knows that it must have a report."""
import multiprocessing
import os
import subprocess
import sys
import threading


def tell(*_):
    os.write(1, f"kept {os.getpid()} 0 0\n".encode())


def work(number):
    data = [str(i) * 3 for i in range(5000)]
    tell()
    return len(data) + number


def fork_beside_threads():
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            [bytearray(i) for i in range(200)]

    threads = [threading.Thread(target=churn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for i in range(10):
        pid = os.fork()
        if pid == 0:
            tell()
            os._exit(0 if work(1) == 5001 else 1)
        if os.waitpid(pid, 0)[1]:
            sys.exit("a child failed")
    stop.set()
    for thread in threads:
        thread.join()


def main():
    tell()
    for method in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            if pool.map(work, range(8)) != [5000 + i for i in range(8)]:
                sys.exit(f"{method}: wrong results")
            pool.close()
            pool.join()
    code = "import os; print('kept', os.getpid(), 0, 0)"
    for close_fds in (True, False):
        subprocess.run([sys.executable, "-c", code], check=True, close_fds=close_fds)
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", code], os.environ)
    if os.waitpid(pid, 0)[1]:
        sys.exit("the spawned process failed")
    fork_beside_threads()


if __name__ == "__main__":
    main()
