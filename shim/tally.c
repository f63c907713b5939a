/* SPDX-License-Identifier: MIT */
#include "tally.h"

#include "ledger.h"

/* Tallies that have made room for others, until there are more rows. */
#define MANY_AFTER 8192u
#define MANY_ROWS 16u
#define MOST_AFTER 65536u

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

/* What is in the rows stays there until it makes room: its counts are right wherever they are. */
static _cold_ void grow(struct tally_table *table, uint32_t rows)
{
    for (uint32_t i = table->mask + 1; i < rows; i++) {
        struct ledger_tally *row = take_row();
        table->rows[i] = row ? row : table->rows[0];
    }
    table->mask = rows - 1;
}

static void count_replaced(struct tally_table *table)
{
    table->replaced++;
    if (table->replaced == MANY_AFTER)
        grow(table, MANY_ROWS);
    else if (table->replaced == MOST_AFTER)
        grow(table, TALLY_ROWS);
}

/* A reader of a process that was killed in here may miss the counts of one trace, or see them twice. */
_cold_ void tally_spill(struct ledger_tally *tally)
{
    if (tally->trace)
        stacks_count(tally->trace, tally->allocations, tally->bytes);
    tally->allocations = 0;
    tally->bytes = 0;
}

/* The places around one, on two cache lines that come together, hold the tallies that would have to make room for each other. */
#define GROUP 4u

_Static_assert(LEDGER_TALLIES_ROW % GROUP == 0, "groups do not cross rows");

static struct ledger_tally *other_place(struct ledger_tally *place, uint32_t way)
{
    uint32_t offset = (uint32_t)((uintptr_t)place / sizeof(*place));

    return place - offset % GROUP + ((offset + way) % GROUP);
}

static struct ledger_tally *find_near(struct ledger_tally *place, uint32_t native, struct python_stack python)
{
    for (uint32_t way = 1; way < GROUP; way++) {
        struct ledger_tally *other = other_place(place, way);
        if (tally_is_of(other, native, python))
            return other;
    }
    return NULL;
}

/* Moves what is at a place to another one of its group: to one that was never used, or to each in turn. */
static void make_room(struct tally_table *table, struct ledger_tally *place)
{
    uint32_t way = 1;

    while (way < GROUP && other_place(place, way)->trace)
        way++;
    struct ledger_tally *other = other_place(place, way < GROUP ? way : 1 + table->turn++ % (GROUP - 1));
    if (other->allocations)
        tally_spill(other);
    struct ledger_tally moved = *place;
    place->allocations = 0;
    place->bytes = 0;
    *other = moved;
}

struct ledger_tally *tally_replace(struct tally_table *table, uint32_t native, struct python_stack python)
{
    struct ledger_tally *tally = tally_place(table, native, python), *other = find_near(tally, native, python);

    if (other)
        return other;
    if (table->replaced < MOST_AFTER) {
        count_replaced(table);
        tally = tally_place(table, native, python);
    }
    if (tally->trace)
        make_room(table, tally);
    else
        tally_spill(tally);
    __atomic_store_n(&tally->trace, stacks_trace(native, stacks_python(python)), __ATOMIC_RELEASE);
    tally->native = native;
    tally->parent = (uint32_t)python.parent;
    tally->frame = python.frame;
    return tally;
}
