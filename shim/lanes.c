/* SPDX-License-Identifier: MIT */
#include "lanes.h"

#include "guarded.h"
#include "machine.h"
#include "pyarenas.h"
#include "quarantine.h"
#include "real.h"

#include <string.h>

#define BATCHES 64u /* a lane's newest batch holds at most this part of what all lanes may hold */

struct lanes lanes_python;

/* The thread that is changing batches of lanes_python: after a jump out of there nothing is known of them. */
static uintptr_t changing;

/* A set of a thread's own is lost with the thread's cache (quarantine_left). */
static void begin_change(const struct lanes *lanes)
{
    if (lanes == &lanes_python)
        __atomic_store_n(&changing, machine_thread_self(), __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static void end_change(const struct lanes *lanes)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (lanes == &lanes_python)
        __atomic_store_n(&changing, 0, __ATOMIC_RELAXED);
}

void lanes_reset(struct lanes *lanes, uint64_t limit)
{
    memset(lanes, 0, sizeof(*lanes));
    lanes->limit = limit;
    for (size_t number = 0; number < LANES_COUNT; number++)
        lanes->lanes[number].due = UINT64_MAX;
}

static uint32_t block_bytes(size_t number)
{
    return (uint32_t)(number + 1) << LANES_STEP_LOG;
}

static uint32_t batch_room(const struct lanes *lanes, size_t number)
{
    uint64_t room = lanes->limit / BATCHES / block_bytes(number);

    return (uint32_t)MIN(MAX(room, 1u), QUARANTINE_BATCH);
}

/* ---- in ---- */

/* The interpreter may have another heap of its own (mimalloc), and the process another malloc: of their size classes nothing is known.
 * What is no pymalloc asks for no arenas. */
static bool has_classes(const struct lanes *lanes, size_t number, const void *base)
{
    bool pymalloc = lanes == &lanes_python && block_bytes(number) <= LANES_PYMALLOC_MAX;

    return pymalloc ? pyarenas_owns((uintptr_t)base) : guarded_real_is_libc();
}

static bool is_proved(struct lanes *lanes, size_t number, const void *base)
{
    struct lane *lane = &lanes->lanes[number];

    if (!lanes->limit || lane->proved || lane->refuted)
        return lanes->limit && lane->proved;
    lane->proved = has_classes(lanes, number, base);
    lane->refuted = !lane->proved;
    if (lane->refuted && block_bytes(number) <= LANES_PYMALLOC_MAX)
        lanes->limit = 0; /* the heap is another, and none of it is known */
    return lane->proved;
}

struct quarantine_entry *lanes_begin_batch(struct lanes *lanes, struct quarantine_cache *cache, size_t number,
                                           const void *base)
{
    struct lane *lane = &lanes->lanes[number];

    if (!is_proved(lanes, number, base))
        return NULL;
    struct quarantine_batch *batch = quarantine_new_batch(cache, cache->generation);
    if (!batch)
        return NULL;
    memset(batch->entries, 0, sizeof(batch->entries));
    __atomic_store_n(&batch->count, batch_room(lanes, number), __ATOMIC_RELEASE);
    batch->bytes = (uint64_t)batch->count * block_bytes(number);
    begin_change(lanes);
    lane->filling = batch;
    lane->free = batch->entries;
    lane->full = batch->entries + batch->count;
    end_change(lanes);
    return lane->free;
}

/* What set_oldest will look at, much later. */
static void fetch_start(const struct quarantine_batch *batch)
{
    const uint8_t *start = (const uint8_t *)batch;

    if (batch)
        for (size_t at = 0; at < offsetof(struct quarantine_batch, entries[LANES_ENTRIES_AHEAD]); at += QUARANTINE_LINE)
            __builtin_prefetch(start + at, 1);
}

/* The oldest batch is `batch`, or there is none. What leaves is so old that as many bytes went in and out meanwhile as all lanes
 * may hold: a program that frees as much as it asks for fills half of them, and one that first frees much and then asks for as
 * much gets all of it back. */
static void set_oldest(struct lanes *lanes, size_t number, struct quarantine_batch *batch)
{
    struct lane *lane = &lanes->lanes[number];

    lane->first = batch;
    lane->oldest = batch ? batch->entries : NULL;
    lane->end = batch ? batch->entries + batch->count : NULL;
    lane->due = batch ? batch->traffic + lanes->limit : UINT64_MAX;
    if (!batch)
        return;
    for (unsigned i = 0; i < LANES_AHEAD; i++)
        lanes_fetch(&batch->entries[i], number);
    fetch_start(batch->next);
}

void lanes_end_batch(struct lanes *lanes, size_t number)
{
    struct lane *lane = &lanes->lanes[number];
    struct quarantine_batch *batch = lane->filling;

    begin_change(lanes);
    batch->traffic = lanes->traffic;
    lanes->held += batch->bytes;
    if (lane->first)
        lane->last->next = batch;
    else
        set_oldest(lanes, number, batch);
    lane->last = batch;
    lane->filling = NULL;
    lane->free = lane->full = NULL;
    end_change(lanes);
}

/* ---- out ---- */

static struct quarantine_batch *take_out(struct lanes *lanes, size_t number)
{
    struct quarantine_batch *batch = lanes->lanes[number].first;

    begin_change(lanes);
    lanes->held -= batch->bytes;
    set_oldest(lanes, number, batch->next);
    end_change(lanes);
    return batch;
}

void lanes_next_batch(struct lanes *lanes, struct quarantine_cache *cache, size_t number)
{
    quarantine_drop_batch(cache, take_out(lanes, number));
}

/* The lane that has the oldest batch; one without a batch when there is none. */
static size_t oldest_lane(const struct lanes *lanes)
{
    size_t oldest = 0;

    for (size_t number = 1; number < LANES_COUNT; number++) {
        const struct lane *lane = &lanes->lanes[number], *other = &lanes->lanes[oldest];
        if (lane->first && (!other->first || lane->due < other->due))
            oldest = number;
    }
    return oldest;
}

void lanes_shrink(struct lanes *lanes, struct quarantine_cache *cache,
                  void (*let_go)(struct quarantine_batch *batch, void *argument), void *argument)
{
    while (lanes->held > lanes->limit) {
        struct quarantine_batch *batch = take_out(lanes, oldest_lane(lanes));
        let_go(batch, argument);
        quarantine_drop_batch(cache, batch);
    }
}

struct quarantine_batch *lanes_empty(struct lanes *lanes)
{
    struct quarantine_batch *all = NULL;

    for (size_t number = 0; number < LANES_COUNT; number++) {
        if (lanes->lanes[number].filling)
            lanes_end_batch(lanes, number);
        while (lanes->lanes[number].first) {
            struct quarantine_batch *batch = take_out(lanes, number);
            batch->next = all;
            all = batch;
        }
    }
    return all;
}

void lanes_left(void)
{
    if (__atomic_load_n(&changing, __ATOMIC_RELAXED) != machine_thread_self())
        return;
    lanes_reset(&lanes_python, lanes_python.limit);
    changing = 0;
}

void lanes_fork_child(void)
{
    lanes_reset(&lanes_python, lanes_python.limit);
    changing = 0;
}
