/* SPDX-License-Identifier: MIT
 *
 * Freed blocks that are kept back, so that a use of them can be found: queues of records, linked through record.mark. Each thread
 * collects what it frees and hands it over in batches. A block that Python's allocators made may be given back only by a thread
 * that holds the interpreter's lock, so these have queues of their own; and big blocks have, so that one of them does not push
 * out thousands of small ones. Inside the guard of thread.h. */
#ifndef SHIM_QUARANTINE_H
#define SHIM_QUARANTINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum quarantine_pool { QUARANTINE_LIBC, QUARANTINE_PYTHON, QUARANTINE_POOL_COUNT };

/* A list of records. */
struct quarantine_list {
    uint32_t first, last, count;
    uint64_t bytes;
};

/* What one thread has not handed over yet. */
struct quarantine_cache {
    struct quarantine_list lists[QUARANTINE_POOL_COUNT];
    uint32_t generation; /* ledger generation for which they are valid */
    uint32_t forgotten;  /* quarantine_forget was called so often */
};

/* Bytes that all queues together may hold. */
void quarantine_init(uint64_t bytes);

/* False: a block of so many bytes is never kept back. */
bool quarantine_keeps(size_t size);

/* Keeps back the block of record `id`. */
void quarantine_add(struct quarantine_cache *cache, uint32_t generation, enum quarantine_pool pool, uint32_t id,
                    size_t size);

/* Takes out up to `room` of the oldest blocks that are too much. Returns their number. */
size_t quarantine_take(enum quarantine_pool pool, uint32_t *ids, size_t room);

/* Hands everything over; for a thread that ends. */
void quarantine_flush(struct quarantine_cache *cache, uint32_t generation);

/* Forgets Python's blocks: their memory is gone, or not ours to give back any more. */
void quarantine_forget_python(void);

/* In a forked child. */
void quarantine_fork_child(void);

#endif
