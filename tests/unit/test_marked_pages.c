/* SPDX-License-Identifier: MIT */
#include "marked_pages.h"

#include <criterion/criterion.h>
#include <pthread.h>

#define PAGE 4096u
#define AT(address) ((const void *)(uintptr_t)(address))

Test(marked_pages, a_page_is_told_by_what_lies_on_it)
{
    uintptr_t page = 0x7f1234567000;

    cr_expect(marked_pages_none(NULL));
    marked_pages_add(AT(page + 16));
    marked_pages_add(AT(page + PAGE - 16));
    cr_expect_not(marked_pages_none(AT(page)));
    cr_expect(marked_pages_none(AT(page - 16)));
    cr_expect(marked_pages_none(AT(page + PAGE)));
    marked_pages_remove(AT(page + 16));
    cr_expect_not(marked_pages_none(AT(page + 16)), "the other block is still there");
    marked_pages_remove(AT(page + PAGE - 16));
    cr_expect(marked_pages_none(AT(page)));
}

Test(marked_pages, a_count_that_is_full_stays)
{
    const void *p = AT(0x10000);

    for (unsigned i = 0; i < MARKED_PAGES_FULL + 10; i++)
        marked_pages_add(p);
    for (unsigned i = 0; i < 2 * MARKED_PAGES_FULL; i++)
        marked_pages_remove(p);
    cr_expect_not(marked_pages_none(p), "how many there were is not known any more");
}

Test(marked_pages, no_count_goes_below_none)
{
    const void *p = AT(0x20000);

    marked_pages_remove(p);
    cr_expect(marked_pages_none(p));
    marked_pages_add(p);
    cr_expect_not(marked_pages_none(p));
}

#define THREADS 4u
#define ROUNDS 200000u

static void *mark(void *page)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        marked_pages_add(page);
        cr_assert_not(marked_pages_none(page));
        marked_pages_remove(page);
    }
    return NULL;
}

Test(marked_pages, threads_that_count_on_one_page_lose_nothing)
{
    static uint8_t page[16];
    pthread_t threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, mark, page), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    cr_expect(marked_pages_none(page));
}
