/* SPDX-License-Identifier: MIT
 *
 * Block records: taken and given back by threads through small caches, which exchange whole batches through a lock-free
 * stack, so that memory stays bounded by the live blocks even when one thread allocates and another frees. Call it only
 * inside the guard of thread.h. */
#ifndef SHIM_RECORDS_H
#define SHIM_RECORDS_H

#include "compiler.h"
#include "ledger.h"

#define RECORDS_BATCH 128u /* records in a full batch; divides the records of a segment */

/* Free records of one thread: two batches, so that a thread that swings around a batch's edge does not exchange with the
 * others each time. Linked through record.size. */
struct records_cache {
    uint32_t first, count;     /* the batch in use */
    uint32_t spare;            /* a full batch, or 0 */
    uint32_t fresh, fresh_end; /* records never used yet */
};

/* A free record's id, or 0 when the ledger is full. */
uint32_t records_take_slow(struct records_cache *cache);
void records_give_slow(struct records_cache *cache);

static inline struct ledger_record *records_get(uint32_t id)
{
    return ledger_entry(LEDGER_RECORDS, id);
}

static inline uint32_t records_take(struct records_cache *cache)
{
    uint32_t id = cache->first;
    if (unlikely(!id))
        return records_take_slow(cache);
    cache->first = (uint32_t)records_get(id)->size;
    cache->count--;
    return id;
}

/* Clears the record and puts it back. */
static inline void records_give(struct records_cache *cache, uint32_t id)
{
    struct ledger_record *record = records_get(id);

    __atomic_store_n(&record->owner, 0, __ATOMIC_RELEASE);
    if (unlikely(cache->count == RECORDS_BATCH))
        records_give_slow(cache);
    record->size = cache->first;
    cache->first = id;
    cache->count++;
}

/* The same where no cache may be touched: a signal handler that interrupted the shim frees a block. */
void records_give_alone(uint32_t id);

/* Hands everything in the cache to other threads. */
void records_flush(struct records_cache *cache);

/* Forgets everything, for the new ledger of a forked child. */
void records_reset(void);

#endif
