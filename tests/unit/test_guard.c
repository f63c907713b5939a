/* SPDX-License-Identifier: MIT
 *
 * The bytes around blocks against the table of CPython's memory manual. */
#include "guard.h"

#include "guard_sizes.h"

#include "block.h"

#include <criterion/criterion.h>

#define SIZE 13

static _Alignas(16) uint8_t memory[128];
static uint8_t *const p = memory + 32;

static void dress(enum block_domain domain)
{
    guard_init(true, true);
    memset(memory, 0x11, sizeof(memory));
    guard_fill(p, GUARD_CLEAN, SIZE);
    guard_dress(p, SIZE, domain, 0x0102030405060708);
}

Test(guard, layout_is_that_of_the_manual)
{
    static const uint8_t before[16] = {0, 0, 0, 0, 0, 0, 0, SIZE, 'm', 0xfd, 0xfd, 0xfd, 0xfd, 0xfd, 0xfd, 0xfd};
    static const uint8_t after[16] = {0xfd, 0xfd, 0xfd, 0xfd, 0xfd, 0xfd, 0xfd, 0xfd, 1, 2, 3, 4, 5, 6, 7, 8};

    dress(DOMAIN_MEM);
    cr_expect_arr_eq(p - 16, before, 16);
    for (int i = 0; i < SIZE; i++)
        cr_expect_eq(p[i], 0xcd);
    cr_expect_arr_eq(p + SIZE, after, 16);
    cr_expect_eq(p[-17], 0x11);
    cr_expect_eq(p[SIZE + 16], 0x11);
    cr_expect_eq(guard_stated_size(p), SIZE);
    cr_expect(guard_seems_dressed(p));
}

Test(guard, fills_and_looks_at_all_bytes_and_no_others)
{
    assert_all_sizes();
}

Test(guard, every_domain_has_its_letter)
{
    static const struct {
        enum block_domain domain;
        char letter;
    } letters[] = {{DOMAIN_RAW, 'r'},    {DOMAIN_MEM, 'm'}, {DOMAIN_OBJ, 'o'},
                   {DOMAIN_MALLOC, 'c'}, {DOMAIN_NEW, 'n'}, {DOMAIN_NEW_ARRAY, 'N'}};

    for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++) {
        dress(letters[i].domain);
        cr_expect_eq(p[-8], letters[i].letter);
    }
}

Test(guard, our_prefix_stands_below_the_guard_bytes)
{
    guard_init(true, true);
    cr_expect_eq((uint8_t *)block_prefix(p), p - 32);
    cr_expect_eq(block_padding(block_template), 32);
    guard_init(false, true);
    cr_expect_eq((uint8_t *)block_prefix(p), p - 16);
    cr_expect(!guard_fills);
}

/* Every byte on both sides but the serial number's, which is known by its bounds only. */
Test(guard, every_changed_byte_is_found_where_it_is)
{
    struct guard_sides sides;

    for (int at = -16; at < SIZE + 8; at++) {
        dress(DOMAIN_MALLOC);
        cr_assert(guard_intact(p, SIZE, DOMAIN_MALLOC, UINT64_MAX));
        p[at] ^= 0x40;
        bool inside = at >= 0 && at < SIZE;
        cr_expect_eq(guard_intact(p, SIZE, DOMAIN_MALLOC, UINT64_MAX), inside, "offset %d", at);
        guard_read(p, SIZE, &sides);
        struct guard_damage damage = guard_examine(&sides, SIZE, DOMAIN_MALLOC, UINT64_MAX);
        cr_expect_eq(damage.kind, inside ? ERROR_NONE : at < 0 ? ERROR_UNDERFLOW : ERROR_OVERFLOW);
        if (!inside) {
            cr_expect_eq(damage.offset, at);
            cr_expect_eq(damage.span, 1);
            cr_expect_eq(damage.bytes[0], p[at]);
        }
    }
}

Test(guard, impossible_serial_numbers_are_damage)
{
    dress(DOMAIN_OBJ);
    cr_expect(!guard_intact(p, SIZE, DOMAIN_OBJ, 1000));
    guard_dress(p, SIZE, DOMAIN_OBJ, 1000);
    cr_expect(guard_intact(p, SIZE, DOMAIN_OBJ, 1000));
    guard_dress(p, SIZE, DOMAIN_OBJ, 0);
    cr_expect(!guard_intact(p, SIZE, DOMAIN_OBJ, 1000));
}

Test(guard, a_block_of_no_bytes_has_both_sides)
{
    guard_init(true, true);
    guard_dress(p, 0, DOMAIN_MALLOC, 1);
    cr_expect(guard_intact(p, 0, DOMAIN_MALLOC, 1));
    p[0] = 0;
    cr_expect(!guard_intact(p, 0, DOMAIN_MALLOC, 1));
}

Test(guard, writes_to_dead_bytes_are_found)
{
    uint8_t bytes[300];

    for (size_t at = 0; at < sizeof(bytes); at++) {
        memset(bytes, GUARD_DEAD, sizeof(bytes));
        cr_assert_eq(guard_find_other(bytes, sizeof(bytes), GUARD_DEAD), sizeof(bytes));
        bytes[at] = 1;
        struct guard_damage damage = guard_examine_dead(bytes, sizeof(bytes), 1000);
        cr_expect_eq(damage.kind, ERROR_USE_AFTER_FREE);
        cr_expect_eq(damage.offset, 1000 + (int64_t)at);
        cr_expect_eq(damage.span, 1);
    }
    cr_expect_eq(guard_find_other(bytes, 0, GUARD_DEAD), 0);
}
