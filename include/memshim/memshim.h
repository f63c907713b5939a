/* SPDX-License-Identifier: MIT
 *
 * For programs that want to know whether memshim is tracing them. Nothing to link: the names are weak, and a program built
 * with this header runs unchanged without the shim. */
#ifndef MEMSHIM_MEMSHIM_H
#define MEMSHIM_MEMSHIM_H

#include <stddef.h>

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

/* ---- memory that the shim cannot see by itself ---- */

/* A domain is a number with a name, under which reports show what belongs to it. A program may use numbers of its own below 2^31 (as
 * for CPython's PyTraceMalloc_Track, which is heard as well), that are shown as "domain-N" (389047 as "numpy", 0 as "tracked"); or
 * ask for one by name. Returns the number of the domain called `name`, the same one each time; 0 (the domain "tracked") when the name
 * cannot be had: NULL, empty, longer than 63 bytes, with control characters, that of an allocator ("malloc", "obj", ..), or there
 * are more than 1000 domains already. NULL while the shim is not loaded. Thread-safe, not for signal handlers. */
extern unsigned memshim_domain(const char *name) __attribute__((weak));

/* The `size` bytes at `p` are in use from now on: a live block of `domain` with the stack of the caller, in all counts, leak reports
 * and snapshots. The leak scan looks for pointers to it and, where the memory can be read, for pointers in it; one to which
 * nothing points is lost. A region that is tracked already gets the new size and stack.
 *
 * `p` may lie anywhere: in memory that was mapped, in static data, on a device, or in a block that was allocated: that one is then
 * the container of the regions in it. It is there as long as a region in it is used; what it holds between them are taken for
 * its allocator's lists, which keep no region in use (nor does what is near to regions in mapped memory). Container and regions are
 * counted both. A block of malloc, operator new,
 * PyMem_RawMalloc or PyMem_Malloc that begins at `p` and has `size` bytes is shown in the domain instead, and counted once. A
 * block of PyObject_Malloc stays what it is.
 *
 * Returns 0, or -EINVAL: `p` is NULL or not an address of the process, `size` is no size; -ENOMEM: it could not be recorded; -ENODEV:
 * this process is not traced; -EAGAIN: called from a signal handler that interrupted an allocation. NULL while the shim is
 * not loaded. Thread-safe. */
extern int memshim_track(unsigned domain, const void *p, size_t size) __attribute__((weak));

/* It is not in use any more; to be called before the memory is given back. Returns 0, -ENOENT: nothing is tracked there in this domain
 * (a forked child does not know the regions of its parent); or as memshim_track. */
extern int memshim_untrack(unsigned domain, const void *p) __attribute__((weak));

/* ---- pools of custom allocators ----
 *
 * For allocators that free much at once: regions that belong to a pool are tracked like others, and end with it. A pool is known by
 * an address of the program's choice, that of its own data for one; nothing is read there. All are thread-safe, not for signal
 * handlers, NULL while the shim is not loaded, and return 0, or -ENODEV and -EAGAIN as memshim_track, or -EINVAL: NULL, or no size;
 * -ENOENT: no such pool, or nothing of it there; -ENOMEM: it could not be recorded. With the option sample, pools are not recorded. */

/* The pool `pool` begins, whose regions are in `domain` (memshim_domain). -EEXIST: there is one. */
extern int memshim_mempool_create(unsigned domain, const void *pool) __attribute__((weak));

/* The `size` bytes at `p` are in use, as memshim_track has it. One that is in use already gets the new size and stack. */
extern int memshim_mempool_alloc(const void *pool, const void *p, size_t size) __attribute__((weak));

/* They are not in use any more. */
extern int memshim_mempool_free(const void *pool, const void *p) __attribute__((weak));

/* Only what lies in the `size` bytes at `p` stays in use: regions outside of it are freed, others cut. */
extern int memshim_mempool_trim(const void *pool, const void *p, size_t size) __attribute__((weak));

/* Frees all regions of the pool, which is no more. */
extern int memshim_mempool_destroy(const void *pool) __attribute__((weak));

/* ---- what a thread says of its work ---- */

/* Blocks that the calling thread makes from now on (and regions that it tracks, and blocks that it resizes) have the label `what` in
 * reports, up to the memshim_label_pop that belongs to it; the innermost of nested labels counts. The text (1 to 63 bytes) is
 * copied. Labels are part of what is told apart: use few different ones. Returns 0, or -EINVAL: `what` is NULL, empty or too
 * long, or nothing is left to be popped; -ENOMEM; -ENODEV: this process is not traced; -EAGAIN: called from a signal
 * handler that interrupted an allocation. NULL while the shim is not loaded. Of the calling thread only, not for signal handlers. */
extern int memshim_label_push(const char *what) __attribute__((weak));
extern int memshim_label_pop(void) __attribute__((weak));

/* In a quiet scope nothing is written on stderr of errors that the calling thread comes upon; the report has them. Scopes nest.
 * Returns as memshim_label_push. */
extern int memshim_quiet_push(void) __attribute__((weak));
extern int memshim_quiet_pop(void) __attribute__((weak));

/* What the calling thread makes in an ignored scope is no leak, nor is what only such blocks lead to: reports count them, and show
 * them when asked for, as suppressed. Scopes nest. Returns as memshim_label_push. */
extern int memshim_ignore_push(void) __attribute__((weak));
extern int memshim_ignore_pop(void) __attribute__((weak));

/* 1 while the shim is loaded, else 0. */
static inline int memshim_is_loaded(void)
{
    return &memshim_version != 0;
}

#ifdef __cplusplus
}
#endif

#endif
