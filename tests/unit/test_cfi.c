/* SPDX-License-Identifier: MIT
 *
 * The functions whose rows are read are written in assembly, with the directives that say what the rows must be. */
#include "cfi.h"
#include "cfi_read.h"

#include "compiler.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/mman.h>

#if defined(__x86_64__)

__asm__(".text\n"
        "cfi_plain:\n"
        ".cfi_startproc\n"
        "nop\n"
        "push %rbp\n"
        "cfi_plain_1:\n"
        ".cfi_def_cfa_offset 16\n"
        ".cfi_offset 6, -16\n"
        "mov %rsp, %rbp\n"
        "cfi_plain_2:\n"
        ".cfi_def_cfa_register 6\n"
        ".cfi_offset 3, -24\n"
        ".cfi_offset 12, 4096\n" /* upwards: the signed form */
        "nop\n"
        ".cfi_remember_state\n"
        "pop %rbp\n"
        "cfi_plain_3:\n"
        ".cfi_restore 6\n"
        ".cfi_restore 3\n"
        ".cfi_def_cfa 7, 8\n"
        "ret\n"
        "cfi_plain_4:\n"
        ".cfi_restore_state\n"
        "nop\n"
        ".fill 300, 1, 0x90\n" /* advance_loc2 */
        "cfi_plain_5:\n"
        ".cfi_same_value 3\n"
        ".cfi_register 12, 13\n"
        ".cfi_undefined 14\n"
        ".cfi_val_offset 15, -32\n"
        ".cfi_def_cfa 10, 40\n"
        "nop\n"
        ".fill 70000, 1, 0x90\n" /* advance_loc4 */
        "cfi_plain_6:\n"
        ".cfi_undefined 16\n"
        "nop\n"
        ".fill 100, 1, 0x90\n" /* advance_loc1 */
        "cfi_plain_7:\n"
        ".cfi_def_cfa_offset 64\n"
        "nop\n"
        ".cfi_endproc\n"
        "cfi_plain_end:\n"
        "nop\n"
        "cfi_none:\n"
        "nop\n"
        "nop\n"
        "cfi_signal:\n"
        ".cfi_startproc\n"
        ".cfi_signal_frame\n"
        ".cfi_escape 0x0f, 4, 0x77, 0xa0, 0x01, 0x06\n" /* CFA: breg7 160, deref */
        ".cfi_escape 0x10, 6, 3, 0x77, 0xf8, 0x00\n"    /* rbp at breg7 120 */
        ".cfi_escape 0x16, 3, 2, 0x76, 0x08\n"          /* rbx is breg6 8 */
        "nop\n"
        ".cfi_endproc\n"
        "cfi_vector:\n"
        ".cfi_startproc\n"
        "nop\n"
        "cfi_vector_1:\n"
        ".cfi_offset 17, -64\n" /* xmm0 */
        "nop\n"
        ".cfi_endproc\n"
        "cfi_handled:\n" /* with a personality routine and data for it: augmentation zPLR */
        ".cfi_startproc\n"
        ".cfi_personality 0x9b, cfi_personality_pointer\n"
        ".cfi_lsda 0x1b, cfi_none\n"
        "nop\n"
        "cfi_handled_1:\n"
        ".cfi_def_cfa_offset 48\n"
        ".cfi_escape 0x2e, 16\n" /* GNU_args_size */
        "nop\n"
        ".cfi_endproc\n"
        ".data\n"
        "cfi_personality_pointer: .quad cfi_plain\n"
        ".text\n");

extern const uint8_t cfi_plain[], cfi_plain_1[], cfi_plain_2[], cfi_plain_3[], cfi_plain_4[], cfi_plain_5[],
    cfi_plain_6[], cfi_plain_7[], cfi_plain_end[], cfi_none[], cfi_signal[], cfi_vector[], cfi_vector_1[],
    cfi_handled[], cfi_handled_1[];

static struct cfi_frame frame;
static struct cfi_row row;

static int look_up(const uint8_t *pc)
{
    frame = (struct cfi_frame){0};
    row = (struct cfi_row){0};
    return cfi_row((uintptr_t)pc, &frame, &row);
}

static void expect_cfa(const uint8_t *pc, unsigned number, int64_t offset)
{
    cr_assert_eq(look_up(pc), 0);
    cr_expect_eq(row.cfa_block, 0);
    cr_expect_eq(row.cfa_register, number, "%u, expected %u", row.cfa_register, number);
    cr_expect_eq(row.cfa_offset, offset, "%ld, expected %ld", row.cfa_offset, offset);
}

static void expect_rule(unsigned number, enum cfi_kind kind, int64_t value)
{
    cr_expect_eq(row.kind[number], kind, "register %u: kind %u", number, row.kind[number]);
    cr_expect_eq(row.value[number], value, "register %u: value %ld", number, row.value[number]);
}

static void check_rows(void)
{
    expect_cfa(cfi_plain, 7, 8);
    expect_rule(16, CFI_OFFSET, -8);
    expect_rule(6, CFI_SAME, 0);
    cr_expect_eq(frame.start, (uintptr_t)cfi_plain);
    cr_expect_eq(frame.end, (uintptr_t)cfi_plain_end);
    cr_expect_eq(frame.ra_register, 16);
    cr_expect_not(frame.signal);

    expect_cfa(cfi_plain_1 - 1, 7, 8);
    expect_cfa(cfi_plain_1, 7, 16);
    expect_rule(6, CFI_OFFSET, -16);
    expect_rule(3, CFI_SAME, 0);
    expect_cfa(cfi_plain_2, 6, 16);
    expect_rule(3, CFI_OFFSET, -24);
    expect_rule(12, CFI_OFFSET, 4096);
    expect_cfa(cfi_plain_3, 7, 8);
    expect_rule(6, CFI_SAME, 0);
    expect_rule(3, CFI_SAME, 0);
    expect_cfa(cfi_plain_4, 6, 16);
    expect_rule(6, CFI_OFFSET, -16);
    expect_cfa(cfi_plain_5 - 1, 6, 16);
    expect_cfa(cfi_plain_5, 10, 40);
    expect_rule(3, CFI_SAME, 0);
    expect_rule(12, CFI_REGISTER, 13);
    expect_rule(14, CFI_UNDEFINED, 0);
    expect_rule(15, CFI_VAL_OFFSET, -32);
    expect_cfa(cfi_plain_6 - 1, 10, 40);
    expect_rule(16, CFI_OFFSET, -8);
    expect_cfa(cfi_plain_6, 10, 40);
    expect_rule(16, CFI_UNDEFINED, 0);
    expect_cfa(cfi_plain_7, 10, 64);
}

Test(cfi, rows_are_as_the_directives_say)
{
    cfi_init();
    check_rows();
}

Test(cfi, without_the_function_of_the_loader_too)
{
    check_rows(); /* cfi_init was not called: by way of dl_iterate_phdr */
    cr_expect(cfi_covers((uintptr_t)cfi_plain));
    cr_expect_not(cfi_covers(16));
}

Test(cfi, expressions_are_handed_on)
{
    const uint8_t *block;

    cfi_init();
    cr_assert_eq(look_up(cfi_signal), 0);
    cr_expect(frame.signal);
    cr_assert_neq(row.cfa_block, 0);
    block = (const uint8_t *)row.cfa_block;
    cr_expect_eq(block[0], 4);
    cr_expect_eq(block[1], 0x77);
    cr_expect_eq(row.kind[6], CFI_EXPRESSION);
    cr_expect_eq(row.kind[3], CFI_VAL_EXPRESSION);
    block = (const uint8_t *)row.value[6];
    cr_expect_eq(block[0], 3);
    cr_expect_eq(block[2], 0xf8);
}

Test(cfi, data_of_exception_handling_is_passed_over)
{
    cfi_init();
    expect_cfa(cfi_handled, 7, 8);
    expect_cfa(cfi_handled_1, 7, 48);
}

Test(cfi, what_is_not_described_is_told_apart)
{
    void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    cfi_init();
    cr_expect_eq(look_up(cfi_plain_end), -ENOENT);
    cr_expect_eq(look_up(cfi_none), -ENOENT);
    cr_expect_eq(look_up(code), -ENXIO);
    cr_expect_eq(look_up(NULL), -ENXIO);
    cr_expect_eq(look_up(cfi_vector), 0);
    cr_expect_eq(look_up(cfi_vector_1), -ENOTSUP);
    cr_expect(cfi_covers((uintptr_t)cfi_none));
    cr_expect_not(cfi_covers((uintptr_t)code));
}

#endif

Test(cfi, leb128)
{
    static const uint8_t bytes[] = {0x00, 0x7f, 0x80, 0x01, 0xe5, 0x8e, 0x26, 0x7f, 0x80, 0x7f, 0x3f, 0xc0, 0x00};
    const uint8_t *at = bytes;

    cr_expect_eq(cfi_uleb(&at), 0);
    cr_expect_eq(cfi_uleb(&at), 127);
    cr_expect_eq(cfi_uleb(&at), 128);
    cr_expect_eq(cfi_uleb(&at), 624485);
    cr_expect_eq(cfi_sleb(&at), -1);
    cr_expect_eq(cfi_sleb(&at), -128);
    cr_expect_eq(cfi_sleb(&at), 63);
    cr_expect_eq(cfi_sleb(&at), 64);
    cr_expect_eq(at, bytes + sizeof(bytes));
}
