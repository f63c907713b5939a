/* SPDX-License-Identifier: MIT */
#include "diff.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct leak make(const char *fingerprint, uint64_t blocks, uint64_t bytes)
{
    struct leak leak = {.domain = "malloc", .blocks = blocks, .bytes = bytes};
    snprintf(leak.fingerprint, sizeof(leak.fingerprint), "%s", fingerprint);
    return leak;
}

static struct diff_tolerance tolerance;

static struct diff build(struct leak *before, size_t before_count, struct leak *now, size_t now_count)
{
    struct leaks a = {.items = before, .count = before_count}, b = {.items = now, .count = now_count};
    struct diff diff;
    cr_assert_eq(diff_build(&a, &b, &tolerance, &diff), 0);
    return diff;
}

Test(diff, every_change_in_its_place)
{
    struct leak before[] = {make("gone", 1, 10), make("grown", 1, 10), make("shrunk", 2, 20), make("same", 3, 30)};
    struct leak now[] = {make("same", 3, 30), make("shrunk", 1, 10), make("grown", 5, 50), make("new", 1, 7)};
    struct diff diff = build(before, 4, now, 4);
    static const char *const order[] = {"new", "grown", "shrunk", "gone"};
    cr_assert_eq(diff.count, 4);
    for (size_t i = 0; i < 4; i++) {
        cr_expect_str_eq(diff.items[i].leak->fingerprint, order[i]);
        cr_expect_str_eq(diff_change_name(diff.items[i].change), order[i]);
    }
    cr_expect_eq(diff.changes[DIFF_SAME], 1);
    cr_expect_eq(diff.items[1].old_bytes, 10);
    cr_expect_eq(diff.items[1].new_bytes, 50);
    cr_expect_eq(diff.items[1].leak, &now[2], "the sample is from the new side");
    cr_expect_eq(diff.old_bytes, 70);
    cr_expect_eq(diff.new_bytes, 97);
    cr_expect(diff_is_worse(&diff));
    diff_clear(&diff);
}

Test(diff, the_largest_move_comes_first)
{
    struct leak before[] = {make("a", 1, 1000)};
    struct leak now[] = {make("a", 2, 1010), make("b", 1, 5), make("c", 1, 50)};
    struct diff diff = build(before, 1, now, 3);
    cr_expect_str_eq(diff.items[0].leak->fingerprint, "c");
    cr_expect_str_eq(diff.items[1].leak->fingerprint, "b");
    diff_clear(&diff);
}

Test(diff, one_leak_in_several_processes_is_added_up)
{
    struct leak before[] = {make("a", 1, 10), make("a", 1, 10)};
    struct leak now[] = {make("a", 2, 20)};
    struct diff diff = build(before, 2, now, 1);
    cr_expect_eq(diff.count, 0);
    cr_expect_not(diff_is_worse(&diff));
    diff_clear(&diff);
}

Test(diff, startup_leaks_are_left_out)
{
    struct leak now[] = {make("a", 1, 10)};
    now[0].startup = true;
    struct diff diff = build(NULL, 0, now, 1);
    cr_expect_eq(diff.count, 0);
    diff_clear(&diff);
}

Test(diff, blocks_decide_between_equal_bytes)
{
    struct leak before[] = {make("a", 1, 0)};
    struct leak now[] = {make("a", 2, 0)};
    struct diff diff = build(before, 1, now, 1);
    cr_expect_eq(diff.changes[DIFF_GROWN], 1);
    diff_clear(&diff);
}

Test(diff, only_less_is_not_worse_but_more_errors_are)
{
    struct leak before[] = {make("a", 2, 20), make("b", 1, 1)};
    struct leak now[] = {make("a", 1, 10)};
    struct diff diff = build(before, 2, now, 1);
    cr_expect_eq(diff.count, 2);
    cr_expect_not(diff_is_worse(&diff));
    diff.new_errors = 1;
    cr_expect(diff_is_worse(&diff));
    diff_clear(&diff);
}

Test(diff, tolerances_are_parsed)
{
    struct diff_tolerance parsed = {0};
    cr_expect_eq(diff_tolerance_parse("2k", &parsed), 0);
    cr_expect(parsed.bytes == 2048 && parsed.fraction == 0);
    cr_expect_eq(diff_tolerance_parse("2.5%", &parsed), 0);
    cr_expect(parsed.bytes == 0 && parsed.fraction == 0.025);
    static const char *const bad[] = {"", "%", "-1%", "101%", "nan%", "x", "1x%", "1e1%", " 1%"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        cr_expect_lt(diff_tolerance_parse(bad[i], &parsed), 0, "%s", bad[i]);
}

Test(diff, a_change_within_the_tolerance_is_none)
{
    struct leak before[] = {make("a", 100, 1000), make("b", 1, 100), make("gone", 1, 9)};
    struct leak now[] = {make("a", 110, 1100), make("b", 1, 109), make("new", 1, 10)};
    tolerance.bytes = 10;
    struct diff diff = build(before, 3, now, 3);
    cr_expect_eq(diff.count, 1);
    cr_expect_eq(diff.changes[DIFF_GROWN], 1);
    cr_expect_eq(diff.changes[DIFF_SAME], 3);
    diff_clear(&diff);
    tolerance = (struct diff_tolerance){.fraction = 0.1};
    diff = build(before, 3, now, 3);
    cr_expect_eq(diff.count, 2, "no part of nothing is enough for a new one");
    cr_expect_eq(diff.changes[DIFF_NEW], 1);
    diff_clear(&diff);
    now[0].blocks = 200;
    diff = build(before, 3, now, 3);
    cr_expect_eq(diff.changes[DIFF_GROWN], 1, "by its blocks");
    diff_clear(&diff);
}

Test(diff, of_estimates_three_standard_errors_are_noise)
{
    struct leak before[] = {make("a", 1, 1000)}, now[] = {make("a", 1, 1500)};
    before[0].variance = 100 * 100;
    now[0].variance = 150 * 150; /* together 180 */
    struct diff diff = build(before, 1, now, 1);
    cr_expect_eq(diff.count, 0);
    diff_clear(&diff);
    now[0].bytes = 1600;
    diff = build(before, 1, now, 1);
    cr_expect_eq(diff.changes[DIFF_GROWN], 1);
    diff_clear(&diff);
}

Test(diff, nothing_and_nothing)
{
    struct diff diff = build(NULL, 0, NULL, 0);
    cr_expect_eq(diff.count, 0);
    diff_clear(&diff);
    diff_clear(&diff);
}
