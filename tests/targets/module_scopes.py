# SPDX-License-Identifier: MIT
"""What pieces of code leave allocated, measured from Python: module_scopes.py EXTENSION-FOLDER ROUNDS."""
import json
import os
import re
import sys
import threading
import warnings

import memshim
import memshim.testing

if len(sys.argv) > 1 and sys.argv[1]:
    sys.path.insert(0, sys.argv[1])
    import leaky
else:
    leaky = None
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 100

kept = []


class Node:
    def __init__(self, other=None):
        self.other = other


def arithmetic():
    return sum(i * i for i in range(200))


def containers():
    table = {str(i): [i] * 10 for i in range(100)}
    return sorted(table.values()), set(table), tuple(table)


def cycles():
    a = Node()
    a.other = Node(a)


def texts():
    return json.loads(json.dumps({"a": [1, 2.5, None, "x" * 1000]})), re.sub(r"(\w)b", "", "abcabc")


def failing():
    try:
        raise ValueError("x" * 100)
    except ValueError:
        pass


def threads():
    thread = threading.Thread(target=arithmetic)
    thread.start()
    thread.join()


# keeps its last result, and only that
def replacing():
    replacing.last = bytes(500)


clean = [arithmetic, containers, cycles, texts, failing]


def without_shim():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = memshim.detect_leaks(lambda: kept.append(bytes(100)))
        with memshim.check_leaks() as scope:
            kept.append(bytes(100))
    assert not result.measured and not scope.measured and not result and result.leaks == []
    assert "not loaded" in str(result), str(result)
    assert len(caught) == 1 and caught[0].category is RuntimeWarning, caught
    assert memshim.check() == 0 and memshim.mark() == 0 and memshim.snapshot() == 0 and memshim.report() is None
    assert memshim.recording(True) is False
    assert set(memshim.get_memory_stats()) == {"handle_count", "total_size", "loaded"}


def clean_functions():
    for function in clean + [replacing]:
        for _ in range(rounds):
            result = memshim.detect_leaks(function, warmup=1)
            assert result.measured and result.bytes_leaked == 0 and result.blocks == 0, "%s: %s" % (function, result)
    for function in clean:
        for _ in range(1100):  # CPython up to 3.10 makes a cache at the 1024th call of a function
            function()
        for _ in range(rounds):
            with memshim.check_leaks():
                function()


def planted():
    size = sys.getsizeof(bytes(1000))
    assert memshim.detect_leaks(lambda: kept.append(bytes(1000))).bytes_leaked == size
    with memshim.check_leaks(raise_on_leak=False) as result:
        mine = bytes(1000)
    assert result.bytes_leaked == size and result.blocks == 1 and result, str(result)
    leak = result.leaks[0]
    assert leak.domain in ("obj", "malloc", "raw") and leak.bytes == size
    assert leak.stack[0].function == "planted" and leak.stack[0].file.endswith("module_scopes.py"), leak.stack
    assert "Memory leak detected: %d bytes leaked" % size in str(result)
    del mine


def planted_in_c():
    for function, size in ((lambda: leaky.parse("x"), 64), (leaky.resize, 128), (leaky.token, None)):
        results = [memshim.testing.detectLeaks(function) for _ in range(20)]
        assert len({(r.bytes_leaked, r.blocks) for r in results}) == 1, [str(r) for r in results]
        assert results[0].blocks == 1
        assert size is None or results[0].bytes_leaked == size, str(results[0])
        modules = [frame.module for frame in results[0].leaks[0].stack if frame.language == "native"]
        assert any("leaky" in module for module in modules), modules


def labels():
    for _ in range(3):  # the first times the interpreter keeps frames for the next ones
        with memshim.check_leaks(label="mine", raise_on_leak=False) as result:
            kept.append(bytes(3000))
            with memshim.label("mine"):
                kept.append(bytes(1000))
    assert result.bytes_leaked == sys.getsizeof(bytes(1000)) and result.blocks == 1, str(result)
    mine = memshim.label("mine")(lambda: kept.append(bytes(2000)))
    assert memshim.detect_leaks(mine, label="mine").bytes_leaked == sys.getsizeof(bytes(2000))
    assert not memshim.detect_leaks(mine, label="yours")
    try:
        memshim.check_leaks(label="x" * 64)
    except ValueError:
        pass
    else:
        raise AssertionError("too long")


def limits():
    with memshim.check_leaks(max_bytes=5000):
        kept.append(bytes(1000))
    with memshim.check_leaks(max_blocks=3, max_bytes=10000):
        kept.append(bytes(1000))
    try:
        with memshim.check_leaks(max_bytes=5000):
            kept.append(bytes(6000))
    except memshim.LeakError as error:
        assert "module_scopes.py" in str(error), error
    else:
        raise AssertionError("no LeakError")
    try:
        with memshim.check_leaks():
            kept.append(bytes(6000))
            raise KeyError("its own")
    except KeyError:
        pass

    @memshim.check_leaks()
    def decorated(size):
        "documented"
        if size:
            kept.append(bytes(size))

    decorated.__wrapped__(0)
    decorated(0)
    assert decorated.__doc__ == "documented" and decorated.__name__ == "decorated"
    try:
        decorated(size=1000)
    except memshim.LeakError:
        pass
    else:
        raise AssertionError("no LeakError")
    try:
        memshim.detect_leaks(lambda: kept.append(bytes(1000)), raise_on_leak=True)
    except memshim.LeakError:
        pass
    else:
        raise AssertionError("no LeakError")
    assert not memshim.detect_leaks(lambda: None, raise_on_leak=True)


def other_threads():
    def lose():
        kept.append(bytes(100000))

    def run():
        thread = threading.Thread(target=lose)
        thread.start()
        thread.join()

    threads()
    run()
    with memshim.check_leaks(raise_on_leak=False) as own:
        run()
    with memshim.check_leaks(raise_on_leak=False, all_threads=True) as every:
        run()
    assert own.bytes_leaked < 100000 <= every.bytes_leaked, (str(own), str(every))


def process():
    stats = memshim.get_memory_stats()
    if "live_blocks" not in stats:
        return  # a shim that does not tell
    assert stats["live_bytes"] > 0 and stats["allocations"] >= stats["live_blocks"] > 0, stats
    assert memshim.mark("here") >= 1 and memshim.mark() >= 2
    assert memshim.recording(True) is True
    kept.append(bytes(12345))
    report = memshim.report()
    assert [p.pid for p in report.processes] == [os.getpid()]
    mine = [leak for leak in report.leaks if any(frame.function == "process" for frame in leak.stack)]
    assert sum(leak.bytes for leak in mine) >= 12345, mine


if memshim.loaded:
    kept.extend([None] * 10000)  # room, so that an append allocates nothing
    del kept[:]
    clean_functions()
    planted()
    if leaky:
        planted_in_c()
    labels()
    limits()
    other_threads()
    process()
    print("measured")
else:
    without_shim()
    print("not measured")
