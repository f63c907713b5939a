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

/* Free records of one thread, the last one given back on top. Two batches at most, so that a thread that swings around a
 * batch's edge does not exchange with the others each time. */
struct records_cache {
    uint32_t count;
    uint32_t ids[2 * RECORDS_BATCH];
};

/* A free record's id, or 0 when the ledger is full. */
uint32_t records_take_slow(struct records_cache *cache);

/* Makes room in a full cache. */
void records_give_slow(struct records_cache *cache);

static inline struct ledger_record *records_get(uint32_t id)
{
    return ledger_entry(LEDGER_RECORDS, id);
}

static inline uint32_t records_take(struct records_cache *cache)
{
    return likely(cache->count) ? cache->ids[--cache->count] : records_take_slow(cache);
}

static inline bool records_is_full(const struct records_cache *cache)
{
    return cache->count == ARRAY_SIZE(cache->ids);
}

/* Clears the record and puts it back into a cache that is not full. */
static _always_inline_ void records_give_plainly(struct records_cache *cache, uint32_t id)
{
    __atomic_store_n(&records_get(id)->owner, 0, __ATOMIC_RELEASE);
    cache->ids[cache->count++] = id;
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
