/* SPDX-License-Identifier: MIT
 *
 * The walks of scan_scope.c, and what a block is to them. */
#ifndef SHIM_SCAN_WALK_H
#define SHIM_SCAN_WALK_H

#include "scan_cached.h"

struct scan_walk {
    struct scan_cached cached;
    uint32_t *explained; /* pointers to each block from caches */
    uint32_t *kept;      /* those among `listed` that are such */
    uint32_t *firm;      /* pointers to each block that are no cache's and are in use */
    uint32_t *lists;     /* the list + 1 whose items are in the block; 0: of none */
    uint32_t *queue;
    uint32_t next, used;
    struct scan_array later; /* uint32_t: blocks at which the second walk begins */
    bool second;
};

/* Whether there is something that the first walk came to by what is left over: then the walks are to be repeated without that. */
bool scan_walk_correct(struct scan_walk *walk);

/* ---- what a block is ---- */

static inline bool walk_is_made(const struct scan_walk *walk, uint32_t block)
{
    return walk->cached.marks[block] & MARK_MADE;
}

static inline bool walk_is_frame(const struct scan_walk *walk, uint32_t number)
{
    const struct scan_block *block = cached_block(&walk->cached, number);
    return cached_is_object(block) && block->facts & FACT_FRAME;
}

/* Where an object is taken off a stack the pointer stays, and memory of C code may have words of an earlier use. */
static inline bool walk_is_weak(const struct scan_walk *walk, uint32_t source)
{
    uint8_t domain = walk->cached.scan->index.blocks[source].domain;
    return walk_is_frame(walk, source) || (domain != DOMAIN_OBJ && domain != DOMAIN_MEM && domain != DOMAIN_RAW);
}

static inline bool walk_is_interpreters(const struct scan_walk *walk, uintptr_t place)
{
    return cached_is_in(&walk->cached.scan->interpreter, place);
}

/* What is in it is stale. */
static inline bool walk_is_parked(const struct scan_walk *walk, uint32_t number)
{
    const struct scan_block *block = cached_block(&walk->cached, number);
    return cached_is_object(block) && block->facts & FACT_PARKED;
}

/* A list's memory that it does not use is not cleared. */
static inline bool walk_is_behind_items(const struct scan_walk *walk, uint32_t source, uint32_t target)
{
    return walk->lists[source] && walk_is_made(walk, target) &&
           !scan_cached_is_item(&walk->cached, walk->lists[source] - 1, target);
}

#endif
