/* SPDX-License-Identifier: MIT */
#include "unwind_rules.h"

#include <criterion/criterion.h>

static uint64_t key_of(uintptr_t pc)
{
    return rules_key(pc, false, rules_generation);
}

Test(unwind_rules, what_was_entered_is_found)
{
    for (uintptr_t pc = 0x1000; pc < 0x1000 + 5000; pc++)
        rules_enter(key_of(pc), pc * 3);
    for (uintptr_t pc = 0x1000; pc < 0x1000 + 5000; pc++)
        cr_expect_eq(rules_find(key_of(pc)), pc * 3);
    cr_expect_eq(rules_find(key_of(0xfff)), 0);
}

Test(unwind_rules, return_addresses_and_interrupted_ones_differ)
{
    rules_enter(rules_key(0x5000, false, rules_generation), 1);
    rules_enter(rules_key(0x5000, true, rules_generation), 2);
    cr_expect_eq(rules_find(rules_key(0x5000, false, rules_generation)), 1);
    cr_expect_eq(rules_find(rules_key(0x5000, true, rules_generation)), 2);
}

Test(unwind_rules, a_rule_can_be_replaced)
{
    rules_enter(key_of(0x5000), 1);
    rules_enter(key_of(0x5000), 2);
    cr_expect_eq(rules_find(key_of(0x5000)), 2);
}

Test(unwind_rules, a_flush_forgets_all)
{
    uint32_t before = rules_generation;

    rules_enter(key_of(0x5000), 1);
    rules_flush();
    cr_expect_neq(rules_generation, before);
    cr_expect_eq(rules_find(key_of(0x5000)), 0);
    rules_enter(key_of(0x5000), 2);
    cr_expect_eq(rules_find(key_of(0x5000)), 2);
}

Test(unwind_rules, generations_begin_anew_without_old_entries)
{
    rules_enter(key_of(0x5000), 1);
    for (uint32_t i = 0; i < UINT16_MAX; i++)
        rules_flush();
    cr_expect_eq(rules_generation, 1);
    cr_expect_eq(rules_find(key_of(0x5000)), 0);
}

/* More than fit: some are forgotten, none is wrong, and the last one entered is there. */
Test(unwind_rules, a_full_table_makes_room)
{
    uint32_t found = 0;

    for (uintptr_t pc = 0; pc < 200000; pc++) {
        rules_enter(key_of(0x400000 + pc * 5), pc + 1);
        cr_assert_eq(rules_find(key_of(0x400000 + pc * 5)), pc + 1);
    }
    for (uintptr_t pc = 0; pc < 200000; pc++) {
        uint64_t rule = rules_find(key_of(0x400000 + pc * 5));
        cr_assert(rule == 0 || rule == pc + 1);
        found += rule != 0;
    }
    cr_expect_gt(found, 1u << (RULES_SHIFT_MAX - 1));
    cr_expect_eq(rules_shift, RULES_SHIFT_MAX);
}

/* Few rules touch few pages; what was entered before the table grew is still found, but for a few. */
Test(unwind_rules, the_table_grows_with_the_rules)
{
    uint32_t lost = 0;

    for (uintptr_t pc = 0; pc < 500; pc++)
        rules_enter(key_of(0x400000 + pc * 5), pc + 1);
    cr_expect_eq(rules_shift, RULES_SHIFT_FIRST);
    for (uintptr_t pc = 500; pc < 3000; pc++)
        rules_enter(key_of(0x400000 + pc * 5), pc + 1);
    cr_expect_gt(rules_shift, RULES_SHIFT_FIRST);
    cr_expect_lt(rules_shift, RULES_SHIFT_MAX);
    for (uintptr_t pc = 0; pc < 3000; pc++)
        lost += rules_find(key_of(0x400000 + pc * 5)) != pc + 1;
    cr_expect_lt(lost, 30, "%u of 3000 rules lost", lost);
}
