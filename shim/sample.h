/* SPDX-License-Identifier: MIT
 *
 * Which blocks are recorded with sample=BYTES: the thread counts down the bytes that it asks for to the next sample. The rest
 * passes through without a prefix. See sampling.h for the mathematics. */
#ifndef SHIM_SAMPLE_H
#define SHIM_SAMPLE_H

#include "compiler.h"
#include "thread.h"

#include <stdbool.h>

/* The option sample: mean bytes between samples, 0 = every block is recorded. */
extern _hidden_ uint64_t sample_mean;

/* From this mean on the interpreter's own free has no hook, and a recorded block of its MEM or OBJ domain takes `sample_least` bytes or more (pymem_sampled.h);
 * 0: it has one, and they take what they need. */
#define SAMPLE_FREE_MEAN (64u << 10)
extern _hidden_ size_t sample_least;

/* The countdown ran out: true when the block is really to be recorded (the first call of a thread draws its first
 * distance). */
bool sample_hit(struct thread_local_state *state, size_t size);

/* Whether a request of `size` bytes is passed over. */
static inline bool sample_skips(size_t size)
{
    if (likely(!sample_mean))
        return false;
    struct thread_local_state *state = &thread_local_state;
    if (state->busy) /* inside a request that was counted already */
        return true;
    state->sample_left -= (int64_t)(size ? size : 1);
    return likely(state->sample_left > 0) || !sample_hit(state, size);
}

/* Every thread of a forked child begins anew. */
static inline void sample_fork_child(void)
{
    thread_local_state.random = 0;
}

#endif
