/* SPDX-License-Identifier: MIT */
#include "tally.h"

#include "ledger.h"

#define GROW_AFTER 8192u

static struct ledger_tally *take_row(void)
{
    uint32_t id = ledger_take(LEDGER_TALLIES, LEDGER_TALLIES_ROW);

    return id ? ledger_entry(LEDGER_TALLIES, id) : NULL;
}

bool tally_begin(struct tally_table *table)
{
    *table = (struct tally_table){.rows = {take_row()}};
    return table->rows[0];
}

/* What is in the first row stays there until it makes room: its counts are right wherever they are. */
static _cold_ void grow(struct tally_table *table)
{
    for (uint32_t i = 1; i < TALLY_ROWS; i++) {
        struct ledger_tally *row = take_row();
        table->rows[i] = row ? row : table->rows[0];
    }
    table->mask = TALLY_ROWS - 1;
}

/* A reader of a process that was killed in here may miss the counts of one trace, or see them twice. */
_cold_ void tally_spill(struct ledger_tally *tally)
{
    if (tally->trace)
        stacks_count(tally->trace, tally->allocations, tally->bytes);
    tally->allocations = 0;
    tally->bytes = 0;
}

struct ledger_tally *tally_replace(struct tally_table *table, uint32_t native, struct python_stack python)
{
    if (unlikely(++table->replaced == GROW_AFTER))
        grow(table);
    struct ledger_tally *tally = tally_place(table, native, python);
    if (tally->allocations)
        tally_spill(tally);
    __atomic_store_n(&tally->trace, stacks_trace(native, stacks_python(python)), __ATOMIC_RELEASE);
    tally->native = native;
    tally->parent = (uint32_t)python.parent;
    tally->frame = python.frame;
    return tally;
}
