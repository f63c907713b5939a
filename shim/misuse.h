/* SPDX-License-Identifier: MIT
 *
 * Blocks that are released in another way than they were made: noticed with and without guard bytes, because the reference of
 * a block says who made it. Inside the guard of thread.h, which is not open for those that name no thread. */
#ifndef SHIM_MISUSE_H
#define SHIM_MISUSE_H

#include "ledger_format.h"
#include "thread.h"

#include <stdbool.h>
#include <stddef.h>

/* How a block is released or resized. */
struct release {
    enum block_domain by; /* the family of the function */
    size_t size;          /* that the program says it has, or SIZE_MAX */
    bool is_realloc;
    void *const *frame;  /* of the hook, for the stack */
    void *const *caller; /* of the innermost hook: the C library's, when `frame` is that of an allocator around it */
};

/* Notes a mismatch, if the release of the block with `ref` is one. */
void misuse_check(struct thread *thread, const void *p, uint64_t ref, const struct release *release);

/* The same with the guard not open yet. */
void misuse_check_alone(const void *p, uint64_t ref, const struct release *release);

/* Names for messages: "PyMem_Malloc", "PyMem_Free". */
const char *misuse_maker(enum block_domain domain);
const char *misuse_releaser(const struct release *release);

#endif
