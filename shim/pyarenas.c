/* SPDX-License-Identifier: MIT */
#include "pyarenas.h"

#include "arena.h"
#include "compiler.h"
#include "lock.h"

#include <string.h>

#define ALLOCATORS_MAX 8u
#define PAGE_ARENAS 255u

/* An unused entry has size 0. Pages are never given back. */
struct page {
    struct page *next;
    struct pyarena arenas[PAGE_ARENAS];
};

void (*pyarenas_watcher)(void);

static struct py_arena_allocator saved[ALLOCATORS_MAX];
static unsigned saved_count;
static struct page *pages;
static struct lock lock;

static struct pyarena *find(uintptr_t start, size_t size)
{
    for (struct page *page = pages; page; page = page->next)
        for (unsigned i = 0; i < PAGE_ARENAS; i++)
            if (page->arenas[i].size == size && (!size || page->arenas[i].start == start))
                return &page->arenas[i];
    return NULL;
}

static struct pyarena *find_free(void)
{
    struct pyarena *entry = find(0, 0);

    if (entry)
        return entry;
    struct page *page = arena_map(sizeof(*page));
    if (!page)
        return NULL;
    page->next = pages;
    pages = page;
    return &page->arenas[0];
}

static void *arena_allocated(void *context, size_t size)
{
    const struct py_arena_allocator *allocator = context;
    void *memory = allocator->alloc(allocator->context, size);

    if (!memory || !size)
        return memory;
    lock_take(&lock);
    struct pyarena *entry = find_free();
    if (entry)
        *entry = (struct pyarena){(uintptr_t)memory, size};
    lock_give(&lock);
    return memory;
}

static void arena_freed(void *context, void *memory, size_t size)
{
    const struct py_arena_allocator *allocator = context;

    if (pyarenas_watcher)
        pyarenas_watcher();
    lock_take(&lock);
    struct pyarena *entry = size ? find((uintptr_t)memory, size) : NULL;
    if (entry)
        entry->size = 0;
    lock_give(&lock);
    allocator->free(allocator->context, memory, size);
}

/* The place where `found` is kept, NULL when there is no room. */
static struct py_arena_allocator *keep(const struct py_arena_allocator *found)
{
    for (unsigned i = 0; i < saved_count; i++)
        if (memcmp(&saved[i], found, sizeof(*found)) == 0)
            return &saved[i];
    if (saved_count == ALLOCATORS_MAX)
        return NULL;
    saved[saved_count] = *found;
    return &saved[saved_count++];
}

void pyarenas_hook(const struct pyapi *api)
{
    struct py_arena_allocator found = {0};

    if (!api->get_arena_allocator || !api->set_arena_allocator)
        return;
    api->get_arena_allocator(&found);
    if (found.alloc == arena_allocated || !found.alloc)
        return;
    struct py_arena_allocator ours = {keep(&found), arena_allocated, arena_freed};
    if (ours.context)
        api->set_arena_allocator(&ours);
}

size_t pyarenas_list(struct pyarena *arenas, size_t room)
{
    size_t count = 0;

    lock_take(&lock);
    for (const struct page *page = pages; page; page = page->next) {
        for (unsigned i = 0; i < PAGE_ARENAS; i++) {
            if (!page->arenas[i].size)
                continue;
            if (count < room)
                arenas[count] = page->arenas[i];
            count++;
        }
    }
    lock_give(&lock);
    return count;
}

void pyarenas_fork_child(void)
{
    lock_give(&lock);
}
