/* SPDX-License-Identifier: MIT */
#include "quarantine.h"

#include "guarded.h"
#include "ledger_fixture.h"
#include "pyarenas.h"
#include "pymem.h"

#define LIMIT (1u << 20)
#define GENERATION 1u

bool pymem_present; /* of pymem.c, which is not linked here */

bool pyarenas_owns(uintptr_t address) /* likewise */
{
    return address != 0;
}

bool guarded_real_is_libc(void)
{
    return true;
}

static void set_up(void);
static void tear_down(void);

TestSuite(quarantine, .init = set_up, .fini = tear_down);

static void add(struct quarantine_cache *cache, enum quarantine_pool pool, uintptr_t address, uint64_t size)
{
    enum block_domain domain = pool == QUARANTINE_PYTHON ? DOMAIN_OBJ : DOMAIN_MALLOC;
    struct quarantine_entry entry = {quarantine_place((const void *)address, domain), size, 1, 2};
    cr_assert(quarantine_add(cache, GENERATION, pool, &entry));
}

/* Blocks that have left, by their number: address / PAGE. */
#define PAGE 4096u
#define BLOCKS 100000u

static struct left {
    bool seen[BLOCKS];
    unsigned count;
    uintptr_t last; /* number */
    uint64_t bytes;
} * left;

static void set_up(void)
{
    fixture_open();
    quarantine_init(LIMIT);
    left = calloc(1, sizeof(*left));
}

static void tear_down(void)
{
    free(left);
    fixture_close();
}

static void leave(const struct quarantine_entry *entry)
{
    uintptr_t number = quarantine_address(entry->place) / PAGE;

    cr_assert_lt(number, BLOCKS);
    cr_assert_not(left->seen[number]);
    left->seen[number] = true;
    left->count++;
    left->last = number > left->last ? number : left->last;
    left->bytes += entry->size + QUARANTINE_COST;
}

static void leave_all(struct quarantine_batch *batch, void *argument)
{
    (void)argument;
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct quarantine_entry entry = quarantine_leaves(batch, i);
        if (entry.place)
            leave(&entry);
    }
}

static void shrink(struct quarantine_cache *cache, enum quarantine_pool pool)
{
    quarantine_shrink(cache, pool, leave_all, NULL);
}

/* All that is in the queues. */
static void empty(struct quarantine_cache *cache, enum quarantine_pool pool)
{
    quarantine_init(0);
    quarantine_flush(cache, GENERATION);
    shrink(cache, pool);
}

Test(quarantine, oldest_leave_first_and_the_limit_holds)
{
    static const uint64_t sizes[] = {1, 40, 7000, 0, 500, 64000, 16};
    struct quarantine_cache cache = {0};
    uint64_t in = 0;

    for (uintptr_t i = 1; i < BLOCKS; i++) {
        uint64_t size = sizes[i % (sizeof(sizes) / sizeof(sizes[0]))];
        add(&cache, QUARANTINE_LIBC, i * PAGE, size);
        in += size + QUARANTINE_COST;
        shrink(&cache, QUARANTINE_LIBC);
        cr_assert_leq(in - left->bytes, LIMIT);
        cr_assert_eq(left->last, left->count);
    }
    cr_expect_gt(in - left->bytes, LIMIT / 3); /* a quarter is for big blocks, another for lanes */
}

Test(quarantine, big_blocks_do_not_push_out_small_ones)
{
    struct quarantine_cache cache = {0};

    for (uintptr_t i = 1000; i <= 2000; i++)
        add(&cache, QUARANTINE_LIBC, i * PAGE, 100);
    for (uintptr_t i = 1; i <= 50; i++) {
        add(&cache, QUARANTINE_LIBC, i * PAGE, LIMIT / 8);
        shrink(&cache, QUARANTINE_LIBC);
        cr_assert_eq(left->last, left->count);
    }
    cr_expect_geq(left->count, 48);
    cr_expect_lt(left->count, 50);
}

Test(quarantine, what_a_thread_leaves_behind_leaves_in_another)
{
    struct quarantine_cache first = {0}, second = {0};

    for (uintptr_t i = 1; i <= 15000; i++)
        add(&first, QUARANTINE_LIBC, i * PAGE, 100);
    shrink(&first, QUARANTINE_LIBC);
    cr_expect_gt(left->count, 0);
    quarantine_flush(&first, GENERATION);
    for (uintptr_t i = 15001; i <= 30000; i++)
        add(&second, QUARANTINE_LIBC, i * PAGE, 100);
    empty(&second, QUARANTINE_LIBC);
    cr_expect_eq(left->count, 30000);
}

Test(quarantine, forgotten_blocks_of_pythons_do_not_come_back)
{
    struct quarantine_cache cache = {0};

    for (uintptr_t i = 1; i <= 20000; i++)
        add(&cache, QUARANTINE_PYTHON, i * PAGE, 100);
    quarantine_forget_python(0, UINTPTR_MAX);
    add(&cache, QUARANTINE_PYTHON, 30000 * PAGE, 100);
    empty(&cache, QUARANTINE_PYTHON);
    cr_expect_eq(left->count, 1);
    cr_expect(left->seen[30000]);
}

static void count_entry(struct quarantine_entry *entry, void *count)
{
    cr_expect_eq(entry->alloc_trace, 1);
    cr_expect_eq(entry->free_trace, 2);
    ++*(unsigned *)count;
}

Test(quarantine, blocks_of_an_arena_are_forgotten_alone)
{
    struct quarantine_cache cache = {0};
    unsigned count = 0;

    for (uintptr_t i = 1; i <= 100; i++)
        add(&cache, QUARANTINE_PYTHON, i * 4096, 100);
    add(&cache, QUARANTINE_LIBC, 60 * 4096 + 2048, 100);
    quarantine_forget_python(51 * 4096, 71 * 4096);
    quarantine_visit(GENERATION, count_entry, &count);
    cr_expect_eq(count, 100 - 20 + 1);
    quarantine_visit(GENERATION + 1, count_entry, &count);
    cr_expect_eq(count, 100 - 20 + 1);
    empty(&cache, QUARANTINE_PYTHON);
    cr_expect_eq(left->count, 80);
    for (uintptr_t i = 51; i <= 70; i++)
        cr_expect_not(left->seen[i]);
}

/* Some lie alone, the others together. */
Test(quarantine, every_batch_has_room_of_its_own)
{
    enum { BATCHES = 3000 };
    static struct quarantine_batch *batches[BATCHES];
    struct quarantine_cache cache = {0};

    for (uintptr_t i = 0; i < BATCHES; i++) {
        batches[i] = quarantine_new_batch(&cache, GENERATION);
        cr_assert(batches[i]);
        cr_assert_eq((uintptr_t)batches[i] % QUARANTINE_LINE, 0);
        for (unsigned entry = 0; entry < QUARANTINE_BATCH + QUARANTINE_AHEAD; entry++)
            batches[i]->entries[entry].size = i;
    }
    for (uintptr_t i = 0; i < BATCHES; i++)
        for (unsigned entry = 0; entry < QUARANTINE_BATCH + QUARANTINE_AHEAD; entry++)
            cr_assert_eq(batches[i]->entries[entry].size, i);
}

Test(quarantine, blocks_that_do_not_fit_are_not_kept)
{
    cr_expect(quarantine_keeps(LIMIT));
    cr_expect_not(quarantine_keeps(LIMIT + 1));
    pymem_present = true;
    cr_expect_not(quarantine_keeps(LIMIT / 2 + 1));
}
