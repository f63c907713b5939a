/* SPDX-License-Identifier: MIT
 *
 * Calls of Python's MEM and OBJ allocators by threads that do not hold the interpreter's lock, with guard=1. */
#ifndef SHIM_INTERPRETER_LOCK_H
#define SHIM_INTERPRETER_LOCK_H

#include "capture.h"
#include "pyframes.h"
#include "pymem.h"
#include "thread.h"

#include <stdbool.h>

/* Whether the calling thread holds no interpreter's lock, while there is one to hold. */
bool interpreter_lock_missing(void);

/* Whether it is seen without a look that it holds one: right after the thread's stack was captured, inside the guard of
 * thread.h. */
static inline bool interpreter_lock_held_after(const struct thread *thread)
{
    return pymem_captures && thread->python && pyframes_held(thread->python);
}

/* Inside the guard of thread.h: whether that is the interpreter's own affair, which calls its allocators while it has no thread
 * state for a moment. */
bool interpreter_lock_excused(struct thread *thread, void *const *frame);

/* Notes the error; inside the guard. */
void interpreter_lock_note(struct thread *thread, const void *p, uint64_t size, enum block_domain domain,
                           const char *function, void *const *frame);

/* The origin to serve a request from: libc when the lock is missing, which is noted. Without the guard. */
const struct python_origin *interpreter_lock_origin(const struct python_origin *origin, size_t size,
                                                    void *const *frame);

#endif
