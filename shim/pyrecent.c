/* SPDX-License-Identifier: MIT
 *
 * The places are those of a table in which each node has one place. A node that comes to where another one is moves that to a place
 * beside it, on the same two cache lines: two that are met in turn would otherwise have to be looked for in the shared table each
 * time, in memory that is in no cache. */
#include "pyrecent.h"

#include "arena.h"

#define RECENT_MANY_SHIFT 14    /* for a thread that comes by many stacks.. */
#define RECENT_MANY_AFTER 8192u /* ..which has made so many nodes recent */
#define RECENT_MOST_SHIFT 16    /* and for one to which that is not enough */
#define RECENT_MOST_AFTER 65536u
#define GROUP 4u

_Static_assert(RECENT % GROUP == 0, "no group is cut");

static size_t count_of(const struct pyframes_thread *thread)
{
    return (size_t)1 << (32 - thread->recent_shift);
}

void recent_begin(struct pyframes_thread *thread)
{
    thread->recent = thread->first_recent;
    thread->recent_shift = 32 - RECENT_SHIFT;
}

void recent_forget(struct pyframes_thread *thread)
{
    if (++thread->stamp << 1)
        return;
    memset(thread->recent, 0, sizeof(*thread->recent) * count_of(thread)); /* all numbers have been used */
    thread->stamp = 1;
}

/* More room, if there is memory. */
static _cold_ void grow(struct pyframes_thread *thread, unsigned shift)
{
    struct recent *recent = arena_map_scattered(sizeof(*recent) << shift), *old = thread->recent;
    size_t old_size = sizeof(*old) * count_of(thread);

    if (!recent)
        return;
    thread->recent = recent;
    thread->recent_shift = 32 - shift;
    if (old != thread->first_recent)
        arena_unmap(old, old_size);
}

static void count_learned(struct pyframes_thread *thread)
{
    thread->recent_learned++;
    if (thread->recent_learned == RECENT_MANY_AFTER)
        grow(thread, RECENT_MANY_SHIFT);
    else if (thread->recent_learned == RECENT_MOST_AFTER)
        grow(thread, RECENT_MOST_SHIFT);
}

static struct recent *beside(struct pyframes_thread *thread, const struct recent *place, uint32_t way)
{
    uint32_t number = (uint32_t)(place - thread->recent), first = number - number % GROUP;

    return &thread->recent[first + (number + way) % GROUP];
}

struct recent *recent_find_near(struct pyframes_thread *thread, uint64_t position, uint32_t parent, uint32_t meta,
                                uintptr_t code)
{
    const struct recent *place = recent_of(thread, position, parent);

    for (uint32_t way = 1; way < GROUP; way++) {
        struct recent *other = beside(thread, place, way);
        if (is_recent(thread, other, position, parent, meta) && (!code || other->code == code))
            return other;
    }
    return NULL;
}

struct recent *recent_learn(struct pyframes_thread *thread, const struct recent *one)
{
    if (thread->recent_learned < RECENT_MOST_AFTER)
        count_learned(thread);
    struct recent *place = recent_of(thread, one->position, one->parent);
    if (place->kind >> 1 == thread->stamp)
        *beside(thread, place, 1 + thread->recent_turn++ % (GROUP - 1)) = *place;
    *place = *one;
    return place;
}
