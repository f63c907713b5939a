/* SPDX-License-Identifier: MIT
 *
 * Blocks that overlap. Those of allocators do not, but a block that was freed and made again elsewhere while the records were read
 * may stand twice at one address, or over others: what comes first ends where the next begins.
 *
 * A tracked region may lie in a block, which is where a custom allocator has it from, and a large region may hold blocks. What
 * lies around is a container then. It is cut at each block in it: it keeps its first part, and what is left between and
 * behind the others becomes parts, which have numbers of their own. So an address still has one block, the innermost. */
#include "arena.h"
#include "scan_index.h"

#include <errno.h>

#define DEPTH_MAX 16u

/* A block that may hold the next ones. */
struct open_block {
    uint32_t number;
    uintptr_t end;
    uintptr_t cursor; /* what is below has been given away */
};

struct nest {
    struct scan_block *blocks; /* the result */
    uint32_t *outer;
    uint32_t count;
    struct open_block open[DEPTH_MAX];
    uint32_t depth;
};

/* ---- without regions ---- */

static void part_overlapping(struct scan_index *index)
{
    struct scan_block *blocks = index->blocks;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < index->count; i++) {
        if (kept && blocks[kept - 1].start == blocks[i].start)
            kept--;
        blocks[kept++] = blocks[i];
    }
    index->count = kept;
    for (uint32_t i = 1; i < kept; i++)
        blocks[i - 1].size = MIN(blocks[i - 1].size, blocks[i].start - blocks[i - 1].start);
}

/* ---- order ---- */

static bool is_outside(const struct scan_block *a, const struct scan_block *b)
{
    if (a->size != b->size)
        return a->size > b->size;
    return a->domain != DOMAIN_TRACKED && b->domain == DOMAIN_TRACKED;
}

/* Of blocks at one address the containers come first. */
static void order_equals(struct scan_index *index)
{
    struct scan_block *blocks = index->blocks;

    for (uint32_t i = 1; i < index->count; i++) {
        struct scan_block block = blocks[i];
        uint32_t at = i;
        for (; at && blocks[at - 1].start == block.start && is_outside(&block, &blocks[at - 1]); at--)
            blocks[at] = blocks[at - 1];
        blocks[at] = block;
    }
}

/* ---- containers ---- */

static uint32_t add(struct nest *nest, const struct scan_block *block, uint32_t outer)
{
    nest->blocks[nest->count] = *block;
    nest->outer[nest->count] = outer;
    return nest->count++;
}

/* What is left of the innermost open block below `end`. */
static void add_part(struct nest *nest, uintptr_t end)
{
    struct open_block *open = &nest->open[nest->depth - 1];
    struct scan_block part = nest->blocks[open->number];

    if (!part.container || open->cursor >= end)
        return;
    part.size = end - open->cursor;
    part.start = open->cursor;
    part.container = 0;
    part.part = 1;
    part.facts &= FACT_STARTUP;
    add(nest, &part, open->number);
}

static void close_block(struct nest *nest)
{
    add_part(nest, nest->open[nest->depth - 1].end);
    nest->depth--;
}

/* The innermost open block is cut at `block`, and goes on behind it. */
static void open_container(struct nest *nest, const struct scan_block *block)
{
    struct open_block *open = &nest->open[nest->depth - 1];
    struct scan_block *container = &nest->blocks[open->number];

    if (container->container) {
        add_part(nest, block->start);
    } else {
        container->container = 1;
        container->size = block->start - container->start;
    }
    open->cursor = MAX(open->cursor, block->start + block->size);
}

/* The innermost open block ends here, whatever it says: nothing may overlap it but what lies in it. */
static void cut(struct nest *nest, uintptr_t end)
{
    struct open_block *open = &nest->open[nest->depth - 1];
    struct scan_block *block = &nest->blocks[open->number];

    if (!block->container)
        block->size = MIN(block->size, end - block->start);
    open->end = MIN(open->end, end);
    close_block(nest);
}

static bool holds(const struct nest *nest, const struct scan_block *block)
{
    const struct open_block *open = &nest->open[nest->depth - 1];

    return block->start + block->size <= open->end && nest->depth < DEPTH_MAX &&
           (block->domain == DOMAIN_TRACKED || nest->blocks[open->number].domain == DOMAIN_TRACKED);
}

static void nest_block(struct nest *nest, const struct scan_block *block)
{
    while (nest->depth && block->start >= nest->open[nest->depth - 1].end)
        close_block(nest);
    while (nest->depth && !holds(nest, block))
        cut(nest, block->start);
    uint32_t outer = SCAN_NONE;
    if (nest->depth) {
        outer = nest->open[nest->depth - 1].number;
        open_container(nest, block);
    }
    uint32_t number = add(nest, block, outer);
    nest->open[nest->depth++] = (struct open_block){number, block->start + block->size, block->start};
}

/* Blocks and the parts that they may make. */
static uint32_t count_results(const struct scan_index *index)
{
    uint32_t count = index->count;
    uintptr_t end = 0;

    for (uint32_t i = 0; i < index->count; i++) {
        const struct scan_block *block = &index->blocks[i];
        count += block->start < end;
        end = MAX(end, block->start + block->size);
    }
    return count;
}

static int nest_all(struct scan_index *index)
{
    uint32_t room = count_results(index) + 1;
    size_t size = room * sizeof(struct scan_block);
    struct nest nest = {.blocks = arena_map(size), .outer = arena_map(room * sizeof(uint32_t))};

    if (!nest.blocks || !nest.outer) {
        arena_unmap(nest.blocks, size);
        arena_unmap(nest.outer, room * sizeof(uint32_t));
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < index->count; i++)
        nest_block(&nest, &index->blocks[i]);
    while (nest.depth)
        close_block(&nest);
    arena_unmap(index->blocks, index->blocks_size);
    index->blocks = nest.blocks;
    index->blocks_size = size;
    index->outer = nest.outer;
    index->outer_size = room * sizeof(uint32_t);
    index->count = nest.count;
    return 0;
}

int scan_index_nest(struct scan_index *index)
{
    if (!index->tracked) {
        part_overlapping(index);
        return 0;
    }
    order_equals(index);
    return nest_all(index);
}
