/* SPDX-License-Identifier: MIT
 *
 * A malloc family that may be called from signal handlers, for programs that do so: blocks are cut from one mapping by an atomic
 * counter, and freed ones wait in a list for each power of two, without locks. Preloaded behind the shim it is what the hooks
 * call. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ROOM ((size_t)8 << 30)
#define HEAD 16u /* before each block: its order (of two), its size */
#define ORDERS 40
#define NO_ORDER ORDERS /* of a block that is not used again */
#define ADDRESS_BITS 48

static uint8_t *room;
static size_t used;
static uint64_t lists[ORDERS]; /* the first free block of each, and in the upper bits how often the list has changed */

__attribute__((visibility("default"))) void *memalign(size_t alignment, size_t size);

__attribute__((constructor)) static void start(void)
{
    if (!room)
        room = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static void *cut(size_t alignment, size_t size)
{
    size_t wanted = size + alignment + HEAD;

    if (!room)
        start();
    if (size > ROOM / 2) {
        errno = ENOMEM;
        return NULL;
    }
    size_t at = __atomic_fetch_add(&used, wanted, __ATOMIC_RELAXED);
    if (at + wanted > ROOM) {
        errno = ENOMEM;
        return NULL;
    }
    return (uint8_t *)(((uintptr_t)room + at + HEAD + alignment - 1) & ~(uintptr_t)(alignment - 1));
}

static uint8_t *block_at(uint64_t word)
{
    return (uint8_t *)(uintptr_t)(word & (((uint64_t)1 << ADDRESS_BITS) - 1));
}

static uint64_t changed(uint64_t word, const uint8_t *first)
{
    return ((word >> ADDRESS_BITS) + 1) << ADDRESS_BITS | (uintptr_t)first;
}

/* Takes the first block of a list, or NULL. What is read of it may be another's by then: then the list has changed, too. */
static uint8_t *take(unsigned order)
{
    uint64_t word = __atomic_load_n(&lists[order], __ATOMIC_ACQUIRE), next;

    do {
        if (!block_at(word))
            return NULL;
        memcpy(&next, block_at(word), sizeof(next));
    } while (!__atomic_compare_exchange_n(&lists[order], &word, changed(word, block_at(next)), 0, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE));
    return block_at(word);
}

static void give(unsigned order, uint8_t *p)
{
    uint64_t word = __atomic_load_n(&lists[order], __ATOMIC_RELAXED), next;

    do {
        next = (uintptr_t)block_at(word);
        memcpy(p, &next, sizeof(next));
    } while (
        !__atomic_compare_exchange_n(&lists[order], &word, changed(word, p), 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

static void *finish(uint8_t *p, uint64_t order, size_t size)
{
    if (p) {
        memcpy(p - HEAD, &order, sizeof(order));
        memcpy(p - 8, &size, sizeof(size));
    }
    return p;
}

__attribute__((visibility("default"))) void *malloc(size_t size)
{
    unsigned order = 4;

    while (order < ORDERS - 1 && (size_t)1 << order < size)
        order++;
    uint8_t *p = take(order);
    return finish(p ? p : cut(16, (size_t)1 << order < size ? size : (size_t)1 << order), order, size);
}

__attribute__((visibility("default"))) void *memalign(size_t alignment, size_t size)
{
    return finish(cut(alignment < 16 ? 16 : alignment, size), NO_ORDER, size);
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t size)
{
    void *p = malloc(count * size);

    return p ? memset(p, 0, count * size) : p;
}

__attribute__((visibility("default"))) size_t malloc_usable_size(void *p)
{
    size_t size = 0;
    if (p)
        memcpy(&size, (uint8_t *)p - 8, sizeof(size));
    return size;
}

__attribute__((visibility("default"))) void free(void *p)
{
    uint64_t order = NO_ORDER;

    if (p)
        memcpy(&order, (uint8_t *)p - HEAD, sizeof(order));
    if (order < ORDERS)
        give((unsigned)order, p);
}

__attribute__((visibility("default"))) void *realloc(void *p, size_t size)
{
    size_t old = malloc_usable_size(p);
    void *moved = malloc(size);

    if (moved && p) {
        memcpy(moved, p, old < size ? old : size);
        free(p);
    }
    return moved;
}
