/* SPDX-License-Identifier: MIT
 *
 * Python stacks, read from the interpreter's own structures (pycompat.h knows them for each version): no call into the
 * interpreter, no reference taken, no profile function. The result has
 * NODE_PYTHON keys. Never calls malloc, takes no lock; call it only inside the guard of thread.h. */
#ifndef SHIM_PYFRAMES_H
#define SHIM_PYFRAMES_H

#include "compiler.h"
#include "stacks.h"

#include <stdbool.h>
#include <stdint.h>

struct pyapi; /* pyapi.h */

/* What one thread keeps between captures, and what is told of it without a call. */
struct pyframes_thread;
struct pyframes_head {
    bool held;        /* at the last capture the calling thread held an interpreter's thread state .. */
    uintptr_t holder; /* .. namely this one */
};

/* Prepares for the interpreter in `api`. Returns 0, or -ENOTSUP (LACK_PYTHON_UNKNOWN or LACK_FREE_THREADED is noted):
 * captures then return 0. May be called again for another interpreter in the same process (embedding): the last one counts. */
int pyframes_init(const struct pyapi *api, unsigned depth);

/* State for a thread, from the arena; NULL when there is no memory (captures then return 0). */
struct pyframes_thread *pyframes_thread_new(void);

/* Makes the state usable by another thread. */
void pyframes_thread_reset(struct pyframes_thread *thread);

/* The Python stack of the calling thread, empty: no interpreter, no thread state held, no frame. At most `depth` frames, the
 * rest is a NODE_CUT root. A pointer, because interpreters differ. */
extern _hidden_ struct python_stack (*pyframes_capture)(struct pyframes_thread *thread);

static inline bool pyframes_held(const struct pyframes_thread *thread)
{
    return ((const struct pyframes_head *)thread)->held;
}

/* The thread state that pyframes_held is about. */
static inline uintptr_t pyframes_holder(const struct pyframes_thread *thread)
{
    return ((const struct pyframes_head *)thread)->holder;
}

/* True when the calling thread holds an interpreter's thread state (with it, in builds that have one, the GIL). */
bool pyframes_attached(void);

/* True once a frame of the program's own code was seen: a root frame named <module>, or runpy's entry for -m. */
bool pyframes_program_started(void);

/* Nothing to be done: freed code objects are noticed by their type (codes.h). */
static inline void pyframes_block_freed(uintptr_t address, uint64_t size)
{
    (void)address, (void)size;
}

/* Forgets everything interned, for the new ledger of a forked child. */
void pyframes_reset(void);

#endif
