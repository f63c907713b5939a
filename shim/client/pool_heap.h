/* SPDX-License-Identifier: MIT
 *
 * The allocator of a pool and its manifest (pool_format.h). All calls under the pool's lock, except pool_heap_list. The
 * order of the stores is what makes a death at any point harmless: see each function. */
#ifndef CLIENT_POOL_HEAP_H
#define CLIENT_POOL_HEAP_H

#include "pool_format.h"

#include <stdbool.h>

/* Makes everything that is derived anew from the used chunks. Interrupted at any point it can begin again. */
void pool_heap_rebuild(struct pool_view *view);

/* A chunk of at least `size` bytes, not used yet: nothing exists of it until pool_heap_publish. 0: there is none. It is
 * filled in, then published, before anything else is called. */
uint32_t pool_heap_take(struct pool_view *view, uint64_t size);

/* The allocation exists. */
void pool_heap_publish(struct pool_view *view, uint32_t chunk);

/* The allocation does not exist any more; its piece is joined with free neighbours. */
void pool_heap_free(struct pool_view *view, uint32_t chunk);

/* The used chunk with that type and id, or 0. */
uint32_t pool_heap_find(const struct pool_view *view, uint32_t type, uint64_t id);

/* The first chunk of the heap; the others follow by `after`. */
uint32_t pool_heap_first(const struct pool_view *view);

uint64_t pool_heap_largest(const struct pool_view *view);

/* Whether all that is derived fits the used chunks. */
bool pool_heap_is_sound(const struct pool_view *view);

/* Gives memory to more of the manifest. False: it has all, or there is none to be had. */
bool pool_heap_grow(struct pool_view *view);

/* For the rebuild: a chunk that is not used, or 0; and putting chunks into what is derived. */
uint32_t pool_heap_unused(struct pool_view *view);
void pool_heap_add_free(struct pool_view *view, uint32_t chunk);
void pool_heap_add_used(struct pool_view *view, uint32_t chunk);

/* Chunk `n`, of which nothing is believed: a number that is too large gives chunk 0. */
static inline struct pool_chunk *pool_chunk(const struct pool_view *view, uint32_t n)
{
    return &view->chunks[n < view->chunk_capacity ? n : 0];
}

/* Chunks that have memory. */
static inline uint32_t pool_chunk_limit(const struct pool_view *view)
{
    uint64_t committed = __atomic_load_n(&view->header->chunks_committed, __ATOMIC_ACQUIRE);
    return (uint32_t)(committed < view->chunk_capacity ? committed : view->chunk_capacity);
}

#endif
