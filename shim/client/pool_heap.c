/* SPDX-License-Identifier: MIT */
#include "pool_heap.h"

#include "compiler.h"
#include "pool_file.h"

#include <string.h>

#define OWN_CLASS_LOOKS 64u

/* ---- classes of sizes ---- */

struct class
{
    unsigned power, part;
};

/* The class whose lists hold pieces of `size` bytes. Below POOL_CLASSES grains each size has its own. */
static struct class class_of(uint64_t size)
{
    uint64_t grains = size / POOL_GRAIN;

    if (grains < POOL_CLASSES)
        return (struct class){0, (unsigned)grains};
    unsigned top = 63 - (unsigned)__builtin_clzll(grains);
    return (struct class){top - POOL_CLASS_BITS + 1,
                          (unsigned)(grains >> (top - POOL_CLASS_BITS)) & (POOL_CLASSES - 1)};
}

/* The first class all of whose pieces have at least `size` bytes. */
static struct class class_for(uint64_t size)
{
    uint64_t grains = size / POOL_GRAIN;

    if (grains >= POOL_CLASSES) {
        unsigned top = 63 - (unsigned)__builtin_clzll(grains);
        grains += (1ull << (top - POOL_CLASS_BITS)) - 1;
    }
    return class_of(grains * POOL_GRAIN);
}

/* ---- free pieces ---- */

void pool_heap_add_free(struct pool_view *view, uint32_t n)
{
    struct pool_header *header = view->header;
    struct pool_chunk *chunk = pool_chunk(view, n);
    struct class class = class_of(chunk->size);
    uint32_t *list = &header->lists[class.power][class.part];

    chunk->state = CHUNK_FREE;
    chunk->previous_free = 0;
    chunk->next_free = *list;
    if (*list)
        pool_chunk(view, *list)->previous_free = n;
    *list = n;
    header->classes[class.power] |= 1u << class.part;
    header->powers |= 1ull << class.power;
}

static void list_remove(struct pool_view *view, uint32_t n)
{
    struct pool_header *header = view->header;
    struct pool_chunk *chunk = pool_chunk(view, n);
    struct class class = class_of(chunk->size);
    uint32_t *list = &header->lists[class.power][class.part];

    if (chunk->previous_free)
        pool_chunk(view, chunk->previous_free)->next_free = chunk->next_free;
    else
        *list = chunk->next_free;
    if (chunk->next_free)
        pool_chunk(view, chunk->next_free)->previous_free = chunk->previous_free;
    if (!*list)
        header->classes[class.power] &= ~(1u << class.part);
    if (!header->classes[class.power])
        header->powers &= ~(1ull << class.power);
}

/* The last resort: the class of `size` itself, where only some pieces are large enough. The first few are looked at. */
static uint32_t list_search_own(const struct pool_view *view, uint64_t size)
{
    struct class class = class_of(size);
    uint32_t n = view->header->lists[class.power][class.part];

    for (unsigned looks = 0; n && pool_chunk(view, n)->size < size; n = pool_chunk(view, n)->next_free)
        if (++looks == OWN_CLASS_LOOKS)
            return 0;
    return n;
}

/* A free piece of at least `size` bytes, or 0. */
static uint32_t list_search(const struct pool_view *view, uint64_t size)
{
    const struct pool_header *header = view->header;
    struct class class = class_for(size);

    if (class.power >= POOL_POWERS)
        return 0;
    uint32_t parts = header->classes[class.power] & ~0u << class.part;
    if (!parts) {
        uint64_t powers = class.power + 1 < 64 ? header->powers & ~0ull << (class.power + 1) : 0;
        if (!powers)
            return 0;
        class.power = (unsigned)__builtin_ctzll(powers);
        parts = header->classes[class.power];
    }
    return parts ? header->lists[class.power][__builtin_ctz(parts)] : 0;
}

/* ---- unused chunks ---- */

bool pool_heap_grow(struct pool_view *view)
{
    struct pool_header *header = view->header;
    uint64_t first = pool_chunk_limit(view), step = POOL_STEP / sizeof(struct pool_chunk);
    uint64_t limit = MIN(first + step, view->chunk_capacity);

    if (first == limit)
        return false;
    uint64_t start = (uint64_t)((uint8_t *)view->chunks - (uint8_t *)header) + first * sizeof(struct pool_chunk);
    if (pool_file_commit(view, start, (limit - first) * sizeof(struct pool_chunk)))
        return false;
    __atomic_store_n(&header->chunks_committed, limit, __ATOMIC_RELEASE);
    return true;
}

uint32_t pool_heap_unused(struct pool_view *view)
{
    struct pool_header *header = view->header;
    uint32_t n = header->unused;

    if (n) {
        header->unused = pool_chunk(view, n)->next_free;
        return n;
    }
    if (header->fresh >= pool_chunk_limit(view) && !pool_heap_grow(view))
        return 0;
    return header->fresh++;
}

static void unused_give(struct pool_view *view, uint32_t n)
{
    struct pool_chunk *chunk = pool_chunk(view, n);

    chunk->state = CHUNK_UNUSED;
    chunk->next_free = view->header->unused;
    view->header->unused = n;
}

/* ---- used chunks by type and id ---- */

static uint32_t *bucket_of(const struct pool_view *view, uint32_t type, uint64_t id)
{
    uint64_t hash = (id + type * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
    return &view->header->buckets[hash >> 52 & (POOL_BUCKETS - 1)];
}

void pool_heap_add_used(struct pool_view *view, uint32_t n)
{
    struct pool_chunk *chunk = pool_chunk(view, n);
    uint32_t *bucket = bucket_of(view, chunk->type, chunk->id);

    chunk->next_same = *bucket;
    *bucket = n;
    view->header->used_bytes += chunk->size;
    view->header->used_count++;
}

static void bucket_remove(struct pool_view *view, uint32_t n)
{
    struct pool_chunk *chunk = pool_chunk(view, n);
    uint32_t *link = bucket_of(view, chunk->type, chunk->id);

    while (*link && *link != n)
        link = &pool_chunk(view, *link)->next_same;
    if (*link)
        *link = chunk->next_same;
}

uint32_t pool_heap_find(const struct pool_view *view, uint32_t type, uint64_t id)
{
    uint32_t n = *bucket_of(view, type, id);

    for (; n; n = pool_chunk(view, n)->next_same) {
        const struct pool_chunk *chunk = pool_chunk(view, n);
        if (chunk->type == type && chunk->id == id)
            break;
    }
    return n;
}

/* ---- taking and freeing ---- */

/* Gives the bytes of a chunk beyond `size` to a new free one, if there is a number for it. */
static void split(struct pool_view *view, uint32_t n, uint64_t size)
{
    struct pool_chunk *chunk = pool_chunk(view, n);
    uint32_t rest = chunk->size > size ? pool_heap_unused(view) : 0;

    if (!rest)
        return;
    struct pool_chunk *other = pool_chunk(view, rest);
    *other = (struct pool_chunk){
        .offset = chunk->offset + size, .size = chunk->size - size, .before = n, .after = chunk->after};
    if (chunk->after)
        pool_chunk(view, chunk->after)->before = rest;
    chunk->after = rest;
    chunk->size = size;
    pool_heap_add_free(view, rest);
}

uint32_t pool_heap_take(struct pool_view *view, uint64_t size)
{
    if (size == 0 || size > view->heap_size)
        return 0;
    size = (size + POOL_GRAIN - 1) / POOL_GRAIN * POOL_GRAIN;
    uint32_t n = list_search(view, size);
    if (!n)
        n = list_search_own(view, size);
    if (!n)
        return 0;
    list_remove(view, n);
    split(view, n, size);
    return n;
}

void pool_heap_publish(struct pool_view *view, uint32_t n)
{
    struct pool_chunk *chunk = pool_chunk(view, n);

    __atomic_store_n(&chunk->state, CHUNK_USED, __ATOMIC_RELEASE);
    pool_heap_add_used(view, n);
}

/* Joins chunk `n` with the one after it, whose number is free then. */
static void join(struct pool_view *view, uint32_t n)
{
    struct pool_chunk *chunk = pool_chunk(view, n);
    uint32_t gone = chunk->after;
    const struct pool_chunk *other = pool_chunk(view, gone);

    chunk->size += other->size;
    chunk->after = other->after;
    if (chunk->after)
        pool_chunk(view, chunk->after)->before = n;
    unused_give(view, gone);
}

void pool_heap_free(struct pool_view *view, uint32_t n)
{
    struct pool_chunk *chunk = pool_chunk(view, n);
    uint32_t before = chunk->before, after = chunk->after;

    __atomic_store_n(&chunk->state, CHUNK_FREE, __ATOMIC_RELEASE);
    bucket_remove(view, n);
    view->header->used_bytes -= chunk->size;
    view->header->used_count--;
    if (after && pool_chunk(view, after)->state == CHUNK_FREE) {
        list_remove(view, after);
        join(view, n);
    }
    if (before && pool_chunk(view, before)->state == CHUNK_FREE) {
        list_remove(view, before);
        join(view, before);
        n = before;
    }
    pool_heap_add_free(view, n);
}

/* ---- the whole ---- */

uint32_t pool_heap_first(const struct pool_view *view)
{
    return view->chunks[0].after;
}

uint64_t pool_heap_largest(const struct pool_view *view)
{
    const struct pool_header *header = view->header;
    uint64_t largest = 0;

    if (!header->powers)
        return 0;
    unsigned power = 63 - (unsigned)__builtin_clzll(header->powers);
    if (power >= POOL_POWERS || !header->classes[power])
        return 0;
    unsigned part = 31 - (unsigned)__builtin_clz(header->classes[power]);
    for (uint32_t n = header->lists[power][part]; n; n = pool_chunk(view, n)->next_free)
        largest = MAX(largest, pool_chunk(view, n)->size);
    return largest;
}
