/* SPDX-License-Identifier: MIT */
#include "lanes.h"

#include "guarded.h"
#include "ledger_fixture.h"
#include "pyarenas.h"
#include "pymem.h"

#define LIMIT (256u << 10)
#define GENERATION 1u
#define LANE 6u /* blocks of 112 bytes */
#define BLOCK_BYTES 112u
#define MEMORY (8u << 20)

/* Of files that are not linked here. */
bool pymem_present;
static bool in_arenas;

bool pyarenas_owns(uintptr_t address)
{
    return in_arenas && address != 0;
}

static bool is_libc;

bool guarded_real_is_libc(void)
{
    return is_libc;
}

static struct quarantine_cache cache;
static uint8_t *memory;

static void set_up(void)
{
    fixture_open();
    lanes_reset(&lanes_python, LIMIT);
    cache = (struct quarantine_cache){.generation = GENERATION};
    memory = calloc(1, MEMORY);
    in_arenas = true;
}

static void tear_down(void)
{
    free(memory);
    fixture_close();
}

TestSuite(lanes, .init = set_up, .fini = tear_down);

static uint8_t *block(unsigned number)
{
    return memory + (size_t)number * BLOCK_BYTES;
}

static bool put(size_t lane, unsigned number)
{
    struct quarantine_entry *entry = lanes_adds(&lanes_python, &cache, lane, block(number));

    if (!entry)
        return false;
    *entry = (struct quarantine_entry){quarantine_place(block(number), DOMAIN_OBJ), 64, 1, 2};
    return lanes_added(&lanes_python, lane), true;
}

static const uint8_t *take(size_t lane)
{
    return (const uint8_t *)quarantine_address(lanes_take(&lanes_python, &cache, lane).place);
}

static unsigned left_count;

static void leave(struct quarantine_batch *batch, void *argument)
{
    (void)argument;
    for (uint32_t i = 0; i < batch->count; i++)
        left_count += quarantine_leaves(batch, i).place != 0;
}

Test(lanes, a_class_is_16_bytes_wide)
{
    cr_expect_eq(lanes_of_python(1), 0);
    cr_expect_eq(lanes_of_python(16), 0);
    cr_expect_eq(lanes_of_python(17), 1);
    cr_expect_eq(lanes_of_python(112), LANE);
    cr_expect_eq(lanes_of_python(512), 31);
    cr_expect_eq(lanes_of_python(513), 32);
    cr_expect_eq(lanes_of_python(LANES_BYTES_MAX - LANES_LIBC_MORE), LANES_COUNT - 1);
    cr_expect_geq(lanes_of_python(LANES_BYTES_MAX - LANES_LIBC_MORE + 1), LANES_COUNT);
}

Test(lanes, what_is_larger_than_pymallocs_blocks_is_kept_in_lanes_if_it_is_libcs)
{
    const size_t large = lanes_of_python(LANES_PYMALLOC_MAX + 1);

    is_libc = true;
    cr_expect(put(large, 0));
    lanes_reset(&lanes_python, LIMIT);
    is_libc = false;
    cr_expect_not(put(large, 0));
    is_libc = true; /* it is not asked twice */
    cr_expect_not(put(large, 0));
    cr_expect(put(LANE, 0));
    in_arenas = false;
    cr_expect_not(put(LANE + 1, 0));
    in_arenas = true;
    cr_expect_not(put(LANE + 2, 0), "all of the heap is another one");
}

Test(lanes, the_oldest_comes_first_and_not_before_its_time)
{
    const unsigned keeps = LIMIT / BLOCK_BYTES;
    unsigned next = 0, taken = 0;

    for (unsigned i = 0; i < 20000; i++) {
        cr_assert(put(LANE, next++));
        const uint8_t *p = take(LANE);
        if (!p)
            continue;
        cr_assert_eq(p, block(taken));
        /* as many bytes went in and out meanwhile as may be held: a put and a request are one block each */
        cr_assert_geq(2 * (next - taken), keeps);
        taken++;
    }
    cr_expect_leq(2 * (next - taken), keeps + 4 * QUARANTINE_BATCH);
    lanes_shrink(&lanes_python, &cache, leave, NULL);
    cr_expect_eq(left_count, 0);
}

Test(lanes, what_was_freed_at_once_comes_back_at_once)
{
    const unsigned many = LIMIT / BLOCK_BYTES;
    unsigned taken = 0;

    for (unsigned i = 0; i < many; i++)
        put(LANE, i);
    for (unsigned i = 0; i < many; i++)
        taken += take(LANE) != NULL;
    cr_expect_geq(taken + 3 * QUARANTINE_BATCH, many);
}

Test(lanes, classes_do_not_mix)
{
    const unsigned many = LIMIT / BLOCK_BYTES;

    for (unsigned i = 0; i < many; i++)
        put(LANE + i % 2, i);
    for (unsigned i = 0; i < many; i++)
        cr_expect_null(take(LANE + 2));
    for (unsigned i = 0; i < many / 4; i++)
        cr_assert_eq((take(LANE) - memory) / BLOCK_BYTES % 2, 0);
}

Test(lanes, what_is_too_much_leaves_oldest_first)
{
    const unsigned many = 3 * LIMIT / BLOCK_BYTES;
    unsigned held = 0;

    for (unsigned i = 0; i < many; i++) {
        put(LANE, i);
        lanes_shrink(&lanes_python, &cache, leave, NULL);
    }
    cr_expect_gt(left_count, many / 2);
    const uint8_t *first = take(LANE);
    while (!first) /* requests make it older */
        first = take(LANE);
    cr_expect_eq(first, block(left_count));
    for (held = 1; take(LANE); held++)
        ;
    cr_expect_leq(held * BLOCK_BYTES, LIMIT);
}

Test(lanes, forgotten_blocks_do_not_come_back)
{
    const unsigned many = LIMIT / BLOCK_BYTES;

    for (unsigned i = 0; i < many; i++)
        put(LANE, i);
    quarantine_forget_python((uintptr_t)block(0), (uintptr_t)block(many));
    for (unsigned i = 0; i < 2 * many; i++)
        cr_assert_null(take(LANE));
    for (unsigned i = 0; i < many; i++)
        put(LANE, many + i);
    unsigned taken = 0;
    for (unsigned i = 0; i < 2 * many; i++)
        taken += take(LANE) != NULL;
    cr_expect_gt(taken, many / 2);
}

static void count_entry(struct quarantine_entry *entry, void *count)
{
    cr_expect_eq(entry->size, 64);
    ++*(unsigned *)count;
}

Test(lanes, a_look_at_the_quarantine_sees_them)
{
    unsigned count = 0, taken = 0;

    for (unsigned i = 0; i < 1000; i++)
        put(LANE, i);
    for (unsigned i = 0; i < 2000; i++)
        taken += take(LANE) != NULL;
    quarantine_visit(GENERATION, count_entry, &count);
    cr_expect_gt(taken, 0);
    cr_expect_eq(count, 1000 - taken);
}

Test(lanes, blocks_of_another_heap_have_none)
{
    in_arenas = false;
    cr_expect_not(put(LANE, 0));
    in_arenas = true;
    cr_expect_not(put(LANE, 0));
}

Test(lanes, without_room_nothing_is_kept)
{
    lanes_reset(&lanes_python, 0);
    cr_expect_not(put(LANE, 0));
}

Test(lanes, a_jump_out_of_something_else_changes_nothing)
{
    const unsigned many = LIMIT / BLOCK_BYTES;
    unsigned taken = 0;

    for (unsigned i = 0; i < many; i++)
        put(LANE, i);
    lanes_left();
    for (unsigned i = 0; i < many; i++)
        taken += take(LANE) != NULL;
    cr_expect_gt(taken, many / 2);
}

Test(lanes, a_forked_child_begins_anew)
{
    for (unsigned i = 0; i < LIMIT / BLOCK_BYTES; i++)
        put(LANE, i);
    quarantine_fork_child();
    cr_expect_null(take(LANE));
    cr_expect(put(LANE, 0));
}
