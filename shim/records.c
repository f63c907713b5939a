/* SPDX-License-Identifier: MIT
 *
 * A batch on the shared stack is a list through record.size whose first record keeps the number of its records in `thread`
 * and the next batch in `trace`. The stack's head carries a tag that changes with every push, so that a head that was popped
 * and pushed again meanwhile is not mistaken for the same (ABA). */
#include "records.h"

#include <stdbool.h>

static uint64_t batches; /* tag << 32 | first record of the top batch */

static void push_batch(uint32_t first, uint32_t count)
{
    struct ledger_record *record = records_get(first);
    uint64_t head = __atomic_load_n(&batches, __ATOMIC_RELAXED), wanted;

    record->thread = count;
    do {
        __atomic_store_n(&record->trace, (uint32_t)head, __ATOMIC_RELAXED);
        wanted = ((head >> 32) + 1) << 32 | first;
    } while (!__atomic_compare_exchange_n(&batches, &head, wanted, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

static uint32_t pop_batch(uint32_t *ret_count)
{
    uint64_t head = __atomic_load_n(&batches, __ATOMIC_ACQUIRE), wanted;

    do {
        if (!(uint32_t)head)
            return 0;
        /* Another thread may own the record by now: then this is garbage, and the tag makes the exchange fail. */
        uint32_t next = __atomic_load_n(&records_get((uint32_t)head)->trace, __ATOMIC_RELAXED);
        wanted = ((head >> 32) + 1) << 32 | next;
    } while (!__atomic_compare_exchange_n(&batches, &head, wanted, true, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE));
    *ret_count = records_get((uint32_t)head)->thread;
    return (uint32_t)head;
}

_cold_ uint32_t records_take_slow(struct records_cache *cache)
{
    if (cache->spare) {
        cache->first = cache->spare;
        cache->count = RECORDS_BATCH;
        cache->spare = 0;
    } else if (cache->fresh < cache->fresh_end) {
        return cache->fresh++;
    } else if (!(cache->first = pop_batch(&cache->count))) {
        cache->count = 0;
        cache->fresh = ledger_take(LEDGER_RECORDS, RECORDS_BATCH);
        cache->fresh_end = cache->fresh ? cache->fresh + RECORDS_BATCH : 0;
        return cache->fresh ? cache->fresh++ : 0;
    }
    return records_take(cache);
}

_cold_ void records_give_slow(struct records_cache *cache)
{
    if (cache->spare)
        push_batch(cache->spare, RECORDS_BATCH);
    cache->spare = cache->first;
    cache->first = cache->count = 0;
}

void records_give_alone(uint32_t id)
{
    struct ledger_record *record = records_get(id);

    __atomic_store_n(&record->owner, 0, __ATOMIC_RELEASE);
    record->size = 0;
    push_batch(id, 1);
}

void records_flush(struct records_cache *cache)
{
    if (cache->first)
        push_batch(cache->first, cache->count);
    if (cache->spare)
        push_batch(cache->spare, RECORDS_BATCH);
    while (cache->fresh < cache->fresh_end)
        records_give_alone(cache->fresh++);
    *cache = (struct records_cache){0};
}

void records_reset(void)
{
    batches = 0;
}
