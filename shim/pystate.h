/* SPDX-License-Identifier: MIT
 *
 * The interpreter's thread state of the calling thread, whose frames are read. Part of pyframes.c; included by nothing else. */
#ifndef SHIM_PYSTATE_H
#define SHIM_PYSTATE_H

#include "machine.h"
#include "pyplaces.h"

static inline uintptr_t holder_state(const struct pycompat *compat)
{
    return (uintptr_t)__atomic_load_n((const uint64_t *)(compat->runtime + compat->runtime_thread), __ATOMIC_ACQUIRE);
}

static inline bool is_own_state(const struct pycompat *compat, uintptr_t state)
{
    return pycompat_plausible(state) && pycompat_load(state, compat->thread_id) == machine_thread_self();
}

/* The thread state that the calling thread holds, or 0. Up to 3.11 there is one current state in the process, that of the
 * thread with the GIL, and it says whose it is. */
static inline uintptr_t current_state(const struct pycompat *compat, struct pyframes_thread *thread)
{
    if (compat->runtime_thread) {
        uintptr_t state = holder_state(compat);
        return state && is_own_state(compat, state) ? state : 0;
    }
    uintptr_t state = (uintptr_t)compat->current_thread_state();
    if (state && state != thread->state) {
        if (!is_own_state(compat, state))
            return 0;
        thread->state = state;
    }
    return state;
}

/* The state of a thread that has given up the GIL (inside a call of ctypes, or a long C function): nobody runs its frames
 * meanwhile, so they can be read. Not once finalization has begun, which frees the states of such threads. */
static inline uintptr_t detached_state(const struct pycompat *compat, const struct pyframes_thread *thread)
{
    if (thread->attached == NO_STATE || !compat->own_thread_state || !compat->is_initialized())
        return 0;
    uintptr_t state = (uintptr_t)compat->own_thread_state();
    return state == thread->attached && is_own_state(compat, state) ? state : 0;
}

/* The thread state whose frames the calling thread runs or has left for a while, or 0. */
static _noinline_ uintptr_t find_state(const struct pycompat *compat, struct pyframes_thread *thread)
{
    uintptr_t holder = current_state(compat, thread);

    thread->head.held = holder != 0;
    if (likely(holder))
        thread->attached = thread->head.holder = holder;
    return likely(holder) ? holder : detached_state(compat, thread);
}

/* The innermost frame of a thread state, or 0. */
static _always_inline_ uintptr_t frame_of(const struct pycompat *compat, uintptr_t state, enum pycompat_shape shape)
{
    size_t cframe = PYCOMPAT_FIELD(compat, shape, thread_cframe);

    if (cframe)
        state = pycompat_load(state, cframe);
    return likely(state) ? pycompat_load(state, PYCOMPAT_FIELD(compat, shape, thread_frame)) : 0;
}

static _always_inline_ uintptr_t top_frame(const struct pycompat *compat, struct pyframes_thread *thread,
                                           enum pycompat_shape shape)
{
    uintptr_t state = find_state(compat, thread);

    return state ? frame_of(compat, state, shape) : 0;
}

/* Whether the calling thread holds the thread state that it held last: *ret. */
static _always_inline_ bool state_as_before(const struct pycompat *compat, const struct pyframes_thread *thread,
                                            uintptr_t *ret, enum pycompat_shape shape)
{
    if (shape == SHAPE_312) {
        *ret = (uintptr_t)compat->current_thread_state();
        return *ret && *ret == thread->state;
    }
    *ret = holder_state(compat);
    return *ret == thread->attached &&
           pycompat_load(*ret, PYCOMPAT_FIELD(compat, shape, thread_id)) == machine_thread_self();
}

#endif
