/* SPDX-License-Identifier: MIT
 *
 * How many recorded blocks lie on each page of memory, kept with sampling, when there are few: a pointer on a page without one is
 * known to be no recorded block, whoever made it, and nothing before it has to be read. What stands there is the end of another
 * block: often in no cache, and of any value, so that the processor would guess wrong what comes of it. Pages share counts (there
 * is no false "none"). Callable from any thread at any time, takes no lock. */
#ifndef SHIM_MARKED_PAGES_H
#define SHIM_MARKED_PAGES_H

#include "compiler.h"

#include <stdbool.h>
#include <stdint.h>

#define MARKED_PAGES_SHIFT 12
#define MARKED_PAGES_COUNTS (64u << 10) /* of all pages; a power of two */
#define MARKED_PAGES_FULL UINT8_MAX     /* a count that has come so far stays */

extern _hidden_ uint8_t marked_pages[MARKED_PAGES_COUNTS];

static _always_inline_ uint8_t *marked_pages_count(const void *p)
{
    return &marked_pages[(uintptr_t)p >> MARKED_PAGES_SHIFT & (MARKED_PAGES_COUNTS - 1)];
}

/* True: there is no recorded block at `p`. Whoever has got a pointer to one from another thread sees that it is counted: that
 * happened before the pointer was handed over. */
static _always_inline_ bool marked_pages_none(const void *p)
{
    return !__atomic_load_n(marked_pages_count(p), __ATOMIC_RELAXED);
}

/* Before a recorded block at `p` is given to the program, and once it is none any more. */
void marked_pages_add(const void *p);
void marked_pages_remove(const void *p);

#endif
