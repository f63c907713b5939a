/* SPDX-License-Identifier: MIT */
#include "tally.h"

#include "ledger_fixture.h"

TestSuite(tally, .init = fixture_open, .fini = fixture_close);

#define PAIRS 80000u /* more than there is room for, so that rows are added */
#define ROUNDS 3u

static uint64_t *counted; /* by trace id */

/* The trace of the pair `i` is met once in each round, with i + 1 bytes. */
static void count(struct tally_table *table, uint32_t i)
{
    struct python_stack python = {0, i / 3 + 1};
    struct ledger_tally *tally = tally_find(table, i + 1, python);

    cr_assert_eq(tally->native, i + 1);
    cr_assert_eq(tally->parent, i / 3 + 1);
    cr_assert_eq(tally_find(table, i + 1, python), tally);
    tally->allocations++;
    tally->bytes += i + 1;
}

static void add_tallies(const struct tally_table *table)
{
    for (uint32_t row = 0; row <= table->mask; row++)
        for (uint32_t i = 0; i < LEDGER_TALLIES_ROW; i++)
            counted[table->rows[row][i].trace] += table->rows[row][i].bytes;
}

Test(tally, nothing_is_lost_when_a_thread_comes_by_many_traces)
{
    struct tally_table table;

    counted = calloc(PAIRS + 2, sizeof(*counted));
    cr_assert(tally_begin(&table));
    cr_expect_eq(table.mask, 0);
    for (uint32_t round = 0; round < ROUNDS; round++)
        for (uint32_t i = 0; i < PAIRS; i++)
            count(&table, i);
    cr_expect_eq(table.mask, TALLY_ROWS - 1);
    add_tallies(&table);
    for (uint32_t id = 1; id <= PAIRS; id++) {
        const struct ledger_trace *trace = ledger_entry(LEDGER_TRACES, id);
        cr_assert_eq(counted[id] + trace->bytes, ROUNDS * (uint64_t)trace->native, "trace %u", id);
    }
    free(counted);
}

Test(tally, few_traces_need_no_more_than_a_row)
{
    struct tally_table table;

    cr_assert(tally_begin(&table));
    for (uint32_t round = 0; round < 100; round++)
        for (uint32_t i = 0; i < 200; i++)
            count(&table, i);
    cr_expect_eq(table.mask, 0);
}
