/* SPDX-License-Identifier: MIT */
#include "pyrecent.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct pyframes_thread *thread;

static void begin(void)
{
    size_t size = (sizeof(*thread) + 63) / 64 * 64;

    thread = aligned_alloc(64, size);
    cr_assert(thread);
    memset(thread, 0, size);
    recent_begin(thread);
    recent_forget(thread); /* numbers begin with 1 */
}

static void end(void)
{
    free(thread);
}

TestSuite(pyrecent, .init = begin, .fini = end);

#define PARENT 5u
#define META NODE_PYTHON

/* The next position after `position` with the place of that. */
static uint64_t find_rival(uint64_t position)
{
    const struct recent *place = recent_of(thread, position, PARENT);

    do
        position++;
    while (recent_of(thread, position, PARENT) != place);
    return position;
}

static void learn(uint64_t position, uint32_t node)
{
    recent_learn(thread, &(struct recent){position, 100 + position, PARENT, node, 1, recent_kind(thread, META)});
}

/* Its node, 0: it is not known any more. */
static uint32_t find(uint64_t position, uintptr_t code)
{
    const struct recent *recent = recent_of(thread, position, PARENT);

    if (!is_recent(thread, recent, position, PARENT, META))
        recent = recent_find_near(thread, position, PARENT, META, code);
    return recent ? recent->node : 0;
}

Test(pyrecent, nodes_of_one_place_lie_beside_each_other)
{
    uint64_t positions[4] = {1000};

    for (uint32_t i = 0; i < 4; i++) {
        positions[i] = i ? find_rival(positions[i - 1]) : 1000;
        learn(positions[i], i + 1);
    }
    for (uint32_t i = 0; i < 4; i++)
        cr_expect_eq(find(positions[i], 0), i + 1);
    cr_expect_eq(find(find_rival(positions[3]), 0), 0);
}

Test(pyrecent, the_oldest_of_too_many_is_forgotten_and_the_newest_is_first)
{
    uint64_t first = 1000, position = first;

    for (uint32_t node = 1; node <= 5; node++) {
        learn(position, node);
        cr_expect_eq(recent_of(thread, position, PARENT)->node, node);
        position = find_rival(position);
    }
    cr_expect_eq(find(first, 0), 0);
    cr_expect_eq(find(find_rival(first), 0), 2);
}

Test(pyrecent, what_is_beside_must_be_of_the_same_code)
{
    learn(1000, 1);
    learn(find_rival(1000), 2);
    cr_expect_eq(find(1000, 1100), 1);
    cr_expect_eq(find(1000, 1101), 0);
}

Test(pyrecent, nothing_is_left_of_what_is_void)
{
    learn(1000, 1);
    learn(find_rival(1000), 2);
    recent_forget(thread);
    cr_expect_eq(find(1000, 0), 0);
    learn(1000, 3); /* what is void makes no room */
    learn(find_rival(1000), 4);
    cr_expect_eq(find(1000, 0), 3);
    cr_expect_eq(find(find_rival(1000), 0), 4);
}

Test(pyrecent, all_numbers_being_used_nothing_old_is_found)
{
    learn(1000, 1);
    thread->stamp = UINT32_MAX >> 1;
    recent_forget(thread);
    cr_expect_eq(thread->stamp, 1);
    cr_expect_eq(find(1000, 0), 0);
}

Test(pyrecent, many_get_more_room)
{
    for (uint32_t i = 0; i < 70000; i++)
        learn(i * 64, i + 1);
    cr_expect_eq(thread->recent_shift, 16);
    cr_expect_neq(thread->recent, thread->first_recent);
    cr_expect_eq(find(69999 * 64, 0), 70000);
}
