/* SPDX-License-Identifier: MIT
 *
 * What the report writer says about the interpreter's arenas, on ledgers made by hand. */
#include "report_writer.h"

#include "../support/fake_report.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(report_arenas, .init = set_up, .fini = tear_down);

#define ARENA (1u << 20)

static void add_arena(uint64_t start, uint64_t size)
{
    fake_add(&fake, LEDGER_ARENAS, &(struct ledger_arena){start, size});
}

static void add_block_at(uint64_t address, uint64_t size, uint32_t trace, enum block_domain domain)
{
    fake_add(&fake, LEDGER_RECORDS,
             &(struct ledger_record){.owner = ledger_owner(address, domain, 0), .size = size, .trace = trace});
}

/* The first arena is well used, the other two by a few blocks. */
static void fill_arenas(void)
{
    uint32_t many = fake_trace(&fake, fake_node(&fake, 0, 0x1000, NODE_NATIVE), 0, 1, 1);
    uint32_t few = fake_trace(&fake, fake_node(&fake, 0, 0x2000, NODE_NATIVE), 0, 1, 1);

    add_arena(0x7f0000300000, ARENA);
    add_arena(0x7f0000100000, ARENA);
    add_arena(0x7f0000900000, ARENA);
    add_arena(0x7f0000000000, 16384); /* of frames */
    add_arena(0x7f0000500000, 0);     /* was given back */
    for (unsigned i = 0; i < 300; i++)
        add_block_at(0x7f0000100000 + i * 528, 490, many, DOMAIN_OBJ);
    add_block_at(0x7f0000300010, 100, few, DOMAIN_OBJ);
    add_block_at(0x7f0000900010, 100, few, DOMAIN_MEM);
    add_block_at(0x7f0000900110, 20, many, DOMAIN_MEM);
    add_block_at(0x7f0000900210, 20, many, DOMAIN_MALLOC);
    add_block_at(0x7f0000a00000, 20, many, DOMAIN_OBJ); /* behind the last */
    fake_header(&fake)->arena_bytes_peak = 5 * ARENA;
}

Test(report_arenas, arenas_and_who_keeps_them)
{
    struct report report;

    fill_arenas();
    report_of_fake(&report);
    json_t *arenas = line_with(&report, "sparse", 0);
    cr_expect(json_is_true(json_object_get(arenas, "arenas")));
    cr_expect_eq(number_of(arenas, "count"), 3);
    cr_expect_eq(number_of(arenas, "bytes"), 3 * ARENA);
    cr_expect_eq(number_of(arenas, "peak_bytes"), 5 * ARENA);
    cr_expect_eq(number_of(arenas, "live_blocks"), 303);
    cr_expect_eq(number_of(arenas, "live_bytes"), 300 * 490 + 220);
    cr_expect_eq(number_of(arenas, "used_bytes"), 300 * 512 + 2 * 128 + 48);
    cr_expect_eq(number_of(arenas, "sparse"), 2);
    cr_assert_eq(count_with(&report, "pin"), 2);
    json_t *pin = line_with(&report, "pin", 0);
    cr_expect_eq(number_of(pin, "arenas"), 2);
    cr_expect_eq(number_of(pin, "blocks"), 2);
    cr_expect_eq(number_of(pin, "bytes"), 200);
    cr_expect_gt(number_of(pin, "trace"), 0);
    cr_expect_eq(number_of(line_with(&report, "pin", 1), "arenas"), 1);
    free_report(&report);
}

Test(report_arenas, arenas_of_which_not_all_is_known)
{
    static const char *const options[] = {"domains=obj", "", ""};

    fill_arenas();
    for (int i = 0; i < 3; i++) {
        struct report report;
        strcpy(fake_header(&fake)->options, options[i]);
        fake_header(&fake)->forked = i == 1;
        fake_header(&fake)->sample = i == 2 ? 1000 : 0;
        report_of_fake(&report);
        json_t *arenas = line_with(&report, "peak_bytes", 0);
        cr_expect_eq(number_of(arenas, "count"), 3, "%d", i);
        cr_expect_eq(number_of(arenas, "bytes"), 3 * ARENA, "%d", i);
        cr_expect_eq(count_with(&report, "sparse"), 0, "%d", i);
        cr_expect_eq(count_with(&report, "pin"), 0, "%d", i);
        free_report(&report);
    }
}
