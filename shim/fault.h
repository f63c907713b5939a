/* SPDX-License-Identifier: MIT
 *
 * Requests for memory that are refused as if there were none left: the options fail_every, fail_above, limit and limits of domains. A hook
 * asks before it does anything, and answers the program as the C library does: NULL, and ENOMEM. What the program did not
 * ask for itself (the shim's own requests, memory that an allocator takes for a request that has been judged) is not
 * refused, nor is what comes before the program's own code, nor a realloc that makes a block smaller. */
#ifndef SHIM_FAULT_H
#define SHIM_FAULT_H

#include "compiler.h"
#include "ledger_format.h"

#include <stdbool.h>
#include <stddef.h>

/* True: one of the options is in force. Constant after the constructor. Events are odd ones then (event.h). */
extern _hidden_ bool fault_active;

/* True: there is a limit for a domain, and the bytes of each are counted. Constant likewise. */
extern _hidden_ bool fault_by_domain;

/* In a forked child, which counts anew. */
void fault_fork_child(void);

/* A block of the domain has so many bytes more, or less. */
void fault_balance(enum block_domain domain, int64_t bytes);

/* Reads the options. */
void fault_init(void);

/* Whether a new block of `size` bytes is refused. Sets errno then. With the guard of thread.h closed, as the others. */
bool fault_refuses(enum block_domain domain, size_t size);

/* The same for a block of `old_size` bytes that is to have `size`. */
bool fault_refuses_growth(enum block_domain domain, size_t size, size_t old_size);

/* The same for the block at `p`, which may be any (`domain`: that of the function which was called). If it is not refused, this thread's requests are not judged (again) up to
 * fault_resized. */
bool fault_refuses_resize(enum block_domain domain, void *p, size_t size);
void fault_resized(void);

#endif
