/* SPDX-License-Identifier: MIT
 *
 * The leak scan on made-up data: kinds from edges, and blocks from addresses. */
#include "arena.h"
#include "scan_graph.h"
#include "scan_index.h"

#include <criterion/criterion.h>
#include <string.h>

/* ---- kinds ---- */

#define INTERIOR(block) ((block) | SCAN_EDGE_INTERIOR)
#define END UINT32_MAX
#define BLOCKS 8

/* Edges of up to BLOCKS blocks, each list ended by END; `kinds` is what must come out, a letter for each block. */
struct graph_case {
    uint32_t roots[4];
    uint32_t edges[BLOCKS][5];
    const char *kinds;
};

static uint64_t rank_backwards(void *context, uint32_t block)
{
    (void)context;
    return BLOCKS - block;
}

static int first_is_kept(void *context, uint32_t block)
{
    (void)context;
    return block == 0;
}

static void count_kept(void *context, uint32_t block)
{
    (void)block;
    (*(int *)context)++;
}

static void classify(const struct graph_case *test, struct scan_graph graph, const char *wanted)
{
    uint32_t edges[BLOCKS * 5], roots = 0, used = 0;
    uint64_t first[BLOCKS + 1];
    uint8_t kinds[BLOCKS];
    char result[BLOCKS + 1] = "";

    graph.count = (uint32_t)strlen(wanted);
    while (test->roots[roots] != END)
        roots++;
    for (uint32_t block = 0; block < graph.count; block++) {
        first[block] = used;
        for (unsigned i = 0; test->edges[block][i] != END; i++)
            edges[used++] = test->edges[block][i];
    }
    first[graph.count] = used;
    graph.first = first;
    graph.edges = edges;
    graph.roots = test->roots;
    graph.root_count = roots;
    cr_assert_eq(scan_graph_classify(&graph, kinds), 0);
    for (uint32_t block = 0; block < graph.count; block++)
        result[block] = "?dipr"[kinds[block]];
    cr_assert_str_eq(result, wanted);
}

#define CLASSIFY(wanted, ...) classify(&(struct graph_case)__VA_ARGS__, (struct scan_graph){0}, wanted)
#define NOTHING \
    { \
        END \
    }

Test(scan_graph, chain_from_a_root)
{
    CLASSIFY("rrr", {.roots = {0, END}, .edges = {{1, END}, {2, END}, NOTHING}});
}

Test(scan_graph, lost_tree_has_one_definite_block)
{
    CLASSIFY("diii", {.roots = {END}, .edges = {{1, 2, END}, {3, END}, NOTHING, NOTHING}});
}

Test(scan_graph, pointer_to_the_middle_is_possible_with_all_below)
{
    CLASSIFY("ppr", {.roots = {INTERIOR(0), 2, END}, .edges = {{1, END}, NOTHING, NOTHING}});
    CLASSIFY("rpp", {.roots = {0, END}, .edges = {{INTERIOR(1), END}, {2, END}, NOTHING}});
    CLASSIFY("rrr", {.roots = {0, INTERIOR(1), END}, .edges = {{1, END}, {2, END}, NOTHING}});
}

Test(scan_graph, pointer_to_the_middle_from_a_lost_block_is_indirect)
{
    CLASSIFY("di", {.roots = {END}, .edges = {{INTERIOR(1), END}, NOTHING}});
}

Test(scan_graph, lost_cycle_has_one_leader)
{
    CLASSIFY("dii", {.roots = {END}, .edges = {{1, END}, {2, END}, {0, END}}});
    CLASSIFY("dd", {.roots = {END}, .edges = {{0, END}, {1, END}}});
    classify(&(struct graph_case){.roots = {END}, .edges = {{1, END}, {2, END}, {0, END}}},
             (struct scan_graph){.rank = rank_backwards}, "iid");
}

Test(scan_graph, cycle_below_a_lost_block_has_none)
{
    CLASSIFY("iid", {.roots = {END}, .edges = {{1, END}, {0, END}, {0, END}}});
    CLASSIFY("diii", {.roots = {END}, .edges = {{1, END}, {0, 2, END}, {3, END}, {2, END}}});
}

Test(scan_graph, edges_that_are_none)
{
    static const uint32_t none[] = {SCAN_EDGE_NONE};
    static const uint64_t first[] = {0, 1, 1};
    uint8_t kinds[2];
    struct scan_graph graph = {.count = 2, .first = first, .edges = none, .roots = none, .root_count = 1};

    cr_assert_eq(scan_graph_classify(&graph, kinds), 0);
    cr_assert_eq(kinds[0], BLOCK_DEFINITE);
    cr_assert_eq(kinds[1], BLOCK_DEFINITE);
}

Test(scan_graph, kept_blocks_keep_what_they_lead_to)
{
    int kept = 0;

    classify(&(struct graph_case){.roots = {END}, .edges = {{1, INTERIOR(2), END}, NOTHING, NOTHING, {1, END}}},
             (struct scan_graph){.is_kept = first_is_kept, .kept = count_kept, .context = &kept}, "rrrd");
    cr_assert_eq(kept, 3);
}

/* ---- ways ---- */

/* Classifies three roots' worth of graph:  roots 0, 1 -> 2 -> 3 -> 4, late root 5 -> 4, lost 6 <-> 7 -> 8 */
struct ways {
    uint32_t parents[9], leaders[9];
    uint8_t kinds[9];
};

static void note_member(void *context, uint32_t leader, uint32_t block)
{
    ((struct ways *)context)->leaders[block] = leader + 1;
}

static struct ways find_ways(uint64_t late_roots)
{
    static const uint32_t roots[] = {0, 1, 5}, edges[] = {2, 2, 3, 4, 4, 7, 6, 8};
    static const uint64_t first[] = {0, 1, 2, 3, 4, 4, 5, 6, 8, 8};
    struct ways ways = {0};
    struct scan_graph graph = {
        .count = 9,
        .first = first,
        .edges = edges,
        .roots = roots,
        .root_count = 3,
        .late_roots = late_roots,
        .parents = ways.parents,
        .member = note_member,
        .context = &ways,
    };

    cr_assert_eq(scan_graph_classify(&graph, ways.kinds), 0);
    return ways;
}

Test(scan_graph, ways_are_shortest)
{
    struct ways ways = find_ways(3);

    cr_expect_eq(ways.parents[0], SCAN_PARENT_ROOT | 0);
    cr_expect_eq(ways.parents[2], 0);
    cr_expect_eq(ways.parents[3], 2);
    cr_expect_eq(ways.parents[4], 5);
    cr_expect_eq(ways.parents[5], SCAN_PARENT_ROOT | 2);
}

Test(scan_graph, late_roots_come_last)
{
    struct ways ways = find_ways(2);

    cr_expect_eq(ways.parents[4], 3);
    cr_expect_eq(ways.parents[5], SCAN_PARENT_ROOT | 2);
    cr_expect_eq(ways.kinds[5], BLOCK_REACHABLE);
}

Test(scan_graph, lost_blocks_hang_on_the_leader)
{
    struct ways ways = find_ways(3);

    cr_expect_eq(ways.kinds[6], BLOCK_DEFINITE);
    cr_expect_eq(ways.parents[6], SCAN_PARENT_NONE);
    cr_expect_eq(ways.parents[7], 6);
    cr_expect_eq(ways.parents[8], 7);
    cr_expect_eq(ways.leaders[6], 7);
    cr_expect_eq(ways.leaders[7], 7);
    cr_expect_eq(ways.leaders[8], 0, "no part of the cycle");
    cr_expect_eq(ways.leaders[2], 0);
}

/* ---- addresses ---- */

static struct scan_index make_index(const uintptr_t (*blocks)[2], uint32_t count)
{
    struct scan_index index = {.count = count, .blocks_size = (count + 1) * sizeof(struct scan_block)};

    index.blocks = arena_map(index.blocks_size);
    for (uint32_t i = 0; i < count; i++)
        index.blocks[i] = (struct scan_block){.start = blocks[i][0], .size = blocks[i][1], .record = i + 1};
    cr_assert_eq(scan_index_build(&index), 0);
    return index;
}

Test(scan_index, finds_blocks_by_any_of_their_addresses)
{
    static const uintptr_t blocks[][2] = {
        {0x7f0000001000, 48},        {0x555500000010, 24}, {0x7f0000001040, 1},
        {0x600000000000, 5ul << 30}, {0x7f00001ffff0, 64},
    };
    struct scan_index index = make_index(blocks, 5);

    for (uint32_t i = 0; i < 5; i++) {
        uintptr_t start = blocks[i][0], size = blocks[i][1];
        uintptr_t inside[] = {start, start + size / 2, start + size - 1};
        for (unsigned k = 0; k < 3; k++) {
            uint32_t found = scan_index_find(&index, inside[k]);
            cr_assert_neq(found, SCAN_NONE, "block %u, %lx", i, inside[k]);
            cr_assert_eq(index.blocks[found].record, i + 1);
        }
        cr_assert_eq(scan_index_find(&index, start - 1), SCAN_NONE);
    }
    cr_assert_eq(scan_index_find(&index, 0x555500000028), SCAN_NONE);
    cr_assert_eq(scan_index_find(&index, 0x7f0000001041), SCAN_NONE);
    cr_assert_eq(scan_index_find(&index, 0), SCAN_NONE);
    cr_assert_eq(scan_index_find(&index, UINTPTR_MAX), SCAN_NONE);
    scan_index_done(&index);
}

Test(scan_index, agrees_with_a_search_by_halves)
{
    enum { COUNT = 20000 };
    static uintptr_t blocks[COUNT][2];
    uint64_t random = 1;

    for (unsigned i = 0; i < COUNT; i++) { /* in an order that is none, some far apart */
        unsigned place = i * 7919 % COUNT;
        random = random * 6364136223846793005ULL + 1442695040888963407ULL;
        blocks[place][0] = 0x7f0000000000 + i * 96 + (i % 50 == 0 ? i * 0x100000ul : 0);
        blocks[place][1] = 1 + (random >> 40) % 80;
    }
    for (unsigned i = 0; i < COUNT; i++)
        blocks[i][0] &= ~15ul;
    struct scan_index index = make_index(blocks, COUNT);
    for (uint32_t i = 1; i < index.count; i++)
        cr_assert_lt(index.blocks[i - 1].start, index.blocks[i].start);
    for (uint32_t i = 0; i < index.count; i++) {
        const struct scan_block *block = &index.blocks[i];
        cr_assert_eq(scan_index_find(&index, block->start), i);
        cr_assert_eq(scan_index_find(&index, block->start + block->size - 1), i);
        cr_assert_eq(scan_index_lower(&index, block->start), i);
    }
    scan_index_done(&index);
}

Test(scan_index, no_blocks)
{
    struct scan_index index = make_index(NULL, 0);

    cr_assert_eq(scan_index_find(&index, 0x1000), SCAN_NONE);
    scan_index_done(&index);
}
