# SPDX-License-Identifier: MIT
"""memshim from inside Python: what a piece of code leaves allocated, memory handles, shared pools.

Everything works without memshim; what only it can tell (check_leaks, detect_leaks) then says so. Under it
(`memshim run`, or `python3 -m memshim run app.py`) misuse of handles and pools, and what is left at the end, is in
the report.
"""
import enum
import functools
from typing import NamedTuple, Optional

from . import _caches, _memshim
from ._memshim import (
    AEGP_FreeMemHandle,
    AEGP_GetMemHandleSize,
    AEGP_GetMemStats,
    AEGP_LockMemHandle,
    AEGP_MemFlag_CLEAR,
    AEGP_MemFlag_NONE,
    AEGP_MemFlag_QUIET,
    AEGP_NewMemHandle,
    AEGP_ResizeMemHandle,
    AEGP_SetMemReportingOn,
    AEGP_UnlockMemHandle,
    LeakError,
    MemoryAlloc,
    MemoryAllocations,
    MemoryPool,
    PoolAttachFail,
    PoolCreateFail,
    PoolError,
    buffer_exports,
    check,
    domain,
    loaded,
    mark,
    recording,
    snapshot,
    track,
    untrack,
    version,
)

__version__ = _memshim.version


class AllocType(enum.IntEnum):
    """Types of allocations in a pool. Programs may use other numbers from 1 on."""

    DATA = 1
    CHANNEL = 2
    CHANNEL_BUFFER = 3
    BOOTSTRAP = 4


_memshim._set_kinds(AllocType)
_memshim._set_caches(_caches.find)


# ---- handles ----


def get_memory_stats():
    """handle_count: memory handles not freed; total_size: their bytes; loaded: whether memshim is.

    If it is, also what the process has allocated: allocations, frees, live_blocks, live_bytes and others."""
    stats = AEGP_GetMemStats()
    stats["loaded"] = loaded
    stats.update(_memshim._counts())
    return stats


def enable_memory_reporting(enable):
    """Turn the reporting of handles on (as it is at the start) or off."""
    AEGP_SetMemReportingOn(enable)


# ---- the process ----


def report():
    """The leak report of this process as it is now: an object with processes, leaks and errors, as in the JSON report.

    A snapshot is taken and read by the program memshim. None while memshim is not loaded."""
    import json
    import os
    import subprocess
    import tempfile
    import types

    from .__main__ import find_program

    program = find_program()
    if not loaded or program is None:
        return None
    environment = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "MEMSHIM_OPTIONS")}
    with tempfile.TemporaryDirectory(prefix="memshim-") as folder:
        path = os.path.join(folder, "now.jsonl")
        if not snapshot(path):
            return None
        command = [program, "report", "--format", "json", path]
        text = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout
    return json.loads(text.decode(), object_hook=lambda fields: types.SimpleNamespace(**fields))


# ---- what the program says of its work ----


class _Stated:
    """Context manager and decorator, of the thread that enters it. Can be entered again and again, also in itself."""

    _begin, _end = 0, 0

    def __enter__(self):
        _memshim._change_scope(self._begin)
        return self

    def __exit__(self, *exception):
        _memshim._change_scope(self._end)
        return False

    def __call__(self, function):
        @functools.wraps(function)
        def stated(*args, **keywords):
            with self:
                return function(*args, **keywords)

        return stated


class label(_Stated):
    """with memshim.label("loading"): what this thread allocates inside has the label in reports; also a decorator.

    The innermost of nested labels counts. A label has 1 to 63 bytes (ValueError), and should be one of a few: what has
    different labels is told apart. It is the thread's: where a coroutine waits inside, it is also of what the others do."""

    def __init__(self, what):
        self.what = what

    def __enter__(self):
        _memshim._label_push(self.what)
        return self


class ignored(_Stated):
    """with memshim.ignored(): what this thread allocates inside is no leak, nor what only that leads to; also a decorator."""

    _begin, _end = 3, 4


class quiet(_Stated):
    """with memshim.quiet(): of errors that this thread comes upon nothing is written on stderr; the report has them."""

    _begin, _end = 1, 2


# ---- buffers ----


def track_buffers(*types):
    """From now on, keep an account of the buffers that objects of these types give out (memoryview(x), and what C code
    takes by PyObject_GetBuffer). Without arguments: bytearray, memoryview, array.array and mmap.mmap.

    What was not given back at the end is in the report, as domain "buffer", with type, length, format and shape, and the
    stack that took it; buffer_exports() lists it at any time. Types of extensions can be named as well. Those without a
    release function (bytes, numpy.ndarray) can only be followed under memshim, else TypeError; and where the interpreter is
    linked statically, only what extension modules and memoryviews take of them. Classes with __buffer__ (3.12) are seen by what they
    hand on."""
    if not types:
        import array
        import mmap

        types = (bytearray, memoryview, array.array, mmap.mmap)
    _memshim._track_buffers(types)


# ---- scopes ----


class Frame(NamedTuple):
    """A frame of a stack: Python ones have function, file and line, native ones module and offset."""

    language: str
    function: Optional[str]
    file: Optional[str]
    line: int
    module: Optional[str]
    offset: Optional[int]

    def __str__(self):
        if self.language == "python":
            return "%s (%s:%d)" % (self.function, self.file, self.line)
        return "%s+0x%x" % (self.module or "?", self.offset)


class Leak(NamedTuple):
    """Blocks of one stack; its innermost frame comes first, Python frames before native ones."""

    domain: str
    blocks: int
    bytes: int
    stack: list

    def __str__(self):
        shown = [frame for frame in self.stack if frame.language == "python"] or self.stack
        lines = ["%d bytes in %d blocks (%s)" % (self.bytes, self.blocks, self.domain)]
        return "\n    ".join(lines + [str(frame) for frame in shown[:8]])


class _Result(_memshim.Scope):
    """What was found: bytes_leaked, blocks, leaks, measured."""

    @property
    def leaks(self):
        """A Leak for each stack, the largest first."""
        rows = [Leak(d, n, b, [Frame(*f) for f in frames]) for d, n, b, frames in self._leaks]
        return sorted(rows, key=lambda leak: -leak.bytes)

    def __bool__(self):
        """Whether something leaked."""
        return self.blocks > 0

    def __str__(self):
        if not self.measured:
            return "not measured: memshim is not loaded"
        if not self.blocks:
            return "no leaks"
        head = "Memory leak detected: %d bytes leaked in %d blocks" % (self.bytes_leaked, self.blocks)
        return "\n  ".join([head] + [str(leak) for leak in self.leaks[:10]])


class check_leaks(_Result):
    """Context manager and decorator: LeakError if the code leaves more allocated than `max_bytes` or `max_blocks`.

        with memshim.check_leaks() as result:
            work()
        print(result.bytes_leaked, result.leaks)

    What counts are blocks that the calling thread (all_threads=True: any thread) allocated in between and that are still
    there, after a garbage collection (collect=False: without one): lost, or held by variables and caches of the program, a
    function's lru_cache for one. What only the interpreter and its library keep for the next time (frames, free lists,
    interned strings, re's patterns, modules that were imported and what those have) is in bytes_cached and blocks_cached
    instead. raise_on_leak=False only measures.
    label="text": only what has this label counts. Without memshim nothing is measured, with one RuntimeWarning.
    """

    def __init__(self, **options):
        super().__init__(**options)
        self._options = options

    def __call__(self, function):
        @functools.wraps(function)
        def checked(*args, **keywords):
            with check_leaks(**self._options):
                # the result is allocated in the scope, and the caller's: it is measured with the rest
                return function(*args, **keywords)

        return checked


def detect_leaks(
    function,
    *,
    warmup=2,
    rounds=3,
    confirm=8,
    all_threads=False,
    max_bytes=0,
    max_blocks=None,
    raise_on_leak=False,
    label=None
):
    """Call function() `warmup` times and then measure what a call leaves allocated, up to `rounds` times.

    A leak is there each time, and still there after `confirm` more calls (which are made only when something is left);
    what is left only once, or replaced later, is a cache. Returns an object with bytes_leaked, blocks, leaks (with
    stacks), measured; of the round that left least. The result of the function is dropped."""
    result = _Result(
        max_bytes=max_bytes, max_blocks=max_blocks, all_threads=all_threads, raise_on_leak=raise_on_leak, label=label
    )
    result._measure(function, warmup, rounds, confirm)
    limit = max_blocks if max_blocks is not None else float("inf") if max_bytes else 0
    if raise_on_leak and (result.bytes_leaked > max_bytes or result.blocks > limit):
        raise LeakError(str(result))
    return result


__all__ = [
    "AEGP_FreeMemHandle",
    "AEGP_GetMemHandleSize",
    "AEGP_GetMemStats",
    "AEGP_LockMemHandle",
    "AEGP_MemFlag_CLEAR",
    "AEGP_MemFlag_NONE",
    "AEGP_MemFlag_QUIET",
    "AEGP_NewMemHandle",
    "AEGP_ResizeMemHandle",
    "AEGP_SetMemReportingOn",
    "AEGP_UnlockMemHandle",
    "AllocType",
    "Frame",
    "Leak",
    "LeakError",
    "MemoryAlloc",
    "MemoryAllocations",
    "MemoryPool",
    "PoolAttachFail",
    "PoolCreateFail",
    "PoolError",
    "buffer_exports",
    "check",
    "check_leaks",
    "detect_leaks",
    "domain",
    "enable_memory_reporting",
    "get_memory_stats",
    "ignored",
    "label",
    "loaded",
    "mark",
    "quiet",
    "recording",
    "report",
    "snapshot",
    "track",
    "track_buffers",
    "untrack",
    "version",
]

from . import sdk  # noqa: E402
