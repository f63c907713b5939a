/* SPDX-License-Identifier: MIT
 *
 * A thread's latest traces: found by their two nodes without a look at the shared table, and counted where no other thread
 * counts. The tallies lie in the ledger, so that counts survive whatever ends the process. One that has to make room is
 * added to its trace. A thread has one row of tallies, and more when it turns out to come by many traces: each time one makes
 * room for another costs several looks at memory that is in no cache. Inside the guard of thread.h. */
#ifndef SHIM_TALLY_H
#define SHIM_TALLY_H

#include "compiler.h"
#include "stacks.h"

#include <stddef.h>
#include <string.h>

#include <stdbool.h>

#define TALLY_ROWS 64u /* at most; a power of two */
#define TALLY_MAX (1u << 30)

struct tally_table {
    uint32_t mask;     /* of the rows in use, a power of two of them */
    uint32_t replaced; /* tallies that have made room for others, as long as there can be more rows */
    uint32_t turn;     /* of the places around one that is to be used anew */
    struct ledger_tally *rows[TALLY_ROWS]; /* LEDGER_TALLIES_ROW each */
};

/* Begins with one row in the ledger at hand. False: there is no room for it. */
bool tally_begin(struct tally_table *table);

/* Returns the tally of the trace (native, python) that is not where tally_place says: it lies near that, or is made there. */
struct ledger_tally *tally_replace(struct tally_table *table, uint32_t native, struct python_stack python);

/* Adds what it has counted to its trace. */
void tally_spill(struct ledger_tally *tally);

/* Both nodes as they lie in a tally. */
static _always_inline_ uint64_t tally_nodes(uint32_t native, struct python_stack python)
{
    return python.parent << 32 | native;
}

static _always_inline_ bool tally_is_of(const struct ledger_tally *tally, uint32_t native, struct python_stack python)
{
    uint64_t found;

    _Static_assert(offsetof(struct ledger_tally, parent) == offsetof(struct ledger_tally, native) + 4, "one word");
    memcpy(&found, &tally->native, sizeof(found));
    return found == tally_nodes(native, python) && tally->frame == python.frame;
}

/* Where the tally of a trace would be. Callers whose nodes were made one after another are often met in this order again: the
 * tallies of what they called from one place lie side by side. */
static _always_inline_ struct ledger_tally *tally_place(const struct tally_table *table, uint32_t native,
                                                        struct python_stack python)
{
    /* Offset and id of the frame's code where the nodes' numbers have few bits. */
    uint64_t hash = ((python.frame << 17 | python.frame >> 47) ^ native) * 0x9e3779b97f4a7c15ULL;
    uint32_t number = (uint32_t)(hash >> 48) + (uint32_t)python.parent;

    return &table->rows[number >> LEDGER_TALLIES_SHIFT & table->mask][number % LEDGER_TALLIES_ROW];
}

/* The tally of the trace (native, python). Where there was no room for the trace, it has number 0. */
static _always_inline_ struct ledger_tally *tally_find(struct tally_table *table, uint32_t native,
                                                       struct python_stack python)
{
    struct ledger_tally *tally = tally_place(table, native, python);

    return likely(tally_is_of(tally, native, python)) ? tally : tally_replace(table, native, python);
}

/* At most TALLY_MAX allocations. */
static _always_inline_ void tally_add(struct ledger_tally *tally, uint32_t allocations, uint64_t bytes)
{
    tally->bytes += bytes;
    tally->allocations += allocations;
    if (unlikely((int32_t)tally->allocations < 0))
        tally_spill(tally);
}

#endif
