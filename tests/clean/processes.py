"""Work in other processes, forked and started anew."""
import multiprocessing
import os


def square(number):
    return [number * number]


def answer(queue):
    queue.put({"pid": os.getpid()})


if __name__ == "__main__":
    for method in "fork", "spawn":
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool:
            assert pool.map(square, range(20))[3] == [9]
            pool.close()
            pool.join()
        queue = context.Queue()
        process = context.Process(target=answer, args=(queue,))
        process.start()
        assert queue.get()["pid"] == process.pid
        process.join()
