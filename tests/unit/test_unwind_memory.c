/* SPDX-License-Identifier: MIT */
#include "unwind_memory.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/mman.h>

#define PAGE 4096u

/* `count` pages, of which those in the bit mask `open` can be read. */
static uintptr_t make_pages(unsigned count, unsigned open)
{
    uint8_t *pages = mmap(NULL, count * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    cr_assert_neq(pages, MAP_FAILED);
    for (unsigned i = 0; i < count; i++)
        if (open >> i & 1)
            cr_assert_eq(mprotect(pages + i * PAGE, PAGE, PROT_READ), 0);
    return (uintptr_t)pages;
}

Test(unwind_memory, the_kernel_knows)
{
    uintptr_t pages = make_pages(2, 1);

    errno = 77;
    cr_expect(memory_probe(pages));
    cr_expect(memory_probe(pages + PAGE - 8));
    cr_expect_not(memory_probe(pages + PAGE - 4));
    cr_expect_not(memory_probe(pages + PAGE));
    cr_expect_not(memory_probe(0));
    cr_expect_not(memory_probe(UINTPTR_MAX - 7));
    cr_expect_not(memory_probe(0x800000000000));
    cr_expect_eq(errno, 77);
}

Test(unwind_memory, a_stack_is_readable_up_to_its_end)
{
    uintptr_t pages = make_pages(8, 0x3e); /* 1 to 5 */
    struct memory memory = {0};

    memory_enter(&memory, pages + PAGE + 64);
    cr_expect(memory_readable(&memory, pages + PAGE + 64));
    cr_expect(memory_readable(&memory, pages + PAGE));
    cr_expect(memory_readable(&memory, pages + 2 * PAGE - 4), "a word across two pages");
    cr_expect(memory_readable(&memory, pages + 4 * PAGE));
    cr_expect_eq(memory.here.low, pages + PAGE);
    cr_expect(memory_readable(&memory, pages + 6 * PAGE - 8));
    cr_expect_not(memory_readable(&memory, pages + 6 * PAGE - 7));
    cr_expect_not(memory_readable(&memory, pages + 6 * PAGE));
    cr_expect_not(memory_readable(&memory, pages + PAGE - 8));
    cr_expect_eq(memory.here.high, pages + 6 * PAGE);
    cr_expect_not(memory_readable(&memory, 0));
    cr_expect_not(memory_readable(&memory, UINTPTR_MAX));
    cr_expect_not(memory_readable(&memory, UINTPTR_MAX - 7));
}

Test(unwind_memory, holes_are_not_bridged)
{
    uintptr_t pages = make_pages(8, 0xdb); /* all but 2 and 5 */
    struct memory memory = {0};

    memory_enter(&memory, pages + 8);
    cr_expect(memory_readable(&memory, pages + PAGE));
    cr_expect_not(memory_readable(&memory, pages + 2 * PAGE));
    cr_expect(memory_readable(&memory, pages + 3 * PAGE + 8), "another stack");
    cr_expect(memory_readable(&memory, pages + 4 * PAGE));
    cr_expect_not(memory_readable(&memory, pages + 5 * PAGE));
    cr_expect(memory_readable(&memory, pages), "the first one is still known");
}

Test(unwind_memory, stacks_take_turns)
{
    uintptr_t one = make_pages(3, 2), two = make_pages(3, 2), three = make_pages(3, 2);
    struct memory memory = {0};

    cr_expect(memory_enter(&memory, one + PAGE), "nothing to give up");
    cr_expect_not(memory_enter(&memory, two + PAGE) && memory.other.low != one + PAGE);
    cr_expect(memory_enter(&memory, one + PAGE + 8), "back on one of the two");
    cr_expect(memory_enter(&memory, two + PAGE + 8));
    cr_expect_not(memory_enter(&memory, three + PAGE), "a third takes the place of one");
    cr_expect(memory_readable(&memory, three + PAGE));
    cr_expect_eq(memory.other.low, two + PAGE);
}

Test(unwind_memory, a_growing_stack_stays_one)
{
    uintptr_t pages = make_pages(8, 0xfe);
    struct memory memory = {0};

    memory_enter(&memory, pages + 7 * PAGE + 100);
    cr_expect(memory_enter(&memory, pages + 2 * PAGE + 16));
    cr_expect_eq(memory.here.low, pages + 2 * PAGE);
    cr_expect_eq(memory.here.high, pages + 8 * PAGE);
}
