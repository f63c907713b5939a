/* SPDX-License-Identifier: MIT */
#include "quarantine.h"

#include "lock.h"
#include "pymem.h"
#include "records.h"

#define BATCH_COUNT 64u
#define BATCH_BYTES (32u << 10)
#define BIG_SHARE 16u  /* a big block is at least this part of the limit */
#define BLOCK_COST 80u /* bytes around a block and in its record */

enum bulk { SMALL, BIG, BULK_COUNT };

static struct queue {
    struct lock lock;
    struct quarantine_list lists[BULK_COUNT];
} queues[QUARANTINE_POOL_COUNT];

static uint64_t limit;
static uint32_t forgotten;

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

static void append(struct quarantine_list *list, const struct quarantine_list *more)
{
    if (!more->count)
        return;
    if (list->count)
        records_get(list->last)->mark = more->first;
    else
        list->first = more->first;
    list->last = more->last;
    list->count += more->count;
    list->bytes += more->bytes;
}

static void hand_over(enum quarantine_pool pool, enum bulk bulk, const struct quarantine_list *list)
{
    struct queue *queue = &queues[pool];

    lock_take(&queue->lock);
    append(&queue->lists[bulk], list);
    lock_give(&queue->lock);
}

/* Drops what is not valid any more. */
static void check_cache(struct quarantine_cache *cache, uint32_t generation)
{
    uint32_t now = __atomic_load_n(&forgotten, __ATOMIC_ACQUIRE);

    if (cache->generation != generation)
        *cache = (struct quarantine_cache){.generation = generation, .forgotten = now};
    if (cache->forgotten != now)
        cache->lists[QUARANTINE_PYTHON] = (struct quarantine_list){0};
    cache->forgotten = now;
}

void quarantine_add(struct quarantine_cache *cache, uint32_t generation, enum quarantine_pool pool, uint32_t id,
                    size_t size)
{
    struct quarantine_list one = {id, id, 1, size + BLOCK_COST}, *list = &cache->lists[pool];
    uint64_t most = pool_limit();

    check_cache(cache, generation);
    if (one.bytes > most / BIG_SHARE) {
        hand_over(pool, BIG, &one);
        return;
    }
    append(list, &one);
    if (list->count >= BATCH_COUNT || list->bytes >= MIN(BATCH_BYTES, most / BIG_SHARE)) {
        hand_over(pool, SMALL, list);
        *list = (struct quarantine_list){0};
    }
}

/* The newest big block may stay alone even when it is too big for the big ones' share. */
static bool is_too_much(const struct quarantine_list *list, enum bulk bulk)
{
    uint64_t share = bulk == BIG ? pool_limit() / 4 : pool_limit() / 4 * 3;
    uint32_t least = bulk == BIG && pool_limit() ? 1 : 0;

    return list->count > least && list->bytes > share;
}

static uint32_t take_first(struct quarantine_list *list)
{
    uint32_t id = list->first;
    const struct ledger_record *record = records_get(id);

    list->first = record->mark;
    __builtin_prefetch(records_get(list->first), 1);
    list->count--;
    list->bytes -= record->size + BLOCK_COST;
    return id;
}

size_t quarantine_take(enum quarantine_pool pool, uint32_t *ids, size_t room)
{
    struct queue *queue = &queues[pool];
    size_t taken = 0;

    if (!is_too_much(&queue->lists[SMALL], SMALL) && !is_too_much(&queue->lists[BIG], BIG))
        return 0;
    lock_take(&queue->lock);
    for (int i = BIG; i >= SMALL; i--)
        while (taken < room && is_too_much(&queue->lists[i], (enum bulk)i))
            ids[taken++] = take_first(&queue->lists[i]);
    lock_give(&queue->lock);
    return taken;
}

void quarantine_flush(struct quarantine_cache *cache, uint32_t generation)
{
    check_cache(cache, generation);
    for (int pool = 0; pool < QUARANTINE_POOL_COUNT; pool++)
        hand_over((enum quarantine_pool)pool, SMALL, &cache->lists[pool]);
    *cache = (struct quarantine_cache){0};
}

void quarantine_forget_python(void)
{
    struct queue *queue = &queues[QUARANTINE_PYTHON];

    lock_take(&queue->lock);
    for (int i = 0; i < BULK_COUNT; i++)
        queue->lists[i] = (struct quarantine_list){0};
    __atomic_store_n(&forgotten, forgotten + 1, __ATOMIC_RELEASE);
    lock_give(&queue->lock);
}

void quarantine_fork_child(void)
{
    for (int pool = 0; pool < QUARANTINE_POOL_COUNT; pool++)
        queues[pool] = (struct queue){0};
}
