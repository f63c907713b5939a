/* SPDX-License-Identifier: MIT
 *
 * The hook for new blocks of CPython's MEM and OBJ domains with guard bytes, in the plain case. For the capture files only, which take the
 * stack in the ways that they know. */
#ifndef SHIM_PLAIN_GUARDED_PYTHON_H
#define SHIM_PLAIN_GUARDED_PYTHON_H

#include "plain_guarded.h"

/* In the first word of a block that pymalloc gives is still the address of the one that it gives next, which left the quarantine
 * some time ago and is in no cache any more. Where that is not so, the address of nothing is fetched, which does no harm. */
static _always_inline_ void plain_fetch_next(void *const *base)
{
    if (unlikely(!base))
        return;
    __builtin_prefetch(*base, 1);
    __builtin_prefetch((const uint8_t *)*base + QUARANTINE_LINE, 1);
}

static _always_inline_ void *plain_ask(const struct py_allocator *allocator, size_t size)
{
    thread_local_state.busy = BUSY_NESTED;
    void *base = allocator->malloc(allocator->context, size + GUARD_DISTANCE + GUARD_SIDE);
    plain_fetch_next(base);
    return base;
}

/* Memory for a block of `size` bytes. `holds_lock`: as the look at the stack told. */
static _always_inline_ uint8_t *plain_obtain(struct thread *thread, const struct python_origin *origin, size_t size,
                                             bool holds_lock, void *const *frame)
{
    size_t lane = plain_lane(QUARANTINE_PYTHON, size);
    uint8_t *base = NULL;

    if (lane < LANES_COUNT && likely(origin->direct && holds_lock))
        base = plain_take_kept(thread, QUARANTINE_PYTHON, lane, frame);
    return likely(base) ? base : plain_ask(origin->allocator, size);
}

static _always_inline_ void *plain_guarded_otherwise(const struct python_origin *origin, size_t size,
                                                     void *const *frame, bool zeroed)
{
    return zeroed ? capture_python_calloc(origin, 1, size, frame) : capture_python_malloc(origin, size, frame);
}

static _always_inline_ void *plain_guarded_new(const struct python_origin *origin, size_t size, void *const *frame,
                                               plain_take_stack *take_stack, bool zeroed)
{
    struct thread *thread = event_guards && size - 1 < PLAIN_SIZE_MAX ? plain_enter(BUSY_SHIM) : NULL;

    if (unlikely(!thread))
        return plain_guarded_otherwise(origin, size, frame, zeroed);
    bool holds_lock;
    struct ledger_tally *tally = take_stack(thread, frame, &holds_lock);
    if (unlikely(!holds_lock) && interpreter_lock_missing()) {
        thread_leave();
        return plain_guarded_otherwise(origin, size, frame, zeroed);
    }
    uint8_t *base = plain_obtain(thread, origin, size, holds_lock, frame);
    return plain_finish_guarded(thread, base, size, origin->ref, tally, zeroed);
}

static _always_inline_ void *plain_guarded_malloc(const struct python_origin *origin, size_t size, void *const *frame,
                                                  plain_take_stack *take_stack)
{
    return plain_guarded_new(origin, size, frame, take_stack, false);
}

/* What is too large for a lane is better zeroed by its heap. */
static _always_inline_ void *plain_guarded_calloc(const struct python_origin *origin, size_t count, size_t size,
                                                  void *const *frame, plain_take_stack *take_stack)
{
    size_t bytes;

    if (unlikely(__builtin_mul_overflow(count, size, &bytes) || bytes >= LANES_BYTES_MAX))
        return capture_python_calloc(origin, count, size, frame);
    return plain_guarded_new(origin, bytes, frame, take_stack, true);
}

/* A new size that is the old one: the block stays, and has been made here from now on. */
static _always_inline_ void *plain_keep_in_place(struct thread *thread, const struct python_origin *origin,
                                                 const struct plain_block *old, struct ledger_tally *tally)
{
    uint64_t *prefix = (uint64_t *)(old->p - GUARD_DISTANCE);

    event_dress(thread, old->p, old->size, origin->domain);
    count_subtract(thread->counters, 1, old->size);
    plain_record(thread, old->p, prefix, old->size, origin->ref, tally, &old->record, tally->trace);
    thread_leave();
    return old->p;
}

/* To a new block. */
static _always_inline_ void *plain_move(struct thread *thread, const struct python_origin *origin,
                                        const struct plain_block *old, size_t size, struct ledger_tally *tally,
                                        void *const *frame)
{
    uint8_t *base = plain_obtain(thread, origin, size, true, frame), *moved = base + GUARD_DISTANCE;

    thread_local_state.busy = BUSY_SHIM;
    if (likely(base)) {
        size_t kept = MIN(size, old->size);
        memcpy(moved, old->p, kept);
        guard_fill(moved + kept, GUARD_CLEAN, size - kept);
        plain_enter_guarded(thread, base, size, origin->ref, tally);
        plain_release(thread, old, QUARANTINE_PYTHON, origin->direct, tally->trace, frame);
    }
    thread_leave();
    return base ? moved : NULL;
}

/* As guarded_realloc does it, by one look at the stack. */
static _always_inline_ void *plain_guarded_realloc(const struct python_origin *origin, void *p, size_t size,
                                                   void *const *frame, plain_take_stack *take_stack)
{
    struct plain_block old;
    struct thread *thread = event_guards && size < PLAIN_SIZE_MAX ? plain_open(p, origin->ref, 0, &old) : NULL;

    if (unlikely(!thread))
        return capture_python_realloc(origin, p, size, frame);
    bool holds_lock;
    struct ledger_tally *tally = take_stack(thread, frame, &holds_lock);
    if (unlikely((old.size >= GUARDED_MOVE_MAX && size != old.size) || !holds_lock)) {
        thread_local_state.busy = 0;
        return capture_python_realloc(origin, p, size, frame);
    }
    return size == old.size ? plain_keep_in_place(thread, origin, &old, tally)
                            : plain_move(thread, origin, &old, size, tally, frame);
}

static _always_inline_ void plain_guarded_free(const struct python_origin *origin, void *p, void *const *frame,
                                               plain_take_stack *take_stack)
{
    if (unlikely(!event_guards ||
                 !plain_free_guarded(p, origin->ref, 0, QUARANTINE_PYTHON, origin->direct, frame, take_stack)))
        capture_python_free(origin, p, frame);
}

#endif
