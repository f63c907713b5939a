/* SPDX-License-Identifier: MIT */
#include "quarantine.h"

#include "arena.h"
#include "block.h"
#include "compiler.h"
#include "lock.h"
#include "pymem.h"

#define BATCH_BYTES (32u << 10)
#define BIG_SHARE 16u  /* a big block is at least this part of the limit */
#define AHEAD 6u       /* blocks that are fetched before it is their turn */
#define LINE 64u       /* of the cache */
#define LINES_AHEAD 6u /* of a block: what comes behind them is fetched in turn */
#define CHUNK_HEADER 16u

enum bulk { SMALL, BIG, BULK_COUNT };

/* Oldest first. */
struct list {
    struct quarantine_batch *first, *last;
    uint64_t bytes;
};

static struct queue {
    struct lock lock;
    struct list lists[BULK_COUNT];
} queues[QUARANTINE_POOL_COUNT];

static uint64_t limit;
static uint32_t forgotten;
static struct lock unused_lock;
static struct quarantine_batch *unused;

void quarantine_init(uint64_t bytes)
{
    limit = bytes;
}

/* With an interpreter, its blocks and the others have half each. */
static uint64_t pool_limit(void)
{
    return pymem_present ? limit / 2 : limit;
}

bool quarantine_keeps(size_t size)
{
    return size <= pool_limit();
}

/* ---- batches ---- */

static void drop_batches(struct quarantine_batch *first, struct quarantine_batch *last)
{
    lock_take(&unused_lock);
    last->next = unused;
    unused = first;
    lock_give(&unused_lock);
}

static void drop_batch(struct quarantine_cache *cache, struct quarantine_batch *batch)
{
    if (!batch)
        return;
    if (cache->spare)
        drop_batches(batch, batch);
    else
        cache->spare = batch;
}

static struct quarantine_batch *new_batch(struct quarantine_cache *cache)
{
    struct quarantine_batch *batch = cache->spare;

    if (batch) {
        cache->spare = NULL;
    } else {
        lock_take(&unused_lock);
        batch = unused;
        if (batch)
            unused = batch->next;
        lock_give(&unused_lock);
        if (!batch)
            batch = arena_alloc(sizeof(*batch));
    }
    if (batch) {
        batch->next = NULL;
        batch->bytes = batch->count = 0;
    }
    return batch;
}

/* Drops what is not valid any more. */
_cold_ static void renew_cache(struct quarantine_cache *cache, uint32_t generation, uint32_t now)
{
    bool all = cache->generation != generation;

    for (int pool = all ? QUARANTINE_LIBC : QUARANTINE_PYTHON; pool < QUARANTINE_POOL_COUNT; pool++) {
        drop_batch(cache, cache->open[pool]);
        drop_batch(cache, cache->leaving[pool]);
        cache->open[pool] = cache->leaving[pool] = NULL;
    }
    cache->generation = generation;
    cache->forgotten = now;
}

static inline void check_cache(struct quarantine_cache *cache, uint32_t generation)
{
    uint32_t now = __atomic_load_n(&forgotten, __ATOMIC_ACQUIRE);

    if (unlikely(cache->generation != generation || cache->forgotten != now))
        renew_cache(cache, generation, now);
}

/* ---- in ---- */

static void hand_over(enum quarantine_pool pool, enum bulk bulk, struct quarantine_batch *batch)
{
    struct queue *queue = &queues[pool];
    struct list *list = &queue->lists[bulk];

    lock_take(&queue->lock);
    if (list->last)
        list->last->next = batch;
    else
        list->first = batch;
    list->last = batch;
    list->bytes += batch->bytes;
    lock_give(&queue->lock);
}

static uint64_t cost(const struct quarantine_entry *entry)
{
    return entry->size + QUARANTINE_COST;
}

bool quarantine_add(struct quarantine_cache *cache, uint32_t generation, enum quarantine_pool pool,
                    const struct quarantine_entry *entry)
{
    uint64_t big = pool_limit() / BIG_SHARE;
    bool alone = cost(entry) > big;

    check_cache(cache, generation);
    struct quarantine_batch *batch = alone ? NULL : cache->open[pool];
    if (!batch && !(batch = new_batch(cache)))
        return false;
    batch->entries[batch->count++] = *entry;
    batch->bytes += cost(entry);
    bool full = alone || batch->count == QUARANTINE_BATCH || batch->bytes >= MIN(BATCH_BYTES, big);
    if (full)
        hand_over(pool, alone ? BIG : SMALL, batch);
    if (!alone)
        cache->open[pool] = full ? NULL : batch;
    return true;
}

/* ---- out ---- */

/* The newest big block may stay alone even when it is too big for the big ones' share. */
static bool is_too_much(const struct list *list, enum bulk bulk)
{
    uint64_t share = bulk == BIG ? pool_limit() / 4 : pool_limit() / 4 * 3;

    if (bulk == BIG && pool_limit() && list->first == list->last)
        return false;
    return list->bytes > share;
}

static struct quarantine_batch *take_first(struct list *list)
{
    struct quarantine_batch *batch = list->first;

    list->first = batch->next;
    if (!list->first)
        list->last = NULL;
    list->bytes -= batch->bytes;
    return batch;
}

/* The oldest batch of a queue that holds too much, or NULL. */
static struct quarantine_batch *take_batch(enum quarantine_pool pool)
{
    struct queue *queue = &queues[pool];
    struct quarantine_batch *batch = NULL;

    if (!is_too_much(&queue->lists[SMALL], SMALL) && !is_too_much(&queue->lists[BIG], BIG))
        return NULL;
    lock_take(&queue->lock);
    for (int i = BIG; !batch && i >= SMALL; i--)
        if (is_too_much(&queue->lists[i], (enum bulk)i))
            batch = take_first(&queue->lists[i]);
    lock_give(&queue->lock);
    return batch;
}

/* What waited long is in no cache any more. */
static inline void fetch(const struct quarantine_batch *batch, uint32_t number)
{
    if (number >= batch->count)
        return;
    const struct quarantine_entry *entry = &batch->entries[number];
    const uint8_t *at = (const uint8_t *)entry->address - block_distance - CHUNK_HEADER;
    const uint8_t *end = (const uint8_t *)entry->address + entry->size + block_trailer;
    for (unsigned lines = 0; at < end && lines < LINES_AHEAD; lines++, at += LINE)
        __builtin_prefetch(at, 1);
}

static struct quarantine_batch *next_batch(struct quarantine_cache *cache, enum quarantine_pool pool)
{
    struct quarantine_batch *batch = take_batch(pool);

    if (!batch)
        return NULL;
    drop_batch(cache, cache->leaving[pool]);
    cache->leaving[pool] = batch;
    cache->left[pool] = 0;
    for (uint32_t i = 0; i < AHEAD; i++)
        fetch(batch, i);
    return batch;
}

bool quarantine_take(struct quarantine_cache *cache, enum quarantine_pool pool, struct quarantine_entry *ret)
{
    struct quarantine_batch *batch = cache->leaving[pool];

    if ((!batch || cache->left[pool] == batch->count) && !(batch = next_batch(cache, pool)))
        return false;
    *ret = batch->entries[cache->left[pool]++];
    fetch(batch, cache->left[pool] + AHEAD - 1);
    return true;
}

/* What a thread had taken out and not given back yet goes in again as the newest. */
static void return_rest(struct quarantine_cache *cache, enum quarantine_pool pool)
{
    struct quarantine_batch *batch = cache->leaving[pool];
    uint32_t left = batch ? cache->left[pool] : 0;

    cache->leaving[pool] = NULL;
    if (!batch || left == batch->count) {
        drop_batch(cache, batch);
        return;
    }
    for (uint32_t i = 0; i < left; i++)
        batch->bytes -= cost(&batch->entries[i]);
    for (uint32_t i = left; i < batch->count; i++)
        batch->entries[i - left] = batch->entries[i];
    batch->count -= left;
    batch->next = NULL;
    hand_over(pool, SMALL, batch);
}

void quarantine_flush(struct quarantine_cache *cache, uint32_t generation)
{
    check_cache(cache, generation);
    for (int pool = 0; pool < QUARANTINE_POOL_COUNT; pool++) {
        return_rest(cache, (enum quarantine_pool)pool);
        if (cache->open[pool])
            hand_over((enum quarantine_pool)pool, SMALL, cache->open[pool]);
        cache->open[pool] = NULL;
    }
    if (cache->spare)
        drop_batches(cache->spare, cache->spare);
    *cache = (struct quarantine_cache){0};
}

void quarantine_forget_python(void)
{
    struct queue *queue = &queues[QUARANTINE_PYTHON];

    lock_take(&queue->lock);
    for (int i = 0; i < BULK_COUNT; i++) {
        if (queue->lists[i].first)
            drop_batches(queue->lists[i].first, queue->lists[i].last);
        queue->lists[i] = (struct list){0};
    }
    __atomic_store_n(&forgotten, forgotten + 1, __ATOMIC_RELEASE);
    lock_give(&queue->lock);
}

/* Batches that were in queues are lost to the child, which has few. */
void quarantine_fork_child(void)
{
    lock_give(&unused_lock);
    unused = NULL;
    for (int pool = 0; pool < QUARANTINE_POOL_COUNT; pool++)
        queues[pool] = (struct queue){0};
}
