/* SPDX-License-Identifier: MIT
 *
 * What only garbage holds, of each stack: what grows (marks.h) because Python's collector has yet to come to it keeps nothing. Garbage
 * of which most hangs together is not meant, because it has been one thing, such as a cache whose owner has just gone; what
 * each request leaves behind hangs on its own. */
#include "arena.h"
#include "ledger.h"
#include "scan_graph.h"
#include "scan_state.h"

#define NO_GROUP UINT32_MAX

/* Blocks of one stack in one piece of garbage; or, with piece NO_GROUP, in all of it but for the largest piece. */
struct amount {
    uint32_t trace, piece;
    uint64_t blocks, bytes;
};

struct pieces {
    struct scan *scan;
    uint32_t *parents; /* of a block in its piece; a root is its own */
    struct amount *table;
    uint32_t mask;
};

/* ---- pieces ---- */

static uint32_t root_of(struct pieces *pieces, uint32_t block)
{
    while (pieces->parents[block] != block) {
        pieces->parents[block] = pieces->parents[pieces->parents[block]];
        block = pieces->parents[block];
    }
    return block;
}

static void join(struct pieces *pieces, uint32_t a, uint32_t b)
{
    uint32_t first = root_of(pieces, a), second = root_of(pieces, b);
    pieces->parents[MAX(first, second)] = MIN(first, second);
}

static void find_pieces(struct pieces *pieces)
{
    const struct scan *scan = pieces->scan;
    const uint32_t *edges = (const void *)scan->edges.data;

    for (uint32_t i = 0; i < scan->index.count; i++)
        pieces->parents[i] = i;
    for (uint32_t i = 0; i < scan->index.count; i++) {
        if (!scan->index.blocks[i].kept)
            continue;
        for (uint64_t k = scan->first[i]; k < scan->first[i + 1]; k++) {
            uint32_t target = edges[k] & SCAN_EDGE_TARGET;
            if (edges[k] != SCAN_EDGE_NONE && scan->index.blocks[target].kept)
                join(pieces, i, target);
        }
    }
}

/* ---- amounts ---- */

static struct amount *amount_of(struct pieces *pieces, uint32_t trace, uint32_t piece)
{
    uint64_t key = (uint64_t)trace << 32 | piece;
    uint32_t slot = (uint32_t)((key * 0x9e3779b97f4a7c15ULL) >> 32) & pieces->mask;
    struct amount *amount = &pieces->table[slot];

    while (amount->blocks && (amount->trace != trace || amount->piece != piece)) {
        slot = (slot + 1) & pieces->mask;
        amount = &pieces->table[slot];
    }
    amount->trace = trace;
    amount->piece = piece;
    return amount;
}

static void add_up(struct pieces *pieces)
{
    const struct scan *scan = pieces->scan;

    for (uint32_t i = 0; i < scan->index.count; i++) {
        const struct scan_block *block = &scan->index.blocks[i];
        const struct ledger_record *record = block->kept ? ledger_entry(LEDGER_RECORDS, block->record) : NULL;
        if (!record || !record->trace)
            continue;
        const uint32_t groups[] = {root_of(pieces, i), NO_GROUP};
        for (size_t k = 0; k < ARRAY_SIZE(groups); k++) {
            struct amount *amount = amount_of(pieces, record->trace, groups[k]);
            amount->blocks++;
            amount->bytes += block->size;
        }
    }
}

static const struct amount *largest_of(const struct pieces *pieces, const uint32_t *largest, uint32_t trace)
{
    return &pieces->table[largest[trace] - 1];
}

static void write_row(uint32_t trace, uint64_t blocks, uint64_t bytes)
{
    uint32_t id = ledger_take(LEDGER_GROWTH, 1);
    struct ledger_growth *row = id ? ledger_entry(LEDGER_GROWTH, id) : NULL;

    if (!row)
        return;
    row->trace = trace;
    row->blocks = blocks;
    row->bytes = bytes;
    __atomic_store_n(&row->mark, LEDGER_GROWTH_GARBAGE, __ATOMIC_RELEASE);
}

/* `largest`: by trace, the place + 1 of the piece with most blocks. */
static void write_amounts(struct pieces *pieces, uint32_t *largest)
{
    for (uint32_t i = 0; i <= pieces->mask; i++) {
        const struct amount *amount = &pieces->table[i];
        if (amount->blocks && amount->piece != NO_GROUP &&
            (!largest[amount->trace] || amount->blocks > largest_of(pieces, largest, amount->trace)->blocks))
            largest[amount->trace] = i + 1;
    }
    for (uint32_t i = 0; i <= pieces->mask; i++) {
        const struct amount *amount = &pieces->table[i];
        if (!amount->blocks || amount->piece != NO_GROUP)
            continue;
        const struct amount *apart = largest_of(pieces, largest, amount->trace);
        if (amount->blocks > apart->blocks)
            write_row(amount->trace, amount->blocks - apart->blocks, amount->bytes - apart->bytes);
    }
    write_row(0, 0, 0);
}

/* ---- the whole ---- */

void scan_growth_note(struct scan *scan)
{
    uint32_t kept = 0, traces = 1, room = 16;

    for (uint32_t i = 0; i < scan->index.count; i++) {
        if (!scan->index.blocks[i].kept)
            continue;
        const struct ledger_record *record = ledger_entry(LEDGER_RECORDS, scan->index.blocks[i].record);
        traces = MAX(traces, record->trace + 1);
        kept++;
    }
    while (room < 4 * (uint64_t)kept && room < 1u << 31)
        room *= 2;
    struct pieces pieces = {
        .scan = scan,
        .parents = arena_map(((size_t)scan->index.count + 1) * sizeof(*pieces.parents)),
        .table = arena_map(room * sizeof(*pieces.table)),
        .mask = room - 1,
    };
    uint32_t *largest = arena_map(traces * sizeof(*largest));
    if (pieces.parents && pieces.table && largest) {
        find_pieces(&pieces);
        add_up(&pieces);
        write_amounts(&pieces, largest);
    }
    arena_unmap(largest, traces * sizeof(*largest));
    arena_unmap(pieces.table, room * sizeof(*pieces.table));
    arena_unmap(pieces.parents, ((size_t)scan->index.count + 1) * sizeof(*pieces.parents));
}
