/* SPDX-License-Identifier: MIT
 *
 * Block records: taken and given back by threads through small caches, which exchange whole batches through a lock-free
 * stack, so that memory stays bounded by the live blocks even when one thread allocates and another frees. Call it only
 * inside the guard of thread.h. */
#ifndef SHIM_RECORDS_H
#define SHIM_RECORDS_H

#include "compiler.h"
#include "ledger.h"

#include <stdbool.h>

#define RECORDS_BATCH 128u /* records in a full batch; divides the records of a segment */

/* Free records of one thread, the last one given back on top, and where they are. Two batches at most, so that a thread that
 * swings around a batch's edge does not exchange with the others each time. */
struct records_cache {
    uint32_t count;
    struct records_free {
        struct ledger_record *record;
        uint32_t id;
    } free[2 * RECORDS_BATCH];
};

/* records_take_both, with an empty cache. */
struct records_free records_take_slow(struct records_cache *cache);

/* Makes room in a full cache. */
void records_give_slow(struct records_cache *cache);

static inline struct ledger_record *records_get(uint32_t id)
{
    return ledger_entry(LEDGER_RECORDS, id);
}

/* A free record; of id 0 when the ledger is full. */
static _always_inline_ struct records_free records_take_both(struct records_cache *cache)
{
    return likely(cache->count) ? cache->free[--cache->count] : records_take_slow(cache);
}

/* Its id alone. */
static inline uint32_t records_take(struct records_cache *cache)
{
    return records_take_both(cache).id;
}

static inline bool records_is_full(const struct records_cache *cache)
{
    return cache->count == ARRAY_SIZE(cache->free);
}

/* Clears the record and puts it back into a cache that is not full. */
static _always_inline_ void records_give_known(struct records_cache *cache, const struct records_free *known)
{
    uint32_t top = cache->count;

    __atomic_store_n(&known->record->owner, 0, __ATOMIC_RELEASE);
    cache->free[top] = *known;
    cache->count = top + 1;
}

/* The same with its id alone. */
static _always_inline_ void records_give_plainly(struct records_cache *cache, uint32_t id)
{
    records_give_known(cache, &(struct records_free){records_get(id), id});
}

static inline void records_give(struct records_cache *cache, uint32_t id)
{
    if (unlikely(records_is_full(cache)))
        records_give_slow(cache);
    records_give_plainly(cache, id);
}

/* The same where no cache may be touched: a signal handler that interrupted the shim frees a block. */
void records_give_alone(uint32_t id);

/* Hands everything in the cache to other threads. */
void records_flush(struct records_cache *cache);

/* Forgets everything, for the new ledger of a forked child. */
void records_reset(void);

#endif
