/* SPDX-License-Identifier: MIT */
#include "intern.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

Test(intern, equal_keys_share_a_number)
{
    struct intern intern = {0};
    uint32_t index = 99;
    cr_expect_eq(intern_add(&intern, "ab", 2, &index), 1);
    cr_expect_eq(index, 0);
    cr_expect_eq(intern_add(&intern, "a", 1, &index), 1);
    cr_expect_eq(index, 1);
    cr_expect_eq(intern_add(&intern, "ab", 2, &index), 0);
    cr_expect_eq(index, 0);
    cr_expect_eq(intern_add(&intern, "", 0, &index), 1);
    cr_expect_eq(index, 2);
    cr_expect_str_eq(intern.entries[1].key, "a", "keys end in NUL");
    intern_clear(&intern);
    cr_expect_eq(intern.count, 0);
}

/* Far more than the first table has room for; values stay with their keys. */
Test(intern, grows)
{
    struct intern intern = {0};
    uint32_t index;
    char key[16];
    for (uint32_t i = 0; i < 10000; i++) {
        int length = snprintf(key, sizeof(key), "key %u", i);
        cr_assert_eq(intern_add(&intern, key, (size_t)length, &index), 1);
        cr_assert_eq(index, i);
        intern.entries[index].value = 3 * i;
    }
    for (uint32_t i = 0; i < 10000; i++) {
        int length = snprintf(key, sizeof(key), "key %u", i);
        cr_assert_eq(intern_add(&intern, key, (size_t)length, &index), 0);
        cr_assert_eq(index, i);
        cr_assert_eq(intern.entries[index].value, 3 * i);
    }
    intern_clear(&intern);
}
