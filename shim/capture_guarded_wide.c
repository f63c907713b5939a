/* SPDX-License-Identifier: MIT
 *
 * The hooks for CPython 3.11's MEM and OBJ domains with guard bytes, in the plain case, on processors with AVX2: all of the capture is in
 * line. */
#if defined(__x86_64__) && defined(__GNUC__)
#pragma GCC target("avx2")
#endif

#include "capture.h"

#define PLAIN_MANY_HEAPS false
#include "plain_guarded_python.h"
#include "plain_wide.h"

static _noinline_ struct ledger_tally *take_otherwise(struct thread *thread, void *const *frame, bool *ret_held)
{
    return plain_take_usually(thread, frame, ret_held);
}

static _always_inline_ struct ledger_tally *take_stack(struct thread *thread, void *const *frame, bool *ret_held)
{
    if (unlikely(!pymem_captures_wide || !thread->python)) {
        bool held; /* its address is known elsewhere */
        struct ledger_tally *tally = take_otherwise(thread, frame, &held);
        *ret_held = held;
        return tally;
    }
    struct ledger_tally *tally = plain_tally_wide(thread, frame);
    *ret_held = pyframes_held(thread->python);
    return tally;
}

void *capture_guarded_hook_malloc_wide(void *context, size_t size)
{
    return plain_guarded_malloc(context, size, UNWIND_HERE, take_stack);
}

void *capture_guarded_hook_calloc_wide(void *context, size_t count, size_t size)
{
    return plain_guarded_calloc(context, count, size, UNWIND_HERE, take_stack);
}

static _noinline_ void *malloc_at(const struct python_origin *origin, size_t size, void *const *frame)
{
    return plain_guarded_malloc(origin, size, frame, take_stack);
}

void *capture_guarded_hook_realloc_wide(void *context, void *p, size_t size)
{
    if (!p)
        return malloc_at(context, size, UNWIND_HERE);
    return plain_guarded_realloc(context, p, size, UNWIND_HERE, take_stack);
}

void capture_guarded_hook_free_wide(void *context, void *p)
{
    plain_guarded_free(context, p, UNWIND_HERE, take_stack);
}
