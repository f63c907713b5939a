/* SPDX-License-Identifier: MIT
 *
 * The leak scan on made-up data: kinds from edges, and blocks from addresses. */
#include "arena.h"
#include "scan_graph.h"
#include "scan_index.h"

#include <criterion/criterion.h>
#include <stdbool.h>
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

/* ---- blocks in blocks ---- */

/* A block of malloc, or a region. */
struct nested {
    uintptr_t start, size;
    bool tracked;
};

static struct scan_index make_nested(const struct nested *blocks, uint32_t count)
{
    struct scan_index index = {.count = count, .blocks_size = (count + 1) * sizeof(struct scan_block)};

    index.blocks = arena_map(index.blocks_size);
    for (uint32_t i = 0; i < count; i++)
        index.blocks[i] = (struct scan_block){.start = blocks[i].start,
                                              .size = blocks[i].size,
                                              .record = i + 1,
                                              .domain = blocks[i].tracked ? DOMAIN_TRACKED : DOMAIN_MALLOC};
    cr_assert_eq(scan_index_build(&index), 0);
    return index;
}

/* What is at an address: the record of the block, 0 = none, and of the container in which that lies. */
static void assert_nested(const struct scan_index *index, uintptr_t address, uint32_t record, uint32_t outer)
{
    uint32_t found = scan_index_find(index, address);

    if (!record) {
        cr_expect_eq(found, SCAN_NONE, "%lx", address);
        return;
    }
    cr_assert_neq(found, SCAN_NONE, "%lx", address);
    cr_expect_eq(index->blocks[found].record, record, "%lx: %u", address, index->blocks[found].record);
    uint32_t around = index->outer[found];
    cr_expect_eq(around == SCAN_NONE ? 0 : index->blocks[around].record, outer, "%lx", address);
}

Test(scan_nest, regions_in_a_block)
{
    static const struct nested blocks[] = {{0x1008, 8, true},     {0x1000, 0x100, false}, {0x1043, 5, true},
                                           {0x1200, 0x10, false}, {0x2000, 0x10, true},   {0x10f0, 0x10, true}};
    struct scan_index index = make_nested(blocks, 6);

    assert_nested(&index, 0x1000, 2, 0);
    assert_nested(&index, 0x1008, 1, 2);
    assert_nested(&index, 0x1010, 2, 2); /* a part of it */
    assert_nested(&index, 0x1043, 3, 2);
    assert_nested(&index, 0x1048, 2, 2);
    assert_nested(&index, 0x10ff, 6, 2);
    assert_nested(&index, 0x1100, 0, 0);
    assert_nested(&index, 0x1200, 4, 0);
    assert_nested(&index, 0x200f, 5, 0);
    scan_index_done(&index);
}

Test(scan_nest, regions_in_regions_and_at_one_address)
{
    static const struct nested blocks[] = {
        {0x1000, 0x40, true}, {0x1000, 0x1000, false}, {0x1000, 0x200, true}, {0x1100, 0x20, false}, {0x1800, 8, true}};
    struct scan_index index = make_nested(blocks, 5);

    assert_nested(&index, 0x1000, 1, 3);
    assert_nested(&index, 0x1040, 3, 3);
    assert_nested(&index, 0x1100, 4, 3); /* of the allocator, in a region */
    assert_nested(&index, 0x1120, 3, 3);
    assert_nested(&index, 0x1200, 2, 2);
    assert_nested(&index, 0x1808, 2, 2);
    scan_index_done(&index);
}

Test(scan_nest, what_overlaps_otherwise_is_cut)
{
    static const struct nested blocks[] = {{0x1000, 0x100, false}, {0x10f0, 0x20, true}, {0x1108, 0x10, true}};
    struct scan_index index = make_nested(blocks, 3);

    assert_nested(&index, 0x10ef, 1, 0);
    assert_nested(&index, 0x10f0, 2, 0);
    assert_nested(&index, 0x1108, 3, 0);
    assert_nested(&index, 0x1118, 0, 0);
    scan_index_done(&index);
}

Test(scan_nest, many)
{
    enum { COUNT = 3000 };
    static struct nested blocks[2 * COUNT];

    for (uint32_t i = 0; i < COUNT; i++) {
        blocks[i] = (struct nested){0x7f0000000000 + i * 0x400ul, 0x300, false};
        blocks[COUNT + i] = (struct nested){0x7f0000000000 + i * 0x400ul + i % 0x200, 0x80, true};
    }
    struct scan_index index = make_nested(blocks, 2 * COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_nested(&index, blocks[COUNT + i].start, COUNT + i + 1, i + 1);
        assert_nested(&index, blocks[i].start + 0x2ff, i + 1, i + 1);
        assert_nested(&index, blocks[i].start + 0x300, 0, 0);
    }
    scan_index_done(&index);
}
