/* SPDX-License-Identifier: MIT */
#include "arena.h"

#include "lock.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

#define CHUNK_SIZE (256u << 10)
#define ALIGNMENT 64u

static struct lock lock;
static uint8_t *next, *end; /* what is left of the current chunk */

void *arena_map(size_t size)
{
    int saved = errno;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    errno = saved;
    return memory == MAP_FAILED ? NULL : memory;
}

void arena_unmap(void *memory, size_t size)
{
    if (memory)
        munmap(memory, size);
}

void *arena_alloc(size_t size)
{
    size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (size > CHUNK_SIZE / 4)
        return arena_map(size);
    lock_take(&lock);
    if ((size_t)(end - next) < size) {
        next = arena_map(CHUNK_SIZE);
        end = next ? next + CHUNK_SIZE : NULL;
    }
    void *memory = next;
    if (next)
        next += size;
    lock_give(&lock);
    return memory;
}

void arena_fork_child(void)
{
    lock_give(&lock);
}
