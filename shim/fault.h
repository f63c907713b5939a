/* SPDX-License-Identifier: MIT
 *
 * Requests for memory that are refused as if there were none left: the options fail_every, fail_above and limit. A hook
 * asks before it does anything, and answers the program as the C library does: NULL, and ENOMEM. What the program did not
 * ask for itself (the shim's own requests, memory that an allocator takes for a request that has been judged) is not
 * refused, nor is what comes before the program's own code, nor a realloc that makes a block smaller. */
#ifndef SHIM_FAULT_H
#define SHIM_FAULT_H

#include "compiler.h"

#include <stdbool.h>
#include <stddef.h>

/* True: one of the options is in force. Constant after the constructor. Events are odd ones then (event.h). */
extern _hidden_ bool fault_active;

/* Reads the options. */
void fault_init(void);

/* Whether a new block of `size` bytes is refused. Sets errno then. With the guard of thread.h closed, as the others. */
bool fault_refuses(size_t size);

/* The same for a block of `old_size` bytes that is to have `size`. */
bool fault_refuses_growth(size_t size, size_t old_size);

/* The same for the block at `p`, which may be any (`of_libc`: not one of pymalloc). If it is not refused, this thread's requests are not judged (again) up to
 * fault_resized. */
bool fault_refuses_resize(void *p, size_t size, bool of_libc);
void fault_resized(void);

#endif
