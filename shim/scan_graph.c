/* SPDX-License-Identifier: MIT */
#include "scan_graph.h"

#include "arena.h"
#include "compiler.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* ---- from the roots ---- */

/* Blocks in the order in which they were met; from `next` on, their edges are still to be followed: the way by which a block
 * is met first is a shortest one. Each block is put here once at most for each kind. */
struct queue {
    uint32_t *blocks;
    uint32_t *parents; /* may be NULL */
    uint32_t next, used;
};

static inline void visit(struct queue *queue, uint8_t *kinds, uint32_t block, enum block_kind kind, uint32_t parent)
{
    kinds[block] = (uint8_t)kind;
    queue->blocks[queue->used++] = block;
    if (queue->parents)
        queue->parents[block] = parent;
}

/* Pointers to starts only. */
static void reach_from(const struct scan_graph *graph, struct queue *queue, uint8_t *kinds, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        uint32_t target = graph->roots[i];
        if (!(target & SCAN_EDGE_INTERIOR) && kinds[target] != BLOCK_REACHABLE)
            visit(queue, kinds, target, BLOCK_REACHABLE, SCAN_PARENT_ROOT | (uint32_t)i);
    }
    while (queue->next < queue->used) {
        uint32_t block = queue->blocks[queue->next++];
        for (uint64_t i = graph->first[block]; i < graph->first[block + 1]; i++) {
            uint32_t target = graph->edges[i];
            if (!(target & SCAN_EDGE_INTERIOR) && kinds[target] != BLOCK_REACHABLE)
                visit(queue, kinds, target, BLOCK_REACHABLE, block);
        }
    }
}

static void mark_reachable(const struct scan_graph *graph, struct queue *queue, uint8_t *kinds)
{
    uint64_t late = MIN(graph->late_roots, graph->root_count);

    reach_from(graph, queue, kinds, 0, late);
    reach_from(graph, queue, kinds, late, graph->root_count);
}

/* Follows all pointers to what has no kind yet. */
static void spread_possible(const struct scan_graph *graph, struct queue *queue, uint8_t *kinds)
{
    while (queue->next < queue->used) {
        uint32_t block = queue->blocks[queue->next++];
        for (uint64_t i = graph->first[block]; i < graph->first[block + 1]; i++) {
            uint32_t edge = graph->edges[i], target = edge & SCAN_EDGE_TARGET;
            if (edge != SCAN_EDGE_NONE && kinds[target] == BLOCK_UNKNOWN)
                visit(queue, kinds, target, BLOCK_POSSIBLE, block);
        }
    }
}

static void mark_possible(const struct scan_graph *graph, struct queue *queue, uint8_t *kinds)
{
    queue->next = queue->used = 0;
    for (uint64_t i = 0; i < graph->root_count; i++) {
        uint32_t edge = graph->roots[i], target = edge & SCAN_EDGE_TARGET;
        if (edge != SCAN_EDGE_NONE && kinds[target] == BLOCK_UNKNOWN)
            visit(queue, kinds, target, BLOCK_POSSIBLE, SCAN_PARENT_ROOT | (uint32_t)i);
    }
    for (uint32_t block = 0; block < graph->count; block++) {
        if (kinds[block] != BLOCK_REACHABLE)
            continue;
        for (uint64_t i = graph->first[block]; i < graph->first[block + 1]; i++) {
            uint32_t edge = graph->edges[i], target = edge & SCAN_EDGE_TARGET;
            if (edge & SCAN_EDGE_INTERIOR && edge != SCAN_EDGE_NONE && kinds[target] == BLOCK_UNKNOWN)
                visit(queue, kinds, target, BLOCK_POSSIBLE, block);
        }
    }
    spread_possible(graph, queue, kinds);
}

/* What is kept by someone unseen becomes reachable; a pointer from there to a middle counts as one to a start: who keeps
 * the one keeps the other. */
static void mark_kept(const struct scan_graph *graph, struct queue *queue, uint8_t *kinds)
{
    queue->next = queue->used = 0;
    for (uint32_t block = 0; graph->is_kept && block < graph->count; block++)
        if ((kinds[block] == BLOCK_UNKNOWN || kinds[block] == BLOCK_POSSIBLE) && graph->is_kept(graph->context, block))
            visit(queue, kinds, block, BLOCK_REACHABLE, SCAN_PARENT_NONE);
    while (queue->next < queue->used) {
        uint32_t block = queue->blocks[queue->next++];
        graph->kept(graph->context, block);
        for (uint64_t i = graph->first[block]; i < graph->first[block + 1]; i++) {
            uint32_t edge = graph->edges[i], target = edge & SCAN_EDGE_TARGET;
            if (edge != SCAN_EDGE_NONE && kinds[target] != BLOCK_REACHABLE)
                visit(queue, kinds, target, BLOCK_REACHABLE, block);
        }
    }
}

/* The ways from definite blocks to those that are lost with them. */
static void find_lost_parents(const struct scan_graph *graph, struct queue *queue, uint8_t *kinds)
{
    queue->next = queue->used = 0;
    for (uint32_t block = 0; block < graph->count; block++) {
        if (kinds[block] == BLOCK_INDIRECT)
            graph->parents[block] = SCAN_PARENT_NONE;
        else if (kinds[block] == BLOCK_DEFINITE)
            visit(queue, kinds, block, BLOCK_DEFINITE, SCAN_PARENT_NONE);
    }
    while (queue->next < queue->used) {
        uint32_t block = queue->blocks[queue->next++];
        for (uint64_t i = graph->first[block]; i < graph->first[block + 1]; i++) {
            uint32_t edge = graph->edges[i], target = edge & SCAN_EDGE_TARGET;
            if (edge != SCAN_EDGE_NONE && kinds[target] == BLOCK_INDIRECT && graph->parents[target] == SCAN_PARENT_NONE)
                visit(queue, kinds, target, BLOCK_INDIRECT, block);
        }
    }
}

/* ---- among the lost: strongly connected components (Tarjan, without recursion) ---- */

/* Lost blocks have dense numbers, "nodes". */
struct lost {
    const struct scan_graph *graph;
    uint32_t count;
    uint32_t *nodes;  /* of a block; only valid for lost ones */
    uint32_t *blocks; /* of a node */
    uint32_t *order;  /* of a node: when it was met first, from 1; 0 = not yet */
    uint32_t *low;    /* of a node: least order that it leads back to; its component when it is done */
    uint32_t *open;   /* nodes whose component is not complete */
    uint32_t *path;   /* nodes from the first one to the one that is looked at */
    uint64_t *next;   /* of a place of the path: its next edge */
    uint32_t open_count, components;
};

#define DONE (1u << 31) /* in low: the rest is the number of the component */

static bool is_lost(const uint8_t *kinds, uint32_t edge)
{
    return edge != SCAN_EDGE_NONE && kinds[edge & SCAN_EDGE_TARGET] == BLOCK_UNKNOWN;
}

static void enter(struct lost *lost, uint32_t depth, uint32_t node, uint32_t *clock)
{
    lost->order[node] = lost->low[node] = ++*clock;
    lost->open[lost->open_count++] = node;
    lost->path[depth] = node;
    lost->next[depth] = lost->graph->first[lost->blocks[node]];
}

static void leave(struct lost *lost, uint32_t node)
{
    uint32_t member;

    if (lost->low[node] != lost->order[node])
        return;
    do {
        member = lost->open[--lost->open_count];
        lost->low[member] = DONE | lost->components;
    } while (member != node);
    lost->components++;
}

/* The next node that `node` leads to and that was not met yet, or UINT32_MAX when there is none left. */
static uint32_t step(struct lost *lost, const uint8_t *kinds, uint32_t depth)
{
    uint32_t node = lost->path[depth];
    uint64_t end = lost->graph->first[lost->blocks[node] + 1];

    while (lost->next[depth] < end) {
        uint32_t edge = lost->graph->edges[lost->next[depth]++];
        if (!is_lost(kinds, edge))
            continue;
        uint32_t target = lost->nodes[edge & SCAN_EDGE_TARGET];
        if (!lost->order[target])
            return target;
        if (!(lost->low[target] & DONE))
            lost->low[node] = MIN(lost->low[node], lost->order[target]);
    }
    return UINT32_MAX;
}

static void find_components(struct lost *lost, const uint8_t *kinds)
{
    uint32_t clock = 0;

    for (uint32_t start = 0; start < lost->count; start++) {
        if (lost->order[start])
            continue;
        int64_t depth = 0;
        enter(lost, 0, start, &clock);
        while (depth >= 0) {
            uint32_t node = lost->path[depth], target = step(lost, kinds, (uint32_t)depth);
            if (target != UINT32_MAX) {
                enter(lost, (uint32_t)++depth, target, &clock);
                continue;
            }
            leave(lost, node);
            if (--depth >= 0) {
                uint32_t caller = lost->path[depth];
                if (!(lost->low[node] & DONE))
                    lost->low[caller] = MIN(lost->low[caller], lost->low[node]);
            }
        }
    }
}

static bool is_before(const struct scan_graph *graph, uint32_t a, uint32_t b)
{
    uint64_t rank_a = graph->rank ? graph->rank(graph->context, a) : 0;
    uint64_t rank_b = graph->rank ? graph->rank(graph->context, b) : 0;

    return rank_a != rank_b ? rank_a < rank_b : a < b;
}

/* A component that no other leads to has one definite block, its leader. `leaders` begins with all bits set: a component
 * without a leader yet. */
static void choose_leaders(struct lost *lost, uint8_t *kinds, uint32_t *leaders)
{
    const struct scan_graph *graph = lost->graph;
    static const uint32_t led_to = UINT32_MAX - 1;

    for (uint32_t node = 0; node < lost->count; node++) {
        uint32_t block = lost->blocks[node], component = lost->low[node] & ~DONE;
        for (uint64_t i = graph->first[block]; i < graph->first[block + 1]; i++) {
            if (!is_lost(kinds, graph->edges[i]))
                continue;
            uint32_t other = lost->low[lost->nodes[graph->edges[i] & SCAN_EDGE_TARGET]] & ~DONE;
            if (other != component)
                leaders[other] = led_to;
        }
    }
    for (uint32_t node = 0; node < lost->count; node++) {
        uint32_t *leader = &leaders[lost->low[node] & ~DONE], block = lost->blocks[node];
        if (*leader == led_to)
            continue;
        if (*leader == UINT32_MAX || is_before(graph, block, *leader))
            *leader = block;
    }
    for (uint32_t node = 0; node < lost->count; node++) {
        uint32_t block = lost->blocks[node];
        kinds[block] = leaders[lost->low[node] & ~DONE] == block ? BLOCK_DEFINITE : BLOCK_INDIRECT;
    }
    for (uint32_t node = 0; graph->member && node < lost->count; node++) {
        uint32_t leader = leaders[lost->low[node] & ~DONE];
        if (leader != led_to)
            graph->member(graph->context, leader, lost->blocks[node]);
    }
}

static void number_lost(struct lost *lost, const uint8_t *kinds)
{
    uint32_t node = 0;

    for (uint32_t block = 0; block < lost->graph->count; block++) {
        if (kinds[block] != BLOCK_UNKNOWN)
            continue;
        lost->nodes[block] = node;
        lost->blocks[node++] = block;
    }
}

/* `nodes` has room for a number for each block. */
static int classify_lost(const struct scan_graph *graph, uint8_t *kinds, uint32_t *nodes)
{
    struct lost lost = {.graph = graph, .nodes = nodes};

    for (uint32_t block = 0; block < graph->count; block++)
        lost.count += kinds[block] == BLOCK_UNKNOWN;
    if (!lost.count)
        return 0;
    size_t size = lost.count * (6 * sizeof(uint32_t) + sizeof(uint64_t));
    uint8_t *memory = arena_map(size);
    if (!memory)
        return -ENOMEM;
    lost.next = (uint64_t *)memory;
    lost.blocks = (uint32_t *)(lost.next + lost.count);
    lost.order = lost.blocks + lost.count;
    lost.low = lost.order + lost.count;
    lost.open = lost.low + lost.count;
    lost.path = lost.open + lost.count;
    uint32_t *leaders = lost.path + lost.count;
    memset(leaders, 0xff, lost.count * sizeof(*leaders));
    number_lost(&lost, kinds);
    find_components(&lost, kinds);
    choose_leaders(&lost, kinds, leaders);
    arena_unmap(memory, size);
    return 0;
}

int scan_graph_classify(const struct scan_graph *graph, uint8_t *kinds)
{
    size_t size = ((size_t)graph->count + 1) * sizeof(uint32_t);
    struct queue queue = {.blocks = arena_map(size), .parents = graph->parents};

    if (!queue.blocks)
        return -ENOMEM;
    memset(kinds, BLOCK_UNKNOWN, graph->count);
    mark_reachable(graph, &queue, kinds);
    mark_possible(graph, &queue, kinds);
    if (graph->lost)
        graph->lost(graph->context, kinds);
    mark_kept(graph, &queue, kinds);
    int result = classify_lost(graph, kinds, queue.blocks);
    if (result == 0 && graph->parents)
        find_lost_parents(graph, &queue, kinds);
    arena_unmap(queue.blocks, size);
    return result;
}

int scan_graph_weaken(const struct scan_graph *graph, uint8_t *kinds, int (*is_weak)(void *context, uint32_t block),
                      void *context)
{
    size_t size = ((size_t)graph->count + 1) * sizeof(uint32_t);
    struct queue queue = {.blocks = arena_map(size)};

    if (!queue.blocks)
        return -ENOMEM;
    for (uint32_t block = 0; block < graph->count; block++)
        if (kinds[block] == BLOCK_DEFINITE && is_weak(context, block))
            visit(&queue, kinds, block, BLOCK_POSSIBLE, SCAN_PARENT_NONE);
    while (queue.used) {
        uint32_t block = queue.blocks[--queue.used];
        for (uint64_t i = graph->first[block]; i < graph->first[block + 1]; i++) {
            uint32_t edge = graph->edges[i], target = edge & SCAN_EDGE_TARGET;
            if (edge != SCAN_EDGE_NONE && kinds[target] == BLOCK_INDIRECT)
                visit(&queue, kinds, target, BLOCK_POSSIBLE, SCAN_PARENT_NONE);
        }
    }
    arena_unmap(queue.blocks, size);
    return 0;
}
