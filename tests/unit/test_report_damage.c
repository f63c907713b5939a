/* SPDX-License-Identifier: MIT
 *
 * No damage of a ledger makes the report writer crash, or write something that is not a report; neither does a lack of
 * memory. */
#include "report_writer.h"

#include "../support/fake_report.h"

#include <criterion/criterion.h>
#include <errno.h>

TestSuite(report_damage, .init = set_up, .fini = tear_down);

/* Any bytes give a report that parses, or -EINVAL. */
static void expect_harmless(size_t size)
{
    struct report report;
    int error = make_report(&report, size, NULL);

    cr_assert(error == 0 || error == -EINVAL, "error %d", error);
    if (error == 0)
        cr_assert_eq(number_of(report.lines[report.count - 1], "lines"), report.count);
    free_report(&report);
}

Test(report_damage, truncated_ledgers_are_read_up_to_the_cut)
{
    struct report report;

    fill();
    for (size_t size = 0; size < fake.size; size += 30011)
        expect_harmless(size);
    for (size_t segments = 1; segments * LEDGER_SEGMENT_SIZE < fake.size; segments++) {
        cr_assert_eq(make_report(&report, segments * LEDGER_SEGMENT_SIZE, NULL), 0);
        cr_expect(lacks_something_with(&report, "truncated"));
        free_report(&report);
    }
}

Test(report_damage, a_damaged_header_is_refused)
{
    struct report report;

    cr_expect_eq(make_report(&report, sizeof(struct ledger_header) - 1, NULL), -EINVAL);
    fake_header(&fake)->version++;
    cr_expect_eq(make_report(&report, fake.size, NULL), -EINVAL);
    fake_header(&fake)->version--;
    fake_header(&fake)->magic ^= 1;
    cr_expect_eq(make_report(&report, fake.size, NULL), -EINVAL);
}

Test(report_damage, loops_and_loose_ends_are_cut_and_counted)
{
    struct report report;
    uint32_t first, loose;

    first = fake_node(&fake, fake.next[LEDGER_NODES] + 2, 0x1000, NODE_NATIVE);
    fake_node(&fake, first, 0x2000, NODE_NATIVE); /* the parent of the first */
    loose = fake_node(&fake, 9999999, 0x3000, NODE_NATIVE);
    fake_block(&fake, 1, fake_trace(&fake, first, loose, 1, 1), DOMAIN_MALLOC, 0, 0);
    fake_block(&fake, 2, 8888888, DOMAIN_RAW, 0, 7777777);
    report_of_fake(&report);
    cr_expect_eq(count_with(&report, "stack"), 3);
    cr_expect_eq(number_of(line_with(&report, "group", 1), "trace"), 0);
    cr_expect(json_is_null(json_object_get(line_with(&report, "group", 1), "type")));
    cr_expect(lacks_something_with(&report, "damaged: 3 "));
    free_report(&report);
}

Test(report_damage, records_that_make_no_sense_are_counted)
{
    struct report report;

    fake_add(&fake, LEDGER_RECORDS, &(struct ledger_record){.owner = 1ull << 16 | 0xffull << 8, .size = 1});
    fake_add(&fake, LEDGER_RECORDS, &(struct ledger_record){.owner = 1ull << 16 | RECORD_KIND_MASK, .size = 1});
    fake_add(&fake, LEDGER_RECORDS, &(struct ledger_record){.owner = 1ull << 16, .size = UINT64_MAX});
    fake_add(&fake, LEDGER_ERRORS, &(struct ledger_error){.kind = 77});
    report_of_fake(&report);
    cr_expect_eq(count_with(&report, "group"), 0);
    cr_expect_eq(count_with(&report, "error"), 0);
    cr_expect(lacks_something_with(&report, "damaged: 4 "));
    free_report(&report);
}

/* The xorshift generator: the same damage in every run. */
static uint64_t random_state = 88172645463325252ull;

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* A place that matters: in the directory, in the header's first fields, or among the first entries of some segment. */
static size_t random_place(void)
{
    size_t segments = fake.size / LEDGER_SEGMENT_SIZE;
    size_t segment = next_random() % segments;

    if (segment == 0) {
        size_t place = next_random() % 3 ? offsetof(struct ledger_header, directory) + next_random() % segments
                                         : next_random() % offsetof(struct ledger_header, output);
        return place < sizeof(uint64_t) * 2 ? offsetof(struct ledger_header, segments) : place;
    }
    return segment * LEDGER_SEGMENT_SIZE + next_random() % 512;
}

Test(report_damage, random_damage_is_harmless, .timeout = 100)
{
    uint8_t *whole;

    fill();
    whole = malloc(fake.size);
    cr_assert(whole);
    memcpy(whole, fake.base, fake.size);
    for (unsigned round = 0; round < 1000; round++) {
        unsigned flips = 1 + (unsigned)(next_random() % 16);

        for (unsigned i = 0; i < flips; i++)
            fake.base[random_place()] = (uint8_t)(next_random() % 4 ? next_random() : 0xff * (next_random() & 1));
        expect_harmless(fake.size);
        memcpy(fake.base, whole, fake.size);
    }
    free(whole);
}

/* ---- lack of memory ---- */

static long allocations_left;

static void *failing_malloc(size_t size)
{
    return allocations_left-- > 0 ? malloc(size) : NULL;
}

Test(report_damage, every_allocation_may_fail)
{
    struct report report;
    int error = -ENOMEM;
    long n = 0;

    fill();
    report_use_memory(failing_malloc, free);
    for (; error && n < 10000; n++) {
        int fd = fake_file(&fake, fake.size);
        struct ledger_view view;
        FILE *out = fopen("/dev/null", "w");

        cr_assert_eq(ledger_view_open_fd(&view, fd, NULL), 0);
        allocations_left = n;
        error = report_write(&view, NULL, out);
        cr_assert(error == 0 || error == -ENOMEM, "error %d", error);
        ledger_view_close(&view);
        fclose(out);
        close(fd);
    }
    cr_expect_gt(n, 100);
    report_use_memory(malloc, free);
    report_of_fake(&report);
    free_report(&report);
}
