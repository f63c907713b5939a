/* SPDX-License-Identifier: MIT
 *
 * A malloc family that may be called from signal handlers, for programs that do so: blocks are cut from one mapping by an atomic
 * counter and never used again. Preloaded behind the shim it is what the hooks call. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ROOM ((size_t)8 << 30)

static uint8_t *room;
static size_t used;

__attribute__((visibility("default"))) void *memalign(size_t alignment, size_t size);

__attribute__((constructor)) static void start(void)
{
    if (!room)
        room = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static void *cut(size_t alignment, size_t size)
{
    size_t wanted = size + alignment + 16;

    if (!room)
        start();
    size_t at = __atomic_fetch_add(&used, wanted, __ATOMIC_RELAXED);
    if (size > ROOM / 2 || at + wanted > ROOM) {
        errno = ENOMEM;
        return NULL;
    }
    uint8_t *p = (uint8_t *)(((uintptr_t)room + at + 16 + alignment - 1) & ~(uintptr_t)(alignment - 1));
    memcpy(p - 8, &size, sizeof(size));
    return p;
}

__attribute__((visibility("default"))) void *malloc(size_t size)
{
    return cut(16, size);
}

__attribute__((visibility("default"))) void *memalign(size_t alignment, size_t size)
{
    return cut(alignment < 16 ? 16 : alignment, size);
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t size)
{
    return cut(16, count * size); /* fresh from the mapping: zeroes */
}

__attribute__((visibility("default"))) size_t malloc_usable_size(void *p)
{
    size_t size = 0;
    if (p)
        memcpy(&size, (uint8_t *)p - 8, sizeof(size));
    return size;
}

__attribute__((visibility("default"))) void *realloc(void *p, size_t size)
{
    size_t old = malloc_usable_size(p);
    void *moved = cut(16, size);

    if (moved && p)
        memcpy(moved, p, old < size ? old : size);
    return moved;
}

__attribute__((visibility("default"))) void free(void *p)
{
    (void)p;
}
