/* SPDX-License-Identifier: MIT */
#include "quarantine.h"

#include "arena.h"
#include "block.h"
#include "compiler.h"
#include "lanes.h"
#include "lock.h"
#include "pymem.h"

#include <string.h>

#define BATCH_BYTES (32u << 10)
/* So many parts of a big share leave in one go: what does so is quicker done at once than now and then. */
#define TOGETHER 8u
#define BATCHES_SINGLE 64u
#define BATCHES_LARGE ((size_t)2 << 20) /* bytes for more at once */
#define BIG_SHARE 16u                   /* a big block is at least this part of the limit */

enum bulk { SMALL, BIG, BULK_COUNT };

static struct queue {
    struct lock lock;
    struct quarantine_list lists[BULK_COUNT];
} queues[QUARANTINE_POOL_COUNT];

static uint64_t limit;
static uint32_t sharers; /* threads that keep back blocks of libc's on their own */
static uint64_t own;     /* bytes in their lists */
uint64_t quarantine_batch_bytes;
uintptr_t quarantine_pool_size = 4096;
static struct lock unused_lock; /* of all that follows but `batches` */
static struct quarantine_batch *unused;
static struct quarantine_batch *batches; /* ever made */
static unsigned batches_single;          /* of these, each by itself */
static struct {
    uint8_t *next;
    size_t left;
} room; /* for more of them */

void quarantine_init(uint64_t bytes)
{
    limit = bytes;
    quarantine_batch_bytes = MIN(BATCH_BYTES, bytes / 2 / BIG_SHARE); /* whether there is an interpreter or not */
    lanes_reset(&lanes_python, bytes / 16);
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

void quarantine_drop_batch(struct quarantine_cache *cache, struct quarantine_batch *batch)
{
    if (!batch)
        return;
    batch->count = 0;
    if (cache->spare)
        drop_batches(batch, batch);
    else
        cache->spare = batch;
}

/* Memory for one. Whoever needs more than a few gets a large page of them: a batch is met again after so long that the processor
 * has forgotten where its page is. */
static void *batch_memory(void)
{
    const size_t size = (sizeof(struct quarantine_batch) + QUARANTINE_LINE - 1) & ~(size_t)(QUARANTINE_LINE - 1);
    void *memory = NULL;

    lock_take(&unused_lock);
    if (batches_single < BATCHES_SINGLE)
        batches_single++;
    else if (room.left < size && (room.next = arena_map_scattered(BATCHES_LARGE)))
        room.left = BATCHES_LARGE;
    if (room.left >= size) {
        memory = room.next;
        room.next += size;
        room.left -= size;
    }
    lock_give(&unused_lock);
    return memory ? memory : arena_alloc(size);
}

static struct quarantine_batch *make_batch(void)
{
    struct quarantine_batch *batch = batch_memory();

    if (!batch)
        return NULL;
    batch->next_all = __atomic_load_n(&batches, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&batches, &batch->next_all, batch, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        ;
    return batch;
}

/* The n-th thread may keep back an n-th on its own: all of them together hold little more than one would alone, and none has
 * nothing. */
static void set_limits(struct quarantine_cache *cache)
{
    uint64_t share = pool_limit() / 4 / __atomic_add_fetch(&sharers, 1, __ATOMIC_RELAXED);

    lanes_reset(&cache->lanes, share);
    cache->list = (struct quarantine_list){0};
    cache->list_limit = 2 * share;
}

/* In a forked child: its parent's blocks are not kept back any more. */
_cold_ void quarantine_renew(struct quarantine_cache *cache, uint32_t generation)
{
    for (int pool = 0; pool < QUARANTINE_POOL_COUNT; pool++) {
        quarantine_drop_batch(cache, cache->open[pool]);
        cache->open[pool] = NULL;
    }
    set_limits(cache);
    cache->generation = generation;
}

struct quarantine_batch *quarantine_new_batch(struct quarantine_cache *cache, uint32_t generation)
{
    quarantine_check(cache, generation);
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
            batch = make_batch();
    }
    if (batch) {
        batch->next = NULL;
        batch->bytes = batch->count = 0;
        batch->generation = generation;
    }
    return batch;
}

/* ---- in ---- */

static void append(struct quarantine_list *list, struct quarantine_batch *batch)
{
    if (list->last)
        list->last->next = batch;
    else
        list->first = batch;
    list->last = batch;
    list->bytes += batch->bytes;
}

static void hand_over(enum quarantine_pool pool, enum bulk bulk, struct quarantine_batch *batch)
{
    struct queue *queue = &queues[pool];

    lock_take(&queue->lock);
    append(&queue->lists[bulk], batch);
    lock_give(&queue->lock);
}

static void keep_own(struct quarantine_cache *cache, struct quarantine_batch *batch)
{
    append(&cache->list, batch);
    __atomic_add_fetch(&own, batch->bytes, __ATOMIC_RELAXED);
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

    quarantine_check(cache, generation);
    struct quarantine_batch *batch = alone ? NULL : cache->open[pool];
    if (!batch && !(batch = quarantine_new_batch(cache, generation)))
        return false;
    batch->entries[batch->count] = *entry;
    __atomic_store_n(&batch->count, batch->count + 1, __ATOMIC_RELEASE);
    batch->bytes += cost(entry);
    bool full = alone || batch->count == QUARANTINE_BATCH || batch->bytes >= MIN(BATCH_BYTES, big);
    if (full && pool == QUARANTINE_LIBC && !alone)
        keep_own(cache, batch);
    else if (full)
        hand_over(pool, alone ? BIG : SMALL, batch);
    if (!alone)
        cache->open[pool] = full ? NULL : batch;
    return true;
}

/* ---- out ---- */

/* Big blocks have a quarter of it, and the lanes another. The newest big block may stay alone even when it is too big for that. What
 * threads have left behind has the room that others do not need. */
static bool is_too_much(const struct queue *queue, enum bulk bulk, bool going)
{
    const struct quarantine_list *list = &queue->lists[bulk];
    uint64_t share = pool_limit() / 4;

    if (bulk == BIG)
        return list->bytes > share && (list->first != list->last || !share);
    uint64_t others = queue == &queues[QUARANTINE_LIBC] ? __atomic_load_n(&own, __ATOMIC_RELAXED) : 0;
    return list->bytes && list->bytes + others > share * 2 - (going ? share / TOGETHER : 0);
}

/* For the one who takes it next. */
static void fetch_batch(const struct quarantine_batch *batch)
{
    for (size_t at = 0; at < sizeof(*batch); at += QUARANTINE_LINE)
        __builtin_prefetch((const uint8_t *)batch + at, 1);
}

static struct quarantine_batch *take_first(struct quarantine_list *list)
{
    struct quarantine_batch *batch = list->first;

    list->first = batch->next;
    if (!list->first)
        list->last = NULL;
    list->bytes -= batch->bytes;
    fetch_batch(list->first);
    return batch;
}

/* The oldest batch of a thread's own when that are too many, or NULL. */
static struct quarantine_batch *take_own(struct quarantine_cache *cache, bool going)
{
    if (likely(cache->list.bytes <= cache->list_limit - (going ? cache->list_limit / TOGETHER : 0)))
        return NULL;
    struct quarantine_batch *batch = take_first(&cache->list);
    __atomic_sub_fetch(&own, batch->bytes, __ATOMIC_RELAXED);
    return batch;
}

/* The oldest batch of a queue that holds too much, or NULL. */
static struct quarantine_batch *take_batch(struct queue *queue, bool going)
{
    struct quarantine_batch *batch = NULL;

    if (likely(!is_too_much(queue, SMALL, going) && !is_too_much(queue, BIG, going)))
        return NULL;
    lock_take(&queue->lock);
    for (int i = BIG; !batch && i >= SMALL; i--)
        if (is_too_much(queue, (enum bulk)i, going))
            batch = take_first(&queue->lists[i]);
    lock_give(&queue->lock);
    return batch;
}

static struct quarantine_batch *take_oldest(struct quarantine_cache *cache, enum quarantine_pool pool, bool going)
{
    struct quarantine_batch *batch = pool == QUARANTINE_LIBC ? take_own(cache, going) : NULL;

    return batch ? batch : take_batch(&queues[pool], going);
}

void quarantine_shrink(struct quarantine_cache *cache, enum quarantine_pool pool,
                       void (*let_go)(struct quarantine_batch *batch, void *argument), void *argument)
{
    struct quarantine_batch *batch;

    for (bool going = false; (batch = take_oldest(cache, pool, going)); going = true) {
        for (uint32_t i = 0; i < QUARANTINE_AHEAD; i++)
            quarantine_fetch(batch, i);
        let_go(batch, argument);
        quarantine_drop_batch(cache, batch);
    }
}

static void stop_sharing(const struct quarantine_cache *cache)
{
    __atomic_sub_fetch(&sharers, 1, __ATOMIC_RELAXED);
    __atomic_sub_fetch(&own, cache->list.bytes, __ATOMIC_RELAXED);
}

static void hand_over_all(struct quarantine_batch *first)
{
    for (struct quarantine_batch *batch = first, *next; batch; batch = next) {
        next = batch->next;
        batch->next = NULL;
        hand_over(QUARANTINE_LIBC, SMALL, batch);
    }
}

void quarantine_flush(struct quarantine_cache *cache, uint32_t generation)
{
    quarantine_check(cache, generation);
    for (int pool = 0; pool < QUARANTINE_POOL_COUNT; pool++) {
        if (cache->open[pool])
            hand_over((enum quarantine_pool)pool, SMALL, cache->open[pool]);
        cache->open[pool] = NULL;
    }
    hand_over_all(cache->list.first);
    hand_over_all(lanes_empty(&cache->lanes));
    stop_sharing(cache);
    if (cache->spare)
        drop_batches(cache->spare, cache->spare);
    *cache = (struct quarantine_cache){0};
}

/* What a lock protects that somebody had who will not go on. */
static void begin_anew(void)
{
    unused = NULL;
    room.left = 0;
    lock_give(&unused_lock);
}

void quarantine_left(struct quarantine_cache *cache)
{
    if (lock_is_own(&unused_lock))
        begin_anew();
    for (int pool = 0; pool < QUARANTINE_POOL_COUNT; pool++)
        if (lock_is_own(&queues[pool].lock)) {
            memset(queues[pool].lists, 0, sizeof(queues[pool].lists));
            lock_give(&queues[pool].lock);
        }
    lanes_left();
    if (cache->generation)
        stop_sharing(cache);
    *cache = (struct quarantine_cache){0};
}

void quarantine_forget_python(uintptr_t start, uintptr_t end)
{
    for (struct quarantine_batch *batch = __atomic_load_n(&batches, __ATOMIC_ACQUIRE); batch; batch = batch->next_all) {
        for (uint32_t i = 0; i < batch->count; i++) {
            uint64_t place = batch->entries[i].place;
            if (quarantine_is_python(place) && quarantine_address(place) - start < end - start)
                batch->entries[i].place = 0;
        }
    }
}

void quarantine_visit(uint32_t generation, void (*visit)(struct quarantine_entry *entry, void *argument),
                      void *argument)
{
    for (struct quarantine_batch *batch = __atomic_load_n(&batches, __ATOMIC_ACQUIRE); batch; batch = batch->next_all) {
        uint32_t count = __atomic_load_n(&batch->count, __ATOMIC_ACQUIRE);
        if (batch->generation != generation)
            continue;
        for (uint32_t i = 0; i < count; i++)
            if (batch->entries[i].place)
                visit(&batch->entries[i], argument);
    }
}

/* Batches that were in queues are lost to the child, which has few. */
void quarantine_fork_child(void)
{
    begin_anew();
    for (int pool = 0; pool < QUARANTINE_POOL_COUNT; pool++)
        queues[pool] = (struct queue){0};
    lanes_fork_child();
    sharers = 0;
    own = 0;
}
