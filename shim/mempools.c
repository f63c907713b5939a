/* SPDX-License-Identifier: MIT
 *
 * Pools and their children are entries of two arrays, found by address through a table each; the children of a pool are linked.
 * One lock for all, taken for a few steps only, but for the end of a pool. */
#include "mempools.h"

#include "arena.h"
#include "domains.h"
#include "event.h"
#include "memshim/memshim.h"
#include "side_table.h"
#include "tracked.h"

#define ADDRESS_BITS 47
#define ROOM_FIRST 256u
#define POOLS_MAX (1u << (64 - ADDRESS_BITS))

struct pool {
    uintptr_t anchor;
    uint32_t domain; /* its place (domains.h) */
    uint32_t first;  /* child; of an unused entry the next unused one */
};

struct child {
    uintptr_t address;
    uint32_t record; /* as tracked_begin gave it */
    uint32_t pool;
    uint32_t next, previous; /* in its pool; next of an unused entry the next unused one */
};

/* Entries have numbers from 1 on. */
struct array {
    uint8_t *items;
    size_t item_size;
    uint32_t room, used, unused; /* `unused`: the first entry that was given back */
};

static struct array pools = {.item_size = sizeof(struct pool)}, children = {.item_size = sizeof(struct child)};
static struct side_table pool_table, child_table;
static struct lock lock;

/* ---- entries ---- */

static struct pool *pool_at(uint32_t number)
{
    return (struct pool *)(void *)pools.items + number;
}

static struct child *child_at(uint32_t number)
{
    return (struct child *)(void *)children.items + number;
}

/* A number that is not in use, 0 = no room. The unused ones are linked through the word that `next_of` finds. */
static uint32_t take_entry(struct array *array, uint32_t *(*next_of)(uint32_t number))
{
    uint32_t number = array->unused;

    if (number) {
        array->unused = *next_of(number);
        return number;
    }
    if (array->used + 1 >= array->room) {
        uint32_t room = array->room ? array->room * 2 : ROOM_FIRST;
        uint8_t *items = arena_remap(array->items, array->room * array->item_size, room * array->item_size);
        if (!items)
            return 0;
        array->items = items;
        array->room = room;
    }
    return ++array->used;
}

static void give_entry(struct array *array, uint32_t *(*next_of)(uint32_t number), uint32_t number)
{
    *next_of(number) = array->unused;
    array->unused = number;
}

static uint32_t *pool_next(uint32_t number)
{
    return &pool_at(number)->first;
}

static uint32_t *child_next(uint32_t number)
{
    return &child_at(number)->next;
}

/* ---- children ---- */

static uint64_t key_of(uint32_t pool, uintptr_t address)
{
    return (uint64_t)pool << ADDRESS_BITS | address;
}

static struct tracked_region region_of(const struct child *child)
{
    return (struct tracked_region){pool_at(child->pool)->domain, child->address};
}

static void unlink_child(uint32_t number)
{
    const struct child *child = child_at(number);

    if (child->previous)
        child_at(child->previous)->next = child->next;
    else
        pool_at(child->pool)->first = child->next;
    if (child->next)
        child_at(child->next)->previous = child->previous;
}

static void free_child(struct thread *thread, uint32_t number)
{
    struct child *child = child_at(number);

    side_table_take(&child_table, key_of(child->pool, child->address));
    tracked_end(thread, region_of(child), child->record);
    unlink_child(number);
    give_entry(&children, child_next, number);
}

static int add_child(struct thread *thread, uint32_t pool, uintptr_t address, size_t size, void *const *frame)
{
    uint32_t number = take_entry(&children, child_next), record;
    int result = number ? 0 : -ENOMEM;

    if (number && !side_table_put(&child_table, key_of(pool, address), number)) {
        give_entry(&children, child_next, number);
        result = -ENOMEM;
    }
    if (result < 0)
        return result;
    struct child *child = child_at(number);
    *child = (struct child){.address = address, .pool = pool, .next = pool_at(pool)->first};
    if (child->next)
        child_at(child->next)->previous = number;
    pool_at(pool)->first = number;
    result = tracked_begin(thread, region_of(child), size, frame, &record);
    child->record = record;
    if (result < 0)
        free_child(thread, number);
    return result;
}

/* What of the child is in [start, end) stays. */
static void trim_child(struct thread *thread, uint32_t number, uintptr_t start, uintptr_t end)
{
    struct child *child = child_at(number);
    struct ledger_record *record = child->record ? records_get(child->record) : NULL;
    uintptr_t from = MAX(child->address, start), to = MIN(child->address + (record ? record->size : 1), end);

    if (from >= to) {
        free_child(thread, number);
        return;
    }
    if (!record || to - from == record->size)
        return;
    count_free(thread, record->size - (to - from));
    thread->counters->frees--; /* it is one block still */
    record->size = to - from;
    if (from == child->address)
        return;
    side_table_take(&child_table, key_of(child->pool, child->address));
    child->address = from;
    uint64_t rest = record->owner & 0xffff;
    __atomic_store_n(&record->owner, (uint64_t)from << 16 | rest, __ATOMIC_RELEASE);
    if (!side_table_put(&child_table, key_of(child->pool, from), number)) {
        tracked_end(thread, region_of(child), child->record);
        unlink_child(number);
        give_entry(&children, child_next, number);
    }
}

/* ---- for the program ---- */

/* Begins a call that concerns the pool at `anchor`, and the `size` bytes at `p`: the guard is up and the lock taken, and *ret_pool is its number, 0 = there is
 * none. NULL: *ret_error says why not. */
static struct thread *begin(const void *anchor, const void *p, size_t size, uint32_t *ret_pool, int *ret_error)
{
    struct thread *thread = NULL;

    if (!tracked_is_region((uintptr_t)anchor, 0) || !tracked_is_region((uintptr_t)p, size))
        *ret_error = -EINVAL;
    else
        thread = tracked_enter(ret_error);
    if (!thread)
        return NULL;
    lock_take(&lock);
    *ret_pool = side_table_find(&pool_table, (uintptr_t)anchor);
    if (!*ret_pool)
        *ret_error = -ENOENT;
    return thread;
}

static int end(int result, int saved)
{
    lock_give(&lock);
    errno = saved;
    thread_leave();
    return result;
}

static int create(unsigned domain, const void *anchor)
{
    uint32_t place = domains_of_number(domain), number = place ? take_entry(&pools, pool_next) : 0;

    if (!number || number >= POOLS_MAX || !side_table_put(&pool_table, (uintptr_t)anchor, number)) {
        if (number)
            give_entry(&pools, pool_next, number);
        return -ENOMEM;
    }
    *pool_at(number) = (struct pool){.anchor = (uintptr_t)anchor, .domain = place};
    return 0;
}

_exported_ int memshim_mempool_create(unsigned domain, const void *pool)
{
    int saved = errno, result = 0;
    uint32_t number;

    if (!begin(pool, pool, 0, &number, &result))
        return result;
    return end(number ? -EEXIST : create(domain, pool), saved);
}

_exported_ int memshim_mempool_alloc(const void *pool, const void *p, size_t size)
{
    int saved = errno, result = 0;
    uint32_t number;
    struct thread *thread = begin(pool, p, size, &number, &result);

    if (!thread)
        return result;
    if (number && start_options.domains && !sample_mean) {
        uint32_t old = side_table_find(&child_table, key_of(number, (uintptr_t)p));
        if (old)
            free_child(thread, old);
        result = add_child(thread, number, (uintptr_t)p, size, UNWIND_HERE);
    }
    return end(result, saved);
}

_exported_ int memshim_mempool_free(const void *pool, const void *p)
{
    int saved = errno, result = 0;
    uint32_t number;
    struct thread *thread = begin(pool, p, 0, &number, &result);

    if (!thread)
        return result;
    uint32_t child = number ? side_table_find(&child_table, key_of(number, (uintptr_t)p)) : 0;
    if (child)
        free_child(thread, child);
    return end(child ? 0 : -ENOENT, saved);
}

_exported_ int memshim_mempool_trim(const void *pool, const void *p, size_t size)
{
    int saved = errno, result = 0;
    uint32_t number;
    struct thread *thread = begin(pool, p, size, &number, &result);

    if (!thread)
        return result;
    for (uint32_t child = number ? pool_at(number)->first : 0, next; child; child = next) {
        next = child_at(child)->next;
        trim_child(thread, child, (uintptr_t)p, (uintptr_t)p + size);
    }
    return end(result, saved);
}

_exported_ int memshim_mempool_destroy(const void *pool)
{
    int saved = errno, result = 0;
    uint32_t number;
    struct thread *thread = begin(pool, pool, 0, &number, &result);

    if (!thread)
        return result;
    if (number) {
        while (pool_at(number)->first)
            free_child(thread, pool_at(number)->first);
        side_table_take(&pool_table, (uintptr_t)pool);
        give_entry(&pools, pool_next, number);
    }
    return end(result, saved);
}

/* The pools stay, empty: their allocators are there in the child, too. */
void mempools_fork_child(void)
{
    lock_give(&lock);
    for (uint32_t number = 1; number <= pools.used; number++)
        if (side_table_find(&pool_table, pool_at(number)->anchor) == number)
            pool_at(number)->first = 0;
    side_table_fork_child(&child_table);
    lock_give(&pool_table.lock);
    children.used = children.unused = 0;
}
