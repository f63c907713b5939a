/* SPDX-License-Identifier: MIT
 *
 * Freed blocks that are kept back, so that a use of them can be found: queues of batches. Each thread fills a batch of its own
 * with what it frees, and empties one of the oldest when there is too much, as many bytes as it adds: so that what leaves can be
 * fetched into the cache before, and goes back to the allocator at the pace at which new blocks are made. A block that Python's
 * allocators made may be given back only by a thread that holds the interpreter's lock, so these have queues of their own; and
 * big blocks have, so that one of them does not push out thousands of small ones. Inside the guard of thread.h. */
#ifndef SHIM_QUARANTINE_H
#define SHIM_QUARANTINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum quarantine_pool { QUARANTINE_LIBC, QUARANTINE_PYTHON, QUARANTINE_POOL_COUNT };

#define QUARANTINE_BATCH 64u
#define QUARANTINE_COST 80u /* bytes around a block and in its record */

struct quarantine_entry {
    uintptr_t address;
    uint64_t size;
    uint32_t id; /* of the record */
};

struct quarantine_batch {
    struct quarantine_batch *next;
    uint64_t bytes;
    uint32_t count;
    struct quarantine_entry entries[QUARANTINE_BATCH];
};

/* What one thread has not handed over yet, and what it has taken out. */
struct quarantine_cache {
    struct quarantine_batch *open[QUARANTINE_POOL_COUNT];
    struct quarantine_batch *leaving[QUARANTINE_POOL_COUNT];
    uint32_t left[QUARANTINE_POOL_COUNT]; /* entries of `leaving` that are gone */
    struct quarantine_batch *spare;
    uint32_t generation; /* ledger generation for which they are valid */
    uint32_t forgotten;  /* quarantine_forget_python was called so often */
};

/* Bytes that all queues together may hold. */
void quarantine_init(uint64_t bytes);

/* False: a block of so many bytes is never kept back. */
bool quarantine_keeps(size_t size);

/* Keeps back a block. False: there is no memory for that. */
bool quarantine_add(struct quarantine_cache *cache, uint32_t generation, enum quarantine_pool pool,
                    const struct quarantine_entry *entry);

/* Takes out one of the oldest blocks if there are too many: the block is the caller's to give back. After quarantine_add. */
bool quarantine_take(struct quarantine_cache *cache, enum quarantine_pool pool, struct quarantine_entry *ret);

/* Hands everything over; for a thread that ends. */
void quarantine_flush(struct quarantine_cache *cache, uint32_t generation);

/* Forgets Python's blocks: their memory is gone, or not ours to give back any more. */
void quarantine_forget_python(void);

/* In a forked child. */
void quarantine_fork_child(void);

#endif
