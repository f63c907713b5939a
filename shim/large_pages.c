/* SPDX-License-Identifier: MIT */
#include "large_pages.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

/* What is left of the last large page. Nothing of it is touched yet. */
static uint8_t *next;
static size_t left;

bool large_pages_serve(size_t size)
{
    return size && LARGE_PAGE % size == 0 && size < LARGE_PAGE;
}

void *large_pages_reserve(size_t size)
{
    uint8_t *memory = mmap(NULL, size + LARGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return NULL;
    size_t before = -(uintptr_t)memory & (LARGE_PAGE - 1);
    if (before)
        munmap(memory, before);
    munmap(memory + before + size, LARGE_PAGE - before);
    madvise(memory + before, size, MADV_HUGEPAGE); /* where there are none, small ones do */
    return memory + before;
}

void *large_pages_map(size_t size)
{
    int saved = errno;

    if (left < size) {
        next = large_pages_reserve(LARGE_PAGE);
        left = next ? LARGE_PAGE : 0;
    }
    errno = saved;
    if (!next)
        return NULL;
    void *memory = next;
    next += size;
    left -= size;
    return memory;
}
