/* SPDX-License-Identifier: MIT
 *
 * The hooks for new blocks and sizes of CPython 3.11's MEM and OBJ domains in the plain case, on processors with AVX2: all of the capture
 * is in line. */
#if defined(__x86_64__) && defined(__GNUC__)
#pragma GCC target("avx2")
#endif

#include "capture.h"

#include "plain_wide.h"

static _always_inline_ bool is_usual(size_t size)
{
    return likely(!event_odd) && likely(pymem_captures_wide) && likely(size - 1 < PLAIN_SIZE_MAX);
}

/* `thread`, if that has a place for Python stacks; else NULL, and the guard is closed. */
static _always_inline_ struct thread *with_python(struct thread *thread)
{
    if (likely(thread) && unlikely(!thread->python)) {
        thread_local_state.busy = 0;
        return NULL;
    }
    return thread;
}

/* plain_tally_first. */
static _always_inline_ struct ledger_tally *wide_tally_first(struct thread *thread, void *const *frame)
{
    struct ledger_tally *tally = plain_tally_wide(thread, frame);

    thread_local_state.busy = BUSY_NESTED;
    return tally;
}

void *capture_python_hook_malloc_wide(void *context, size_t size)
{
    const struct python_origin *origin = context;
    struct thread *thread = likely(is_usual(size)) ? with_python(plain_enter(BUSY_SHIM)) : NULL;

    if (unlikely(!thread))
        return capture_python_hook_malloc(context, size);
    struct ledger_tally *tally = wide_tally_first(thread, UNWIND_HERE);
    const struct py_allocator *allocator = origin->allocator;
    uint8_t *base = allocator->malloc(allocator->context, size + BLOCK_PREFIX);
    return plain_finish(thread, base, size, origin->ref, tally);
}

void *capture_python_hook_realloc_wide(void *context, void *p, size_t size)
{
    const struct python_origin *origin = context;
    size_t bytes = MAX(size, 1u);
    struct thread *thread = likely(is_usual(bytes)) ? with_python(plain_enter_with(p, origin->ref)) : NULL;

    if (unlikely(!thread))
        return capture_python_realloc(origin, p, size, UNWIND_HERE);
    return plain_resize(thread, origin->allocator, p, bytes, wide_tally_first(thread, UNWIND_HERE));
}
