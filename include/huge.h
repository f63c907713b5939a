/* SPDX-License-Identifier: MIT
 *
 * For tables of a hundred megabytes that are read here and there: with pages of 2 MB the processor finds their addresses, and the
 * kernel hands them out, in a fraction of the time. */
#ifndef HUGE_H
#define HUGE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

/* Asks for large pages where whole ones fit into the `size` bytes at `memory`, which nothing was written to yet; NULL is fine. Where
 * there are none, nothing changes. Returns `memory`. */
static inline void *huge_advise(void *memory, size_t size)
{
    uintptr_t start = ((uintptr_t)memory + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
    uintptr_t end = ((uintptr_t)memory + size) & ~(HUGE_PAGE - 1);

    if (memory && start < end)
        madvise((void *)start, end - start, MADV_HUGEPAGE);
    return memory;
}

#endif
