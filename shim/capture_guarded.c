/* SPDX-License-Identifier: MIT
 *
 * Blocks with guard bytes in the plain case: the hooks for CPython's MEM and OBJ domains, and what malloc and free do. */
#include "capture.h"

#include "plain_guarded_python.h"

void *capture_guarded_python_malloc(const struct python_origin *origin, size_t size, void *const *frame)
{
    return plain_guarded_malloc(origin, size, frame, plain_take_usually);
}

bool capture_guarded_python_free(const struct python_origin *origin, void *p, void *const *frame)
{
    return plain_free_guarded(p, origin->ref, 0, QUARANTINE_PYTHON, origin->direct, frame, plain_take_usually);
}

void *capture_guarded_hook_malloc(void *context, size_t size)
{
    return plain_guarded_malloc(context, size, UNWIND_HERE, plain_take_usually);
}

void *capture_guarded_hook_calloc(void *context, size_t count, size_t size)
{
    return plain_guarded_calloc(context, count, size, UNWIND_HERE, plain_take_usually);
}

static _noinline_ void *malloc_at(const struct python_origin *origin, size_t size, void *const *frame)
{
    return plain_guarded_malloc(origin, size, frame, plain_take_usually);
}

void *capture_guarded_hook_realloc(void *context, void *p, size_t size)
{
    if (!p)
        return malloc_at(context, size, UNWIND_HERE);
    return plain_guarded_realloc(context, p, size, UNWIND_HERE, plain_take_usually);
}

void capture_guarded_hook_free(void *context, void *p)
{
    plain_guarded_free(context, p, UNWIND_HERE, plain_take_usually);
}

void *capture_guarded_malloc(struct thread *thread, size_t size, uint64_t ref, void *const *frame)
{
    struct ledger_tally *tally = plain_tally(thread, frame);
    size_t lane = plain_lane(QUARANTINE_LIBC, size);
    uint8_t *base = lane < LANES_COUNT ? plain_take_kept(thread, QUARANTINE_LIBC, lane, frame) : NULL;

    if (unlikely(!base)) {
        thread_local_state.busy = BUSY_NESTED;
        base = real.malloc(size + GUARD_DISTANCE + GUARD_SIDE);
    }
    return plain_finish_guarded(thread, base, size, ref, tally, false);
}

bool capture_guarded_free(void *p, void *const *frame)
{
    return plain_free_guarded(p, block_template, EVENT_BY_INTERPRETER, QUARANTINE_LIBC, true, frame,
                              plain_take_usually);
}
