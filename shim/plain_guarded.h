/* SPDX-License-Identifier: MIT
 *
 * The hot path with guard bytes: as plain.h, when guard bytes are all that is odd (event_guards). For the capture files only. */
#ifndef SHIM_PLAIN_GUARDED_H
#define SHIM_PLAIN_GUARDED_H

#include "guarded.h"
#include "interpreter_lock.h"
#include "lanes.h"
#include "plain.h"

#define PLAIN_PAGE 4096u

/* Whether subinterpreters have heaps of their own. A file for one version of CPython alone may know. */
#ifndef PLAIN_MANY_HEAPS
#define PLAIN_MANY_HEAPS pymem_many_heaps
#endif

/* plain_tally, or what does the same. *ret_held: whether the same look tells that the thread holds the interpreter's lock. */
typedef struct ledger_tally *plain_take_stack(struct thread *thread, void *const *frame, bool *ret_held);

static _always_inline_ struct ledger_tally *plain_take_usually(struct thread *thread, void *const *frame,
                                                               bool *ret_held)
{
    struct ledger_tally *tally = plain_tally(thread, frame);

    *ret_held = interpreter_lock_held_after(thread);
    return tally;
}

/* event_enter for a block whose bytes are as they shall be. */
static _always_inline_ void plain_enter_guarded(struct thread *thread, uint8_t *base, size_t size, uint64_t ref,
                                                struct ledger_tally *tally)
{
    uint8_t *p = base + GUARD_DISTANCE;

    event_dress(thread, p, size, block_domain_of(ref));
    const struct records_free record = records_take_both(&thread->records);
    plain_record(thread, p, (uint64_t *)base, size, ref, tally, &record, tally->trace);
}

/* plain_finish. `zeroed`: for calloc. */
static _always_inline_ void *plain_finish_guarded(struct thread *thread, uint8_t *base, size_t size, uint64_t ref,
                                                  struct ledger_tally *tally, bool zeroed)
{
    if (unlikely(!base)) {
        thread_leave();
        return NULL;
    }
    uint8_t *p = base + GUARD_DISTANCE;
    thread_local_state.busy = BUSY_SHIM;
    if (zeroed)
        memset(p, 0, size);
    else
        guard_fill(p, GUARD_CLEAN, size);
    plain_enter_guarded(thread, base, size, ref, tally);
    thread_leave();
    return p;
}

/* The lane for blocks of `size` bytes. */
static _always_inline_ size_t plain_lane(enum quarantine_pool pool, size_t size)
{
    size_t bytes = size + GUARD_DISTANCE + GUARD_SIDE;

    return pool == QUARANTINE_PYTHON ? lanes_of_python(bytes) : lanes_of_libc(bytes);
}

/* The lanes that the thread may use; NULL: none. For Python's right after the stack was captured, by a thread that by the same look holds
 * the interpreter's lock. */
static _always_inline_ struct lanes *plain_lanes(struct thread *thread, enum quarantine_pool pool)
{
    struct quarantine_cache *cache = &thread->quarantine;

    if (pool == QUARANTINE_PYTHON)
        return likely(!PLAIN_MANY_HEAPS || pymem_is_in_main(pyframes_holder(thread->python))) ? &lanes_python : NULL;
    quarantine_check(cache, thread->generation);
    return &cache->lanes;
}

/* A block for a new request: the oldest one that is kept back in that lane, if there is one and it was not touched. */
static _always_inline_ uint8_t *plain_take_kept(struct thread *thread, enum quarantine_pool pool, size_t lane,
                                                void *const *frame)
{
    struct lanes *lanes = plain_lanes(thread, pool);

    if (unlikely(!lanes))
        return NULL;
    const struct quarantine_entry entry = lanes_take(lanes, &thread->quarantine, lane);
    uint8_t *p = (uint8_t *)quarantine_address(entry.place);
    if (unlikely(!p))
        return NULL;
    if (likely(guarded_is_untouched(&entry)))
        return p - GUARD_DISTANCE;
    const struct quarantine_entry copy = entry; /* so that no other needs a place in memory */
    guarded_let_go(thread, &copy, frame);
    return NULL;
}

static _always_inline_ void plain_fill_entry(struct quarantine_entry *kept, const struct quarantine_entry *entry)
{
    kept->size = entry->size; /* field by field: they come from registers */
    kept->alloc_trace = entry->alloc_trace;
    kept->free_trace = entry->free_trace;
    __atomic_store_n(&kept->place, entry->place, __ATOMIC_RELEASE);
}

static _always_inline_ void plain_make_dead(void *p, uint64_t ref, const struct quarantine_entry *entry)
{
    guard_fill(p, GUARD_DEAD, entry->size);
    block_keep((uint64_t *)((uintptr_t)p - GUARD_DISTANCE), p, ref, entry->alloc_trace, entry->free_trace);
}

/* Keeps back a block that has been claimed, if that takes no more than a few stores. */
static _always_inline_ bool plain_keeps_back(struct thread *thread, void *p, uint64_t ref, enum quarantine_pool pool,
                                             const struct quarantine_entry *entry)
{
    struct quarantine_entry *kept = pool == QUARANTINE_PYTHON && unlikely(!pymem_in_main_interpreter())
                                        ? NULL
                                        : quarantine_adds(&thread->quarantine, thread->generation, pool, entry->size);

    if (unlikely(!kept))
        return false;
    plain_make_dead(p, ref, entry);
    plain_fill_entry(kept, entry);
    quarantine_added(&thread->quarantine, pool);
    return true;
}

/* The same in a lane. */
static _always_inline_ bool plain_keeps_in_lane(struct thread *thread, void *p, uint64_t ref, enum quarantine_pool pool,
                                                const struct quarantine_entry *entry, void *const *frame)
{
    size_t number = plain_lane(pool, entry->size);
    struct lanes *lanes = number < LANES_COUNT ? plain_lanes(thread, pool) : NULL;
    struct quarantine_entry *kept =
        likely(lanes) ? lanes_adds(lanes, &thread->quarantine, number, (const uint8_t *)p - GUARD_DISTANCE) : NULL;

    if (unlikely(!kept))
        return false;
    plain_make_dead(p, ref, entry);
    plain_fill_entry(kept, entry);
    if (unlikely(lanes_added(lanes, number)))
        guarded_shrink_lanes(thread, lanes, frame);
    return true;
}

/* Whether the guard bytes of a block are intact, and its size: they say it, where that is safe to believe before they are proved (the
 * other side then lies on the same page). Its record would have to be waited for. `p` is a multiple of 16. */
static _always_inline_ bool plain_is_intact(const void *p, enum block_domain domain, const struct ledger_record *record,
                                            uint64_t *ret_size)
{
    uint64_t stated = be64toh(guard_load((const uint8_t *)p - GUARD_SIDE)),
             room = PLAIN_PAGE - GUARD_SIDE - ((uintptr_t)p & (PLAIN_PAGE - 1));

    *ret_size = likely(stated <= room) ? stated : record->size;
    return (likely(stated <= room) || stated == record->size) &&
           guard_intact_around(p, *ret_size, domain, guarded_serial_limit());
}

/* A live block and all that its release needs. */
struct plain_block {
    uint8_t *p;
    uint64_t ref;
    struct records_free record;
    uint64_t size;
    uint32_t alloc_trace;
};

/* Opens the guard if `p` was made in this process, its reference but for record, process and bits of the allocator's number is `of`,
 * and nothing is wrong. NULL: nothing has been done. */
static _always_inline_ struct thread *plain_open(void *p, uint64_t of, uint64_t allocator_bits, struct plain_block *ret)
{
    struct thread_local_state *state = &thread_local_state;
    const uint64_t *prefix = (const uint64_t *)((uintptr_t)p - GUARD_DISTANCE);

    if (unlikely(!plain_has_prefix(p, GUARD_DISTANCE) || !thread_raise(BUSY_SHIM)))
        return NULL;
    uint32_t generation = *thread_generation;
    uint64_t ref = prefix[0];
    struct thread *thread = state->self;
    if (unlikely(!plain_is_own(prefix, p, of, allocator_bits, generation) || state->generation != generation ||
                 records_is_full(&thread->records))) {
        state->busy = 0;
        return NULL;
    }
    struct ledger_record *record = records_get(block_record(ref));
    __builtin_prefetch(record, 1); /* it may be in no cache */
    uint32_t alloc_trace = (uint32_t)prefix[1];
    uint64_t size;
    if (unlikely(!plain_is_intact(p, block_domain_of(of), record, &size))) {
        state->busy = 0;
        return NULL;
    }
    *ret = (struct plain_block){p, ref, {record, block_record(ref)}, size, alloc_trace};
    return thread;
}

/* Its release, by the stack of `trace`. `has_lanes`: small blocks come from the interpreter's own heap, whose lock the thread was
 * just seen to hold, or from libc's. */
static _always_inline_ void plain_release(struct thread *thread, const struct plain_block *block,
                                          enum quarantine_pool pool, bool has_lanes, uint32_t trace, void *const *frame)
{
    const struct quarantine_entry entry = {quarantine_place(block->p, block_domain_of(block->ref)), block->size,
                                           block->alloc_trace, trace};

    records_give_known(&thread->records, &block->record);
    count_subtract(thread->counters, 1, block->size);
    if (!(has_lanes && plain_keeps_in_lane(thread, block->p, block->ref, pool, &entry, frame)) &&
        unlikely(!plain_keeps_back(thread, block->p, block->ref, pool, &entry))) {
        const struct quarantine_entry copy = entry; /* so that no other needs a place in memory */
        guarded_keep_back(thread, block->p, block->ref, &copy, true, frame);
    }
}

/* Frees `p` if it is a block as plain_open wants it. False: nothing has been done.
 *
 * Of two threads that free a block of Python's, both of which hold the interpreter's lock, one comes first without further ado. */
static _always_inline_ bool plain_free_guarded(void *p, uint64_t of, uint64_t allocator_bits, enum quarantine_pool pool,
                                               bool has_lanes, void *const *frame, plain_take_stack *take_stack)
{
    struct plain_block block;
    struct thread *thread = plain_open(p, of, allocator_bits, &block);

    if (unlikely(!thread))
        return false;
    bool held;
    uint32_t trace = take_stack(thread, frame, &held)->trace;
    bool holds_lock = pool == QUARANTINE_PYTHON && held;
    if (unlikely(!holds_lock) && ((pool == QUARANTINE_PYTHON && interpreter_lock_missing()) || !guarded_claim(p))) {
        thread_local_state.busy = 0;
        return false;
    }
    plain_release(thread, &block, pool, has_lanes && (pool == QUARANTINE_LIBC || holds_lock), trace, frame);
    thread_leave();
    return true;
}

#endif
