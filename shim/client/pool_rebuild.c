/* SPDX-License-Identifier: MIT
 *
 * Free space from the used chunks alone, after the death of one who held the lock; and the check that the two fit together. No
 * memory is taken: used chunks are sorted as a list, linked by `after`. */
#include "compiler.h"
#include "pool_heap.h"

#include <string.h>

static bool is_sane(const struct pool_view *view, const struct pool_chunk *chunk)
{
    return chunk->size && chunk->size % POOL_GRAIN == 0 && chunk->offset % POOL_GRAIN == 0 &&
           chunk->size <= view->heap_size && chunk->offset <= view->heap_size - chunk->size &&
           chunk->asked <= chunk->size && chunk->type && chunk->id;
}

/* The used chunks as a list, the others as unused ones. */
static uint32_t collect(struct pool_view *view)
{
    struct pool_header *header = view->header;
    uint32_t limit = pool_chunk_limit(view), first = 0;

    for (uint32_t n = limit; n-- > 1;) {
        struct pool_chunk *chunk = pool_chunk(view, n);
        if (chunk->state == CHUNK_USED && is_sane(view, chunk)) {
            chunk->after = first;
            first = n;
            continue;
        }
        header->damaged += chunk->state == CHUNK_USED;
        chunk->state = CHUNK_UNUSED;
        chunk->next_free = header->unused;
        header->unused = n;
    }
    header->fresh = MAX(limit, 1u);
    return first;
}

/* Merges two lists that are sorted by offset. */
static uint32_t merge(struct pool_view *view, uint32_t a, uint32_t b)
{
    uint32_t first = 0, *link = &first;

    while (a && b) {
        uint32_t *smaller = pool_chunk(view, a)->offset <= pool_chunk(view, b)->offset ? &a : &b;
        *link = *smaller;
        link = &pool_chunk(view, *smaller)->after;
        *smaller = *link;
    }
    *link = a ? a : b;
    return first;
}

/* Merge sort with a list for each power of two. */
static uint32_t sort(struct pool_view *view, uint32_t first)
{
    uint32_t lists[32] = {0}, result = 0;

    while (first) {
        uint32_t one = first;
        unsigned level = 0;
        first = pool_chunk(view, one)->after;
        pool_chunk(view, one)->after = 0;
        for (; level < 31 && lists[level]; level++) {
            one = merge(view, lists[level], one);
            lists[level] = 0;
        }
        lists[level] = lists[level] ? merge(view, lists[level], one) : one;
    }
    for (unsigned level = 0; level < 32; level++)
        result = merge(view, lists[level], result);
    return result;
}

/* Free space of `size` bytes between two chunks. Without a number for it the space is lost until the next rebuild. */
static uint32_t add_gap(struct pool_view *view, uint32_t before, uint64_t offset, uint64_t size)
{
    uint32_t n = pool_heap_unused(view);

    if (!n)
        return before;
    *pool_chunk(view, n) = (struct pool_chunk){.offset = offset, .size = size, .before = before};
    pool_chunk(view, before)->after = n;
    pool_heap_add_free(view, n);
    return n;
}

/* Links the sorted chunks with each other and with the free space between them. */
static void link_all(struct pool_view *view, uint32_t first)
{
    struct pool_header *header = view->header;
    uint32_t last = 0, next;
    uint64_t end = 0;

    for (uint32_t n = first; n; n = next) {
        struct pool_chunk *chunk = pool_chunk(view, n);
        next = chunk->after;
        if (chunk->offset < end) { /* two at one place: the one that begins first stays */
            header->damaged++;
            chunk->state = CHUNK_UNUSED;
            chunk->next_free = header->unused;
            header->unused = n;
            continue;
        }
        if (chunk->offset > end)
            last = add_gap(view, last, end, chunk->offset - end);
        chunk->before = last;
        pool_chunk(view, last)->after = n;
        pool_heap_add_used(view, n);
        end = chunk->offset + chunk->size;
        last = n;
    }
    pool_chunk(view, last)->after = 0;
    if (end < view->heap_size)
        last = add_gap(view, last, end, view->heap_size - end);
    pool_chunk(view, last)->after = 0;
}

void pool_heap_rebuild(struct pool_view *view)
{
    struct pool_header *header = view->header;

    header->used_bytes = header->used_count = 0;
    header->unused = 0;
    header->powers = 0;
    memset(header->classes, 0, sizeof(header->classes));
    memset(header->lists, 0, sizeof(header->lists));
    memset(header->buckets, 0, sizeof(header->buckets));
    uint32_t first = sort(view, collect(view));
    view->chunks[0] = (struct pool_chunk){0};
    link_all(view, first);
}

/* ---- the check ---- */

/* Free pieces in the lists, each in the right one. */
static bool count_free(const struct pool_view *view, uint64_t *ret_count, uint64_t *ret_bytes)
{
    uint64_t limit = view->chunk_capacity;

    *ret_count = *ret_bytes = 0;
    for (unsigned power = 0; power < POOL_POWERS; power++) {
        for (unsigned part = 0; part < POOL_CLASSES; part++) {
            uint32_t n = view->header->lists[power][part], before = 0;
            if (!n != !(view->header->classes[power] >> part & 1))
                return false;
            for (; n; before = n, n = pool_chunk(view, n)->next_free) {
                const struct pool_chunk *chunk = pool_chunk(view, n);
                if (chunk->state != CHUNK_FREE || chunk->previous_free != before || ++*ret_count > limit)
                    return false;
                *ret_bytes += chunk->size;
            }
        }
        if (!view->header->classes[power] != !(view->header->powers >> power & 1))
            return false;
    }
    return true;
}

bool pool_heap_is_sound(const struct pool_view *view)
{
    uint64_t end = 0, used = 0, used_bytes = 0, free_count = 0, listed, listed_bytes, steps = 0;
    uint32_t before = 0;
    bool after_free = false;

    for (uint32_t n = pool_heap_first(view); n; before = n, n = pool_chunk(view, n)->after) {
        const struct pool_chunk *chunk = pool_chunk(view, n);
        bool is_free = chunk->state == CHUNK_FREE;
        if (++steps > view->chunk_capacity || chunk->before != before || chunk->offset != end || !chunk->size ||
            (is_free && after_free) || (!is_free && chunk->state != CHUNK_USED))
            return false;
        if (!is_free && (!is_sane(view, chunk) || pool_heap_find(view, chunk->type, chunk->id) != n))
            return false;
        end += chunk->size;
        free_count += is_free;
        used += !is_free;
        used_bytes += is_free ? 0 : chunk->size;
        after_free = is_free;
    }
    return end == view->heap_size && count_free(view, &listed, &listed_bytes) && listed == free_count &&
           listed_bytes + used_bytes == view->heap_size && used == view->header->used_count &&
           used_bytes == view->header->used_bytes;
}
