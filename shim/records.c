/* SPDX-License-Identifier: MIT
 *
 * Batches are arrays of ids in the shim's own memory, on two stacks: those with records, and empty ones. A free record is
 * not looked at, because it has probably left the caches of the processor.
 *
 * The head of such a stack carries a tag that changes with every push, so that a head that was popped and pushed again
 * meanwhile is not mistaken for the same (ABA): batches lie at multiples of 64 below 2^48, and leave 22 bits for it. Lone
 * records, and those for which there is no batch to be had, are linked through record.trace, with a tag of 32 bits. */
#include "records.h"

#include "arena.h"

#include <stdbool.h>
#include <string.h>

struct batch {
    uint64_t next; /* on the stack: the head that was before */
    uint32_t count;
    uint32_t ids[RECORDS_BATCH];
};

#define ADDRESS_BITS (((1ULL << 48) - 1) & ~63ULL)

static uint64_t full, empty; /* tag and struct batch * */
static uint64_t lone;        /* tag << 32 | id */

static struct batch *batch_at(uint64_t head)
{
    return (struct batch *)(uintptr_t)(head & ADDRESS_BITS);
}

/* The tag's bits are those that the address has not: with these filled in, a carry passes over them. */
static uint64_t next_tag(uint64_t head)
{
    return ((head | ADDRESS_BITS) + 1) & ~ADDRESS_BITS;
}

static void push_batch(uint64_t *stack, struct batch *batch)
{
    uint64_t head = __atomic_load_n(stack, __ATOMIC_RELAXED), wanted;

    do {
        __atomic_store_n(&batch->next, head, __ATOMIC_RELAXED);
        wanted = next_tag(head) | (uintptr_t)batch;
    } while (!__atomic_compare_exchange_n(stack, &head, wanted, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

static struct batch *pop_batch(uint64_t *stack)
{
    uint64_t head = __atomic_load_n(stack, __ATOMIC_ACQUIRE), wanted;

    do {
        if (!batch_at(head))
            return NULL;
        /* Another thread may have the batch by now: then this is garbage, and the tag makes the exchange fail. */
        uint64_t next = __atomic_load_n(&batch_at(head)->next, __ATOMIC_RELAXED);
        wanted = next_tag(head) | (next & ADDRESS_BITS);
    } while (!__atomic_compare_exchange_n(stack, &head, wanted, true, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE));
    return batch_at(head);
}

static void push_lone(uint32_t id)
{
    uint64_t head = __atomic_load_n(&lone, __ATOMIC_RELAXED), wanted;

    do {
        __atomic_store_n(&records_get(id)->trace, (uint32_t)head, __ATOMIC_RELAXED);
        wanted = ((head >> 32) + 1) << 32 | id;
    } while (!__atomic_compare_exchange_n(&lone, &head, wanted, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

static uint32_t pop_lone(void)
{
    uint64_t head = __atomic_load_n(&lone, __ATOMIC_ACQUIRE), wanted;

    do {
        if (!(uint32_t)head)
            return 0;
        uint32_t next = __atomic_load_n(&records_get((uint32_t)head)->trace, __ATOMIC_RELAXED);
        wanted = ((head >> 32) + 1) << 32 | next;
    } while (!__atomic_compare_exchange_n(&lone, &head, wanted, true, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE));
    return (uint32_t)head;
}

/* Hands `count` records (at most a batch) to other threads. */
static void hand_over(const struct records_free *records, uint32_t count)
{
    struct batch *batch = pop_batch(&empty);

    if (!batch)
        batch = arena_alloc(sizeof(*batch));
    if (!batch) {
        for (uint32_t i = 0; i < count; i++)
            push_lone(records[i].id);
        return;
    }
    batch->count = count;
    for (uint32_t i = 0; i < count; i++)
        batch->ids[i] = records[i].id;
    push_batch(&full, batch);
}

static void put(struct records_cache *cache, uint32_t id)
{
    cache->free[cache->count++] = (struct records_free){records_get(id), id};
}

static void take_fresh(struct records_cache *cache)
{
    uint32_t first = ledger_take(LEDGER_RECORDS, RECORDS_BATCH);

    for (uint32_t i = RECORDS_BATCH; first && i-- > 0;)
        put(cache, first + i);
}

_cold_ struct records_free records_take_slow(struct records_cache *cache)
{
    uint32_t id = pop_lone();
    if (id)
        return (struct records_free){records_get(id), id};
    struct batch *batch = pop_batch(&full);
    if (batch) {
        for (uint32_t i = 0; i < batch->count; i++)
            put(cache, batch->ids[i]);
        push_batch(&empty, batch);
    } else {
        take_fresh(cache);
    }
    return cache->count ? records_take_both(cache) : (struct records_free){NULL, 0};
}

_cold_ void records_give_slow(struct records_cache *cache)
{
    hand_over(cache->free, RECORDS_BATCH);
    cache->count -= RECORDS_BATCH;
    memmove(cache->free, cache->free + RECORDS_BATCH, cache->count * sizeof(*cache->free));
}

void records_give_alone(uint32_t id)
{
    __atomic_store_n(&records_get(id)->owner, 0, __ATOMIC_RELEASE);
    push_lone(id);
}

void records_flush(struct records_cache *cache)
{
    while (cache->count) {
        uint32_t count = MIN(cache->count, RECORDS_BATCH);
        cache->count -= count;
        hand_over(cache->free + cache->count, count);
    }
}

void records_reset(void)
{
    for (struct batch *batch; (batch = pop_batch(&full));)
        push_batch(&empty, batch);
    lone = 0;
}
