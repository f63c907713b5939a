/* SPDX-License-Identifier: MIT
 *
 * The hook for new blocks of CPython 3.11's MEM and OBJ domains in the plain case, on processors with AVX2: all of the capture is in line. */
#if defined(__x86_64__) && defined(__GNUC__)
#pragma GCC target("avx2")
#endif

#include "capture.h"

#include "plain_wide.h"

void *capture_python_hook_malloc_wide(void *context, size_t size)
{
    const struct python_origin *origin = context;
    struct thread *thread;

    if (unlikely(event_odd || !pymem_captures || !pysame_wide || size - 1 >= PLAIN_SIZE_MAX) ||
        unlikely(!(thread = plain_enter(BUSY_SHIM))))
        return capture_python_hook_malloc(context, size);
    if (unlikely(!thread->python)) {
        thread_local_state.busy = 0;
        return capture_python_hook_malloc(context, size);
    }
    struct ledger_tally *tally = plain_tally_wide(thread, UNWIND_HERE);
    const struct py_allocator *allocator = origin->allocator;
    thread_local_state.busy = BUSY_NESTED;
    uint8_t *base = allocator->malloc(allocator->context, size + BLOCK_PREFIX);
    return plain_finish(thread, base, size, origin->ref, tally);
}

void *(*capture_python_choose_malloc(void))(void *context, size_t size)
{
    return pysame_wide ? capture_python_hook_malloc_wide : capture_python_hook_malloc;
}
