/* SPDX-License-Identifier: MIT
 *
 * The hot path: the steps of event.h for a block of the plain kind, in the plain case (event_odd == 0). There are no guard
 * bytes, no guard pages and no sampling then, every domain whose hooks are called is recorded, stacks are native ones and those of the interpreter
 * if there is one, and the program's own code runs: what event.h would ask at each event is settled beforehand. Whatever
 * is not plain is left to event.h. For the capture files only. */
#ifndef SHIM_PLAIN_H
#define SHIM_PLAIN_H

#include "event.h"
#include "unwind_branch.h"

/* Larger blocks are not plain: no check word has their size. */
#define PLAIN_SIZE_MAX (BLOCK_SIZE_UNKNOWN - 1)

/* Opens the guard, as `busy`. NULL: the event is not plain, and nothing has been done. */
static _always_inline_ struct thread *plain_enter(uint8_t busy)
{
    struct thread_local_state *state = &thread_local_state;

    if (unlikely(!thread_raise(busy)))
        return NULL;
    if (unlikely(state->generation != *thread_generation)) {
        state->busy = 0;
        return NULL;
    }
    struct thread *thread = state->self;
    if (!thread)
        __builtin_unreachable(); /* as long as the generation is valid */
    return thread;
}

static _always_inline_ struct ledger_tally *plain_tally(struct thread *thread, void *const *frame)
{
    uint32_t native = likely(thread->unwind) ? unwind_capture_here(thread->unwind, frame) : 0;
    struct python_stack python = {0, 0};

    if (pymem_captures && likely(thread->python))
        python = pyframes_capture(thread->python);
    return tally_find(&thread->tallies, native, python);
}

/* event_enter with this record, and the prefix at `prefix`, whose lower half is `lower`. */
static _always_inline_ void plain_record(struct thread *thread, void *p, uint64_t *prefix, size_t size, uint64_t ref,
                                         struct ledger_tally *tally, const struct records_free *record, uint32_t lower)
{
    ref |= thread->process | record->id;
    if (likely(record->id))
        event_fill_record(record->record, thread, p, size, ref, tally->trace, 0);
    else
        thread->counters->dropped++;
    prefix[0] = ref;
    prefix[1] = block_check_word(p, ref, lower);
    count_add(thread->counters, tally, 1, size);
}

/* The stack is taken before the block is made: it also tells whether the thread holds the interpreter's lock, and less has to
 * be remembered meanwhile. With the guard as BUSY_SHIM; then it is BUSY_NESTED. */
static _always_inline_ struct ledger_tally *plain_tally_first(struct thread *thread, void *const *frame)
{
    struct ledger_tally *tally = plain_tally(thread, frame);
    thread_local_state.busy = BUSY_NESTED;
    return tally;
}

/* event_finish. Keeps errno without a look at it: nothing here that is not rare changes it. */
static _always_inline_ void *plain_finish(struct thread *thread, uint8_t *base, size_t size, uint64_t ref,
                                          struct ledger_tally *tally)
{
    if (unlikely(!base)) {
        thread_leave();
        return NULL;
    }
    thread_local_state.busy = BUSY_SHIM;
    const struct records_free record = records_take_both(&thread->records);
    plain_record(thread, base + BLOCK_PREFIX, (uint64_t *)base, size, ref, tally, &record, (uint32_t)size);
    thread_leave();
    return base + BLOCK_PREFIX;
}

/* Whether `prefix` is that of a block `p` with a record, made in this process, whose reference is `of` but for record, process,
 * and bits of the allocator's number: with the guard up, after a look at the generation. */
static _always_inline_ bool plain_is_own(const uint64_t *prefix, const void *p, uint64_t of, uint64_t allocator_bits,
                                         uint32_t generation)
{
    const uint64_t ignored = allocator_bits << BLOCK_ALLOCATOR_SHIFT | UINT32_MAX;
    uint64_t ref = prefix[0];

    of |= (uint64_t)(uint16_t)generation << BLOCK_PROCESS_SHIFT;
    return !((ref ^ of) & ~ignored) && block_is_marked(prefix, p) && block_record(ref);
}

/* Whether there are words to be read where the prefix of `p` would be, `distance` bytes before it. */
static _always_inline_ bool plain_has_prefix(const void *p, uintptr_t distance)
{
    return !((uintptr_t)p & 15) && ((uintptr_t)p & 4095) >= distance;
}

/* For a new size of `p`, which was asked for as `of` says: opens the guard as plain_enter does. NULL: it is not plain. */
static _always_inline_ struct thread *plain_enter_with(const void *p, uint64_t of)
{
    const uint64_t *prefix = (const uint64_t *)((uintptr_t)p - BLOCK_PREFIX);
    struct thread *thread = plain_has_prefix(p, BLOCK_PREFIX) ? plain_enter(BUSY_SHIM) : NULL;

    if (likely(thread) && unlikely(!plain_is_own(prefix, p, of, 0, thread_local_state.generation))) {
        thread_local_state.busy = 0;
        return NULL;
    }
    return thread;
}

/* The rest of it, after plain_tally_first. The prefix must not be left behind as valid when the block moves; it is put back
 * when there is no memory. */
static _always_inline_ void *plain_resize(struct thread *thread, const struct py_allocator *allocator, void *p,
                                          size_t size, struct ledger_tally *tally)
{
    uint64_t *prefix = (uint64_t *)((uintptr_t)p - BLOCK_PREFIX);
    uint64_t ref = prefix[0], check = prefix[1];

    prefix[1] = BLOCK_FREED;
    uint8_t *base = allocator->realloc(allocator->context, prefix, size + BLOCK_PREFIX);
    if (unlikely(!base)) {
        prefix[1] = check;
        thread_leave();
        return NULL;
    }
    const struct records_free record = {records_get(block_record(ref)), block_record(ref)};
    thread_local_state.busy = BUSY_SHIM;
    count_subtract(thread->counters, 1, record.record->size);
    plain_record(thread, base + BLOCK_PREFIX, (uint64_t *)base, size, ref, tally, &record, (uint32_t)size);
    thread_leave();
    return base + BLOCK_PREFIX;
}

enum plain_left {
    PLAIN_NOT_LEFT, /* nothing has been done */
    PLAIN_LEFT,
    PLAIN_LEFT_WITH_MORE, /* thread_leave_slow has to be called, too */
};

/* The steps of a free up to giving back `p` - BLOCK_PREFIX, if `p` was made in this process and its reference but for record,
 * process, and bits of the allocator's number is `of`. Calls no function, so that its caller need save no registers: what a
 * call is needed for is left to event.h. */
static _always_inline_ enum plain_left plain_leave(void *p, uint64_t of, uint64_t allocator_bits)
{
    struct thread_local_state *state = &thread_local_state;
    uint64_t *prefix = (uint64_t *)((uintptr_t)p - BLOCK_PREFIX);

    if (unlikely(!plain_has_prefix(p, BLOCK_PREFIX) || !thread_raise(BUSY_SHIM)))
        return PLAIN_NOT_LEFT;
    uint32_t generation = *thread_generation;
    uint64_t ref = prefix[0];
    if (unlikely(!plain_is_own(prefix, p, of, allocator_bits, generation) || state->generation != generation)) {
        state->busy = 0;
        return PLAIN_NOT_LEFT;
    }
    struct thread *thread = state->self;
    uint32_t size = (uint32_t)prefix[1];
    /* BLOCK_SIZE_UNKNOWN is among what cannot be subtracted. */
    if (unlikely(records_is_full(&thread->records) || !count_can_subtract(thread->counters, size))) {
        state->busy = 0;
        return PLAIN_NOT_LEFT;
    }
    count_subtract_plainly(thread->counters, 1, size);
    records_give_plainly(&thread->records, block_record(ref));
    prefix[1] = BLOCK_FREED;
    state->busy = 0;
    return likely(!state->after) ? PLAIN_LEFT : PLAIN_LEFT_WITH_MORE;
}

/* With sampling and nothing else that is odd: whether a request of `size` bytes is passed over. Then the guard is up as
 * BUSY_NESTED, because what it asks of another allocator must not be counted again. False: nothing has been done. */
static _always_inline_ bool plain_passes(size_t size)
{
    struct thread_local_state *state = &thread_local_state;
    int64_t left = state->sample_left - (int64_t)MAX(size, 1u);

    if (unlikely(!event_samples || state->busy || size > EVENT_SIZE_LIMIT || left <= 0))
        return false;
    state->sample_left = left;
    state->busy = BUSY_NESTED;
    return true;
}

/* With sampling and nothing else that is odd: whether `p` is seen at a glance to be no recorded block. */
static _always_inline_ bool plain_is_foreign(const void *p)
{
    return event_tells_by_page && marked_pages_none(p);
}

/* The same at a second glance, still without a call. */
static _always_inline_ bool plain_is_foreign_after_all(const void *p)
{
    return event_tells_by_page && plain_has_prefix(p, BLOCK_PREFIX) &&
           !block_ref_of((const uint64_t *)((uintptr_t)p - BLOCK_PREFIX), p);
}

#endif
