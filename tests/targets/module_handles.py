# SPDX-License-Identifier: MIT
"""Memory handles from Python, as their documentation uses them, and misused: module_handles.py good|bad|lost."""
import sys

import memshim as ae


def expect(exception, function, *args):
    try:
        function(*args)
    except exception as error:
        assert type(error) is exception, error
    else:
        raise AssertionError("no %s by %s%r" % (exception.__name__, function.__name__, args))


# ---- examples of the documentation ----


def create_handle():
    memH = ae.sdk.AEGP_NewMemHandle("MyData", 1024, ae.sdk.AEGP_MemFlag_CLEAR)
    try:
        size = ae.sdk.AEGP_GetMemHandleSize(memH)
        assert size == 1024
    finally:
        ae.sdk.AEGP_FreeMemHandle(memH)


def lock_and_unlock():
    memH = ae.sdk.AEGP_NewMemHandle("Data", 256)
    try:
        ptr = ae.sdk.AEGP_LockMemHandle(memH)
        try:
            assert ptr > 0
        finally:
            ae.sdk.AEGP_UnlockMemHandle(memH)
    finally:
        ae.sdk.AEGP_FreeMemHandle(memH)


def allocate_and_use_memory():
    memH = ae.sdk.AEGP_NewMemHandle(
        "MyBuffer",
        1024,
        ae.sdk.AEGP_MemFlag_CLEAR
    )

    try:
        size = ae.sdk.AEGP_GetMemHandleSize(memH)
        print(f"size: {size} bytes")
        ptr = ae.sdk.AEGP_LockMemHandle(memH)

        try:
            text = f"0x{ptr:X}"
            assert text.startswith("0x")
        finally:
            ae.sdk.AEGP_UnlockMemHandle(memH)

    finally:
        ae.sdk.AEGP_FreeMemHandle(memH)


def dynamic_buffer_example():
    memH = ae.sdk.AEGP_NewMemHandle("DynamicBuffer", 512)

    try:
        print(f"first: {ae.sdk.AEGP_GetMemHandleSize(memH)} bytes")
        ae.sdk.AEGP_ResizeMemHandle("Expand to 1KB", 1024, memH)
        print(f"then: {ae.sdk.AEGP_GetMemHandleSize(memH)} bytes")
        ae.sdk.AEGP_ResizeMemHandle("Expand to 4KB", 4096, memH)
        print(f"at last: {ae.sdk.AEGP_GetMemHandleSize(memH)} bytes")

    finally:
        ae.sdk.AEGP_FreeMemHandle(memH)


def detect_memory_leaks():
    ae.sdk.AEGP_SetMemReportingOn(True)

    try:
        stats_before = ae.sdk.AEGP_GetMemStats()
        handles = []
        for i in range(5):
            memH = ae.sdk.AEGP_NewMemHandle(f"Test{i}", 1024)
            handles.append(memH)
        assert ae.sdk.AEGP_GetMemStats()["total_size"] == stats_before["total_size"] + 5 * 1024

        for memH in handles:
            ae.sdk.AEGP_FreeMemHandle(memH)

        stats_after = ae.sdk.AEGP_GetMemStats()
        if stats_after["handle_count"] > stats_before["handle_count"]:
            print("there may be a leak")
        else:
            print("OK: no leak")

    finally:
        ae.sdk.AEGP_SetMemReportingOn(False)
        ae.enable_memory_reporting(True)


class MemoryHandle:
    def __init__(self, what, size, flags=0):
        self.what = what
        self.memH = ae.sdk.AEGP_NewMemHandle(what, size, flags)

    def __enter__(self):
        return self.memH

    def __exit__(self, exc_type, exc_val, exc_tb):
        if self.memH:
            ae.sdk.AEGP_FreeMemHandle(self.memH)
            self.memH = None
        return False

    def size(self):
        return ae.sdk.AEGP_GetMemHandleSize(self.memH)

    def resize(self, new_size):
        ae.sdk.AEGP_ResizeMemHandle(self.what, new_size, self.memH)


def safe_memory_usage():
    with MemoryHandle("SafeBuffer", 2048, ae.sdk.AEGP_MemFlag_CLEAR) as memH:
        assert ae.sdk.AEGP_GetMemHandleSize(memH) == 2048
        ptr = ae.sdk.AEGP_LockMemHandle(memH)
        try:
            assert ptr % 16 == 0
        finally:
            ae.sdk.AEGP_UnlockMemHandle(memH)
    print("freed by itself")


def good():
    create_handle()
    lock_and_unlock()
    allocate_and_use_memory()
    dynamic_buffer_example()
    detect_memory_leaks()
    safe_memory_usage()
    stats = ae.get_memory_stats()
    assert stats["handle_count"] == 0 and stats["total_size"] == 0, stats
    assert stats["loaded"] == ae.loaded
    memH = ae.AEGP_NewMemHandle(what="by name", size=8, flags=ae.AEGP_MemFlag_QUIET)
    ae.AEGP_ResizeMemHandle(what="by name", new_size=0, memH=memH)
    ae.AEGP_FreeMemHandle(memH=memH)


def bad():
    expect(ValueError, ae.AEGP_NewMemHandle, "Nothing", 0)
    expect(ValueError, ae.AEGP_NewMemHandle, "Less", -5)
    expect(ValueError, ae.AEGP_NewMemHandle, "Hidden", -5, ae.AEGP_MemFlag_QUIET)
    expect(ValueError, ae.AEGP_NewMemHandle, "Flags", 5, 64)
    expect(TypeError, ae.AEGP_NewMemHandle, 5, 5)
    expect(TypeError, ae.AEGP_NewMemHandle, "Data", "5")
    expect(RuntimeError, ae.AEGP_NewMemHandle, "Huge", 2**80)
    for function in (ae.AEGP_FreeMemHandle, ae.AEGP_LockMemHandle, ae.AEGP_UnlockMemHandle, ae.AEGP_GetMemHandleSize):
        expect(ValueError, function, 0)
        expect(RuntimeError, function, 0x1234)
        expect(RuntimeError, function, -1)
        expect(RuntimeError, function, 2**70)
        expect(TypeError, function, None)
    memH = ae.AEGP_NewMemHandle("Data", 16)
    expect(ValueError, ae.AEGP_ResizeMemHandle, "Less", -1, memH)
    expect(ValueError, ae.AEGP_ResizeMemHandle, "Null", 1, 0)
    expect(RuntimeError, ae.AEGP_UnlockMemHandle, memH)
    ae.AEGP_LockMemHandle(memH)
    expect(RuntimeError, ae.AEGP_ResizeMemHandle, "Locked", 32, memH)
    expect(RuntimeError, ae.AEGP_FreeMemHandle, memH)
    ae.AEGP_UnlockMemHandle(memH)
    ae.AEGP_FreeMemHandle(memH)
    expect(RuntimeError, ae.AEGP_FreeMemHandle, memH)


def lost():
    memH = ae.AEGP_NewMemHandle("Forgotten", 777)
    ae.AEGP_LockMemHandle(memH)


{"good": good, "bad": bad, "lost": lost}[sys.argv[1]]()
