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

/* The first `count` pairs from `pairs[0]` on with one and the same place. */
static void find_rivals(const struct tally_table *table, uint32_t *pairs, uint32_t count)
{
    const struct ledger_tally *place = tally_place(table, pairs[0] + 1, (struct python_stack){0, pairs[0] / 3 + 1});

    for (uint32_t i = 1, pair = pairs[0] + 1; i < count; pair++)
        if (tally_place(table, pair + 1, (struct python_stack){0, pair / 3 + 1}) == place)
            pairs[i++] = pair;
}

Test(tally, a_few_traces_of_one_place_do_not_push_each_other_out)
{
    struct tally_table table;
    uint32_t rivals[4] = {17};

    cr_assert(tally_begin(&table));
    find_rivals(&table, rivals, 4);
    for (uint32_t round = 0; round < 100; round++)
        for (uint32_t i = 0; i < 4; i++)
            count(&table, rivals[i]);
    cr_expect_eq(table.replaced, 4);
    for (uint32_t i = 0; i < 4; i++) {
        struct ledger_tally *tally = tally_find(&table, rivals[i] + 1, (struct python_stack){0, rivals[i] / 3 + 1});
        const struct ledger_trace *trace = ledger_entry(LEDGER_TRACES, tally->trace);
        cr_expect_eq(tally->allocations, 100);
        cr_expect_eq(trace->allocations, 0);
    }
}

Test(tally, more_traces_than_there_is_room_for_in_one_place_lose_no_counts)
{
    struct tally_table table;
    uint32_t rivals[9] = {17};
    uint64_t bytes = 0, expected = 0;

    cr_assert(tally_begin(&table));
    find_rivals(&table, rivals, 9);
    for (uint32_t round = 0; round < 100; round++)
        for (uint32_t i = 0; i < 9; i++) {
            count(&table, rivals[i]);
            expected += rivals[i] + 1;
        }
    for (uint32_t i = 0; i < LEDGER_TALLIES_ROW; i++)
        bytes += table.rows[0][i].bytes;
    for (uint32_t id = 1; id <= 9; id++)
        bytes += ((const struct ledger_trace *)ledger_entry(LEDGER_TRACES, id))->bytes;
    cr_expect_eq(bytes, expected);
}
