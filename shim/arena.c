/* SPDX-License-Identifier: MIT */
#include "arena.h"

#include "compiler.h"
#include "large_pages.h"
#include "lock.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHUNK_SIZE (256u << 10)
#define ALIGNMENT 64u

/* The list of mappings is made of pages of entries, never given back; a free entry has size 0. */
#define LIST_SIZE 4096u

struct list {
    struct list *next;
    struct arena_range ranges[(LIST_SIZE - sizeof(void *)) / sizeof(struct arena_range)];
};

static struct lock lock;
static uint8_t *next, *end; /* what is left of the current chunk */
static struct lock list_lock;
static struct list first_list;
static size_t free_hint; /* no entry of the first page below it is free */

static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* A free entry; NULL when there is no memory for one. With the lock held. */
static struct arena_range *free_entry(void)
{
    size_t from = free_hint;

    for (struct list *list = &first_list;; list = list->next) {
        for (size_t i = from; i < ARRAY_SIZE(list->ranges); i++) {
            if (list->ranges[i].size)
                continue;
            if (list == &first_list)
                free_hint = i;
            return &list->ranges[i];
        }
        if (list == &first_list)
            free_hint = ARRAY_SIZE(list->ranges);
        from = 0;
        if (!list->next)
            list->next = map(LIST_SIZE);
        if (!list->next)
            return NULL;
    }
}

static struct arena_range *entry_of(const void *memory)
{
    for (struct list *list = &first_list; list; list = list->next)
        for (size_t i = 0; i < ARRAY_SIZE(list->ranges); i++)
            if (list->ranges[i].start == (uintptr_t)memory && list->ranges[i].size)
                return &list->ranges[i];
    return NULL;
}

static void forget(const void *memory)
{
    struct arena_range *entry = entry_of(memory);

    if (!entry)
        return;
    entry->size = 0;
    if (entry >= first_list.ranges && entry < first_list.ranges + free_hint)
        free_hint = (size_t)(entry - first_list.ranges);
}

static void remember(void *memory, size_t size)
{
    if (!memory)
        return;
    lock_take(&list_lock);
    struct arena_range *entry = free_entry();
    if (entry)
        *entry = (struct arena_range){(uintptr_t)memory, size};
    lock_give(&list_lock);
}

void *arena_map(size_t size)
{
    int saved = errno;
    void *memory = map(size);

    remember(memory, size);
    errno = saved;
    return memory;
}

void *arena_map_scattered(size_t size)
{
    if (size < LARGE_PAGE)
        return arena_map(size);
    int saved = errno;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *memory = large_pages_reserve((size + page - 1) & -page);

    remember(memory, size);
    errno = saved;
    return memory;
}

void arena_unmap(void *memory, size_t size)
{
    if (!memory)
        return;
    lock_take(&list_lock);
    forget(memory);
    lock_give(&list_lock);
    munmap(memory, size);
}

void *arena_remap(void *memory, size_t old_size, size_t size)
{
    if (!memory)
        return arena_map(size);
    int saved = errno;
    lock_take(&list_lock);
    struct arena_range *entry = entry_of(memory);
    void *moved = mremap(memory, old_size, size, MREMAP_MAYMOVE);
    if (moved == MAP_FAILED)
        moved = NULL;
    else if (entry)
        *entry = (struct arena_range){(uintptr_t)moved, size};
    lock_give(&list_lock);
    errno = saved;
    return moved;
}

size_t arena_ranges(struct arena_range *ranges, size_t room)
{
    size_t count = 0;

    lock_take(&list_lock);
    for (struct list *list = &first_list; list; list = list->next) {
        if (list != &first_list) {
            if (count < room)
                ranges[count] = (struct arena_range){(uintptr_t)list, LIST_SIZE};
            count++;
        }
        for (size_t i = 0; i < ARRAY_SIZE(list->ranges); i++) {
            if (!list->ranges[i].size)
                continue;
            if (count < room)
                ranges[count] = list->ranges[i];
            count++;
        }
    }
    lock_give(&list_lock);
    return count;
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
    lock_give(&list_lock);
}
