/* SPDX-License-Identifier: MIT */
#include "arena.h"

#include <criterion/criterion.h>
#include <stdbool.h>
#include <string.h>

#define LARGE ((size_t)2 << 20)

static bool is_listed(const void *memory, size_t size)
{
    static struct arena_range ranges[512];
    size_t count = arena_ranges(ranges, 512);

    cr_assert_leq(count, 512);
    for (size_t i = 0; i < count; i++)
        if (ranges[i].start == (uintptr_t)memory && ranges[i].size == size)
            return true;
    return false;
}

Test(arena, what_is_scattered_begins_with_a_large_page)
{
    static const size_t sizes[] = {LARGE, LARGE + 4, 2 * LARGE, 3 * LARGE - 4096};

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        uint8_t *memory = arena_map_scattered(sizes[i]);
        cr_assert(memory);
        cr_expect_eq((uintptr_t)memory % LARGE, 0, "%zu bytes", sizes[i]);
        for (size_t at = 0; at < sizes[i]; at++)
            cr_assert_eq(memory[at], 0, "byte %zu of %zu", at, sizes[i]);
        memset(memory, 0x11, sizes[i]);
        cr_expect(is_listed(memory, sizes[i]));
        arena_unmap(memory, sizes[i]);
        cr_expect_not(is_listed(memory, sizes[i]));
    }
}

Test(arena, too_little_for_a_large_page_is_an_ordinary_mapping)
{
    uint8_t *memory = arena_map_scattered(LARGE - 1);

    cr_assert(memory);
    memory[LARGE - 2] = 1;
    cr_expect(is_listed(memory, LARGE - 1));
    arena_unmap(memory, LARGE - 1);
}

Test(arena, more_than_there_is_gives_nothing)
{
    cr_expect_null(arena_map_scattered(SIZE_MAX / 4));
}
