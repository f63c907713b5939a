/* SPDX-License-Identifier: MIT */
#include "pyarenas.h"

#include "arena.h"
#include "compiler.h"
#include "large_pages.h"
#include "ledger.h"
#include "lock.h"
#include "thread.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define ALLOCATORS_MAX 8u
#define PAGE_ARENAS 255u

/* An unused entry has size 0. Pages are never given back. */
struct page {
    struct page *next;
    struct pyarena arenas[PAGE_ARENAS];
};

void (*pyarenas_watcher)(uintptr_t start, size_t size);

static struct py_arena_allocator saved[ALLOCATORS_MAX];
static bool is_on_large_pages[ALLOCATORS_MAX];
static unsigned saved_count;
static struct page *pages;
static struct lock lock;
static uint64_t mapped; /* bytes of all arenas */

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

/* ---- in the ledger ---- */

/* The interpreter asks for arenas inside a request that is recorded, or, for its frames, outside of any. */
static bool enter_guard(bool *ret_leave)
{
    *ret_leave = thread_enter() != NULL;
    return *ret_leave || (thread_local_state.busy && *thread_generation != THREAD_INACTIVE && *thread_generation);
}

/* With the lock held, inside the guard. An entry that was used once is used again. */
static void write_entry(struct pyarena *arena)
{
    if (!arena->entry)
        arena->entry = ledger_take(LEDGER_ARENAS, 1);
    if (!arena->entry)
        return;
    struct ledger_arena *entry = ledger_entry(LEDGER_ARENAS, arena->entry);
    entry->start = arena->start;
    __atomic_store_n(&entry->size, arena->size, __ATOMIC_RELEASE);
    ledger_header->arena_bytes_peak = MAX(ledger_header->arena_bytes_peak, mapped);
}

static void clear_entry(const struct pyarena *arena)
{
    if (!arena->entry)
        return;
    struct ledger_arena *entry = ledger_entry(LEDGER_ARENAS, arena->entry);
    __atomic_store_n(&entry->size, 0, __ATOMIC_RELEASE);
}

/* ---- the hooks ---- */

static void keep_arena(uintptr_t start, size_t size, bool in_ledger)
{
    struct pyarena *arena = find_free();

    if (!arena)
        return;
    arena->start = start;
    arena->size = size;
    mapped += size;
    if (in_ledger)
        write_entry(arena);
}

/* The interpreter's own allocator of arenas maps them, and unmaps them one by one. */
static void *allocate(const struct py_arena_allocator *allocator, size_t size)
{
    void *memory = NULL;

    if (is_on_large_pages[allocator - saved] && large_pages_serve(size)) {
        lock_take(&lock);
        memory = large_pages_map(size);
        lock_give(&lock);
    }
    return memory ? memory : allocator->alloc(allocator->context, size);
}

static void *arena_allocated(void *context, size_t size)
{
    const struct py_arena_allocator *allocator = context;
    void *memory = allocate(allocator, size);
    int error = errno;
    bool leave, inside;

    if (!memory || !size)
        return memory;
    inside = enter_guard(&leave);
    lock_take(&lock);
    keep_arena((uintptr_t)memory, size, inside);
    lock_give(&lock);
    if (leave)
        thread_leave();
    errno = error;
    return memory;
}

static void arena_freed(void *context, void *memory, size_t size)
{
    const struct py_arena_allocator *allocator = context;

    if (pyarenas_watcher)
        pyarenas_watcher((uintptr_t)memory, size);
    int error = errno;
    bool leave, inside = enter_guard(&leave);
    lock_take(&lock);
    struct pyarena *arena = size ? find((uintptr_t)memory, size) : NULL;
    if (arena) {
        if (inside)
            clear_entry(arena);
        mapped -= size;
        arena->size = 0;
    }
    lock_give(&lock);
    if (leave)
        thread_leave();
    errno = error;
    allocator->free(allocator->context, memory, size);
}

/* The place where `found` is kept, NULL when there is no room. */
static struct py_arena_allocator *keep(const struct py_arena_allocator *found, bool large_pages)
{
    for (unsigned i = 0; i < saved_count; i++)
        if (memcmp(&saved[i], found, sizeof(*found)) == 0)
            return &saved[i];
    if (saved_count == ALLOCATORS_MAX)
        return NULL;
    saved[saved_count] = *found;
    is_on_large_pages[saved_count] = large_pages;
    return &saved[saved_count++];
}

void pyarenas_hook(const struct pyapi *api, uintptr_t own_code, size_t own_size)
{
    struct py_arena_allocator found = {0};

    if (!api->get_arena_allocator || !api->set_arena_allocator)
        return;
    api->get_arena_allocator(&found);
    if (found.alloc == arena_allocated || !found.alloc)
        return;
    bool own = (uintptr_t)found.alloc - own_code < own_size;
    struct py_arena_allocator ours = {keep(&found, own), arena_allocated, arena_freed};
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

bool pyarenas_owns(uintptr_t address)
{
    bool owns = false;

    lock_take(&lock);
    for (const struct page *page = pages; page && !owns; page = page->next)
        for (unsigned i = 0; i < PAGE_ARENAS && !owns; i++)
            owns = address - page->arenas[i].start < page->arenas[i].size;
    lock_give(&lock);
    return owns;
}

void pyarenas_fork_child(void)
{
    lock_give(&lock);
    for (struct page *page = pages; page; page = page->next) {
        for (unsigned i = 0; i < PAGE_ARENAS; i++) {
            page->arenas[i].entry = 0;
            if (page->arenas[i].size)
                write_entry(&page->arenas[i]);
        }
    }
}
