/* SPDX-License-Identifier: MIT */
#include "report_busy.h"

#include "fake_report.h"

TestSuite(report_busy, .init = set_up, .fini = tear_down);

static uint32_t ids[BUSY_MAX];

/* The busiest stacks of the ledger; their number. */
static uint32_t busy(void)
{
    int fd = fake_file(&fake, fake.size);
    struct ledger_view view;
    cr_assert_eq(ledger_view_open_fd(&view, fd, NULL), 0);
    close(fd);
    uint32_t count = busy_traces(&view, ids);
    ledger_view_close(&view);
    return count;
}

static bool has(uint32_t count, uint32_t id)
{
    for (uint32_t i = 0; i < count; i++)
        if (ids[i] == id)
            return true;
    return false;
}

Test(report_busy, most_allocations_and_most_bytes)
{
    uint32_t first = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        uint32_t id = fake_trace(&fake, 1, 0, 1000 + i * 7919 % 1000, i == 3 ? 1 << 30 : 100);
        first = first ? first : id;
    }
    uint32_t count = busy();
    cr_assert_eq(count, BUSY_EACH + 1);
    cr_expect(has(count, first + 3), "by its bytes");
    for (uint64_t i = 0; i < 1000; i++)
        cr_expect_eq(has(count, first + (uint32_t)i), i == 3 || i * 7919 % 1000 >= 1000 - BUSY_EACH, "%lu",
                     (unsigned long)i);
}

Test(report_busy, small_ones_are_left_out)
{
    fake_trace(&fake, 1, 0, BUSY_ALLOCATIONS_LEAST - 1, BUSY_BYTES_LEAST - 1);
    cr_expect_eq(busy(), 0);
    fake_trace(&fake, 1, 0, BUSY_ALLOCATIONS_LEAST, 1);
    cr_expect_eq(busy(), 1);
}

Test(report_busy, what_threads_have_counted_last)
{
    uint32_t id = fake_trace(&fake, 1, 0, 60, 1);
    fake_add(&fake, LEDGER_TALLIES, &(struct ledger_tally){.trace = id, .allocations = 60, .bytes = 1});
    cr_expect_eq(busy(), 1);
    cr_expect_eq(ids[0], id);
}

Test(report_busy, they_are_in_the_report)
{
    struct report report;
    fake_trace(&fake, fake_node(&fake, 0, 0x7100, NODE_NATIVE), 0, 12345, 1);
    report_of_fake(&report);
    cr_expect_eq(number_of(line_with(&report, "trace", 0), "allocations"), 12345);
    cr_expect_eq(count_with(&report, "group"), 0);
    free_report(&report);
}
