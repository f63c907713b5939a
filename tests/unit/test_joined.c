/* SPDX-License-Identifier: MIT */
#include "joined.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct leak make(const char *fingerprint, uint64_t blocks, uint64_t bytes)
{
    struct leak leak = {.kind = LEAK_REACHABLE, .domain = "malloc", .blocks = blocks, .bytes = bytes};
    snprintf(leak.fingerprint, sizeof(leak.fingerprint), "%s", fingerprint);
    return leak;
}

static const struct process processes[4];

Test(joined, equal_ones_are_added_up_and_sorted_again)
{
    struct leak items[] = {make("a", 1, 100), make("b", 1, 60), make("b", 2, 50), make("c", 1, 1)};
    struct leaks leaks = {.items = items, .count = 4}, joined;
    for (size_t i = 0; i < leaks.count; i++)
        items[i].process = &processes[i];
    cr_assert_eq(joined_build(&leaks, &joined), 0);
    cr_assert_eq(joined.count, 3);
    cr_expect_str_eq(joined.items[0].fingerprint, "b");
    cr_expect_eq(joined.items[0].bytes, 110);
    cr_expect_eq(joined.items[0].blocks, 3);
    cr_expect_eq(joined.items[0].processes, 2);
    cr_expect_eq(joined.items[1].processes, 1);
    cr_expect_eq(items[1].bytes, 60, "the leaks of the processes are untouched");
    joined_clear(&joined);
}

Test(joined, kinds_and_startup_stay_apart)
{
    struct leak items[] = {make("a", 1, 1), make("a", 1, 1), make("a", 1, 1), make("a", 1, 1)};
    items[1].startup = true;
    items[2].kind = LEAK_DEFINITE;
    items[3].known = true;
    struct leaks leaks = {.items = items, .count = 4}, joined;
    cr_assert_eq(joined_build(&leaks, &joined), 0);
    cr_expect_eq(joined.count, 4);
    joined_clear(&joined);
}

/* Those of one process are different already. */
Test(joined, leaks_of_one_process_are_not_copied)
{
    struct leak items[] = {make("a", 1, 1), make("b", 1, 1)};
    struct leaks leaks = {.items = items, .count = 2}, joined;
    cr_assert_eq(joined_build(&leaks, &joined), 0);
    cr_expect_eq(joined.items, items);
    cr_expect_eq(joined.count, 2);
    joined_clear(&joined);
}

Test(joined, nothing)
{
    struct leaks leaks = {0}, joined;
    cr_assert_eq(joined_build(&leaks, &joined), 0);
    cr_expect_eq(joined.count, 0);
    joined_clear(&joined);
}
