/* SPDX-License-Identifier: MIT
 *
 * The report writer on ledgers made by hand: what it adds up, which rows it leaves out, how it renumbers. */
#include "report_writer.h"

#include "../support/fake_report.h"
#include "memshim/report.h"

#include <criterion/criterion.h>

TestSuite(report_writer, .init = set_up, .fini = tear_down);

Test(report_writer, first_line_says_what_process)
{
    struct report report;
    json_t *head;

    fake_header(&fake)->forked = 1;
    fake_header(&fake)->sequence = 2;
    strcpy(fake_header(&fake)->options, "guard=1");
    report_of_fake(&report);
    head = report.lines[0];
    cr_expect_eq(number_of(head, "memshim"), MEMSHIM_REPORT_VERSION);
    cr_expect_str_eq(text_of(head, "schema"), MEMSHIM_REPORT_SCHEMA);
    cr_expect_eq(number_of(head, "pid"), 4242);
    cr_expect_eq(number_of(head, "ppid"), 1);
    cr_expect_eq(number_of(head, "sequence"), 2);
    cr_expect_str_eq(text_of(head, "program"), "python3");
    cr_expect_str_eq(text_of(head, "python"), "3.11.2");
    cr_expect_str_eq(text_of(head, "started"), "2026-01-01T00:00:00.123456Z");
    cr_expect_str_eq(text_of(head, "options"), "guard=1");
    cr_expect(json_is_true(json_object_get(head, "forked")));
    cr_expect_eq(json_array_size(json_object_get(head, "argv")), 2);
    cr_expect_str_eq(json_string_value(json_array_get(json_object_get(head, "argv"), 1)), "x.py");
    free_report(&report);
}

Test(report_writer, last_line_counts_all_lines)
{
    struct report report;
    json_t *end;

    fill();
    report_of_fake(&report);
    end = report.lines[report.count - 1];
    cr_expect(json_is_true(json_object_get(end, "end")));
    cr_expect_eq(number_of(end, "lines"), report.count);
    cr_expect_str_eq(text_of(end, "ended"), "exit");
    cr_expect_eq(number_of(end, "status"), 3);
    cr_expect_str_eq(text_of(end, "time"), "2026-01-01T00:00:01.123456Z");
    cr_expect_eq(json_array_size(json_object_get(end, "lacks")), 0);
    free_report(&report);
}

Test(report_writer, blocks_are_added_up_by_stack)
{
    struct report report;
    json_t *group;

    fill();
    report_of_fake(&report);
    cr_assert_eq(count_with(&report, "group"), 2);
    group = line_with(&report, "group", 0);
    cr_expect_eq(number_of(group, "blocks"), 2);
    cr_expect_eq(number_of(group, "bytes"), 64);
    cr_expect_str_eq(text_of(group, "domain"), "obj");
    cr_expect_str_eq(text_of(group, "type"), "list");
    cr_expect_str_eq(text_of(group, "kind"), "definite");
    cr_expect(json_is_true(json_object_get(group, "known")));
    cr_expect(json_is_false(json_object_get(group, "startup")));
    group = line_with(&report, "group", 1);
    cr_expect_str_eq(text_of(group, "domain"), "new[]");
    cr_expect(json_is_null(json_object_get(group, "type")));
    cr_expect_str_eq(text_of(group, "kind"), "reachable");
    cr_expect(json_is_false(json_object_get(group, "known")));
    cr_expect(json_is_true(json_object_get(group, "startup")));
    free_report(&report);
}

Test(report_writer, only_rows_in_use_are_written_and_renumbered)
{
    struct report report;
    json_t *line;

    fill();
    report_of_fake(&report);
    cr_assert_eq(count_with(&report, "path"), 1);
    line = line_with(&report, "path", 0);
    cr_expect_eq(number_of(line, "module"), 1);
    cr_expect_str_eq(text_of(line, "path"), "/lib/a.so");
    cr_expect_str_eq(text_of(line, "bias"), "0xf000");
    cr_expect_str_eq(text_of(line, "build_id"), "ab01");
    cr_assert_eq(count_with(&report, "table"), 1);
    line = line_with(&report, "table", 0);
    cr_expect_eq(number_of(line, "code"), 1);
    cr_expect_str_eq(text_of(line, "name"), "f");
    cr_expect(json_is_null(json_object_get(line, "qualname")));
    cr_expect_eq(number_of(line, "first_line"), 7);
    cr_expect_str_eq(text_of(line, "table_kind"), "locations-3.11");
    cr_expect_str_eq(text_of(line, "table"), "8000ff");
    cr_expect_eq(count_with(&report, "stack"), 4);
    cr_expect_eq(count_with(&report, "allocations"), 3, "two traces and the totals");
    cr_expect_eq(number_of(line_with(&report, "group", 0), "trace"), 1);
    cr_expect_eq(number_of(line_with(&report, "group", 1), "trace"), 2);
    free_report(&report);
}

Test(report_writer, frames_are_module_and_offset)
{
    struct report report;
    json_t *line;

    fill();
    report_of_fake(&report);
    line = line_with(&report, "language", 0);
    cr_expect_eq(number_of(line, "frame"), 1);
    cr_expect_eq(number_of(line, "module"), 1);
    cr_expect_str_eq(text_of(line, "offset"), "0x1100");
    cr_expect_null(json_object_get(line, "exact"));
    line = line_with(&report, "language", 1);
    cr_expect_str_eq(text_of(line, "offset"), "0x1200");
    cr_expect(json_is_true(json_object_get(line, "exact")));
    line = line_with(&report, "language", 2);
    cr_expect_str_eq(text_of(line, "language"), "cut");
    cr_expect_eq(number_of(line, "frames"), 5);
    line = line_with(&report, "language", 3);
    cr_expect_str_eq(text_of(line, "language"), "python");
    cr_expect_eq(number_of(line, "code"), 1);
    cr_expect_eq(number_of(line, "instruction"), 42);
    cr_expect(json_is_true(json_object_get(line, "entry")));
    line = line_with(&report, "native", 0);
    cr_expect_eq(number_of(line, "native"), 2);
    cr_expect_eq(number_of(line, "python"), 4);
    free_report(&report);
}

Test(report_writer, lines_refer_to_lines_above)
{
    struct report report;
    json_int_t frames = 0, stacks = 0, traces = 0;

    fill();
    report_of_fake(&report);
    for (size_t i = 0; i < report.count; i++) {
        json_t *line = report.lines[i];

        if (json_object_get(line, "stack")) {
            cr_expect_eq(number_of(line, "stack"), ++stacks);
            cr_expect_lt(number_of(line, "parent"), stacks);
            cr_expect_leq(number_of(line, "frame"), frames);
        } else if (json_object_get(line, "frame")) {
            cr_expect_eq(number_of(line, "frame"), ++frames);
        } else if (json_object_get(line, "native")) {
            cr_expect_eq(number_of(line, "trace"), ++traces);
            cr_expect_leq(number_of(line, "native"), stacks);
        } else if (json_object_get(line, "trace")) {
            cr_expect_leq(number_of(line, "trace"), traces);
        }
    }
    cr_expect_gt(traces, 0);
    free_report(&report);
}

Test(report_writer, totals_add_all_threads)
{
    struct report report;
    json_t *totals;

    fill();
    report_of_fake(&report);
    totals = line_with(&report, "totals", 0);
    cr_expect_eq(number_of(totals, "allocations"), 22);
    cr_expect_eq(number_of(totals, "frees"), 19);
    cr_expect_eq(number_of(totals, "dropped"), 1);
    cr_expect_eq(number_of(totals, "threads"), 2);
    cr_expect_eq(number_of(totals, "live_blocks"), 3);
    cr_expect_eq(number_of(totals, "live_bytes"), 164);
    cr_expect_eq(number_of(totals, "startup_blocks"), 1);
    cr_expect_eq(number_of(totals, "startup_bytes"), 100);
    /* 1000 flushed + 64 - 10, and the first thread was 236 higher: more than the flushed peak of 1200. */
    cr_expect_eq(number_of(totals, "peak_bytes"), 1290);
    free_report(&report);
}

Test(report_writer, tallies_belong_to_their_trace)
{
    struct report report;

    fill();
    report_of_fake(&report);
    cr_expect_eq(number_of(line_with(&report, "native", 0), "allocations"), 10);
    cr_expect_eq(number_of(line_with(&report, "native", 1), "allocations"), 7);
    cr_expect_eq(number_of(line_with(&report, "native", 1), "bytes"), 70);
    free_report(&report);
}

Test(report_writer, audit_and_explanations)
{
    struct report report;
    json_t *line;

    fill();
    report_of_fake(&report);
    cr_assert_eq(count_with(&report, "audit"), 1);
    line = line_with(&report, "audit", 0);
    cr_expect_eq(number_of(line, "trace"), 1);
    cr_expect_str_eq(text_of(line, "type"), "list");
    cr_expect_str_eq(text_of(line, "kind"), "definite");
    cr_expect_str_eq(text_of(line, "confidence"), "high");
    cr_expect_eq(number_of(line, "objects"), 2);
    cr_expect_eq(number_of(line, "surplus"), 4);
    cr_expect(json_is_null(json_object_get(line, "unseen")));
    cr_assert_eq(count_with(&report, "why"), 3);
    line = line_with(&report, "why", 0);
    cr_expect_str_eq(text_of(line, "role"), "block");
    cr_expect_null(json_object_get(line, "offset"));
    cr_expect_eq(number_of(line, "size"), 16);
    line = line_with(&report, "why", 1);
    cr_expect_str_eq(text_of(line, "role"), "holder");
    cr_expect_str_eq(text_of(line, "offset"), "0x18");
    cr_expect_str_eq(text_of(line, "name"), "cache");
    line = line_with(&report, "why", 2);
    cr_expect_str_eq(text_of(line, "role"), "root");
    cr_expect_str_eq(text_of(line, "root"), "data");
    cr_expect_eq(number_of(line, "module"), 1);
    cr_expect_str_eq(text_of(line, "offset"), "0x1300");
    free_report(&report);
}

Test(report_writer, errors_name_their_stacks)
{
    struct report report;
    json_t *error;

    fill();
    report_of_fake(&report);
    error = line_with(&report, "error", 0);
    cr_expect_str_eq(text_of(error, "kind"), "double-free");
    cr_expect_str_eq(text_of(error, "domain"), "mem");
    cr_expect_str_eq(text_of(error, "address"), "0xabc");
    cr_expect_str_eq(text_of(error, "detail"), "freed twice");
    cr_expect_eq(number_of(error, "count"), 2);
    cr_expect_eq(number_of(error, "trace"), 2);
    cr_expect_eq(number_of(error, "alloc_trace"), 0);
    cr_expect_eq(number_of(error, "free_trace"), 1);
    free_report(&report);
}

Test(report_writer, nodes_that_say_the_same_become_one)
{
    struct report report;
    uint32_t a, b;

    add_module(0x10000, 0x20000, "/lib/a.so", 0, UINT32_MAX);
    fake_header(&fake)->epoch = 1;
    a = fake_node(&fake, 0, 0x10100, NODE_NATIVE);
    b = fake_node(&fake, 0, 0x10100, NODE_NATIVE | 1u << NODE_EPOCH_SHIFT);
    fake_block(&fake, 1, fake_trace(&fake, a, 0, 1, 1), DOMAIN_MALLOC, 0, 0);
    fake_block(&fake, 1, fake_trace(&fake, b, 0, 2, 2), DOMAIN_MALLOC, 0, 0);
    report_of_fake(&report);
    cr_expect_eq(count_with(&report, "stack"), 1);
    cr_expect_eq(count_with(&report, "native"), 1);
    cr_expect_eq(number_of(line_with(&report, "native", 0), "allocations"), 3);
    free_report(&report);
}

/* The path of the module of a block's only frame, for a return address seen in `epoch`. */
static void expect_module(uint64_t address, uint32_t epoch, const char *path)
{
    uint32_t node = fake_node(&fake, 0, address, NODE_NATIVE | epoch << NODE_EPOCH_SHIFT);
    struct report report;

    fake.next[LEDGER_RECORDS] = 0;
    fake_block(&fake, 1, fake_trace(&fake, node, 0, 1, 1), DOMAIN_MALLOC, 0, 0);
    report_of_fake(&report);
    if (path)
        cr_expect_str_eq(text_of(line_with(&report, "path", 0), "path"), path);
    else
        cr_expect_eq(number_of(line_with(&report, "language", 0), "module"), 0);
    free_report(&report);
}

Test(report_writer, modules_are_those_of_the_nodes_epoch)
{
    fake_header(&fake)->epoch = 0x1000003; /* nodes keep 24 bits */
    /* Whichever of two begins at the higher address is met first. */
    add_module(0x10080, 0x20000, "/old.so", 0x1000001, 0x1000001);
    add_module(0x10000, 0x18000, "/new.so", 0x1000002, UINT32_MAX);
    add_module(0x30000, 0x40000, "/low.so", 0x1000001, 0x1000001);
    add_module(0x30080, 0x38000, "/high.so", 0x1000002, UINT32_MAX);
    add_module(0x50000, 0x60000, "/late.so", 0x1000003, UINT32_MAX);
    add_module(0x50010, 0x50020, "/inside.so", 0x1000003, UINT32_MAX);
    expect_module(0x10100, 1, "/old.so");
    expect_module(0x10100, 2, "/new.so");
    expect_module(0x30100, 1, "/low.so");
    expect_module(0x30100, 3, "/high.so");
    expect_module(0x50100, 2, "/late.so"); /* nothing else was ever there */
    expect_module(0x10100, 0, NULL);       /* two were, and neither then */
    expect_module(0x70000, 3, NULL);
}

Test(report_writer, return_address_at_a_modules_end_belongs_to_it)
{
    struct report report;
    uint32_t node = fake_node(&fake, 0, 0x20000, NODE_NATIVE);

    add_module(0x10000, 0x20000, "/lib/a.so", 0, UINT32_MAX);
    fake_block(&fake, 1, fake_trace(&fake, node, 0, 1, 1), DOMAIN_MALLOC, 0, 0);
    node = fake_node(&fake, 0, 0x20000, NODE_NATIVE | NODE_EXACT);
    fake_block(&fake, 1, fake_trace(&fake, node, 0, 1, 1), DOMAIN_MALLOC, 0, 0);
    report_of_fake(&report);
    cr_expect_eq(number_of(line_with(&report, "language", 0), "module"), 1);
    cr_expect_eq(number_of(line_with(&report, "language", 1), "module"), 0);
    cr_expect_str_eq(text_of(line_with(&report, "language", 1), "offset"), "0x20000");
    free_report(&report);
}

Test(report_writer, text_of_any_bytes_is_valid)
{
    static const char bytes[] = "a\xff\xc0\x80\xed\xa0\x80\0\xc3\xa9\"\\";
    static const char expected[] = "a\\xff\\xc0\\x80\\xed\\xa0\\x80\0\xc3\xa9\"\\";
    struct report report;
    json_t *type;

    fake_block(&fake, 1, 0, DOMAIN_OBJ, 0, fake_text_pieces(&fake, bytes, sizeof(bytes) - 1, 4));
    memcpy(fake_header(&fake)->program, "\x80", 2);
    report_of_fake(&report);
    type = json_object_get(line_with(&report, "group", 0), "type");
    cr_assert_eq(json_string_length(type), sizeof(expected) - 1);
    cr_expect_arr_eq(json_string_value(type), expected, sizeof(expected) - 1);
    cr_expect_str_eq(text_of(report.lines[0], "program"), "\\x80");
    free_report(&report);
}

Test(report_writer, every_lack_has_a_sentence)
{
    struct report report;

    for (uint32_t lack = 1; lack <= LACK_COLLECTION; lack <<= 1) {
        fake_header(&fake)->lacks = lack;
        report_of_fake(&report);
        cr_expect_eq(json_array_size(json_object_get(line_with(&report, "ended", 0), "lacks")), 1, "lack %#x", lack);
        free_report(&report);
    }
}

Test(report_writer, blocks_the_interpreter_keeps_are_apart)
{
    struct report report;

    fake_block(&fake, 1, 0, DOMAIN_OBJ, 0, 0);
    fake_block(&fake, 2, 0, DOMAIN_OBJ, RECORD_INTERPRETER, 0);
    report_of_fake(&report);
    cr_assert_eq(count_with(&report, "group"), 2);
    cr_expect_null(json_object_get(line_with(&report, "group", 0), "interpreter"));
    cr_expect(json_is_true(json_object_get(line_with(&report, "group", 1), "interpreter")));
    free_report(&report);
}

Test(report_writer, without_leak_check_no_groups)
{
    struct report report;

    fill();
    strcpy(fake_header(&fake)->options, "leak_check=0");
    report_of_fake(&report);
    cr_expect_eq(count_with(&report, "group"), 0);
    cr_expect_eq(number_of(line_with(&report, "totals", 0), "live_blocks"), 3);
    cr_expect_eq(count_with(&report, "error"), 1);
    free_report(&report);
}

Test(report_writer, who_knows_better_says_how_it_ended)
{
    struct report report;

    cr_assert_eq(make_report(&report, fake.size, &(struct report_end){"signal", 11, 0}), 0);
    cr_expect_str_eq(text_of(line_with(&report, "ended", 0), "ended"), "signal");
    cr_expect_eq(number_of(line_with(&report, "ended", 0), "status"), 11);
    cr_expect(json_is_null(json_object_get(line_with(&report, "ended", 0), "time")));
    free_report(&report);
}

/* Field 22 of /proc/self/stat. */
static uint64_t own_start(void)
{
    char buffer[1024] = "";
    FILE *stat = fopen("/proc/self/stat", "r");
    char *at;

    cr_assert(stat && fgets(buffer, sizeof(buffer), stat));
    fclose(stat);
    at = strrchr(buffer, ')');
    for (unsigned field = 2; field < 22; field++)
        at = strchr(at + 1, ' ');
    return strtoull(at, NULL, 10);
}

static void expect_end(const char *ended)
{
    struct report report;

    report_of_fake(&report);
    cr_expect_str_eq(text_of(line_with(&report, "ended", 0), "ended"), ended);
    free_report(&report);
}

Test(report_writer, a_process_that_did_not_say_goodbye)
{
    struct ledger_header *header = fake_header(&fake);

    header->ended = END_EXEC;
    expect_end("exec");
    header->ended = END_NONE;
    header->pid = getpid();
    header->process_start = own_start();
    expect_end("unknown");
    header->process_start++;
    expect_end("killed");
    header->process_start--;
    header->pid = INT32_MAX;
    expect_end("killed");
}

/* ---- what the program says ---- */

Test(report_writer, labels_belong_to_traces)
{
    uint32_t label = fake_text(&fake, "loading \"x\""), frame = fake_node(&fake, 0, 0x1000, NODE_NATIVE);
    uint32_t labelled = fake_node(&fake, 0, label | LABEL_IGNORED, NODE_LABEL);
    struct report report;

    fake_block(&fake, 1, fake_trace(&fake, frame, 0, 1, 1), DOMAIN_MALLOC, 0, 0);
    fake_block(&fake, 1, fake_trace(&fake, frame, labelled, 1, 1), DOMAIN_MALLOC, 0, 0);
    report_of_fake(&report);
    cr_assert_eq(count_with(&report, "native"), 2);
    cr_expect_null(json_object_get(line_with(&report, "native", 0), "label"));
    json_t *trace = line_with(&report, "native", 1);
    cr_expect_str_eq(text_of(trace, "label"), "loading \"x\"");
    cr_expect(json_is_true(json_object_get(trace, "ignored")));
    cr_expect_eq(number_of(trace, "python"), 0);
    cr_expect_eq(count_with(&report, "stack"), 1, "a label is no frame");
    free_report(&report);
}

Test(report_writer, blocks_are_in_the_domain_that_the_program_names)
{
    uint32_t name = fake_text(&fake, "arena"), type = fake_text(&fake, "list");
    struct report report;

    fake_block(&fake, 8, 0, DOMAIN_TRACKED, 0, name);
    fake_block(&fake, 8, 0, DOMAIN_MALLOC, 0, name);
    fake_block(&fake, 8, 0, DOMAIN_OBJ, 0, type);
    fake_block(&fake, 8, 0, DOMAIN_TRACKED, 0, 0);
    report_of_fake(&report);
    for (size_t i = 0; i < 2; i++) {
        cr_expect_str_eq(text_of(line_with(&report, "group", i), "domain"), "arena");
        cr_expect(json_is_null(json_object_get(line_with(&report, "group", i), "type")));
    }
    cr_expect_str_eq(text_of(line_with(&report, "group", 2), "domain"), "obj");
    cr_expect_str_eq(text_of(line_with(&report, "group", 2), "type"), "list");
    cr_expect_str_eq(text_of(line_with(&report, "group", 3), "domain"), "tracked");
    free_report(&report);
}
