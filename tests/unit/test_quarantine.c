/* SPDX-License-Identifier: MIT */
#include "quarantine.h"

#include "ledger_fixture.h"
#include "pymem.h"
#include "records.h"

#define LIMIT (1u << 20)
#define GENERATION 1u

bool pymem_present; /* of pymem.c, which is not linked here */

static uint32_t record; /* any: what it holds is not looked at */

static void set_up(void)
{
    struct records_cache cache = {0};

    fixture_open();
    record = records_take(&cache);
    quarantine_init(LIMIT);
}

TestSuite(quarantine, .init = set_up, .fini = fixture_close);

static void add(struct quarantine_cache *cache, enum quarantine_pool pool, uintptr_t address, uint64_t size)
{
    struct quarantine_entry entry = {address, size, record};
    cr_assert(quarantine_add(cache, GENERATION, pool, &entry));
}

/* Takes what is too much and checks that addresses follow each other from *next on. Returns the bytes. */
static uint64_t take_in_order(struct quarantine_cache *cache, enum quarantine_pool pool, uintptr_t *next)
{
    struct quarantine_entry entry;
    uint64_t bytes = 0;

    while (quarantine_take(cache, pool, &entry)) {
        cr_assert_eq(entry.address, *next);
        *next += 4096;
        bytes += entry.size + QUARANTINE_COST;
    }
    return bytes;
}

Test(quarantine, oldest_leave_first_and_the_limit_holds)
{
    static const uint64_t sizes[] = {1, 40, 7000, 0, 500, 64000, 16};
    struct quarantine_cache cache = {0};
    uintptr_t next = 4096;
    uint64_t in = 0, out = 0;

    for (uintptr_t i = 1; i < 100000; i++) {
        uint64_t size = sizes[i % (sizeof(sizes) / sizeof(sizes[0]))];
        add(&cache, QUARANTINE_LIBC, i * 4096, size);
        in += size + QUARANTINE_COST;
        out += take_in_order(&cache, QUARANTINE_LIBC, &next);
        cr_assert_leq(in - out, LIMIT);
    }
    cr_expect_gt(in - out, LIMIT / 2);
}

Test(quarantine, big_blocks_do_not_push_out_small_ones)
{
    struct quarantine_cache cache = {0};
    struct quarantine_entry entry;
    unsigned big = 0;

    for (uintptr_t i = 1; i <= 1000; i++)
        add(&cache, QUARANTINE_LIBC, i * 4096, 100);
    for (uintptr_t i = 0; i < 50; i++) {
        add(&cache, QUARANTINE_LIBC, (i + 1) << 40, LIMIT / 8);
        for (; quarantine_take(&cache, QUARANTINE_LIBC, &entry); big++)
            cr_assert_eq(entry.address, (uintptr_t)(big + 1) << 40);
    }
    cr_expect_geq(big, 48);
    cr_expect_lt(big, 50);
}

Test(quarantine, what_a_thread_leaves_behind_leaves_in_another)
{
    struct quarantine_cache first = {0}, second = {0};
    struct quarantine_entry entry;
    bool *seen = calloc(30001, 1);
    unsigned count = 0;

    for (uintptr_t i = 1; i <= 15000; i++)
        add(&first, QUARANTINE_LIBC, i * 4096, 100);
    for (unsigned i = 0; i < 10; i++, count++) {
        cr_assert(quarantine_take(&first, QUARANTINE_LIBC, &entry));
        seen[entry.address / 4096] = true;
    }
    quarantine_flush(&first, GENERATION);
    for (uintptr_t i = 15001; i <= 30000; i++)
        add(&second, QUARANTINE_LIBC, i * 4096, 100);
    quarantine_init(0);
    quarantine_flush(&second, GENERATION);
    for (; quarantine_take(&second, QUARANTINE_LIBC, &entry); count++) {
        cr_assert_not(seen[entry.address / 4096]);
        seen[entry.address / 4096] = true;
    }
    cr_expect_eq(count, 30000);
    free(seen);
}

Test(quarantine, forgotten_blocks_of_pythons_do_not_come_back)
{
    struct quarantine_cache cache = {0};
    struct quarantine_entry entry;

    for (uintptr_t i = 1; i <= 20000; i++)
        add(&cache, QUARANTINE_PYTHON, i * 4096, 100);
    cr_assert(quarantine_take(&cache, QUARANTINE_PYTHON, &entry));
    quarantine_forget_python();
    add(&cache, QUARANTINE_PYTHON, 1, 100);
    quarantine_init(0);
    quarantine_flush(&cache, GENERATION);
    cr_assert(quarantine_take(&cache, QUARANTINE_PYTHON, &entry));
    cr_expect_eq(entry.address, 1);
    cr_expect_not(quarantine_take(&cache, QUARANTINE_PYTHON, &entry));
}

Test(quarantine, blocks_that_do_not_fit_are_not_kept)
{
    cr_expect(quarantine_keeps(LIMIT));
    cr_expect_not(quarantine_keeps(LIMIT + 1));
    pymem_present = true;
    cr_expect_not(quarantine_keeps(LIMIT / 2 + 1));
}
