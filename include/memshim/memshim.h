/* SPDX-License-Identifier: MIT
 *
 * For programs that want to know whether memshim is tracing them. Nothing to link: the names are weak, and a program built
 * with this header runs unchanged without the shim. */
#ifndef MEMSHIM_MEMSHIM_H
#define MEMSHIM_MEMSHIM_H

#ifdef __cplusplus
extern "C" {
#endif

/* "0.1.0"; the name is NULL while the shim is not loaded. Static storage, callable from any thread at any time. */
extern const char *memshim_version(void) __attribute__((weak));

/* With guard=1: looks at the guard bytes of all blocks and at the freed ones that are kept back, and notes what is wrong. Returns
 * the number of errors that were not known before. NULL while the shim is not loaded; callable from any thread. */
extern int memshim_check(void) __attribute__((weak));

/* Writes a leak report of this process, which goes on, to the new file `path` (NULL: beside the report that it leaves at its end,
 * as NAME.snapshot-N.jsonl), and returns when it is complete. Threads that allocate meanwhile wait for the short time in which
 * the process is copied; the report is made from the copy. With the option snapshot_collect=1, and where the caller holds the
 * interpreter's lock, Python collects garbage first.
 *
 * Returns N, the number of the snapshot, 1 or more; or -errno: -EEXIST there is such a file, -EBUSY another snapshot is being taken,
 * -EAGAIN another thread did not come out of an allocation, -ENODEV this process is not traced, -ENOMEM, -ENOSPC and others
 * as the system says. NULL while the shim is not loaded. Thread-safe; may be called from a signal handler. */
extern int memshim_snapshot(const char *path) __attribute__((weak));

/* Counts the live blocks of each stack, under the name `name` (NULL: none), and begins a new interval: the report then says which
 * stacks keep more and more blocks from one mark to the next. Returns the number of the mark, 1 or more, or -errno: -EBUSY another
 * thread is setting one, -EAGAIN called from a signal handler that interrupted an allocation, -ENODEV not traced, -ENOMEM, -ENOSPC.
 * NULL while the shim is not loaded. Thread-safe. */
extern int memshim_mark(const char *name) __attribute__((weak));

/* What this process has allocated and freed so far, as far as it was recorded. */
struct memshim_stats {
    unsigned long long allocations, frees;
    unsigned long long allocated_bytes, freed_bytes;
    unsigned long long live_blocks,
        live_bytes;             /* 0 rather than less: blocks that were there before may have been freed */
    unsigned long long dropped; /* allocations that could not be recorded */
    unsigned long long errors;  /* kinds of misuse seen so far */
};

/* Fills *stats, of which `size` bytes are known to the caller (sizeof(*stats)). Returns 0, or -ENODEV, then *stats is all 0.
 * Counts of other threads may be some events old. NULL while the shim is not loaded. Thread-safe and signal-safe. */
extern int memshim_get_stats(struct memshim_stats *stats, unsigned long size) __attribute__((weak));

/* Switches recording off (0) and on (1): blocks that are allocated while it is off are unknown, blocks that are freed are
 * accounted for. Returns what was in force before, or -ENODEV. NULL while the shim is not loaded. Thread-safe. */
extern int memshim_recording(int on) __attribute__((weak));

/* 1 while the shim is loaded, else 0. */
static inline int memshim_is_loaded(void)
{
    return &memshim_version != 0;
}

#ifdef __cplusplus
}
#endif

#endif
