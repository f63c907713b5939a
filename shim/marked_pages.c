/* SPDX-License-Identifier: MIT */
#include "marked_pages.h"

uint8_t marked_pages[MARKED_PAGES_COUNTS];

static void change(const void *p, int by, uint8_t unless)
{
    uint8_t *count = marked_pages_count(p);
    uint8_t old = __atomic_load_n(count, __ATOMIC_RELAXED);

    do {
        if (old == MARKED_PAGES_FULL || old == unless)
            return;
    } while (!__atomic_compare_exchange_n(count, &old, (uint8_t)(old + by), true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
}

void marked_pages_add(const void *p)
{
    change(p, 1, MARKED_PAGES_FULL);
}

void marked_pages_remove(const void *p)
{
    change(p, -1, 0);
}
