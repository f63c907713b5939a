/* SPDX-License-Identifier: MIT
 *
 * The report writer on ledgers made by hand: what it adds up, which rows it leaves out, how it renumbers, and that no
 * damage of a ledger makes it crash or write something that is not JSON. */
#include "report_writer.h"

#include "../support/fake_ledger.h"
#include "memshim/report.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#define LINES_MAX 4096

struct report {
    json_t *lines[LINES_MAX];
    size_t count;
};

static struct fake_ledger fake;

static void set_up(void)
{
    fake_init(&fake);
}

static void tear_down(void)
{
    fake_done(&fake);
}

TestSuite(report_writer, .init = set_up, .fini = tear_down);

static void parse_report(struct report *report, char *text, size_t size)
{
    report->count = 0;
    for (char *line = text; line < text + size;) {
        char *newline = memchr(line, '\n', (size_t)(text + size - line));
        json_error_t error;

        cr_assert(newline, "the last line ends");
        cr_assert(report->count < LINES_MAX);
        report->lines[report->count] = json_loadb(line, (size_t)(newline - line), JSON_ALLOW_NUL, &error);
        cr_assert(report->lines[report->count], "line %zu: %s", report->count + 1, error.text);
        report->count++;
        line = newline + 1;
    }
}

static void free_report(struct report *report)
{
    for (size_t i = 0; i < report->count; i++)
        json_decref(report->lines[i]);
    report->count = 0;
}

/* The report of the first `size` bytes of the ledger. Returns what report_write returned, or the error of the open. */
static int make_report(struct report *report, size_t size, const struct report_end *end)
{
    int fd = fake_file(&fake, size);
    struct ledger_view view;
    char *text = NULL;
    size_t length = 0;
    FILE *out;
    int error = ledger_view_open_fd(&view, fd, NULL);

    report->count = 0;
    close(fd);
    if (error)
        return error;
    out = open_memstream(&text, &length);
    error = report_write(&view, end, out);
    fclose(out);
    ledger_view_close(&view);
    if (!error)
        parse_report(report, text, length);
    free(text);
    return error;
}

static void report_of_fake(struct report *report)
{
    cr_assert_eq(make_report(report, fake.size, NULL), 0);
}

/* The n-th line (from 0) that has `key`, or NULL. */
static json_t *line_with(const struct report *report, const char *key, size_t n)
{
    for (size_t i = 0; i < report->count; i++) {
        if (json_object_get(report->lines[i], key) && n-- == 0)
            return report->lines[i];
    }
    return NULL;
}

static size_t count_with(const struct report *report, const char *key)
{
    size_t count = 0;

    while (line_with(report, key, count))
        count++;
    return count;
}

static json_int_t number_of(const json_t *line, const char *key)
{
    cr_assert(json_is_integer(json_object_get(line, key)), "%s is a number", key);
    return json_integer_value(json_object_get(line, key));
}

static const char *text_of(const json_t *line, const char *key)
{
    cr_assert(json_is_string(json_object_get(line, key)), "%s is a string", key);
    return json_string_value(json_object_get(line, key));
}

static bool lacks_something_with(const struct report *report, const char *part)
{
    json_t *lacks = json_object_get(line_with(report, "ended", 0), "lacks");
    json_t *text;
    size_t i;

    json_array_foreach(lacks, i, text)
    {
        if (strstr(json_string_value(text), part))
            return true;
    }
    return false;
}

static uint32_t add_module(uint64_t start, uint64_t end, const char *path, uint32_t first, uint32_t last)
{
    struct ledger_module module = {
        .start = start, .end = end, .bias = start - 0x1000, .first_epoch = first, .last_epoch = last};

    module.path = fake_text(&fake, path);
    module.build_id_size = 2;
    module.build_id[0] = 0xab;
    module.build_id[1] = 0x01;
    return fake_add(&fake, LEDGER_MODULES, &module);
}

static uint32_t add_code(const char *name)
{
    struct ledger_code code = {.used = 1, .first_line = 7, .table_kind = CODE_LOCATIONS_311};

    code.file = fake_text(&fake, "/x.py");
    code.name = fake_text(&fake, name);
    code.table = fake_text_pieces(&fake, "\x80\x00\xff", 3, 2);
    return fake_add(&fake, LEDGER_CODES, &code);
}

/* A ledger with some of everything; two blocks of one stack, one of another. */
static void fill(void)
{
    uint32_t native, python, trace, other, type;

    add_module(0x7000, 0x8000, "/not/used.so", 0, UINT32_MAX);
    add_module(0x10000, 0x20000, "/lib/a.so", 0, UINT32_MAX);
    add_code("unused");
    fake_node(&fake, 0, 0x7100, NODE_NATIVE);
    native = fake_node(&fake, 0, 0x10100, NODE_NATIVE);
    native = fake_node(&fake, native, 0x10200, NODE_NATIVE | NODE_EXACT);
    python = fake_node(&fake, 0, 5, NODE_CUT);
    python = fake_node(&fake, python, (uint64_t)add_code("f") << 32 | 42, NODE_PYTHON | NODE_ENTRY);
    fake_trace(&fake, 1, 0, 1, 1);
    trace = fake_trace(&fake, native, python, 10, 1000);
    other = fake_trace(&fake, native, 0, 5, 50);
    type = fake_text(&fake, "list");
    fake_block(&fake, 16, trace, DOMAIN_OBJ, BLOCK_DEFINITE << RECORD_KIND_SHIFT, type);
    fake_block(&fake, 48, trace, DOMAIN_OBJ, BLOCK_DEFINITE << RECORD_KIND_SHIFT, type);
    fake_block(&fake, 100, other, DOMAIN_NEW_ARRAY, RECORD_STARTUP, 0);
    fake_add(&fake, LEDGER_ERRORS,
             &(struct ledger_error){.kind = ERROR_DOUBLE_FREE,
                                    .domain = DOMAIN_MEM,
                                    .address = 0xabc,
                                    .size = 16,
                                    .count = 2,
                                    .trace = other,
                                    .free_trace = trace,
                                    .detail = fake_text(&fake, "freed twice")});
    fake_add(&fake, LEDGER_THREADS,
             &(struct ledger_thread){.used = 1,
                                     .allocations = 20,
                                     .frees = 17,
                                     .dropped = 1,
                                     .balance = 64,
                                     .high = 300,
                                     .pending_trace = other,
                                     .pending_allocations = 2,
                                     .pending_bytes = 20});
    fake_add(&fake, LEDGER_THREADS, &(struct ledger_thread){.used = 1, .allocations = 2, .frees = 2, .balance = -10});
    fake_header(&fake)->live_bytes = 1000;
    fake_header(&fake)->peak_bytes = 1200;
}

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

Test(report_writer, pending_counts_belong_to_their_trace)
{
    struct report report;

    fill();
    report_of_fake(&report);
    cr_expect_eq(number_of(line_with(&report, "native", 0), "allocations"), 10);
    cr_expect_eq(number_of(line_with(&report, "native", 1), "allocations"), 7);
    cr_expect_eq(number_of(line_with(&report, "native", 1), "bytes"), 70);
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

Test(report_writer, modules_are_those_of_the_nodes_epoch)
{
    static const char *const expected[] = {"/old.so", "/new.so", "/once.so"};
    struct report report;

    fake_header(&fake)->epoch = 0x1000002; /* nodes keep 24 bits */
    add_module(0x10000, 0x20000, "/old.so", 0x1000000, 0x1000001);
    add_module(0x10000, 0x18000, "/new.so", 0x1000002, UINT32_MAX);
    add_module(0x30000, 0x40000, "/once.so", 0x1000002, UINT32_MAX);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t address = i == 2 ? 0x30100 : 0x10100;
        uint32_t node = fake_node(&fake, 0, address, NODE_NATIVE | (i == 1 ? 2u : 1u) << NODE_EPOCH_SHIFT);
        fake_block(&fake, 1, fake_trace(&fake, node, 0, 1, 1), DOMAIN_MALLOC, 0, 0);
    }
    report_of_fake(&report);
    for (unsigned i = 0; i < 3; i++) {
        cr_expect_eq(number_of(line_with(&report, "language", i), "module"), i + 1);
        cr_expect_str_eq(text_of(line_with(&report, "path", i), "path"), expected[i]);
    }
    free_report(&report);
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

    fake_header(&fake)->lacks =
        LACK_LEDGER_FULL | LACK_UNWINDER | LACK_PYTHON_UNKNOWN | LACK_FREE_THREADED | LACK_OPTION | LACK_STACKS_FULL;
    report_of_fake(&report);
    cr_expect_eq(json_array_size(json_object_get(line_with(&report, "ended", 0), "lacks")), 6);
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

/* ---- files ---- */

static char folder[] = "/tmp/test_report_writer.XXXXXX";
static char path[64], part[80];

static void set_up_folder(void)
{
    set_up();
    cr_assert(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/r.jsonl", folder);
    snprintf(part, sizeof(part), "%s.part", path);
}

static void tear_down_folder(void)
{
    unlink(path);
    unlink(part);
    rmdir(folder);
    tear_down();
}

TestSuite(report_file, .init = set_up_folder, .fini = tear_down_folder);

static int write_file(const char *to)
{
    int fd = fake_file(&fake, fake.size);
    struct ledger_view view;
    int error;

    cr_assert_eq(ledger_view_open_fd(&view, fd, NULL), 0);
    close(fd);
    error = report_write_file(&view, NULL, to);
    ledger_view_close(&view);
    return error;
}

static bool exists(const char *name)
{
    struct stat st;

    return lstat(name, &st) == 0;
}

Test(report_file, is_whole_private_and_alone)
{
    struct stat st;

    cr_assert_eq(write_file(path), 0);
    cr_assert_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_mode & 0777, 0600);
    cr_expect_gt(st.st_size, 300);
    cr_expect(!exists(part));
}

Test(report_file, replaces_nothing)
{
    struct stat st;

    fclose(fopen(path, "w"));
    cr_expect_eq(write_file(path), -EEXIST);
    cr_expect_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_size, 0);
    unlink(path);
    cr_assert_eq(symlink("/nowhere", path), 0);
    cr_expect_eq(write_file(path), -EEXIST);
    cr_expect(!exists(part));
}

Test(report_file, takes_over_what_a_dead_writer_left)
{
    fclose(fopen(part, "w"));
    cr_expect_eq(write_file(path), 0);
    cr_expect(exists(path));
    cr_expect(!exists(part));
}

Test(report_file, leaves_a_live_writer_alone)
{
    int fd = open(part, O_WRONLY | O_CREAT, 0600);

    cr_assert_eq(flock(fd, LOCK_EX), 0);
    cr_expect_eq(write_file(path), -EBUSY);
    cr_expect(exists(part));
    cr_expect(!exists(path));
    close(fd);
}

Test(report_file, does_not_write_through_a_link)
{
    char target[160];

    snprintf(target, sizeof(target), "%s/target", folder);
    cr_assert_eq(symlink(target, part), 0);
    cr_expect_lt(write_file(path), 0);
    cr_expect(!exists(target));
}

Test(report_file, errors_come_back)
{
    char missing[160];
    struct ledger_view view;
    int fd = fake_file(&fake, fake.size);
    FILE *full = fopen("/dev/full", "w");

    snprintf(missing, sizeof(missing), "%s/no/r.jsonl", folder);
    cr_expect_eq(write_file(missing), -ENOENT);
    cr_assert_eq(ledger_view_open_fd(&view, fd, NULL), 0);
    cr_assert(full);
    cr_expect_eq(report_write(&view, NULL, full), -ENOSPC);
    fclose(full);
    ledger_view_close(&view);
    close(fd);
}

/* ---- damage ---- */

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

Test(report_writer, truncated_ledgers_are_read_up_to_the_cut)
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

Test(report_writer, a_damaged_header_is_refused)
{
    struct report report;

    cr_expect_eq(make_report(&report, sizeof(struct ledger_header) - 1, NULL), -EINVAL);
    fake_header(&fake)->version++;
    cr_expect_eq(make_report(&report, fake.size, NULL), -EINVAL);
    fake_header(&fake)->version--;
    fake_header(&fake)->magic ^= 1;
    cr_expect_eq(make_report(&report, fake.size, NULL), -EINVAL);
}

Test(report_writer, loops_and_loose_ends_are_cut_and_counted)
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

Test(report_writer, records_that_make_no_sense_are_counted)
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

Test(report_writer, random_damage_is_harmless, .timeout = 100)
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

Test(report_writer, every_allocation_may_fail)
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
