/* SPDX-License-Identifier: MIT
 *
 * Fills blocks of all small sizes, and looks for each byte of them that was changed: as guard.h is compiled where this is
 * included. */
#ifndef TESTS_GUARD_SIZES_H
#define TESTS_GUARD_SIZES_H

#include "guard.h"

#include <criterion/criterion.h>
#include <string.h>

static inline void assert_all_sizes(void)
{
    uint8_t room[400];

    guard_init(true, true);
    for (size_t size = 0; size < 300; size++) {
        memset(room, 0x11, sizeof(room));
        guard_fill(room + 32, GUARD_DEAD, size);
        cr_assert_eq(room[31], 0x11, "%zu bytes", size);
        cr_assert_eq(room[32 + size], 0x11, "%zu bytes", size);
        cr_assert(guard_is_filled(room + 32, size, GUARD_DEAD), "%zu bytes", size);
        for (size_t at = 0; at < size; at++) {
            room[32 + at] ^= 0x40;
            cr_assert_not(guard_is_filled(room + 32, size, GUARD_DEAD), "byte %zu of %zu", at, size);
            room[32 + at] ^= 0x40;
        }
    }
}

#endif
