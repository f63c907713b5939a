/* SPDX-License-Identifier: MIT
 *
 * Cycles of Python objects that the collector would free, but does not: in a process that ends without finalization
 * (os._exit) it has not come to them yet, and up to 3.9 it runs for the last time before the interpreter lets go of its last
 * modules, so whole modules can be left over. They are told from leaks as the collector
 * itself would do it: nobody outside holds a reference when the references found among lost blocks account for all that
 * are counted. */
#include "arena.h"
#include "scan_graph.h"
#include "scan_state.h"

#include <errno.h>
#include <string.h>

#define LAST_VERSION 9u

enum mark {
    MARK_NONE = 0,
    MARK_HELD,    /* reached from a lost block that someone may hold */
    MARK_GARBAGE, /* reached from tracked objects of which none is held */
};

struct garbage {
    struct scan *scan;
    const uint8_t *kinds;
    uint32_t *found; /* references to each block from lost blocks */
    uint32_t *queue;
    uint32_t queued;
    uint8_t *marks;
};

/* While the interpreter runs, more stale pointers to the middle of garbage lie about. */
static bool is_lost(const struct garbage *garbage, uint32_t block)
{
    return garbage->kinds[block] == BLOCK_UNKNOWN ||
           (garbage->kinds[block] == BLOCK_POSSIBLE && garbage->scan->python.running);
}

/* What an extension's objects hold that take no part in collection is held for the collector. */
static bool is_hidden(const struct scan_block *block)
{
    return block->domain == DOMAIN_OBJ && block->object != SCAN_NOT_OBJECT &&
           (block->facts & (FACT_FOREIGN | FACT_COLLECTED)) == FACT_FOREIGN;
}

static void count_references(struct garbage *garbage)
{
    const struct scan *scan = garbage->scan;
    const uint32_t *edges = (const void *)scan->edges.data;

    for (uint32_t block = 0; block < scan->index.count; block++) {
        if (!is_lost(garbage, block) || is_hidden(&scan->index.blocks[block]))
            continue;
        if (scan->found) /* so far only what blocks hold of themselves */
            garbage->found[block] += scan->found[block];
        for (uint64_t i = scan->first[block]; i < scan->first[block + 1]; i++)
            if (edges[i] != SCAN_EDGE_NONE && !(edges[i] & SCAN_EDGE_INTERIOR))
                garbage->found[edges[i]]++;
    }
}

static void mark(struct garbage *garbage, uint32_t block, enum mark mark)
{
    garbage->marks[block] = (uint8_t)mark;
    garbage->queue[garbage->queued++] = block;
}

/* Marks all lost blocks without a mark that the queued ones lead to. */
static void spread(struct garbage *garbage, enum mark with)
{
    const struct scan *scan = garbage->scan;
    const uint32_t *edges = (const void *)scan->edges.data;

    while (garbage->queued) {
        uint32_t block = garbage->queue[--garbage->queued];
        for (uint64_t i = scan->first[block]; i < scan->first[block + 1]; i++) {
            uint32_t target = edges[i] & SCAN_EDGE_TARGET;
            if (edges[i] != SCAN_EDGE_NONE && is_lost(garbage, target) && garbage->marks[target] == MARK_NONE)
                mark(garbage, target, with);
        }
    }
}

bool scan_is_tracked(const struct scan *scan, const struct scan_block *block)
{
    uint64_t next = 0;

    return block->domain == DOMAIN_OBJ && block->object != SCAN_NOT_OBJECT && block->object >= 16 &&
           scan_copy(&scan->reader, &next, block->start + block->object - 16, sizeof(next)) && next;
}

static bool is_held(const struct garbage *garbage, uint32_t number)
{
    const struct scan_block *block = &garbage->scan->index.blocks[number];
    uint64_t references;

    if (!garbage->found[number])
        return true;
    if (block->domain != DOMAIN_OBJ || block->object == SCAN_NOT_OBJECT)
        return false;
    return !scan_copy(&garbage->scan->reader, &references, block->start + block->object, sizeof(references)) ||
           references > garbage->found[number];
}

/* ---- cycles that no module holds ---- */

/* Of the blocks that one leads to: at most so many are looked at. */
#define OWN_MAX 256u

static bool add_own(uint32_t *own, uint32_t *count, uint32_t block)
{
    for (uint32_t i = 0; i < *count; i++)
        if (own[i] == block)
            return true;
    if (*count == OWN_MAX)
        return false;
    own[(*count)++] = block;
    return true;
}

/* Whether all references to an object come from what it leads to itself, and no module is among that: then it was garbage on
 * its own when the collector ran. */
static bool is_own_cycle(const struct garbage *garbage, uint32_t number)
{
    const struct scan *scan = garbage->scan;
    const uint32_t *edges = (const void *)scan->edges.data;
    uint32_t own[OWN_MAX] = {number}, count = 1, back = 0;

    for (uint32_t at = 0; at < count; at++) {
        const struct scan_block *block = &scan->index.blocks[own[at]];
        if (block->domain == DOMAIN_OBJ && block->object != SCAN_NOT_OBJECT && block->facts & FACT_MODULE)
            return false;
        for (uint64_t i = scan->first[own[at]]; i < scan->first[own[at] + 1]; i++) {
            uint32_t target = edges[i] & SCAN_EDGE_TARGET;
            if (edges[i] == SCAN_EDGE_NONE || !is_lost(garbage, target))
                continue;
            back += edges[i] == number;
            if (!add_own(own, &count, target))
                return false;
        }
    }
    return back && back >= garbage->found[number];
}

/* An extension's object with a cycle of its own is there because its type hides the cycle from the collector. */
static void find_hidden(struct garbage *garbage)
{
    const struct scan *scan = garbage->scan;

    for (uint32_t i = 0; i < scan->index.count; i++) {
        const struct scan_block *block = &scan->index.blocks[i];
        if (!is_lost(garbage, i) || garbage->marks[i] != MARK_NONE || block->domain != DOMAIN_OBJ ||
            block->object == SCAN_NOT_OBJECT || !(block->facts & FACT_FOREIGN) || !is_own_cycle(garbage, i))
            continue;
        mark(garbage, i, MARK_HELD);
        spread(garbage, MARK_HELD);
    }
}

/* ---- the whole ---- */

static void find(struct garbage *garbage)
{
    struct scan_block *blocks = garbage->scan->index.blocks;
    uint32_t count = garbage->scan->index.count;

    count_references(garbage);
    if (!garbage->scan->python.running)
        find_hidden(garbage);
    for (uint32_t block = 0; block < count; block++)
        if (is_lost(garbage, block) && garbage->marks[block] == MARK_NONE && is_held(garbage, block)) {
            mark(garbage, block, MARK_HELD);
            spread(garbage, MARK_HELD);
        }
    for (uint32_t block = 0; block < count; block++)
        if (is_lost(garbage, block) && garbage->marks[block] == MARK_NONE &&
            scan_is_tracked(garbage->scan, &blocks[block])) {
            mark(garbage, block, MARK_GARBAGE);
            spread(garbage, MARK_GARBAGE);
        }
    for (uint32_t block = 0; block < count; block++)
        if (garbage->marks[block] == MARK_GARBAGE)
            blocks[block].facts |= FACT_INTERPRETER;
}

void scan_find_garbage(void *context, const uint8_t *kinds)
{
    struct scan *scan = context;
    size_t count = scan->index.count, size = count * (2 * sizeof(uint32_t) + 1);

    if (!scan->python.active || (scan->python.minor > LAST_VERSION && !scan->python.running))
        return;
    uint8_t *memory = arena_map(size);
    if (!memory)
        return;
    struct garbage garbage = {.scan = scan, .kinds = kinds, .found = (uint32_t *)(void *)memory};
    garbage.queue = garbage.found + count;
    garbage.marks = (uint8_t *)(garbage.queue + count);
    find(&garbage);
    arena_unmap(memory, size);
}
