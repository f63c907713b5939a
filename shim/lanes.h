/* SPDX-License-Identifier: MIT
 *
 * The quarantine's lanes: small blocks that are kept back, a lane for each size class of their heap. A new request takes the oldest
 * block of its class once that has been kept back long enough, and neither of the two reaches the heap, in whose eyes the
 * block was in use all the time: what is known to come next can be fetched into the cache before, which no heap allows. What
 * no request takes leaves in turn, as from the other queues.
 *
 * Long enough is: until so many bytes have been asked for and freed after it. The interpreter's own heap has one set of lanes, for the
 * threads that hold its lock in the main interpreter; libc's has a set for each thread. Inside the guard of thread.h. */
#ifndef SHIM_LANES_H
#define SHIM_LANES_H

#include "compiler.h"
#include "guard.h"
#include "quarantine_batch.h"

#define LANES_STEP_LOG 4u       /* size classes of both heaps: 16 bytes .. */
#define LANES_BYTES_MAX 2048u   /* .. up to here */
#define LANES_PYMALLOC_MAX 512u /* what is larger is taken from libc by the interpreter's heap, too */
#define LANES_COUNT (LANES_BYTES_MAX >> LANES_STEP_LOG)
#define LANES_LIBC_MORE 8u /* bytes that glibc has besides in each block (malloc/malloc.c, request2size) */
#define LANES_AHEAD 4u     /* blocks that are fetched before it is their turn */
#define LANES_ENTRIES_AHEAD 12u
#define LANES_BYTES_AHEAD 512u /* of a block: what comes behind them is fetched in turn */

struct lane {
    struct quarantine_entry *free, *full;  /* of the newest batch: the next place, and where there is none left */
    struct quarantine_entry *oldest, *end; /* of the oldest batch that is full */
    uint64_t due;                          /* traffic at which its blocks may leave; UINT64_MAX: there are none */
    struct quarantine_batch *filling, *first, *last;
    bool proved, refuted; /* its blocks are as large as its class, or that cannot be told */
};

struct lanes {
    uint64_t traffic; /* bytes asked for and freed up to now: by it is told how old something is */
    uint64_t limit;   /* bytes that it may hold */
    uint64_t held;    /* bytes in batches that are full */
    struct lane lanes[LANES_COUNT];
};

/* Those of the interpreter. */
extern _hidden_ struct lanes lanes_python;

/* Makes a set empty. */
void lanes_reset(struct lanes *lanes, uint64_t limit);

/* The lane of a block for which `bytes` were asked of glibc. LANES_COUNT or more: none. */
static inline size_t lanes_of_libc(size_t bytes)
{
    return (bytes + LANES_LIBC_MORE - 1) >> LANES_STEP_LOG;
}

/* The same of pymalloc (Objects/obmalloc.c, since CPython 3.8). */
static inline size_t lanes_of_python(size_t bytes)
{
    return likely(bytes <= LANES_PYMALLOC_MAX) ? (bytes - 1) >> LANES_STEP_LOG : lanes_of_libc(bytes);
}

/* lanes_adds when no place is left. */
struct quarantine_entry *lanes_begin_batch(struct lanes *lanes, struct quarantine_cache *cache, size_t number,
                                           const void *base);

/* A place for a freed block, to be filled in; then comes lanes_added. NULL: there is none. `base` is what the heap knows. */
static _always_inline_ struct quarantine_entry *lanes_adds(struct lanes *lanes, struct quarantine_cache *cache,
                                                           size_t number, const void *base)
{
    struct lane *lane = &lanes->lanes[number];

    return likely(lane->free != lane->full) ? lane->free : lanes_begin_batch(lanes, cache, number, base);
}

/* Closes a batch that is full. */
void lanes_end_batch(struct lanes *lanes, size_t number);

/* True: lanes_shrink is to be called. */
static _always_inline_ bool lanes_added(struct lanes *lanes, size_t number)
{
    struct lane *lane = &lanes->lanes[number];

    lanes->traffic += (number + 1) << LANES_STEP_LOG;
    __builtin_prefetch(lane->free + LANES_AHEAD, 1);
    if (likely(++lane->free != lane->full))
        return false;
    lanes_end_batch(lanes, number);
    return true;
}

/* Lets the oldest blocks go if there are too many, as quarantine_shrink does. */
void lanes_shrink(struct lanes *lanes, struct quarantine_cache *cache,
                  void (*let_go)(struct quarantine_batch *batch, void *argument), void *argument);

/* Fetches a block of a lane. The places behind the last one of a batch are 0, and no harm is done. */
static _always_inline_ void lanes_fetch(const struct quarantine_entry *entry, size_t number)
{
    const uint8_t *at = (const uint8_t *)quarantine_address(entry->place) - GUARD_DISTANCE;
    size_t bytes = (number + 1) << LANES_STEP_LOG;

    __builtin_prefetch(at, 1);
    __builtin_prefetch(at + QUARANTINE_LINE, 1);
    __builtin_prefetch(at + bytes - QUARANTINE_LINE, 1);
    __builtin_prefetch(at + bytes - 1, 1);
    if (unlikely(bytes > 3 * QUARANTINE_LINE))
        for (size_t line = 2 * QUARANTINE_LINE; line < MIN(bytes - QUARANTINE_LINE, LANES_BYTES_AHEAD);
             line += QUARANTINE_LINE)
            __builtin_prefetch(at + line, 1);
}

/* After the last block of the oldest batch has left. */
void lanes_next_batch(struct lanes *lanes, struct quarantine_cache *cache, size_t number);

/* Takes out the oldest block of a lane. The place is 0 if there is none that has been kept back long enough, or if it was
 * forgotten. */
static _always_inline_ struct quarantine_entry lanes_take(struct lanes *lanes, struct quarantine_cache *cache,
                                                          size_t number)
{
    struct lane *lane = &lanes->lanes[number];

    lanes->traffic += (number + 1) << LANES_STEP_LOG;
    if (unlikely(lanes->traffic < lane->due)) /* or there is none */
        return (struct quarantine_entry){0, 0, 0, 0};
    struct quarantine_entry *oldest = lane->oldest++;
    const struct quarantine_entry entry = *oldest;
    __atomic_store_n(&oldest->place, 0, __ATOMIC_RELAXED);
    lanes_fetch(oldest + LANES_AHEAD, number);
    __builtin_prefetch(oldest + LANES_ENTRIES_AHEAD, 1);
    if (unlikely(lane->oldest == lane->end))
        lanes_next_batch(lanes, cache, number);
    return entry;
}

/* All batches, as a list: the set is empty then, and they are the caller's. */
struct quarantine_batch *lanes_empty(struct lanes *lanes);

/* What the calling thread was doing here will not be ended (jumps.c): a set that it was changing begins anew. Blocks in there stay
 * where they are. */
void lanes_left(void);

/* In a forked child. */
void lanes_fork_child(void);

#endif
