/* SPDX-License-Identifier: MIT
 *
 * Blocks with guard bytes in the plain case: the hooks for CPython's MEM and OBJ domains, and what malloc and free do. */
#include "capture.h"

#include "plain_guarded.h"

/* In the first word of a block that pymalloc gives is still the address of the one that it gives next, which left the quarantine
 * some time ago and is in no cache any more. Where that is not so, the address of nothing is fetched, which does no harm. */
static _always_inline_ void fetch_next(void *const *base)
{
    if (unlikely(!base))
        return;
    __builtin_prefetch(*base, 1);
    __builtin_prefetch((const uint8_t *)*base + QUARANTINE_LINE, 1);
}

static _always_inline_ void *python_malloc(const struct python_origin *origin, size_t size, void *const *frame)
{
    struct thread *thread = event_guards && size - 1 < PLAIN_SIZE_MAX ? plain_enter(BUSY_SHIM) : NULL;

    if (unlikely(!thread))
        return capture_python_malloc(origin, size, frame);
    struct ledger_tally *tally = plain_tally_first(thread, frame);
    if (unlikely(!interpreter_lock_held_after(thread)) && interpreter_lock_missing()) {
        thread_leave();
        return capture_python_malloc(origin, size, frame);
    }
    const struct py_allocator *allocator = origin->allocator;
    void *base = allocator->malloc(allocator->context, size + PLAIN_GUARDED + GUARD_SIDE);
    fetch_next(base);
    return plain_finish_guarded(thread, base, size, origin->ref, tally);
}

void *capture_guarded_python_malloc(const struct python_origin *origin, size_t size, void *const *frame)
{
    return python_malloc(origin, size, frame);
}

void *capture_guarded_hook_malloc(void *context, size_t size)
{
    return python_malloc(context, size, UNWIND_HERE);
}

void capture_guarded_hook_free(void *context, void *p)
{
    const struct python_origin *origin = context;

    if (unlikely(!event_guards || !plain_free_guarded(p, origin->ref, 0, QUARANTINE_PYTHON, UNWIND_HERE)))
        capture_python_free(origin, p, UNWIND_HERE);
}

void *capture_guarded_malloc(struct thread *thread, size_t size, uint64_t ref, void *const *frame)
{
    struct ledger_tally *tally = plain_tally_first(thread, frame);

    return plain_finish_guarded(thread, real.malloc(size + PLAIN_GUARDED + GUARD_SIDE), size, ref, tally);
}

bool capture_guarded_free(void *p, void *const *frame)
{
    return plain_free_guarded(p, block_template, EVENT_BY_INTERPRETER, QUARANTINE_LIBC, frame);
}
