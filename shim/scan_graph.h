/* SPDX-License-Identifier: MIT
 *
 * Which blocks are lost, from who points at whom. Works on numbers only; knows nothing of memory or records.
 *
 *   reachable  a chain of pointers to starts of blocks leads there from a root
 *   possible   there is a chain from a root, but somewhere in it is a pointer into the middle of a block
 *   definite   nothing points to it, or it is the leader of a lost cycle that nothing else points to
 *   indirect   other lost blocks lead to it */
#ifndef SHIM_SCAN_GRAPH_H
#define SHIM_SCAN_GRAPH_H

#include "ledger_format.h"

#include <stdint.h>

/* An edge: number of the target, and whether the pointer leads to its middle. An edge from a block to itself is ignored. */
#define SCAN_EDGE_INTERIOR (1u << 31)
#define SCAN_EDGE_TARGET (SCAN_EDGE_INTERIOR - 1)
#define SCAN_EDGE_NONE UINT32_MAX /* no pointer after all */

#define SCAN_PARENT_ROOT (1u << 31)
#define SCAN_PARENT_NONE UINT32_MAX

struct scan_graph {
    uint32_t count;
    const uint64_t *first; /* edges of block i: [first[i], first[i + 1]) */
    const uint32_t *edges;
    const uint32_t *roots; /* edges from outside */
    uint64_t root_count;
    uint64_t late_roots; /* from this one on they are followed when nothing else is left: they say little */
    /* Called when the lost blocks are known: those of kind BLOCK_UNKNOWN. May be NULL. */
    void (*lost)(void *context, const uint8_t *kinds);
    /* Lost blocks for which this is true are kept by someone who cannot be seen: they become reachable, and what they lead to
     * as well. May be NULL. */
    int (*is_kept)(void *context, uint32_t block);
    void (*kept)(void *context, uint32_t block); /* told of all that became reachable in this way */
    /* Of a lost cycle the block with the smallest rank is the leader; by rank, then by number. May be NULL. */
    uint64_t (*rank)(void *context, uint32_t block);
    /* Receives who leads to each block on a shortest way from a root (SCAN_PARENT_ROOT | place among the roots), or, of an
     * indirect one, from a definite one; else SCAN_PARENT_NONE. May be NULL. */
    uint32_t *parents;
    /* Told of every block of a lost cycle that has a leader, the leader included, when all kinds are known. May be NULL. */
    void (*member)(void *context, uint32_t leader, uint32_t block);
    void *context;
};

/* Of the definite blocks for which is_weak says so, and of what they lead to, it is only possible that they are lost. Returns 0 or
 * -ENOMEM. */
int scan_graph_weaken(const struct scan_graph *graph, uint8_t *kinds, int (*is_weak)(void *context, uint32_t block),
                      void *context);

/* Writes enum block_kind for each block. Returns 0 or -ENOMEM. */
int scan_graph_classify(const struct scan_graph *graph, uint8_t *kinds);

#endif
