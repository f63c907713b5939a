/* SPDX-License-Identifier: MIT
 *
 * Freed blocks that are kept back, so that a use of them can be found. Small ones serve new requests after a while (lanes.h). For the
 * others there are queues of batches: each thread fills a batch of its own with what it frees; when a queue holds too much,
 * whoever notices lets the oldest batches go, whose memory it can fetch into the cache before. A thread has a queue of its own for
 * blocks of libc's. A block that Python's allocators made may be given back only by a thread that holds the interpreter's lock, so
 * these have a common one; so have big blocks, of which one must not push out thousands of small ones. Inside the guard of thread.h. */
#ifndef SHIM_QUARANTINE_H
#define SHIM_QUARANTINE_H

#include "compiler.h"
#include "lanes.h"
#include "quarantine_batch.h"

enum quarantine_pool { QUARANTINE_LIBC, QUARANTINE_PYTHON, QUARANTINE_POOL_COUNT };

/* Oldest first. */
struct quarantine_list {
    struct quarantine_batch *first, *last;
    uint64_t bytes;
};

/* What one thread has not handed over. */
struct quarantine_cache {
    struct quarantine_batch *open[QUARANTINE_POOL_COUNT];
    struct quarantine_batch *spare;
    uint32_t generation;         /* ledger generation for which they are valid */
    struct lanes lanes;          /* of libc's heap */
    struct quarantine_list list; /* blocks of libc's that are too large for lanes */
    uint64_t list_limit;         /* bytes in there */
};

/* Makes a cache valid for a ledger generation. */
void quarantine_renew(struct quarantine_cache *cache, uint32_t generation);

static _always_inline_ void quarantine_check(struct quarantine_cache *cache, uint32_t generation)
{
    if (unlikely(cache->generation != generation))
        quarantine_renew(cache, generation);
}

/* Bytes that all of it together may hold. */
void quarantine_init(uint64_t bytes);

/* Size of the interpreter's pools of blocks (a power of two), at whose start is what every free of a block changes. Aligned as they
 * are, these places have few sets of the processor's caches for all of them. */
extern _hidden_ uintptr_t quarantine_pool_size;

/* Bytes that a batch may hold before it is handed over. */
extern _hidden_ uint64_t quarantine_batch_bytes;

/* False: a block of so many bytes is never kept back. */
bool quarantine_keeps(size_t size);

/* Keeps back a block. False: there is no memory for that. */
bool quarantine_add(struct quarantine_cache *cache, uint32_t generation, enum quarantine_pool pool,
                    const struct quarantine_entry *entry);

/* The same for a block of `size` bytes after which its batch is not yet full, without a call: what is returned is to be
 * filled, and then goes to quarantine_added. NULL: nothing has been done. */
static _always_inline_ struct quarantine_entry *quarantine_adds(struct quarantine_cache *cache, uint32_t generation,
                                                                enum quarantine_pool pool, uint64_t size)
{
    struct quarantine_batch *batch = cache->open[pool];

    if (unlikely(!batch || cache->generation != generation))
        return NULL;
    uint64_t bytes = batch->bytes + size + QUARANTINE_COST;
    if (unlikely(batch->count >= QUARANTINE_BATCH - 1 || bytes >= quarantine_batch_bytes))
        return NULL;
    batch->bytes = bytes;
    return &batch->entries[batch->count];
}

static _always_inline_ void quarantine_added(struct quarantine_cache *cache, enum quarantine_pool pool)
{
    struct quarantine_batch *batch = cache->open[pool];

    __atomic_store_n(&batch->count, batch->count + 1, __ATOMIC_RELEASE);
    __builtin_prefetch(&batch->entries[batch->count + QUARANTINE_AHEAD / 2], 1);
}

/* Calls visit(entry, argument) for each block that is kept back, by this and other threads, which go on meanwhile: an entry
 * counts as long as its `place` stays. */
void quarantine_visit(uint32_t generation, void (*visit)(struct quarantine_entry *entry, void *argument),
                      void *argument);

/* Lets the oldest blocks go if there are too many: calls let_go(batch, argument) for whole batches, which takes each block out
 * (quarantine_leaves) and gives it back. After quarantine_add. */
void quarantine_shrink(struct quarantine_cache *cache, enum quarantine_pool pool,
                       void (*let_go)(struct quarantine_batch *batch, void *argument), void *argument);

#define QUARANTINE_LINES_AHEAD 20u /* of a block: what comes behind them is fetched in turn */
#define QUARANTINE_CHUNK_HEADER 16u

/* What waited long is in no cache any more. Most blocks with all that surrounds them lie on two or three lines. */
static _always_inline_ void quarantine_fetch(const struct quarantine_batch *batch, uint32_t number)
{
    if (number >= batch->count)
        return;
    const struct quarantine_entry *entry = &batch->entries[number];
    const uint8_t *start = (const uint8_t *)quarantine_address(entry->place);
    const uint8_t *at = start - block_distance - QUARANTINE_CHUNK_HEADER, *end = start + entry->size + block_trailer;
    __builtin_prefetch(at, 1);
    __builtin_prefetch(at + QUARANTINE_LINE, 1);
    __builtin_prefetch(end - 1, 1);
    if (quarantine_is_python(entry->place))
        __builtin_prefetch((const void *)((uintptr_t)start & -quarantine_pool_size), 1);
    if (likely(end - at <= 3 * QUARANTINE_LINE))
        return;
    end = MIN(end, at + (size_t)QUARANTINE_LINES_AHEAD * QUARANTINE_LINE);
    for (at += (size_t)2 * QUARANTINE_LINE; at < end; at += QUARANTINE_LINE)
        __builtin_prefetch(at, 1);
}

/* Takes out number `i` of a batch, and fetches one whose turn is soon. Its place is 0 if it was forgotten. */
static _always_inline_ struct quarantine_entry quarantine_leaves(struct quarantine_batch *batch, uint32_t i)
{
    struct quarantine_entry entry = batch->entries[i];

    quarantine_fetch(batch, i + QUARANTINE_AHEAD);
    batch->entries[i].place = 0;
    return entry;
}

/* What the calling thread was doing with `cache` will not be ended (jumps.c): the cache begins anew, and so does a queue that was being
 * changed. Blocks in there stay where they are. */
void quarantine_left(struct quarantine_cache *cache);

/* Hands everything over; for a thread that ends. */
void quarantine_flush(struct quarantine_cache *cache, uint32_t generation);

/* Forgets Python's blocks at addresses from `start` to `end`: their memory is gone, or not ours to give back any more. By a thread
 * that holds the interpreter's lock, if there is one. */
void quarantine_forget_python(uintptr_t start, uintptr_t end);

/* In a forked child. */
void quarantine_fork_child(void);

#endif
