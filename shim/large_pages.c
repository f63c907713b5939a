/* SPDX-License-Identifier: MIT */
#include "large_pages.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

#define LARGE_PAGE ((size_t)2 << 20)

/* What is left of the last large page. Nothing of it is touched yet. */
static uint8_t *next;
static size_t left;

bool large_pages_serve(size_t size)
{
    return size && LARGE_PAGE % size == 0 && size < LARGE_PAGE;
}

/* A large page's worth at a multiple of its size: what is mapped too much before and behind it goes back. */
static uint8_t *map_aligned(void)
{
    uint8_t *memory = mmap(NULL, 2 * LARGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return NULL;
    size_t before = -(uintptr_t)memory & (LARGE_PAGE - 1);
    if (before)
        munmap(memory, before);
    munmap(memory + before + LARGE_PAGE, LARGE_PAGE - before);
    return memory + before;
}

void *large_pages_map(size_t size)
{
    int saved = errno;

    if (left < size) {
        next = map_aligned();
        left = next ? LARGE_PAGE : 0;
        if (next)
            madvise(next, LARGE_PAGE, MADV_HUGEPAGE); /* where there are none, small ones do */
    }
    errno = saved;
    if (!next)
        return NULL;
    void *memory = next;
    next += size;
    left -= size;
    return memory;
}
