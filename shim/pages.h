/* SPDX-License-Identifier: MIT
 *
 * Blocks against inaccessible pages (option guard_pages=N), by which reads beyond a block or of a freed one are found: one in
 * N recorded blocks, drawn at random, has pages of its own and lies at their beginning or at their end. After its free the
 * pages are inaccessible, and stay so until all others were used. These blocks have no prefix, and there may be nothing
 * to read where one would be: pages_owns is to be asked before block_find.
 *
 * Slots are a limited number, in one mapping; a block that does not fit or finds no slot is made as any other. */
#ifndef SHIM_PAGES_H
#define SHIM_PAGES_H

#include "capture.h"
#include "compiler.h"
#include "misuse.h"
#include "thread.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The option guard_pages: 0 = none. Constant after the constructor. */
extern uint32_t pages_every;

/* The mapping, from pages_start. Constant likewise. */
extern uintptr_t pages_start, pages_bytes;

/* Maps the slots and installs the handler of SIGSEGV (pages_fault.h); without memory there are none. */
void pages_init(uint64_t every);

/* Whether `p` points into the mapping: such a pointer is for the functions below. */
static inline bool pages_owns(const void *p)
{
    return unlikely((uintptr_t)p - pages_start < pages_bytes);
}

bool pages_draw(struct thread *thread);

/* Whether the thread's next recorded block is to be one of these. Inside the guard of thread.h, as pages_allocate. */
static inline bool pages_due(struct thread *thread)
{
    return unlikely(pages_every != 0) && pages_draw(thread);
}

struct pages_request {
    size_t size;
    size_t alignment; /* a power of two */
    uint64_t ref;     /* as for event_finish */
    bool zeroed;
    void *const *frame;
};

/* Makes a block and closes the guard, as event_finish does. NULL: it cannot be made in this way, and the guard is still open. */
void *pages_allocate(struct thread *thread, const struct pages_request *request);

/* Frees the block at `p`; what is none is noted and dropped. */
void pages_free(void *p, const struct release *release);

/* To a new block (see guarded_realloc for `origin`). `size` > 0. */
void *pages_realloc(const struct python_origin *origin, void *p, size_t size, const struct release *release);

/* Bytes that the program asked for, 0 when there is no live block at `p`. */
size_t pages_size(const void *p);

/* Looks at what stands beside all live blocks. Inside the guard. */
void pages_check_all(struct thread *thread, void *const *frame);

/* What lies at an address in the mapping. */
struct pages_place {
    uintptr_t block;
    uint64_t size;
    uint64_t ref;
    bool freed;
    uint32_t alloc_trace, free_trace;
};

/* The block that `address` is in or nearest to. False: none was ever near it. Inside the guard. */
bool pages_find(uintptr_t address, struct pages_place *ret);

/* In a forked child. */
void pages_fork_child(void);

#endif
